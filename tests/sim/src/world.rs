//! One seed: its lives with their crashes, and at the end the reckoning.

mod amplification;
mod checks;
mod ends;

use amplification::Begin;
use checks::LONGEST_PAUSE;

use crate::client::{Announced, Client, Surroundings};
use crate::disk::{Crash, Disk};
use crate::ledger::{Address, Ledger};
use crate::network::Network;
use crate::plan::{SeedPlan, drainer};
use crate::process::Process;
use crate::random::Random;
use crate::schedule::{Happening, MICRO, MILLI, SECOND, Schedule};
use crate::shadow::Shadow;
use crate::theme::Theme;

/// Things that happen in one seed at most, besides arrivals and [`STEPS_OF_A_MESSAGE`]; more is a circle. What arrives was written by one of them, and is in as
/// many pieces as the network cuts it into: hundreds for a large message.
const MOST_STEPS: u64 = 2_000_000;

/// What each message that is sent may add: hundreds of thousands wait in some seeds, and are taken one by one.
const STEPS_OF_A_MESSAGE: u64 = 50;

/// A life takes at most so many times its typical time: busy clients make all those steps in less than a minute.
const LONGEST_LIFE: u64 = 20;

/// Tenths of a second that a small disk takes to be at rest before the system notices which lines are dead.
const DEAD_LINES_NOTICED: u32 = 300;

/// Messages that one client takes, or looks at, in a minute at the least, while its queue waits for no commits.
const TAKEN_IN_A_MINUTE: u64 = 20_000;

/// Steps of threads from one commit to the next.
const STEPS_OF_A_COMMIT: u64 = 4;

/// A commit takes at most so many times what is typical for it, on the whole: now and then one takes much longer.
const SLOW_COMMITS: u64 = 3;

/// Tenths of a second in a minute.
const MINUTE: u32 = 600;

/// What a seed was like, for people.
#[derive(Clone, Copy, Default, Debug)]
pub struct Summary {
    /// What clients did.
    pub counts: crate::ledger::Counts,
    /// Crashes.
    pub crashes: u64,
    /// Everything that happened, arrivals too.
    pub happenings: u64,
    /// What the disk did.
    pub disk: crate::disk::DiskStatistics,
}

struct World {
    plan: SeedPlan,
    announced: Announced,
    random: Random,
    schedule: Schedule,
    disk: Disk,
    network: Network,
    process: Option<Process>,
    /// Who has followed the last life.
    follower: Option<Shadow>,
    clients: Vec<Client>,
    /// Bytes in the log of messages whose clients are gone and follow them alone.
    left_bytes: u64,
    ledger: Ledger,
    temporaries: Vec<Address>,
    graves: Vec<Address>,
    numbers: u64,
    calm: bool,
    /// Something has rotted.
    damaged: bool,
    /// When what had failed did so no longer.
    healed_at: Option<u64>,
    trace: bool,
    crashes: u64,
    drains: u64,
    happenings: u64,
    /// Those that are no arrivals.
    steps: u64,
    /// When the present life began.
    begin: Begin,
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
    world.rest();
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
        let mut ledger = Ledger::new(plan.scarce, plan.sizes);
        ledger.loses_counts = plan.scarce || plan.rot > 0 || plan.rot_while_running > 0;
        if plan.has_throng() {
            (ledger.rotten.forgets_any, ledger.mark_bytes) = (true, plan.mark_bytes());
        }
        let mut world = World {
            random,
            schedule,
            disk,
            network,
            process: None,
            follower: None,
            clients,
            left_bytes: 0,
            ledger,
            plan,
            announced: Announced::default(),
            temporaries: Vec::new(),
            graves: Vec::new(),
            numbers: 0,
            calm: false,
            damaged: false,
            healed_at: None,
            trace,
            crashes: 0,
            drains: 0,
            happenings: 0,
            steps: 0,
            begin: Begin::default(),
            found: 0,
            may_be_found: 0,
        };
        if world.plan.senders() > 0 && world.plan.shards == 1 {
            world.network.fairness().follow(world.plan.senders());
        }
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
            self.steps += u64::from(!matches!(happening, Happening::Network(_)));
            let most = MOST_STEPS + STEPS_OF_A_MESSAGE * self.ledger.counts.sent;
            assert!(self.steps < most, "R26: the seed does not come to an end");
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
            Happening::Network(circuit) => self.network.arrive(circuit),
            Happening::Client(client, life) => self.with_client(client, |client, around| client.act(life, around)),
        }
    }

    fn tell_clients(&mut self) {
        while let Some(circuit) = self.network.client_news() {
            if let Some(client) = self.clients.iter().position(|client| client.has_circuit(circuit)) {
                self.with_client(client, Client::news);
            }
        }
    }

    fn with_client(&mut self, client: usize, does: impl FnOnce(&mut Client, &mut Surroundings<'_>)) {
        let mut around = Surroundings {
            ledger: &mut self.ledger,
            network: &self.network,
            schedule: &self.schedule,
            announced: &self.announced,
            temporaries: &mut self.temporaries,
            graves: &mut self.graves,
            numbers: &mut self.numbers,
            scarce: self.plan.scarce,
            patience: self.plan.patience(),
            few_pairs: self.plan.few_pairs,
            calm: self.calm,
            trace: self.trace,
        };
        does(&mut self.clients[client], &mut around);
    }

    /// Clients finish what they have begun, faults end.
    fn calm_down(&mut self) {
        self.say(|| "calm".into());
        self.network.fairness().stop();
        // A window that has rotted is read again after a pause, too.
        let held_up = self.disk.holds_up_reclaim() || self.plan.theme == Theme::Rot;
        self.healed_at = held_up.then(|| self.schedule.nanos());
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
        self.send_last();
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
        self.left_bytes += self.clients.iter().map(Client::token_bytes).sum::<u64>();
        self.clients.clear();
        self.check_tables();
    }

    fn add_drainer(&mut self) {
        let mut plan = drainer(&mut self.random);
        plan.addresses.extend(self.ledger.rotten.queues());
        plan.addresses.extend(self.plan.odd_addresses.iter().filter(|address| !address.is_topic()).cloned());
        let random = self.random.fork();
        self.drains += 1;
        let client = Client::new(self.clients.len(), plan, random, &self.schedule);
        self.clients.push(client.named(1_000 * self.drains));
    }

    /// Where the disk is small, nothing is left, and the drainer still listens, there is room again.
    fn send_last(&mut self) {
        let Some(drainer) = self.clients.len().checked_sub(1).filter(|_| self.plan.scarce) else { return };
        let mut sent = None;
        self.with_client(drainer, |client, around| sent = client.send_last(around));
        self.run_until_quiet("a last send");
        if let Some(id) = sent {
            // What lives besides has its room as well: names, and what producers are remembered by.
            let fits = self.ledger.body(id).len() as u64 <= self.plan.live_limit() / 2;
            assert!(!fits || self.ledger.is_certain(id), "R24: nothing is alive, and a message is not stored");
        }
    }

    /// One client takes all that is left.
    fn drain(&mut self) {
        self.say(|| "drain".into());
        self.ledger.draining = Some(Default::default());
        self.add_drainer();
        self.run_until_quiet("draining");
        self.ledger.check_drained();
        self.send_last();
        self.check_marks();
        self.ledger.draining = None;
        self.leave();
        self.check_amplification();
        self.check_log();
    }

    fn run_until_quiet(&mut self, what: &str) {
        let (mut quiet, mut stood) = (0, 0);
        for round in 0..MINUTE * (self.minutes_that_may_stand() + self.minutes_of_the_stored()) {
            let before = self.ledger.counts;
            if round == DEAD_LINES_NOTICED && (self.plan.scarce || !self.clients.iter().all(Client::has_moved)) {
                // What their clients had holds the room that others wait for, or is what they wait for.
                self.network.bury_the_dead();
            }
            self.run_for(100 * MILLI);
            let same = before == self.ledger.counts && self.network.bytes_under_way() == 0 && !self.pauses();
            quiet = if same && self.clients.iter().all(Client::is_idle) { quiet + 1 } else { 0 };
            if quiet == 4 {
                return;
            }
            stood = if before == self.ledger.counts { stood + 1 } else { 0 };
            if stood == MINUTE * self.minutes_that_may_stand() {
                break;
            }
        }
        let waiting: Vec<_> = self.clients.iter().filter(|client| !client.is_idle()).map(Client::waits_for).collect();
        let state = |process: &Process| {
            let (broker, journal) = (process.broker().broker(), process.broker().journal());
            (broker.statistics(), journal.live_log_bytes(), journal.disk_budget(), process.broker().spool().usage())
        };
        let spool = self.process.as_ref().map(state);
        panic!("R26: stuck, {what} do not come to an end in time: {waiting:#?}; {spool:?}");
    }

    /// What failed until the disk was healed is tried again after its pause: until then who waits for it stands still, and is not at rest.
    fn pauses(&self) -> bool {
        self.healed_at.is_some_and(|healed_at| self.schedule.nanos() < healed_at + LONGEST_PAUSE + SECOND)
    }

    /// In which everything comes to rest, or goes on at least. A half frame that was held has its half minute twice before its connection
    /// ends.
    fn minutes_that_may_stand(&self) -> u32 {
        1 + u32::from(self.plan.clients.iter().any(|client| client.halting.is_some()))
    }

    /// More of them for what is there when it begins: messages may be taken, or looked at, one after the other. And where allowances are
    /// small, a queue lets out no more between two commits.
    fn minutes_of_the_stored(&self) -> u32 {
        let stored = self.process.as_ref().map_or(0, |process| process.broker().broker().statistics().messages);
        let commit = SLOW_COMMITS * (self.plan.disk.sync_nanos + STEPS_OF_A_COMMIT * self.plan.step_nanos);
        let allowed = self.plan.broker.allowance_chunk as u64 * (60 * SECOND / commit);
        u32::try_from(stored / allowed.min(TAKEN_IN_A_MINUTE)).expect("few minutes")
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
