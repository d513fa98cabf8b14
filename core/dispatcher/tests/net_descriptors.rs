//! When the process has no descriptor left: accepting waits, does not spin, and goes on when there is one again. A binary of
//! its own, with one test: the limit is the process's.
#![cfg(not(loom))]

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use postrider_dispatcher::net::epoll::Epoll;
use postrider_dispatcher::net::tokio_uring::TokioUring;
use postrider_dispatcher::net::uring::{Uring, probe};
use postrider_dispatcher::net::{Connection, Handler, ListenerIndex, Net, Wait};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[derive(Default)]
struct Accepted(Vec<TcpStream>);

impl Handler<TcpStream> for Accepted {
    fn accepted(&mut self, _: ListenerIndex, socket: TcpStream, _: SocketAddr) {
        self.0.push(socket);
    }

    fn received(&mut self, _: Connection, _: &[u8]) {}
    fn sent(&mut self, _: Connection, _: Vec<u8>, _: io::Result<()>) {}
    fn ended(&mut self, _: Connection) {}
    fn closed(&mut self, _: Connection, _: io::Result<()>) {}
}

/// Takes all descriptors there are.
fn take_all() -> Vec<std::fs::File> {
    let null = || std::fs::File::open("/dev/null");
    let files: Vec<_> = std::iter::from_fn(|| null().ok()).collect();
    assert_eq!(null().unwrap_err().raw_os_error(), Some(libc::EMFILE));
    files
}

fn waits_for_a_descriptor<N: Net<Socket = TcpStream>>(mut net: N) {
    let address = net.listen((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let mut accepted = Accepted::default();
    let mut files = take_all();
    // One for each client, none for our side of them.
    files.truncate(files.len() - 2);
    let clients = [(); 2].map(|()| TcpStream::connect(address).unwrap());
    while net.statistics().accept_errors == 0 {
        net.poll(Wait::For(Duration::from_secs(1)), &mut accepted).unwrap();
    }
    // Busy polls: the waker keeps them so.
    let before = net.statistics();
    let wake = net.waker();
    for _ in 0..500 {
        wake();
        net.poll(Wait::Forever, &mut accepted).unwrap();
    }
    let errors = net.statistics().accept_errors - before.accept_errors;
    assert!(errors <= 10, "{errors} tries in 500 polls");
    assert!(accepted.0.is_empty());
    drop(files);
    // A driver that cannot accept does not block for ever, even if told to.
    while accepted.0.len() < 2 {
        net.poll(Wait::Forever, &mut accepted).unwrap();
    }
    drop(clients);
}

#[test]
fn accepting_waits_for_a_descriptor() {
    let limits = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), maximum: limits.maximum }).unwrap();
    waits_for_a_descriptor(Epoll::new(16).unwrap());
    match probe() {
        Ok(()) => {
            waits_for_a_descriptor(Uring::new(16).unwrap());
            waits_for_a_descriptor(TokioUring::new(16).unwrap());
        }
        Err(error) => eprintln!("not tested, the machine refuses io_uring: {error}"),
    }
}
