//! The tasks of the driver: one a listener, one a connection that receives, one a send. They tell what happened through one
//! local queue.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream as Socket};
use std::rc::Rc;
use std::task::{Poll, Waker};

use tokio::net::TcpListener;
use tokio_uring::net::TcpStream;

use crate::net::listener::{PATIENCE, concerns_one_connection};
use crate::net::{Connection, ListenerIndex};

/// Each connection that waits has a buffer posted all the time: it is kept small.
const RECEIVE_BYTES: usize = 16 << 10;

/// What a task has to tell.
pub(super) enum News {
    Accepted(ListenerIndex, Socket, SocketAddr),
    AcceptFailed,
    /// The buffer goes back through the connection's gate.
    Received(Connection, Vec<u8>),
    /// The receiving task is over: the peer's end, an error, or ours.
    ReceiveOver(Connection, io::Result<()>),
    Sent(Connection, Vec<u8>, io::Result<()>),
}

/// The queue from the tasks to the driver.
#[derive(Default)]
pub(super) struct NewsQueue {
    news: RefCell<VecDeque<News>>,
    reader: RefCell<Option<Waker>>,
}

impl NewsQueue {
    pub(super) fn push(&self, news: News) {
        self.news.borrow_mut().push_back(news);
        if let Some(reader) = self.reader.borrow_mut().take() {
            reader.wake();
        }
    }

    /// Puts news back at the front that the driver could not deliver before.
    pub(super) fn push_front(&self, news: News) {
        self.news.borrow_mut().push_front(news);
    }

    pub(super) fn pop(&self) -> Option<News> {
        self.news.borrow_mut().pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.news.borrow().is_empty()
    }

    /// Until there is some.
    pub(super) async fn some(&self) {
        poll_fn(|context| {
            if !self.is_empty() {
                return Poll::Ready(());
            }
            *self.reader.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// Where the receiving task of a connection waits for its buffer: it receives no more than the driver has taken.
#[derive(Default)]
pub(super) struct Gate {
    buffer: RefCell<Option<Vec<u8>>>,
    closed: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Gate {
    /// The driver is through with the buffer.
    pub(super) fn give(&self, buffer: Vec<u8>) {
        *self.buffer.borrow_mut() = Some(buffer);
        self.wake();
    }

    /// Nothing more is to be received.
    pub(super) fn close(&self) {
        self.closed.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(task) = self.task.borrow_mut().take() {
            task.wake();
        }
    }

    async fn pass(&self) -> Option<Vec<u8>> {
        poll_fn(|context| {
            if self.closed.get() {
                return Poll::Ready(None);
            }
            let buffer = self.buffer.borrow_mut().take();
            if buffer.is_none() {
                *self.task.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(buffer)
        })
        .await
    }
}

/// Accepts by readiness: the ring's accept leaks a descriptor when it is dropped.
pub(super) async fn accept(index: ListenerIndex, listener: TcpListener, news: Rc<NewsQueue>) {
    loop {
        match listener.accept().await.and_then(|(socket, peer)| Ok((socket.into_std()?, peer))) {
            Ok((socket, peer)) => news.push(News::Accepted(index, socket, peer)),
            Err(error) => {
                news.push(News::AcceptFailed);
                if !concerns_one_connection(&error) {
                    tokio::time::sleep(PATIENCE).await;
                }
            }
        }
    }
}

/// Receives until the end. A read is never dropped: it would swallow the bytes that come next.
pub(super) async fn receive(stream: Rc<TcpStream>, connection: Connection, gate: Rc<Gate>, news: Rc<NewsQueue>) {
    let mut buffer = Vec::with_capacity(RECEIVE_BYTES);
    let outcome = loop {
        buffer.clear();
        let (result, filled) = stream.read(buffer).await;
        match result {
            Ok(0) => break Ok(()),
            Ok(_) => news.push(News::Received(connection, filled)),
            Err(error) => break Err(error),
        }
        match gate.pass().await {
            Some(next) => buffer = next,
            None => break Ok(()),
        }
    };
    // The descriptor is free when the driver hears of it.
    drop(stream);
    news.push(News::ReceiveOver(connection, outcome));
}

/// Sends all of a buffer.
pub(super) async fn send(stream: Rc<TcpStream>, connection: Connection, bytes: Vec<u8>, news: Rc<NewsQueue>) {
    let (result, bytes) = stream.write_all(bytes).await;
    drop(stream);
    news.push(News::Sent(connection, bytes, result));
}
