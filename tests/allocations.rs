//! In steady state a message costs the broker no allocation: a shard and the broker's turn run on this thread, whose allocations
//! are counted, while the load generator runs on another.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Parser;
use postrider_broker::{Broker, Config};
use postrider_dispatcher::net::epoll::Epoll;
use postrider_dispatcher::net::{Net, Wait};
use postrider_dispatcher::port::port;
use postrider_dispatcher::round::Round;
use postrider_dispatcher::shard::{Dealer, Inbox, Shard};
use postrider_dispatcher::turn::BrokerTurn;
use postrider_dispatcher::wake::Alarm;
use postrider_journal::storage::file::OpenOptions;
use postrider_journal::storage::spill::FileSpill;
use postrider_journal::{FileStorage, Journal, Medium, Spool, SpoolConfig};
use postrider_model::{Clock, Now};
use postrider_wire::openwire::Offer;
use postrider_wire::session::{Profile, Protocol};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting by thread.
struct Counting;

// SAFETY: everything is the system allocator's; the counter is a thread-local without a destructor and allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct TestClock(Instant);

impl Clock for TestClock {
    fn now(&self) -> Now {
        Now { nanos: self.0.elapsed().as_nanos() as u64, unix_millis: 1_700_000_000_000 }
    }
}

#[derive(Parser)]
struct Load {
    #[command(flatten)]
    arguments: postrider_load::Arguments,
}

struct Node {
    shard: Shard<Epoll>,
    turn: BrokerTurn<FileStorage, FileSpill>,
    alarm: Arc<Alarm>,
    address: String,
    _directory: tempfile::TempDir,
}

impl Node {
    fn start() -> Node {
        let directory = tempfile::tempdir().unwrap();
        let mut net = Epoll::new(64).unwrap();
        let alarm = Alarm::with_waker(net.waker());
        let address = net.listen("127.0.0.1:0".parse().unwrap()).unwrap().to_string();
        let waker: postrider_dispatcher::wake::Waker = {
            let alarm = alarm.clone();
            Arc::new(move || {
                alarm.notify();
            })
        };
        let options = OpenOptions {
            directory: directory.path().into(),
            medium: Medium::Direct,
            waker: waker.clone(),
            min_free: 0,
        };
        let (storage, workers) = FileStorage::open(options).unwrap();
        let (spill, spillers) = FileSpill::beside(&storage, waker);
        workers.spawn().unwrap();
        spillers.spawn().unwrap();
        let mut broker = Broker::new(Config::default());
        let settings = postrider_journal::Config { keys: 1, ..postrider_journal::Config::default() };
        let journal = Journal::recover(storage, settings, &mut |record, home| broker.follow(record, home)).unwrap();
        broker.recovered(Now::default(), 0, 1);
        let spool = Spool::new(spill, SpoolConfig { keys: 2, ..SpoolConfig::default() });

        let (client, server) = port(&alarm, &alarm);
        let inbox: Arc<Inbox<TcpStream>> = Inbox::new(alarm.clone());
        let profile = Profile {
            broker_id: "ID:allocations".into(),
            broker_name: "allocations".into(),
            broker_url: "".into(),
            openwire: Offer { tight_encoding_enabled: false, ..Offer::of_broker(1 << 20) },
            hash_seed: 1,
        };
        let dealer = Dealer::new(vec![inbox.clone()], vec![Protocol::OpenWire]);
        Node {
            shard: Shard::new(net, client, Rc::new(profile), inbox, Some(dealer)),
            turn: BrokerTurn::new(broker, journal, spool, vec![server]),
            alarm,
            address,
            _directory: directory,
        }
    }

    /// One round of the loop that the server runs.
    fn step(&mut self, clock: &TestClock) {
        let now = clock.now();
        let mut round = Round::begin(Some(&mut self.turn), now).unwrap();
        round.serve(&mut self.shard, Some(&self.turn), now);
        if !round.is_over() {
            return;
        }
        let asleep = round.may_sleep(&self.alarm, || self.shard.has_work() || self.turn.has_work());
        let wait = if asleep { Wait::For(Duration::from_millis(5)) } else { Wait::None };
        let awake = || {
            if asleep {
                self.alarm.awake();
            }
        };
        self.shard.poll(wait, clock, awake).unwrap();
    }

    fn published(&self) -> u64 {
        self.turn.broker().statistics().published
    }
}

/// Fewest allocations of this thread while so many messages were published, of some times in a row after as many to warm up: a
/// machine with other work makes larger batches now and then, and their tables grow once more.
fn allocations_under(load: &str, messages: u64) -> u64 {
    let mut node = Node::start();
    let clock = TestClock(Instant::now());
    let line = format!("load {} --count {} {load}", node.address, (TIMES + 2) * messages);
    let load =
        std::thread::spawn(move || postrider_load::measure(&Load::parse_from(line.split(' ')).arguments).unwrap());
    while node.published() < messages {
        node.step(&clock);
    }
    let mut fewest = u64::MAX;
    for time in 2..=TIMES + 1 {
        let before = ALLOCATIONS.with(Cell::get);
        while node.published() < time * messages {
            node.step(&clock);
        }
        fewest = fewest.min(ALLOCATIONS.with(Cell::get) - before);
    }
    while !load.is_finished() {
        node.step(&clock);
    }
    assert!(load.join().unwrap().verification.is_clean());
    fewest
}

/// How often the messages are counted.
const TIMES: u64 = 4;

/// What may be left: tables that double, a batch that is larger than any before, a segment's own.
const ALLOWED: u64 = 200;

#[test]
fn persistent_messages_cost_no_allocation() {
    let allocations = allocations_under("-p 4 -c 4 -d 4 --window 64", 50_000);
    assert!(allocations <= ALLOWED, "{allocations} allocations for 50,000 messages");
}

#[test]
fn messages_of_several_producers_in_one_queue_cost_no_allocation() {
    let allocations = allocations_under("-p 4 -c 1 -d 1 --window 64", 50_000);
    assert!(allocations <= ALLOWED, "{allocations} allocations for 50,000 messages");
}

/// What waits in the queue beside the 1,000 that the consumer has stays within the chunks that a list keeps for later, however long the
/// generator's thread is put aside.
#[test]
fn other_messages_cost_no_allocation() {
    let allocations = allocations_under("-p 1 -c 1 --non-persistent --backlog 1500", 50_000);
    assert!(allocations <= ALLOWED, "{allocations} allocations for 50,000 messages");
}

#[test]
fn topic_messages_cost_no_allocation() {
    let allocations = allocations_under("-p 1 -c 4 --topic --non-persistent --backlog 5000", 50_000);
    assert!(allocations <= ALLOWED, "{allocations} allocations for 50,000 messages");
}

#[test]
fn an_allocation_is_counted() {
    let before = ALLOCATIONS.with(Cell::get);
    drop(std::hint::black_box(Box::new(before)));
    assert_eq!(ALLOCATIONS.with(Cell::get), before + 1);
}
