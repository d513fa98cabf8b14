//! The loops of the pinned threads. What they step is deterministic; waiting, clocks and the end of the process are here.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use postrider_broker::Statistics;
use postrider_dispatcher::net::{Net, Wait};
use postrider_dispatcher::round::Round;
use postrider_dispatcher::shard::Shard;
use postrider_dispatcher::turn::{BrokerTurn, Expected};
use postrider_dispatcher::wake::Alarm;
use postrider_journal::FileStorage;
use postrider_journal::storage::spill::FileSpill;
use postrider_model::{Clock, Now};

use crate::allocator::GiveBack;
use crate::clock::SystemClock;
use crate::counters::ThreadCounters;
use crate::exit::{Exit, Fatal};
use crate::laps::Laps;
use crate::shutdown::Shutdown;

/// What every thread has.
#[derive(Clone)]
pub(crate) struct Thread {
    /// Its place among all; shards come first.
    pub index: usize,
    /// Its flag and waker.
    pub alarm: Arc<Alarm>,
    /// Its clock.
    pub clock: SystemClock,
    /// How it ends.
    pub shutdown: Arc<Shutdown>,
    /// Where it publishes what it has done.
    pub counters: Arc<ThreadCounters>,
}

/// The broker's turn over files.
pub(crate) type Turn = BrokerTurn<FileStorage, FileSpill>;

/// Runs a shard, with the broker's turn on the same thread if there is one, until the process is to end.
pub(crate) fn run_shard<N: Net<Socket = TcpStream>>(
    mut shard: Shard<N>,
    mut broker: Option<Turn>,
    thread: &Thread,
) -> Result<(), Fatal> {
    let mut end = ShardEnd::default();
    let mut publish = Publishing::default();
    let mut give_back = GiveBack::new();
    let laps = Laps::new(thread.clock);
    make_timers_exact();
    loop {
        let now = laps.now();
        give_back.run(now.nanos, || {
            shard.trim();
            broker.iter_mut().for_each(Turn::trim);
        });
        laps.over(GIVING_BACK, String::new);
        let mut round = begin(broker.as_mut(), now, &laps)?;
        round.serve(&mut shard, broker.as_ref(), now);
        laps.over("a shard's turn", || format!("{:?}", shard.statistics()));
        if thread.shutdown.is_requested() && end.step(&mut shard, broker.as_mut(), thread) {
            thread.counters.publish_shard(&shard);
            broker.iter().for_each(|broker| thread.counters.publish_broker(broker));
            return Ok(());
        }
        publish.run(now, || {
            thread.counters.publish_shard(&shard);
            broker.iter().for_each(|broker| thread.counters.publish_broker(broker));
        });
        if !round.is_over() {
            continue;
        }
        let has_work = || shard.has_work() || broker.as_ref().is_some_and(Turn::has_work);
        let asleep = round.may_sleep(&thread.alarm, has_work);
        let wait = if asleep { wait_for(&round, give_back.deadline(), now, thread) } else { Wait::None };
        let awake = || {
            if asleep {
                thread.alarm.awake();
            }
        };
        laps.waits();
        shard.poll(wait, &laps, awake).map_err(Fatal::with(Exit::Failure))?;
        laps.over("what came from the network", || format!("{:?}", shard.net_statistics()));
    }
}

/// Runs the broker's turn on a thread of its own until the process is to end.
pub(crate) fn run_broker(mut broker: Turn, thread: &Thread) -> Result<(), Fatal> {
    make_timers_exact();
    let mut publish = Publishing::default();
    let mut give_back = GiveBack::new();
    let laps = Laps::new(thread.clock);
    loop {
        let now = laps.now();
        give_back.run(now.nanos, || broker.trim());
        laps.over(GIVING_BACK, String::new);
        let round = begin(Some(&mut broker), now, &laps)?;
        publish.run(now, || thread.counters.publish_broker(&broker));
        if thread.shutdown.all_shards_are_quiet() && is_finished(&mut broker) {
            broker.end();
            thread.counters.publish_broker(&broker);
            thread.shutdown.broker_is_done();
            return Ok(());
        }
        if !round.may_sleep(&thread.alarm, || broker.has_work()) {
            continue;
        }
        match wait_for(&round, give_back.deadline(), now, thread).limit() {
            Some(limit) => std::thread::park_timeout(limit),
            None => std::thread::park(),
        }
        thread.alarm.awake();
    }
}

/// Counters are published so often, not at every turn.
const PUBLISH_EVERY_NANOS: u64 = PUBLISH_EVERY.as_nanos() as u64;

/// The same, for who wants to read them.
pub(crate) const PUBLISH_EVERY: Duration = Duration::from_millis(100);

/// When the counters are published next.
#[derive(Default)]
struct Publishing {
    next: u64,
}

impl Publishing {
    fn run(&mut self, now: Now, publish: impl FnOnce()) {
        if now.nanos >= self.next {
            self.next = now.nanos + PUBLISH_EVERY_NANOS;
            publish();
        }
    }
}

/// How far a shard's end has come.
#[derive(Default)]
struct ShardEnd {
    receiving_stopped: bool,
    quiet: bool,
}

impl ShardEnd {
    /// One step towards the end. True: nothing is left to do.
    fn step<N: Net<Socket = TcpStream>>(
        &mut self,
        shard: &mut Shard<N>,
        broker: Option<&mut Turn>,
        thread: &Thread,
    ) -> bool {
        if !std::mem::replace(&mut self.receiving_stopped, true) {
            shard.stop_receiving();
        }
        if !self.quiet && shard.has_handed_over() {
            self.quiet = true;
            thread.shutdown.shard_is_quiet(thread.index);
        }
        if let Some(broker) = broker
            && !thread.shutdown.is_broker_done()
            && thread.shutdown.all_shards_are_quiet()
            && is_finished(broker)
        {
            broker.end();
            thread.shutdown.broker_is_done();
        }
        thread.shutdown.is_broker_done() && shard.is_drained()
    }
}

/// Whether all that came is done, synced and answered; what is unsynced is handed to the disk.
fn is_finished(broker: &mut Turn) -> bool {
    broker.hurry();
    !broker.has_work() && broker.is_drained()
}

/// What the allocator does between turns, as it is said in the log.
const GIVING_BACK: &str = "giving free memory back";

/// A round begins, with what the broker had to do, if its turn took long and somebody wants to know.
fn begin(mut broker: Option<&mut Turn>, now: Now, laps: &Laps) -> Result<Round, Fatal> {
    let before = broker.as_deref().filter(|_| laps.wanted()).map(Done::by);
    let round = Round::begin(broker.as_deref_mut(), now).map_err(Fatal::with(Exit::Disk))?;
    if let Some(broker) = broker {
        laps.over("the broker's turn", || before.map_or_else(String::new, |before| Done::by(broker).since(&before)));
    }
    Ok(round)
}

/// What the broker has done.
struct Done {
    commands: u64,
    broker: Statistics,
}

impl Done {
    fn by(turn: &Turn) -> Done {
        Done { commands: turn.statistics().commands, broker: turn.broker().statistics() }
    }

    fn since(&self, before: &Done) -> String {
        let (now, then) = (&self.broker, &before.broker);
        format!(
            "{} commands, {} messages published, {} dispatched, {} acknowledged, {} moved, {} shed; from {} to {} consumers, from {} to {} \
             destinations",
            self.commands - before.commands,
            now.published - then.published,
            now.dispatched - then.dispatched,
            now.acknowledged - then.acknowledged,
            now.moved - then.moved,
            now.shed - then.shed,
            then.consumers,
            now.consumers,
            then.destinations,
            now.destinations,
        )
    }
}

/// While the process is ending nobody waits for long: some of what an end waits for wakes nobody.
const ENDING_WAIT: Duration = Duration::from_millis(2);

fn wait_for(round: &Round, giving_back: Option<u64>, now: Now, thread: &Thread) -> Wait {
    let until = |time: u64| Duration::from_nanos(time.saturating_sub(now.nanos));
    let limit = round.deadline.into_iter().chain(giving_back).min().map(until);
    let wait = match round.expected {
        Some(Expected { count, until: time }) => Wait::Several { count, within: until(time), limit },
        None => limit.map_or(Wait::Forever, Wait::For),
    };
    if thread.shutdown.is_requested() { wait.at_most(ENDING_WAIT) } else { wait }
}

/// The kernel may let a thread sleep 50 us longer than asked, which is a good part of what a group waits (decision 0007). Where it
/// refuses, groups wait longer.
fn make_timers_exact() {
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

/// Binds the calling thread to a core; without the right to, it goes on unbound.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    rustix::thread::sched_setaffinity(None, &cores)?;
    Ok(())
}

/// The cores that the process may use.
pub(crate) fn usable_cores() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(cores) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).collect(),
        Err(_) => vec![0],
    }
}
