//! Starts the pinned threads: shards, and the broker's own where there are cores for it.

use std::io;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use postrider_dispatcher::net::epoll::Epoll;
use postrider_dispatcher::net::tokio_uring::TokioUring;
use postrider_dispatcher::net::uring::Uring;
use postrider_dispatcher::net::{Net, try_address};
use postrider_dispatcher::port::ClientPort;
use postrider_dispatcher::shard::{Dealer, Inbox, Shard};
use postrider_dispatcher::wake::Alarm;
use postrider_wire::session::Profile;

use crate::args::{Io, Listen};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::counters::Counters;
use crate::exit::{Exit, Fatal};
use crate::identity::Identity;
use crate::shutdown::Shutdown;
use crate::threads::{self, Thread, Turn};

/// Connections that one driver can hold.
const CONNECTIONS_A_SHARD: usize = 65_536;

/// A thread that ends says why right away.
const WORD_WITHIN: Duration = Duration::from_secs(1);

/// What the threads are made of.
pub(crate) struct Plan<'a> {
    /// All settings.
    pub config: &'a Config,
    /// Connections that the process has descriptors for.
    pub connections: usize,
    /// The network driver; not `auto` any more.
    pub driver: Io,
    /// The core of each thread.
    pub cores: Vec<usize>,
    /// The alarm of each thread.
    pub alarms: Vec<Arc<Alarm>>,
    /// How they end.
    pub shutdown: Arc<Shutdown>,
    /// Their clock.
    pub clock: SystemClock,
    /// Who the broker says it is.
    pub identity: Identity,
    /// What they have done.
    pub counters: Arc<Counters>,
}

/// The threads at work.
pub(crate) struct Running {
    /// Where the broker listens.
    pub listeners: Vec<Listen>,
    threads: Vec<JoinHandle<()>>,
    outcomes: Receiver<Result<(), Fatal>>,
}

/// What one shard's thread begins with.
struct Seat {
    core: usize,
    thread: Thread,
    port: ClientPort,
    profile: Profile,
    park_bytes: u64,
    client_memory_bytes: u64,
    inbox: Arc<Inbox<TcpStream>>,
    /// Of the one shard that listens.
    listening: Option<Listening>,
    broker: Option<Turn>,
}

/// What a thread does until it ends.
type Run = Box<dyn FnOnce() -> Result<(), Fatal> + Send>;

struct Listening {
    dealer: Dealer<TcpStream>,
    listeners: Vec<Listen>,
    bound: Sender<Result<Vec<Listen>, Fatal>>,
}

impl Plan<'_> {
    /// Starts all threads; returns when the broker listens.
    pub(crate) fn start(&self, broker: Turn, ports: Vec<ClientPort>, own_broker: bool) -> Result<Running, Fatal> {
        let (ended, outcomes) = channel();
        let (bound, are_bound) = channel();
        let inboxes: Vec<_> = self.alarms[..ports.len()].iter().map(|alarm| Inbox::new(alarm.clone())).collect();
        let listeners = self.config.listeners().map_err(Fatal::with(Exit::Usage))?;
        let protocols = listeners.iter().map(|listener| listener.protocol).collect();
        let mut listening = Some(Listening {
            dealer: Dealer::new(inboxes.clone(), protocols).limited_to(self.connections),
            listeners,
            bound,
        });
        let (mut on_shard, mut own) = if own_broker { (None, Some(broker)) } else { (Some(broker), None) };
        let park_bytes = self.config.flow.park_bytes / ports.len() as u64;
        let client_memory_bytes = self.config.clients.memory_bytes / ports.len() as u64;
        let mut running = Vec::new();
        for (index, (port, inbox)) in ports.into_iter().zip(inboxes).enumerate() {
            let seat = Seat {
                core: self.cores[index],
                thread: self.thread(index),
                port,
                profile: self.identity.profile.clone(),
                park_bytes,
                client_memory_bytes,
                inbox,
                listening: listening.take(),
                broker: on_shard.take(),
            };
            running.push(spawn(format!("shard-{index}"), ended.clone(), self.run(seat))?);
        }
        if let Some(broker) = own.take() {
            let (thread, core) = (self.thread(self.cores.len() - 1), self.cores[self.cores.len() - 1]);
            let run = move || {
                pin(core);
                thread.alarm.attach(unpark_this_thread());
                threads::run_broker(broker, &thread)
            };
            running.push(spawn("broker".into(), ended, Box::new(run))?);
        }
        let listeners = are_bound.recv().unwrap_or_else(|_| Err(why_it_ended(&outcomes)))?;
        Ok(Running { listeners, threads: running, outcomes })
    }

    fn thread(&self, index: usize) -> Thread {
        Thread {
            index,
            alarm: self.alarms[index].clone(),
            clock: self.clock,
            shutdown: self.shutdown.clone(),
            counters: self.counters.thread(index),
        }
    }

    fn run(&self, seat: Seat) -> Run {
        let (thread, had_the_broker) = (seat.thread.clone(), seat.broker.is_some());
        let sit: Run = match self.driver {
            Io::Epoll => Box::new(|| sit(seat, Epoll::new)),
            Io::TokioUring => Box::new(|| sit(seat, TokioUring::new)),
            Io::Uring | Io::Auto => Box::new(|| sit(seat, Uring::new)),
        };
        Box::new(move || {
            let outcome = sit();
            // After a failed sync nothing may be answered any more (R7): there is no end in order.
            if outcome.as_ref().is_err_and(|fatal| fatal.exit != Exit::Disk) {
                thread.shutdown.thread_failed(thread.index, had_the_broker);
            }
            outcome
        })
    }
}

impl Running {
    /// Waits until all threads have ended. The first that fails ends the others, and is told to `failed` at once.
    pub(crate) fn join(self, shutdown: &Shutdown, failed: impl FnOnce(&Fatal)) -> Result<(), Fatal> {
        let mut first = Ok(());
        let mut failed = Some(failed);
        for _ in &self.threads {
            let outcome = self.outcomes.recv().unwrap_or(Ok(()));
            if let Err(fatal) = outcome {
                if fatal.exit == Exit::Disk {
                    // Nothing may be answered any more (R7).
                    return Err(fatal);
                }
                shutdown.request();
                if let Some(failed) = failed.take() {
                    failed(&fatal);
                }
                first = first.and(Err(fatal));
            }
        }
        first
    }
}

/// The life of a shard's thread, with the driver made on it.
fn sit<N: Net<Socket = TcpStream>>(seat: Seat, driver: impl FnOnce(usize) -> io::Result<N>) -> Result<(), Fatal> {
    let Seat { core, thread, port, profile, park_bytes, client_memory_bytes, inbox, listening, broker } = seat;
    pin(core);
    let mut net = driver(CONNECTIONS_A_SHARD).map_err(Fatal::with(Exit::Failure))?;
    thread.alarm.attach(net.waker());
    let dealer = match listening {
        None => None,
        Some(Listening { dealer, listeners, bound }) => {
            let outcome = listen(&mut net, listeners);
            let failed = outcome.is_err();
            drop(bound.send(outcome));
            if failed {
                return Ok(());
            }
            Some(dealer)
        }
    };
    let mut shard = Shard::new(net, port, Rc::new(profile), inbox, dealer);
    shard.set_park_bytes(park_bytes);
    shard.set_client_memory_bytes(client_memory_bytes);
    threads::run_shard(shard, broker, &thread)
}

/// The listening shard has ended before it listened.
fn why_it_ended(outcomes: &Receiver<Result<(), Fatal>>) -> Fatal {
    let first = outcomes.recv_timeout(WORD_WITHIN).ok().and_then(Result::err);
    first.unwrap_or_else(|| Fatal { exit: Exit::Failure, error: anyhow!("the listening shard ended") })
}

/// How long an address may be in use before a start gives up: of a process that was killed the kernel ends the ring, and with it the
/// listening socket, a little after it is gone.
const ADDRESS_WITHIN: Duration = Duration::from_secs(1);

/// Asks before the journal is opened, so that a start that cannot listen leaves the data directory as it is. Nobody is answered yet:
/// who takes an address after that is found by [`listen`].
pub(crate) fn try_addresses(listeners: &[Listen]) -> Result<(), Fatal> {
    let until = Instant::now() + ADDRESS_WITHIN;
    for listener in listeners {
        while let Err(error) = try_address(listener.address) {
            if error.kind() != io::ErrorKind::AddrInUse || Instant::now() >= until {
                return Err(refused(listener, error));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Ok(())
}

/// Listens everywhere; answers with the addresses in fact bound.
fn listen<N: Net>(net: &mut N, listeners: Vec<Listen>) -> Result<Vec<Listen>, Fatal> {
    let bind = |listen: Listen| match net.listen(listen.address) {
        Ok(address) => Ok(Listen { address, ..listen }),
        Err(error) => Err(refused(&listen, error)),
    };
    listeners.into_iter().map(bind).collect()
}

fn refused(listen: &Listen, error: io::Error) -> Fatal {
    let error = anyhow!("cannot listen on {}: {error}; choose another address with --listen", listen.address);
    Fatal { exit: Exit::Listen, error }
}

fn spawn(name: String, ended: Sender<Result<(), Fatal>>, run: Run) -> Result<JoinHandle<()>, Fatal> {
    std::thread::Builder::new().name(name).spawn(move || drop(ended.send(run()))).map_err(Fatal::with(Exit::Failure))
}

fn pin(core: usize) {
    if let Err(error) = threads::pin(core) {
        tracing::warn!(core, %error, "thread not bound to its core");
    }
}

fn unpark_this_thread() -> postrider_dispatcher::wake::Waker {
    let thread = std::thread::current();
    Arc::new(move || thread.unpark())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_becomes_free_is_waited_for() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let listen: Listen = format!("openwire://{}", taken.local_addr().unwrap()).parse().unwrap();
        let other = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            drop(taken);
        });
        assert!(try_addresses(&[listen]).is_ok());
        other.join().unwrap();
    }

    #[test]
    fn a_failure_is_told_while_another_thread_does_not_end() {
        let (said, outcomes) = channel();
        let threads = (0..2).map(|_| std::thread::spawn(|| ())).collect();
        let running = Running { listeners: Vec::new(), threads, outcomes };
        let shutdown = Shutdown::new(2, Vec::new());
        said.send(Err(Fatal::with(Exit::Failure)(anyhow!("the driver's")))).unwrap();
        let outcome = running.join(&shutdown, |fatal| {
            assert!(shutdown.is_requested() && fatal.to_string() == "the driver's");
            said.send(Ok(())).unwrap();
        });
        assert_eq!(outcome.err().map(|fatal| fatal.exit), Some(Exit::Failure));
    }
}
