//! The driver over tokio-uring: an alternative, behind the same seam.
//!
//! Each poll runs the library's runtime until a task has something to tell. The library has neither receives that complete
//! many times nor cancellation: each connection keeps a small buffer posted, and ends by a shutdown of its socket, for which
//! it holds a second descriptor.

mod endpoint;
mod tasks;

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream as Socket};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_uring::Runtime;

use self::endpoint::{Endpoint, State};
use self::tasks::{News, NewsQueue, accept, receive, send};
use super::listener::{self, PATIENCE};
use super::slots::Slots;
use super::socket::{copy_error, discard_unread, reset_at_close};
use super::{Closing, Connection, Handler, ListenerIndex, Net, NetStatistics, Sent, Wait, Waker};

const RING_ENTRIES: u32 = 1024;
const NEWS_PER_POLL: usize = 1024;
/// Of so many busy polls one looks whether a paused connection was reset; each idle one does.
const POLLS_BETWEEN_LOOKS: u32 = 64;
/// How long a driver that is dropped waits for its tasks: so many times so long.
const FAREWELLS: usize = 100;
const FAREWELL: Duration = Duration::from_millis(50);

/// The driver; see [`Net`]. Its system calls are the library's and cannot be counted: what is counted is requests and waits.
pub struct TokioUring {
    endpoints: Slots<Endpoint>,
    news: Rc<NewsQueue>,
    listeners: usize,
    /// Tasks that start with the next poll.
    starts: Vec<Start>,
    /// Connections that began to close.
    closing: Vec<Connection>,
    paused: Vec<Connection>,
    looks: u32,
    wake: Arc<Notify>,
    statistics: NetStatistics,
    /// Last: what is registered with it goes first.
    runtime: Runtime,
}

enum Start {
    Receive(Connection),
    Send(Connection, Vec<u8>),
    Accept(ListenerIndex, TcpListener),
}

impl TokioUring {
    /// A driver for at most `connections` connections.
    pub fn new(connections: usize) -> io::Result<Self> {
        let mut ring = tokio_uring::uring_builder();
        // With deferred task work the library makes no progress.
        ring.setup_coop_taskrun().setup_single_issuer();
        let runtime = Runtime::new(tokio_uring::builder().entries(RING_ENTRIES).uring_builder(&ring))?;
        Ok(Self {
            endpoints: Slots::new(connections),
            news: Rc::default(),
            listeners: 0,
            starts: Vec::new(),
            closing: Vec::new(),
            paused: Vec::new(),
            looks: 0,
            wake: Arc::new(Notify::new()),
            statistics: NetStatistics::default(),
            runtime,
        })
    }

    /// Runs the tasks until there is news, or the wait is over.
    fn run(&mut self, wait: Wait) {
        self.statistics.system_calls += 1;
        let starts = std::mem::take(&mut self.starts);
        let (endpoints, news, wake) = (&mut self.endpoints, &self.news, &self.wake);
        self.runtime.block_on(async move {
            starts.into_iter().for_each(|start| start.begin(endpoints, news));
            if wait != Wait::None && news.is_empty() {
                wait_for(wait, news, wake).await;
            }
            if news.is_empty() || wait == Wait::None {
                turn_over().await;
            }
        });
    }

    fn tell<H: Handler<Socket>>(&mut self, news: News, handler: &mut H) -> usize {
        match news {
            News::Accepted(listener, socket, peer) => handler.accepted(listener, socket, peer),
            News::AcceptFailed => {
                self.statistics.accept_errors += 1;
                return 0;
            }
            News::Received(connection, bytes) => return self.tell_received(connection, bytes, handler),
            News::ReceiveOver(connection, outcome) => return self.tell_end(connection, outcome, handler),
            News::Sent(connection, bytes, result) => return self.tell_sent(connection, bytes, result, handler),
        }
        1
    }

    fn tell_received<H: Handler<Socket>>(&mut self, connection: Connection, bytes: Vec<u8>, handler: &mut H) -> usize {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return 0 };
        if endpoint.is_open() && endpoint.paused {
            endpoint.held = Some(News::Received(connection, bytes));
            return 0;
        }
        self.statistics.system_calls += 1;
        self.statistics.bytes_in += bytes.len() as u64;
        let open = endpoint.is_open();
        if open {
            handler.received(connection, &bytes);
        }
        endpoint.gate.give(bytes);
        usize::from(open)
    }

    fn tell_end<H: Handler<Socket>>(
        &mut self,
        connection: Connection,
        outcome: io::Result<()>,
        handler: &mut H,
    ) -> usize {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return 0 };
        endpoint.receiving = false;
        let outcome = endpoint.broken.take().map_or(outcome, Err);
        if let Err(error) = outcome {
            self.begin_closing(connection, Err(error));
        } else if endpoint.is_open() && endpoint.paused {
            endpoint.held = Some(News::ReceiveOver(connection, Ok(())));
        } else if endpoint.is_open() && !std::mem::replace(&mut endpoint.ended, true) {
            handler.ended(connection);
            return 1;
        }
        self.finish(connection, handler)
    }

    fn tell_sent<H: Handler<Socket>>(
        &mut self,
        connection: Connection,
        bytes: Vec<u8>,
        result: io::Result<()>,
        handler: &mut H,
    ) -> usize {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return 0 };
        endpoint.sending = false;
        let draining = matches!(endpoint.state, State::Draining);
        match &result {
            Ok(()) => self.statistics.bytes_out += bytes.len() as u64,
            Err(error) => self.break_off(connection, copy_error(error)),
        }
        if draining {
            self.end_drained(connection);
        }
        handler.sent(connection, bytes, result);
        1 + self.finish(connection, handler)
    }

    /// A send failed. Bytes that had arrived before are still worth reading (acknowledgements, say): the shutdown makes sure
    /// that the receive comes to an end.
    fn break_off(&mut self, connection: Connection, error: io::Error) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        if endpoint.is_open() && endpoint.receiving && !endpoint.paused {
            // Its result says nothing that the receive does not.
            let _ = endpoint.control.shutdown(Shutdown::Both);
            endpoint.broken = Some(error);
        } else {
            self.begin_closing(connection, Err(error));
        }
    }

    /// Shuts a connection down, which ends its tasks.
    fn begin_closing(&mut self, connection: Connection, outcome: io::Result<()>) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        if matches!(endpoint.state, State::Closing(_)) {
            return;
        }
        endpoint.state = State::Closing(outcome);
        // A socket that is reset cannot be shut down, and need not be.
        let _ = endpoint.control.shutdown(Shutdown::Both);
        endpoint.gate.close();
        self.closing.push(connection);
    }

    /// Ends a connection that has nothing more to send.
    fn end_drained(&mut self, connection: Connection) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        self.statistics.system_calls += discard_unread(&endpoint.control);
        self.begin_closing(connection, Ok(()));
    }

    /// Ends a connection without regard to what is unsent.
    fn abort(&mut self, connection: Connection) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        reset_at_close(&endpoint.control);
        self.begin_closing(connection, Ok(()));
    }

    /// Reports a connection that is over.
    fn finish<H: Handler<Socket>>(&mut self, connection: Connection, handler: &mut H) -> usize {
        if !self.endpoints.get_mut(connection).is_some_and(|endpoint| endpoint.is_over()) {
            return 0;
        }
        let Some(Endpoint { state: State::Closing(outcome), control, stream, .. }) = self.endpoints.remove(connection)
        else {
            return 0;
        };
        self.statistics.system_calls += 1 + discard_unread(&control);
        drop((control, stream));
        handler.closed(connection, outcome);
        1
    }

    /// A paused connection has no read posted that would fail.
    fn look_at_paused(&mut self, idle: bool) {
        self.looks += 1;
        if self.paused.is_empty() || !(idle || self.looks >= POLLS_BETWEEN_LOOKS) {
            return;
        }
        self.looks = 0;
        let mut paused = std::mem::take(&mut self.paused);
        paused.retain(|&connection| {
            let Some(endpoint) = self.endpoints.get_mut(connection).filter(|endpoint| endpoint.paused) else {
                return false;
            };
            self.statistics.system_calls += 1;
            match endpoint.control.take_error() {
                Ok(None) => true,
                Ok(Some(error)) | Err(error) => {
                    self.begin_closing(connection, Err(error));
                    false
                }
            }
        });
        self.paused = paused;
    }
}

impl Start {
    /// Within the runtime.
    fn begin(self, endpoints: &mut Slots<Endpoint>, news: &Rc<NewsQueue>) {
        let news = news.clone();
        match self {
            Self::Accept(index, listener) => drop(tokio_uring::spawn(accept(index, listener, news))),
            Self::Receive(connection) => {
                let Some(endpoint) = endpoints.get_mut(connection) else { return };
                drop(tokio_uring::spawn(receive(endpoint.stream.clone(), connection, endpoint.gate.clone(), news)));
            }
            Self::Send(connection, bytes) => {
                let Some(endpoint) = endpoints.get_mut(connection) else { return };
                drop(tokio_uring::spawn(send(endpoint.stream.clone(), connection, bytes, news)));
            }
        }
    }
}

/// Until there is news, the time is up or another thread wakes this one.
async fn wait_for(wait: Wait, news: &NewsQueue, wake: &Notify) {
    let mut some = pin!(news.some());
    let mut woken = pin!(wake.notified());
    let mut time = wait.limit().map(|limit| Box::pin(tokio::time::sleep(limit)));
    std::future::poll_fn(|context| {
        let ready = some.as_mut().poll(context).is_ready()
            || woken.as_mut().poll(context).is_ready()
            || time.as_mut().is_some_and(|time| time.as_mut().poll(context).is_ready());
        if ready { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// One round through the kernel without waiting: the library hands requests over only when its thread is about to block, which
/// it does for this request; what completed before it is seen with it.
#[expect(clippy::expect_used, reason = "a ring that does not even do nothing is broken, and there is no other")]
async fn turn_over() {
    tokio_uring::no_op().await.expect("the kernel completes a request that does nothing");
    tokio::task::yield_now().await;
}

impl Net for TokioUring {
    type Socket = Socket;

    fn listen(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let socket = listener::bind(address, true)?;
        let bound = socket.local_addr()?;
        let socket = self.runtime.block_on(async move { TcpListener::from_std(socket) })?;
        self.starts.push(Start::Accept(ListenerIndex(self.listeners), socket));
        self.listeners += 1;
        Ok(bound)
    }

    fn adopt(&mut self, socket: Socket) -> io::Result<Connection> {
        // On a socket that does not block, requests would fail instead of waiting.
        socket.set_nonblocking(false)?;
        socket.set_nodelay(true)?;
        self.statistics.system_calls += 3;
        let connection = self.endpoints.insert(Endpoint::new(socket)?)?;
        self.starts.push(Start::Receive(connection));
        Ok(connection)
    }

    fn send(&mut self, connection: Connection, bytes: Vec<u8>) -> Sent {
        let Some(endpoint) =
            self.endpoints.get_mut(connection).filter(|endpoint| endpoint.is_open() && endpoint.broken.is_none())
        else {
            return Sent::Refused(bytes);
        };
        assert!(!endpoint.sending, "at most one send of a connection is pending");
        if bytes.is_empty() {
            return Sent::Done(bytes);
        }
        endpoint.sending = true;
        self.statistics.system_calls += 1;
        self.starts.push(Start::Send(connection, bytes));
        Sent::Pending
    }

    fn pause(&mut self, connection: Connection) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        if !std::mem::replace(&mut endpoint.paused, true) && !self.paused.contains(&connection) {
            self.paused.push(connection);
        }
    }

    fn resume(&mut self, connection: Connection) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        endpoint.paused = false;
        if let Some(held) = endpoint.held.take() {
            self.news.push_front(held);
        }
    }

    fn close(&mut self, connection: Connection, closing: Closing) {
        let Some(endpoint) = self.endpoints.get_mut(connection) else { return };
        match closing {
            Closing::Drained if endpoint.is_open() && endpoint.sending && endpoint.broken.is_none() => {
                endpoint.state = State::Draining;
                // What a pause held back keeps the receiving task from its end.
                if let Some(held) = endpoint.held.take() {
                    self.news.push_front(held);
                }
            }
            Closing::Drained if endpoint.is_open() => self.end_drained(connection),
            Closing::Drained => {}
            Closing::AtOnce => self.abort(connection),
        }
    }

    fn release(&mut self, connection: Connection) {
        self.endpoints.release(connection);
    }

    fn poll<H: Handler<Socket>>(&mut self, wait: Wait, handler: &mut H) -> io::Result<usize> {
        let mut calls = 0;
        for connection in std::mem::take(&mut self.closing) {
            calls += self.finish(connection, handler);
        }
        let wait = if calls > 0 { Wait::None } else { wait };
        self.run(if self.paused.is_empty() { wait } else { wait.at_most(PATIENCE) });
        self.look_at_paused(self.news.is_empty());
        for _ in 0..NEWS_PER_POLL {
            let Some(news) = self.news.pop() else { break };
            calls += self.tell(news, handler);
        }
        Ok(calls)
    }

    fn waker(&self) -> Waker {
        let wake = self.wake.clone();
        Arc::new(move || wake.notify_one())
    }

    fn statistics(&self) -> NetStatistics {
        self.statistics
    }
}

impl Drop for TokioUring {
    /// The library waits for its requests when it is dropped; shutting the sockets down completes them.
    fn drop(&mut self) {
        let connections: Vec<_> = self.endpoints.connections().collect();
        for connection in connections {
            self.abort(connection);
        }
        for _ in 0..FAREWELLS {
            if self.endpoints.connections().next().is_none()
                || self.poll(Wait::For(FAREWELL), &mut super::Nobody).is_err()
            {
                return;
            }
        }
    }
}
