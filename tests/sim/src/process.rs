//! The broker's process for one life: its threads, stepped one at a time, and only when something woke them.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use postrider_broker::{Broker, RecoverError};
use postrider_dispatcher::net::{Net, Wait};
use postrider_dispatcher::port::port;
use postrider_dispatcher::round::Round;
use postrider_dispatcher::shard::{Dealer, Inbox, Shard};
use postrider_dispatcher::turn::BrokerTurn;
use postrider_dispatcher::wake::Alarm;
use postrider_journal::{Journal, Position, Record, Refusal, Spool, SpoolUse};
use postrider_model::Clock;
use postrider_wire::openwire::Offer;
use postrider_wire::session::{Profile, Protocol};

use crate::disk::{Disk, SimStorage};
use crate::network::{Network, SimNet};
use crate::plan::SeedPlan;
use crate::random::Random;
use crate::schedule::{Happening, Schedule};
use crate::shadow::Shadow;
use crate::spill::{Files, SimSpill, SpoolPlan};

/// Bytes that may come into the spool beyond its memory: sixteen segments until senders to topics wait, and in one turn a batch of each
/// port and a slice of what is parked, 256 KiB each, in segments that are filled up where a message has one of its own.
const MOST_UNDER_WAY: u64 = 3 << 19;

/// Segments of the disk budget without which a start has no room to work, and those that it may take beyond it then.
const ROOM_TO_WORK: u64 = 8;
const OVERDRAFT: u64 = 4;

/// One life of the broker.
pub struct Process {
    shards: Vec<Shard<SimNet>>,
    broker: BrokerTurn<SimStorage, SimSpill>,
    shadow: Shadow,
    files: Files,
    threads: Vec<Thread>,
    own_broker: bool,
    schedule: Schedule,
    network: Network,
    random: Random,
    step_nanos: u64,
    /// Where the log ended when the life began.
    pub begin: Position,
    appended: Position,
    durable: Position,
    /// What the journal's files may take.
    disk_limit: u64,
}

/// Where a thread is in its loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// It begins a turn.
    Turn,
    /// It looks at its sockets, and does not wait for them.
    Look,
    /// It sleeps; the number tells its sleeps apart.
    Asleep(u64),
    /// It was woken and will go on.
    Waking,
}

struct Thread {
    alarm: Arc<Alarm>,
    /// Set by the waker of a thread without sockets.
    unparked: Arc<AtomicBool>,
    next: Next,
    sleeps: u64,
}

/// Why a life could not begin or go on.
pub type Reason = String;

impl Process {
    /// Who has followed it, and lives on.
    pub fn into_follower(self) -> Shadow {
        self.shadow
    }

    /// Starts the process on what the disk holds. Who has followed an earlier life, and all of it, follows this one.
    pub fn start(
        plan: &SeedPlan,
        disk: &Disk,
        network: &Network,
        schedule: &Schedule,
        mut random: Random,
        follower: Option<Shadow>,
    ) -> Result<Process, Reason> {
        let own_broker = plan.own_broker;
        let alarms: Vec<Arc<Alarm>> = (0..plan.shards + usize::from(own_broker)).map(|_| Alarm::new()).collect();
        let broker_alarm = &alarms[if own_broker { plan.shards } else { 0 }];
        let storage = disk.open(broker_alarm.clone());
        let (broker, shadow, journal) = recover(plan, storage, schedule, &mut random, follower)?;
        let spool_plan = SpoolPlan::draw(&mut random, plan.scarce);
        let spool_config = spool_plan.config.clone();
        let files = Files::new(spool_plan, random.fork(), schedule, broker_alarm.clone());
        let spool = Spool::new(files.open(), spool_config);
        let (client_ports, broker_ports) = alarms[..plan.shards].iter().map(|alarm| port(alarm, broker_alarm)).unzip();
        let (appended, durable) = (journal.appended(), journal.durable());
        let disk_limit = disk_limit(&journal);
        let broker = BrokerTurn::new(broker, journal, spool, broker_ports);
        let client_ports: Vec<_> = client_ports;
        let profile = Rc::new(profile(&mut random, plan.frame_limit));
        let inboxes: Vec<_> = alarms[..plan.shards].iter().map(|alarm| Inbox::new(alarm.clone())).collect();
        let mut dealer = Some(Dealer::new(inboxes.clone(), vec![Protocol::OpenWire]));
        let mut shards = Vec::new();
        let nets = network.drivers(plan.shards);
        for (((mut net, port), inbox), alarm) in nets.into_iter().zip(client_ports).zip(inboxes).zip(&alarms) {
            alarm.attach(net.waker());
            let dealer = dealer.take();
            if dealer.is_some() {
                net.listen(SocketAddr::from(([127, 0, 0, 1], 61_616))).expect("the simulated network listens");
            }
            let mut shard = Shard::new(net, port, profile.clone(), inbox, dealer);
            shard.set_way_up(plan.way_up);
            shard.set_half_frame_bytes(plan.half_frame_bytes);
            shards.push(shard);
        }
        let threads: Vec<Thread> = alarms.into_iter().map(Thread::new).collect();
        if own_broker {
            threads[plan.shards].attach_waker();
        }
        let step_nanos = plan.step_nanos;
        let mut process = Process {
            shards,
            broker,
            shadow,
            files,
            threads,
            own_broker,
            schedule: schedule.clone(),
            network: network.clone(),
            random,
            step_nanos,
            begin: appended,
            appended,
            durable,
            disk_limit,
        };
        (0..process.threads.len()).for_each(|thread| process.go_on(thread, Next::Turn));
        Ok(process)
    }

    /// Lets a thread do its next step. An error ends the process.
    pub fn step(&mut self, thread: usize) -> Result<(), Reason> {
        match self.threads[thread].next {
            Next::Turn => self.turn(thread),
            Next::Look | Next::Waking => {
                if thread < self.shards.len() {
                    self.network.fairness().looks(&self.broker.broker().statistics());
                    self.shards[thread].poll(Wait::None, &self.schedule, || ()).map_err(|error| error.to_string())?;
                }
                if self.threads[thread].next == Next::Waking {
                    self.threads[thread].alarm.awake();
                }
                self.go_on(thread, Next::Turn);
                Ok(())
            }
            Next::Asleep(_) => Ok(()),
        }
    }

    /// The deadline of a sleep has come.
    pub fn deadline(&mut self, thread: usize, sleep: u64) {
        if self.threads[thread].next == Next::Asleep(sleep) {
            self.go_on(thread, Next::Waking);
        }
    }

    /// Wakes the threads that something has happened for.
    pub fn wake(&mut self) {
        for thread in 0..self.threads.len() {
            if let Next::Asleep(_) = self.threads[thread].next
                && self.is_woken(thread)
            {
                self.go_on(thread, Next::Waking);
            }
        }
    }

    /// A file of the spool was written or read.
    pub fn spilled(&self, operation: u64) {
        self.files.finish(operation);
    }

    /// The broker and its logs, for reading.
    pub fn broker(&self) -> &BrokerTurn<SimStorage, SimSpill> {
        &self.broker
    }

    /// Connections that the shards have.
    pub fn connections(&self) -> u64 {
        self.shards.iter().map(|shard| shard.statistics().open).sum()
    }

    /// Consumers that the shards have not forgotten.
    pub fn consumers(&self) -> u64 {
        self.shards.iter().map(|shard| shard.statistics().consumers).sum()
    }

    fn is_woken(&mut self, thread: usize) -> bool {
        let unparked = self.threads[thread].unparked.swap(false, Ordering::Relaxed);
        unparked || (thread < self.shards.len() && self.network.has_news(thread))
    }

    fn turn(&mut self, thread: usize) -> Result<(), Reason> {
        let now = self.schedule.now();
        let has_broker = thread == if self.own_broker { self.shards.len() } else { 0 };
        let broker = has_broker.then_some(&mut self.broker);
        let mut round = Round::begin(broker, now).map_err(|error| error.to_string())?;
        if has_broker {
            self.shadow.turned(self.broker.broker(), self.broker.journal());
            self.check_marks();
            self.network.fairness().turned(&self.broker.broker().statistics());
        }
        let Process { shards, broker, threads, .. } = self;
        let broker = has_broker.then_some(&*broker);
        if let Some(shard) = shards.get_mut(thread) {
            round.serve(shard, broker, now);
        }
        if !round.is_over() {
            self.go_on(thread, Next::Turn);
            return Ok(());
        }
        let has_work = || shards.get(thread).is_some_and(Shard::has_work) || broker.is_some_and(BrokerTurn::has_work);
        if round.may_sleep(&threads[thread].alarm, has_work) {
            self.sleep(thread, round.deadline);
        } else {
            self.go_on(thread, if thread < self.shards.len() { Next::Look } else { Next::Turn });
        }
        Ok(())
    }

    fn sleep(&mut self, thread: usize, deadline: Option<u64>) {
        let sleeper = &mut self.threads[thread];
        sleeper.sleeps += 1;
        sleeper.next = Next::Asleep(sleeper.sleeps);
        if let Some(deadline) = deadline.filter(|deadline| *deadline < u64::MAX) {
            self.schedule.at(deadline, Happening::Deadline(thread, sleeper.sleeps));
        }
        if self.is_woken(thread) {
            self.go_on(thread, Next::Waking);
        }
    }

    fn go_on(&mut self, thread: usize, next: Next) {
        self.threads[thread].next = next;
        let delay = 1 + self.random.delay(self.step_nanos);
        self.schedule.after(delay, Happening::Thread(thread));
    }

    /// What was appended stays appended, what is durable stays durable, and comes behind.
    fn check_marks(&mut self) {
        let journal = self.broker.journal();
        let (appended, durable, committed) = (journal.appended(), journal.durable(), journal.committed());
        assert!(appended >= self.appended && durable >= self.durable, "a watermark fell");
        assert!(appended >= durable && durable >= committed, "watermarks out of order");
        (self.appended, self.durable) = (appended, durable);
        let (bytes, limit) = (journal.disk_bytes(), self.disk_limit);
        assert!(bytes <= limit, "R6: the journal takes {bytes} bytes, and may take {limit}");
        let SpoolUse { memory_bytes, memory_limit, disk_bytes, disk_limit, .. } = self.broker.spool().usage();
        assert!(disk_bytes <= disk_limit, "R21: {disk_bytes} of {disk_limit} bytes of the spool are on the disk");
        let most = memory_limit + MOST_UNDER_WAY;
        assert!(
            memory_bytes <= most,
            "R21: {memory_bytes} bytes of the spool are in memory, with {memory_limit} allowed"
        );
    }
}

/// The disk budget; of a start that finds no room to work in it, a few segments more for what makes the log shorter.
fn disk_limit(journal: &Journal<SimStorage>) -> u64 {
    let (found, budget, segment) = (journal.disk_bytes(), journal.disk_budget(), journal.segment_bytes());
    let is_short = found + ROOM_TO_WORK * segment > budget;
    if is_short { budget.max(found) + OVERDRAFT * segment } else { budget }
}

impl Thread {
    fn new(alarm: Arc<Alarm>) -> Thread {
        Thread { alarm, unparked: Arc::new(AtomicBool::new(false)), next: Next::Turn, sleeps: 0 }
    }

    fn attach_waker(&self) {
        let unparked = self.unparked.clone();
        self.alarm.attach(Arc::new(move || unparked.store(true, Ordering::Relaxed)));
    }
}

fn recover(
    plan: &SeedPlan,
    storage: SimStorage,
    schedule: &Schedule,
    random: &mut Random,
    follower: Option<Shadow>,
) -> Result<(Broker, Shadow, Journal<SimStorage>), Reason> {
    let config = postrider_journal::Config { keys: random.next(), ..plan.journal.clone() };
    let mut broker = Broker::new(plan.broker.clone());
    let mut shadow = follower.unwrap_or_else(|| Shadow::new(&plan.broker));
    let mut follow = |record: &Record<'_>, home| {
        broker.follow(record, home)?;
        shadow.found(record, home);
        Ok::<_, RecoverError>(())
    };
    let journal = match Journal::recover(storage, config, &mut follow) {
        Err(Refusal::Record(error)) => panic!("a record cannot be read: {error}"),
        journal => journal.map_err(|error| error.to_string())?,
    };
    let begin = |broker: &mut Broker| {
        let recovery = journal.recovery();
        broker.note_damages(&recovery.damage, recovery.has_unlisted());
        broker.recovered(schedule.now(), recovery.losses(), journal.epoch().0);
    };
    begin(&mut broker);
    shadow.begin(&broker, journal.appended(), begin);
    Ok((broker, shadow, journal))
}

fn profile(random: &mut Random, frame_limit: usize) -> Profile {
    Profile {
        broker_id: "ID:sim-broker:1".into(),
        broker_name: "localhost".into(),
        broker_url: "tcp://127.0.0.1:61616".into(),
        openwire: Offer { tight_encoding_enabled: random.percent(50), ..Offer::of_broker(frame_limit as i64) },
        hash_seed: random.next(),
    }
}
