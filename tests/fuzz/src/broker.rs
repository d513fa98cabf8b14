//! The broker in a directory, stepped by hand.

use std::cell::Cell;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use postrider_broker::Broker;
use postrider_dispatcher::net::{Net as _, Wait};
use postrider_dispatcher::port::port;
use postrider_dispatcher::shard::{Dealer, Inbox, Shard};
use postrider_dispatcher::turn::BrokerTurn;
use postrider_dispatcher::wake::Alarm;
use postrider_journal::storage::file::OpenOptions;
use postrider_journal::storage::spill::Spillers;
use postrider_journal::storage::worker::{Step, Workers};
use postrider_journal::{Config, FileSpill, FileStorage, Journal, Medium, Spool, SpoolConfig};
use postrider_model::{Clock, Now};
use postrider_wire::openwire::Offer;
use postrider_wire::session::{Profile, Protocol};

use crate::pipes::{PipeNet, Pipes};

/// Bytes of a segment: a few messages fill one.
const SEGMENT: u64 = 64 << 10;

/// Rounds in which a broker that nobody asks anything comes to rest.
const MOST_ROUNDS: usize = 20_000;

/// A clock that is set by hand.
#[derive(Clone, Default)]
pub struct FuzzClock(Rc<Cell<u64>>);

impl Clock for FuzzClock {
    fn now(&self) -> Now {
        let nanos = 1_000_000_000 + self.0.get();
        Now { nanos, unix_millis: 1_800_000_000_000 + (nanos / 1_000_000).cast_signed() }
    }
}

/// One life.
pub struct Life {
    /// Its clients.
    pub pipes: Pipes,
    shard: Shard<PipeNet>,
    turn: BrokerTurn<FileStorage, FileSpill>,
    workers: Workers,
    spillers: Spillers,
    clock: FuzzClock,
}

impl Life {
    /// Starts on what a directory holds. An error is a refusal, and says why.
    pub fn start(directory: &Path) -> Result<Life, String> {
        let clock = FuzzClock::default();
        let options = OpenOptions {
            directory: directory.to_owned(),
            medium: Medium::Direct,
            waker: Arc::new(|| ()),
            min_free: 0,
        };
        let (storage, workers) = FileStorage::open(options).map_err(|error| error.to_string())?;
        let (spill, spillers) = FileSpill::beside(&storage, Arc::new(|| ()));
        let (broker, journal) = recover(storage, &clock)?;
        let spool = Spool::new(
            spill,
            SpoolConfig {
                segment_bytes: SEGMENT,
                memory_bytes: 4 * SEGMENT,
                disk_bytes: 16 * SEGMENT,
                ..SpoolConfig::default()
            },
        );
        let alarm = Alarm::new();
        let (client_port, broker_port) = port(&alarm, &alarm);
        let turn = BrokerTurn::new(broker, journal, spool, vec![broker_port]);
        let pipes = Pipes::default();
        let mut net = pipes.driver();
        alarm.attach(net.waker());
        net.listen(SocketAddr::from(([127, 0, 0, 1], 61_616))).map_err(|error| error.to_string())?;
        let inbox = Inbox::new(alarm);
        let dealer = Dealer::new(vec![inbox.clone()], vec![Protocol::OpenWire]);
        let shard = Shard::new(net, client_port, Rc::new(profile()), inbox, Some(dealer));
        Ok(Life { pipes, shard, turn, workers, spillers, clock })
    }

    /// A turn of everything. Whether something was done.
    pub fn step(&mut self) -> bool {
        let now = self.clock.now();
        let mut busy = self.shard.poll(Wait::None, &self.clock, || ()).expect("pipes do not fail") > 0;
        let turned = self.turn.turn(now).expect("the directory is there");
        busy |= turned.busy || turned.more;
        busy |= self.shard.turn(now, || false);
        while self.workers.step() == Step::Work || self.spillers.step() == Step::Work {
            busy = true;
        }
        busy || self.turn.has_work() || self.shard.has_work()
    }

    /// Time passes.
    pub fn sleep(&mut self, millis: u64) {
        self.clock.0.set(self.clock.0.get() + millis * 1_000_000);
    }

    /// Goes on until nothing is left to do: an unending turn is a fault.
    pub fn rest(&mut self) {
        for _ in 0..MOST_ROUNDS {
            if !self.step() {
                self.sleep(11);
                if !self.step() && self.pipes.are_quiet() {
                    return;
                }
            }
        }
        panic!("the broker does not come to rest");
    }

    /// Connections, consumers and messages that the broker knows.
    pub fn sizes(&self) -> (u64, u64, u64) {
        let statistics = self.turn.broker().statistics();
        (statistics.connections, statistics.consumers, statistics.messages)
    }
}

fn recover(storage: FileStorage, clock: &FuzzClock) -> Result<(Broker, Journal<FileStorage>), String> {
    let config = Config {
        segment_bytes: SEGMENT,
        hot_bytes: SEGMENT,
        cold_bytes: 2 * SEGMENT,
        read_ahead: 8192,
        disk_budget: Some(64 * SEGMENT),
        keys: 11,
        ..Config::default()
    };
    let mut broker = Broker::new(postrider_broker::Config { hash_seed: 5, ..postrider_broker::Config::default() });
    let journal = Journal::recover(storage, config, &mut |record, home| broker.follow(record, home));
    let journal = journal.map_err(|error| error.to_string())?;
    broker.recovered(clock.now(), journal.recovery().losses(), journal.epoch().0);
    Ok((broker, journal))
}

fn profile() -> Profile {
    Profile {
        broker_id: "ID:fuzz:1".into(),
        broker_name: "localhost".into(),
        broker_url: "tcp://127.0.0.1:61616".into(),
        openwire: Offer { tight_encoding_enabled: true, ..Offer::of_broker(1 << 20) },
        hash_seed: 3,
    }
}
