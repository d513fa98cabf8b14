//! One seed: its lives with their crashes, and at the end the reckoning.

use crate::client::{Client, Surroundings};
use crate::disk::{Crash, Disk, Target};
use crate::ledger::{Ledger, Place};
use crate::network::Network;
use crate::plan::{Listener, SeedPlan, drainer};
use crate::process::Process;
use crate::random::Random;
use crate::schedule::{Happening, MICRO, MILLI, SECOND, Schedule};
use crate::theme::Theme;

/// Things that happen in one seed at most; more is a circle.
const MOST_HAPPENINGS: u64 = 4_000_000;

/// A life takes at most so many times its typical time: busy clients make all those happenings in less than a minute.
const LONGEST_LIFE: u64 = 20;

/// Segments that the log may be longer than three times what is live.
const SPARE_SEGMENTS: u64 = 8;

/// Nanoseconds after which a read or a preparation that has failed is tried again, at the longest.
const LONGEST_PAUSE: u64 = 5 * SECOND;

/// Tenths of a second that a small disk takes to be at rest before the system notices which lines are dead.
const DEAD_LINES_NOTICED: u32 = 300;

/// Messages of one turn that may be marked because the power goes before their queue's allowance is drawn in.
const MARKS_OF_A_TURN: u64 = 32;

/// Queues that one send goes to at most.
const PLACES: u64 = 2;

/// Records that one rotten byte may take.
const RECORDS_OF_A_BYTE: usize = 16;

/// What a seed was like, for people.
#[derive(Clone, Copy, Default, Debug)]
pub struct Summary {
    /// What clients did.
    pub counts: crate::ledger::Counts,
    /// Crashes.
    pub crashes: u64,
    /// Steps of everything.
    pub happenings: u64,
    /// What the disk did.
    pub disk: crate::disk::DiskStatistics,
}

struct World {
    plan: SeedPlan,
    random: Random,
    schedule: Schedule,
    disk: Disk,
    network: Network,
    process: Option<Process>,
    clients: Vec<Client>,
    ledger: Ledger,
    temporaries: Vec<Place>,
    graves: Vec<Place>,
    numbers: u64,
    calm: bool,
    /// Something has rotted.
    damaged: bool,
    /// What had failed does so no longer.
    healed: bool,
    trace: bool,
    crashes: u64,
    drains: u64,
    happenings: u64,
    /// Messages that the present life found, and that the next one may find.
    found: u64,
    may_be_found: u64,
}

/// Runs a seed to its end. A failure is a panic.
pub fn run(seed: u64, theme: Option<Theme>, trace: bool) -> Summary {
    let mut world = World::new(seed, theme, trace);
    for _ in 0..world.plan.lives {
        world.live();
        world.die();
    }
    world.live();
    world.calm_down();
    world.leave();
    if world.random.percent(75) {
        if world.random.one_in(3) {
            world.die_with_a_rotten_end();
        } else {
            world.die();
        }
    }
    world.drain();
    if world.random.percent(50) {
        world.die();
        world.drain();
    }
    world.summary()
}

impl World {
    fn new(seed: u64, theme: Option<Theme>, trace: bool) -> World {
        let mut random = Random::new(seed);
        let plan = SeedPlan::new(theme, &mut random);
        if trace {
            println!("{:?}: {plan:#?}", plan.theme);
        }
        let schedule = Schedule::new(random.fork());
        let disk = Disk::new(plan.disk.clone(), random.fork(), schedule.clone());
        let network = Network::new(plan.network.clone(), random.fork(), schedule.clone());
        let clients = plan.clients.iter().enumerate();
        let clients = clients.map(|(index, plan)| Client::new(index, plan.clone(), random.fork(), &schedule)).collect();
        let mut world = World {
            random,
            schedule,
            disk,
            network,
            process: None,
            clients,
            ledger: Ledger::new(plan.scarce, plan.sizes),
            plan,
            temporaries: Vec::new(),
            graves: Vec::new(),
            numbers: 0,
            calm: false,
            damaged: false,
            healed: false,
            trace,
            crashes: 0,
            drains: 0,
            happenings: 0,
            found: 0,
            may_be_found: 0,
        };
        world.start();
        world
    }

    fn live(&mut self) {
        let short = self.random.percent(self.plan.short_lives);
        if short && self.random.percent(self.plan.sudden_ends) {
            let syncs = 1 + self.random.below(2);
            self.run_for_syncs(syncs);
        } else {
            let typical = if short { self.plan.life_nanos / 20 } else { self.plan.life_nanos };
            let nanos = (1 + self.random.delay(typical)).min(LONGEST_LIFE * typical);
            self.run_for(nanos / 2);
            self.rot(self.plan.rot_while_running);
            self.run_for(nanos - nanos / 2);
            if self.random.percent(self.plan.ends_of_segments) {
                self.run_until_filled();
            }
        }
        self.check_log();
    }

    /// Bytes of old segments rot; they are read back, or not, before the next start.
    fn rot(&mut self, times: u64) {
        if times == 0 {
            return;
        }
        let targets: Vec<Target> = (0..times).map(|_| *self.random.pick(&Target::ALL)).collect();
        let (bytes, taken) = self.disk.rot(&targets, &self.plan.journal);
        self.say(|| format!("{bytes} of {targets:?} rot and take {taken:?}"));
        assert!(taken.len() <= bytes * RECORDS_OF_A_BYTE, "R5: {bytes} bytes of damage take {} records", taken.len());
        self.damaged |= bytes > 0;
        taken.iter().for_each(|record| self.ledger.has_rotted(record));
    }

    /// The process ends, or the power goes, and after a while there is another one.
    fn die(&mut self) {
        let crash = if self.random.percent(self.plan.power_cuts) { Crash::Power } else { Crash::Kill };
        self.crash(crash);
        let pause = self.random.delay(10 * MILLI);
        self.run_for(pause);
        self.rot(self.plan.rot);
        if self.plan.rot > 0 && self.process.is_none() && self.random.one_in(4) {
            return self.start_without_a_segment();
        }
        self.look_at_losses(self.random.clone().fork());
        if !self.damaged && self.process.is_none() && self.random.one_in(8) {
            let mut random = self.random.fork();
            let refusal = self.disk.check_tampered(&self.plan.journal, &mut random);
            self.say(|| format!("somebody tampers: {refusal:?}"));
        }
        if self.process.is_none() {
            self.start();
        }
    }

    /// On a copy a segment is gone, after one crash in four where nothing has rotted: from draws that shift no others.
    fn look_at_losses(&self, mut random: Random) {
        if !self.damaged && self.process.is_none() && random.one_in(4) {
            let name = self.disk.check_given_up(&self.plan.journal, &mut random);
            self.say(|| format!("on a copy it is given up: {name:?}"));
        }
    }

    /// A segment is gone, and given up. Starts end early, and the first life, too; each one says that something is lost (R9, R15).
    fn start_without_a_segment(&mut self) {
        let Some((name, taken)) = self.disk.lose_segment(&self.plan.journal) else { return self.start() };
        self.say(|| format!("{name} is gone, and given up: {taken:?}"));
        self.damaged = true;
        taken.iter().for_each(|record| self.ledger.has_rotted(record));
        self.plan.journal.give_up = vec![name];
        for _ in 0..self.random.within(1..4) {
            self.start();
            let process = self.process.as_ref().expect("just started");
            let recovery = process.broker().journal().recovery();
            assert!(recovery.losses() > 0, "R15: a start after one that gave a segment up says nothing: {recovery:?}");
            let nanos = self.random.below(20) * MICRO;
            self.run_for(nanos);
            self.crash(Crash::Kill);
        }
        self.start();
        self.plan.journal.give_up.clear();
    }

    /// A log at rest says that all of it is durable: damage in its last group is damage, and no torn end (R2).
    fn die_with_a_rotten_end(&mut self) {
        self.run_for(SECOND);
        self.crash(Crash::Power);
        let (rotten, taken) = self.disk.rot_last_group(&self.plan.journal);
        self.say(|| format!("the last group rots: {taken:?}"));
        self.damaged |= rotten;
        taken.iter().for_each(|record| self.ledger.has_rotted(record));
        self.start();
        let Some(process) = self.process.as_ref().filter(|_| rotten) else { return };
        let recovery = process.broker().journal().recovery();
        assert!(
            recovery.damages > 0,
            "R2: rot in the last group of a log at rest is taken for a torn end: {recovery:?}"
        );
    }

    fn crash(&mut self, crash: Crash) {
        self.say(|| format!("{crash:?}"));
        self.crashes += 1;
        if let Some(process) = &self.process {
            let life = process.broker().broker().statistics();
            self.may_be_found = self.found + PLACES * life.published + life.dead_lettered;
        }
        // A mapping's bytes are the kernel's, so the disk looks at the process's memory before it goes.
        self.disk.crash(crash);
        self.schedule.forget_process();
        self.network.process_died();
        self.process = None;
        self.ledger.crashed();
        self.temporaries.clear();
    }

    /// Starts the process; the power may go while it starts.
    fn start(&mut self) {
        for attempt in 0.. {
            let dies = attempt < 3 && !self.calm && self.random.one_in(6);
            let calls = dies.then(|| self.random.below(20) as u32);
            self.disk.die_after(calls);
            let random = self.random.fork();
            match Process::start(&self.plan, &self.disk, &self.network, &self.schedule, random) {
                Ok(process) => {
                    self.disk.die_after(None);
                    self.process = Some(process);
                    self.check_start();
                    return;
                }
                Err(reason) => {
                    assert!(dies, "the broker does not start: {reason}");
                    let crash = if self.random.percent(20) { Crash::Kill } else { Crash::Power };
                    self.say(|| format!("{crash:?} during the start"));
                    self.disk.crash(crash);
                    self.schedule.forget_process();
                }
            }
        }
    }

    /// What was found is what was left, and all that is owed is there.
    fn check_start(&mut self) {
        let Some(process) = &self.process else { return };
        let (journal, stored) = (process.broker().journal(), process.broker().broker().statistics().messages);
        let recovery = journal.recovery();
        self.say(|| format!("the broker is up, {stored} messages; journal up to {}; {recovery:?}", journal.appended()));
        assert!(self.damaged || recovery.damages == 0, "R2: damage where nothing rots: {:?}", recovery.damage);
        let owed = self.ledger.owed();
        let most = self.may_be_found + self.ledger.rotten.revived_sequences().count() as u64;
        assert!(stored <= most, "R1: {stored} messages after a restart, the lives before can have left {most}");
        self.found = stored;
        assert!(stored >= owed, "lost: {owed} messages are owed after a restart, {stored} are there");
    }

    /// Until the disk has synced so often: little more is in the log than what a start writes.
    fn run_for_syncs(&mut self, syncs: u64) {
        let enough = self.disk.statistics().syncs + syncs;
        let until = self.schedule.nanos() + self.plan.life_nanos;
        while self.disk.statistics().syncs < enough && self.schedule.nanos() < until {
            self.run_for(50 * MICRO);
        }
    }

    /// Until a segment is full, and what follows is not written yet.
    fn run_until_filled(&mut self) {
        let filled = self.disk.statistics().filled;
        let until = self.schedule.nanos() + self.plan.life_nanos;
        while self.disk.statistics().filled == filled && self.schedule.nanos() < until {
            self.run_for(20 * MICRO);
        }
    }

    fn run_for(&mut self, nanos: u64) {
        let until = self.schedule.nanos() + nanos;
        while let Some(happening) = self.schedule.next(until) {
            self.happenings += 1;
            assert!(self.happenings < MOST_HAPPENINGS, "R26: the seed does not come to an end");
            self.happen(happening);
            self.tell_clients();
            if let Some(process) = &mut self.process {
                process.wake();
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Thread(thread) => {
                let outcome = self.process.as_mut().map_or(Ok(()), |process| process.step(thread));
                if let Err(reason) = outcome {
                    self.say(|| format!("the broker ends itself: {reason}"));
                    let crash = if self.random.percent(50) { Crash::Kill } else { Crash::Power };
                    self.crash(crash);
                    self.start();
                }
            }
            Happening::Deadline(thread, sleep) => {
                if let Some(process) = &mut self.process {
                    process.deadline(thread, sleep);
                }
            }
            Happening::Disk(operation) => self.disk.finish(operation),
            Happening::Spill(operation) => {
                if let Some(process) = &self.process {
                    process.spilled(operation);
                }
            }
            Happening::Network(link) => self.network.arrive(link),
            Happening::Client(client, life) => self.with_client(client, |client, around| client.act(life, around)),
        }
    }

    fn tell_clients(&mut self) {
        while let Some(link) = self.network.client_news() {
            if let Some(client) = self.clients.iter().position(|client| client.has_link(link)) {
                self.with_client(client, Client::news);
            }
        }
    }

    fn with_client(&mut self, client: usize, does: impl FnOnce(&mut Client, &mut Surroundings<'_>)) {
        let mut around = Surroundings {
            ledger: &mut self.ledger,
            network: &self.network,
            schedule: &self.schedule,
            temporaries: &mut self.temporaries,
            graves: &mut self.graves,
            numbers: &mut self.numbers,
            scarce: self.plan.scarce,
            few_pairs: self.plan.few_pairs,
            calm: self.calm,
            trace: self.trace,
        };
        does(&mut self.clients[client], &mut around);
    }

    /// Clients finish what they have begun, faults end.
    fn calm_down(&mut self) {
        self.say(|| "calm".into());
        self.healed = self.disk.holds_up_reclaim();
        self.disk.heal();
        self.calm = true;
        if self.plan.scarce {
            // Where nobody takes anything, senders wait for good.
            self.add_drainer();
        }
        self.run_until_quiet("work");
        if self.network.bury_the_dead() {
            // What they had comes back.
            self.run_until_quiet("work after deaths");
        }
        for client in &self.clients {
            client.check_at_rest(&self.ledger);
        }
        let shed = self.process.as_ref().map_or(0, |process| process.broker().broker().shed_deliveries());
        if shed == 0 {
            self.ledger.check_topics();
        }
        self.check_log();
    }

    fn leave(&mut self) {
        for client in 0..self.clients.len() {
            self.with_client(client, Client::leave);
        }
        self.run_until_quiet("goodbyes");
        self.network.bury_the_dead();
        self.run_for(SECOND);
        self.clients.clear();
        self.check_tables();
    }

    fn add_drainer(&mut self) {
        let mut plan = drainer(&mut self.random);
        plan.places.extend(self.ledger.rotten.queues());
        let random = self.random.fork();
        self.drains += 1;
        let client = Client::new(self.clients.len(), plan, random, &self.schedule);
        self.clients.push(client.named(1_000 * self.drains));
    }

    /// One client takes all that is left.
    fn drain(&mut self) {
        self.say(|| "drain".into());
        self.ledger.draining = Some(Default::default());
        self.add_drainer();
        self.run_until_quiet("draining");
        self.ledger.check_drained();
        self.check_marks();
        self.ledger.draining = None;
        self.leave();
        self.check_log();
    }

    /// What nobody has had is not marked as delivered but for a few messages at each crash (R15).
    fn check_marks(&self) {
        if self.damaged || self.drains > 1 {
            return;
        }
        let place = SeedPlan::unheard();
        let of_a_crash = 2 * self.plan.broker.allowance_chunk as u64 + MARKS_OF_A_TURN;
        let most = match self.plan.listener {
            Listener::Nobody => 0,
            // What was sent to a consumer that was gone counts, too.
            Listener::Slow => self.crashes * of_a_crash + self.ledger.listeners(&place),
            Listener::Everybody | Listener::Sender => return,
        };
        let marked = self.ledger.overmarked(&place);
        assert!(marked <= most, "R15: {marked} messages that nobody has had are marked as delivered, {most} may be");
    }

    fn run_until_quiet(&mut self, what: &str) {
        let mut quiet = 0;
        for round in 0..600 {
            let before = self.ledger.counts;
            if round == DEAD_LINES_NOTICED && self.plan.scarce {
                // What their clients had holds the room that others wait for.
                self.network.bury_the_dead();
            }
            self.run_for(100 * MILLI);
            let same = before == self.ledger.counts && self.network.bytes_under_way() == 0;
            quiet = if same && self.clients.iter().all(Client::is_idle) { quiet + 1 } else { 0 };
            if quiet == 4 {
                return;
            }
        }
        let waiting: Vec<_> = self.clients.iter().filter(|client| !client.is_idle()).map(Client::waits_for).collect();
        let state = |process: &Process| {
            let (broker, journal) = (process.broker().broker(), process.broker().journal());
            (broker.statistics(), journal.live_log_bytes(), journal.disk_budget(), process.broker().spool().usage())
        };
        let spool = self.process.as_ref().map(state);
        panic!("R26: stuck, {what} do not come to an end within a minute: {waiting:#?}; {spool:?}");
    }

    /// While reads and preparations fail, nothing that has to move can. What has failed is tried again after its pause; what has to be
    /// read before it moves comes with the disk's delay, record by record where windows are small.
    fn check_log(&mut self) {
        if self.disk.holds_up_reclaim() {
            return;
        }
        let patience = if self.healed { LONGEST_PAUSE + SECOND } else { 100 * MILLI };
        let until = self.schedule.nanos() + patience;
        while self.log_is_too_long().is_some() && self.schedule.nanos() < until {
            self.run_for(10 * MILLI);
        }
        if let Some(reason) = self.log_is_too_long() {
            panic!("R19: {reason}");
        }
    }

    /// More than three times what is live, and some segments.
    fn log_is_too_long(&self) -> Option<String> {
        let journal = self.process.as_ref()?.broker().journal();
        let (log, live) = (journal.live_log_bytes(), self.ledger.live_bytes());
        let spare = SPARE_SEGMENTS * journal.segment_bytes();
        let reason = || format!("{log} bytes of log for {live} live bytes and {spare} to spare");
        (log > 3 * live + spare).then(reason)
    }

    fn check_tables(&self) {
        let Some(process) = &self.process else { return };
        let left = (process.connections(), process.consumers());
        assert_eq!(left, (0, 0), "connections and consumers are left in the shards");
        let broker = process.broker().broker();
        assert_eq!(broker.pair_bytes(), 0, "destinations count for patterns that are gone");
        let statistics = broker.statistics();
        assert_eq!(
            (statistics.connections, statistics.consumers),
            (0, 0),
            "connections and consumers are left in the broker"
        );
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            println!("{:>14} {}", self.schedule.nanos(), what());
        }
    }

    fn summary(&self) -> Summary {
        Summary {
            counts: self.ledger.counts,
            crashes: self.crashes,
            happenings: self.happenings,
            disk: self.disk.statistics(),
        }
    }
}

impl Summary {
    /// Adds another seed's.
    pub fn add(&mut self, other: &Summary) {
        self.counts.add(&other.counts);
        self.crashes += other.crashes;
        self.happenings += other.happenings;
        self.disk.add(&other.disk);
    }
}
