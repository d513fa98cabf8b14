//! A connection's state, and its writes.

use std::io::{self, ErrorKind, Write};

use mio::net::TcpStream;

use crate::net::NetStatistics;

/// What the driver keeps of a connection.
pub(super) struct Endpoint {
    pub(super) stream: TcpStream,
    pub(super) sending: Option<Sending>,
    /// An edge said so and no read has found the end since.
    pub(super) readable: bool,
    /// It is in the `readable` list.
    pub(super) queued: bool,
    pub(super) paused: bool,
    /// The kernel announced the end of the stream: a short read is not the last one.
    pub(super) end_announced: bool,
    /// The end was reported.
    pub(super) ended: bool,
    /// To be closed when the pending send is over.
    pub(super) draining: bool,
    /// The connection broke; what has arrived is still handed on.
    pub(super) broken: Option<io::Error>,
    /// How it ended: about to be reported.
    pub(super) outcome: Option<io::Result<()>>,
}

pub(super) struct Sending {
    pub(super) bytes: Vec<u8>,
    pub(super) sent: usize,
}

impl Endpoint {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            sending: None,
            readable: false,
            queued: false,
            paused: false,
            end_announced: false,
            ended: false,
            draining: false,
            broken: None,
            outcome: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.outcome.is_none() && !self.draining
    }

    pub(super) fn receives(&self) -> bool {
        self.is_open() && !self.paused && !self.ended
    }
}

/// One write; what does not fit waits for the next edge. An error that is none (the socket's buffer is full) is not reported.
pub(super) fn write(stream: &mut TcpStream, sending: &mut Sending, statistics: &mut NetStatistics) -> io::Result<()> {
    while sending.sent < sending.bytes.len() {
        statistics.system_calls += 1;
        match stream.write(sending.bytes.get(sending.sent..).unwrap_or_default()) {
            Ok(count) => {
                sending.sent += count;
                statistics.bytes_out += count as u64;
                // A short write has filled the buffer: the edge comes when there is room again.
                return Ok(());
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
