//! A connection's state: which of its tasks are at work, and what is to become of it.

use std::io;
use std::net::TcpStream as Socket;
use std::rc::Rc;

use tokio_uring::net::TcpStream;

use super::tasks::{Gate, News};

/// Its slot is free again only when both its tasks are over.
pub(super) struct Endpoint {
    pub(super) stream: Rc<TcpStream>,
    /// The same socket, for what the library does not offer.
    pub(super) control: Socket,
    pub(super) gate: Rc<Gate>,
    pub(super) receiving: bool,
    pub(super) sending: bool,
    pub(super) paused: bool,
    /// What was received when it was paused: the posted buffer's bytes, or the end.
    pub(super) held: Option<News>,
    pub(super) ended: bool,
    /// A send failed; what has arrived is still handed on.
    pub(super) broken: Option<io::Error>,
    pub(super) state: State,
}

pub(super) enum State {
    Open,
    /// To be closed when the pending send is over.
    Draining,
    /// Shut down; gone when its tasks are over.
    Closing(io::Result<()>),
}

impl Endpoint {
    pub(super) fn new(socket: Socket) -> io::Result<Self> {
        Ok(Self {
            control: socket.try_clone()?,
            stream: Rc::new(TcpStream::from_std(socket)),
            gate: Rc::default(),
            receiving: true,
            sending: false,
            paused: false,
            held: None,
            ended: false,
            broken: None,
            state: State::Open,
        })
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Closing(_)) && !self.receiving && !self.sending
    }
}
