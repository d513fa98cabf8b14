//! What a seed is like: sizes, speeds, faults and clients, all drawn from its number.

use postrider_broker::{Backlog, WhenFull, WindowSizes};
use postrider_dispatcher::shard::WayUp;
use postrider_journal::Medium;
use postrider_model::limits;

use crate::client::{BrowsingPlan, ClientPlan, CrowdPlan, FloodRole, WishingPlan};
use crate::disk::DiskPlan;
use crate::ledger::{Address, Sizes, dead_letters};
use crate::network::NetworkPlan;
use crate::random::Random;
use crate::schedule::{MICRO, MILLI, SECOND};
use crate::theme::Theme;

/// All that is decided before a seed begins.
#[derive(Clone, Debug)]
pub struct SeedPlan {
    /// What it is about.
    pub theme: Theme,
    /// Threads with connections.
    pub shards: usize,
    /// The broker has a thread of its own.
    pub own_broker: bool,
    /// The disk.
    pub disk: DiskPlan,
    /// The network.
    pub network: NetworkPlan,
    /// The journal; its keys are another's for each life.
    pub journal: postrider_journal::Config,
    /// The state machine.
    pub broker: postrider_broker::Config,
    /// Lives that end by a crash.
    pub lives: usize,
    /// Nanoseconds of a life, typically.
    pub life_nanos: u64,
    /// Bytes of old segments that rot between two lives.
    pub rot: u64,
    /// And in the middle of each.
    pub rot_while_running: u64,
    /// The disk budget is small: sends may be refused.
    pub scarce: bool,
    /// Few destinations have room with patterns that fit them: consumers and new destinations may be refused.
    pub few_pairs: bool,
    /// Lengths of bodies.
    pub sizes: Sizes,
    /// Percent of lives that end at once.
    pub short_lives: u64,
    /// Percent of those that end as soon as something is synced.
    pub sudden_ends: u64,
    /// Percent of lives that end as soon as a segment is full: what one turn wrote may go on in the next.
    pub ends_of_segments: u64,
    /// Percent of crashes that are power cuts.
    pub power_cuts: u64,
    /// Who listens to the last queue before all are drained.
    pub listener: Listener,
    /// Everybody.
    pub clients: Vec<ClientPlan>,
    /// How much of what clients say is on its way to the broker at a time.
    pub way_up: WayUp,
    /// Largest frame that the broker takes.
    pub frame_limit: usize,
    /// Destinations beside the usual ones, of which all queues are drained as well: strange names, and what is deleted and comes again.
    pub odd_addresses: Vec<Address>,
    /// Room of a shard for half frames.
    pub half_frame_bytes: usize,
    /// Nanoseconds that a step of a thread takes, typically.
    pub step_nanos: u64,
}

/// Who listens to a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Listener {
    /// Who likes.
    Everybody,
    /// Consumers with a prefetch of one.
    Slow,
    /// None.
    Nobody,
    /// One who sends there, too, and wants nothing of its own connection.
    Sender,
}

/// A message that the window let out, answers, and what frames add.
const BEYOND_THE_WINDOW: usize = 300 * 1024;

/// Largest frame that is taken unless little is.
pub const FRAME_LIMIT: usize = 104_857_600;

/// Segments of the budget that are for none of what lives (R6).
const RESERVED_SEGMENTS: u64 = 8;

/// Bytes of a block.
const BLOCK: u32 = 4096;

impl SeedPlan {
    /// The plan of a seed, with the theme that it draws unless one is given.
    pub fn new(theme: Option<Theme>, random: &mut Random) -> SeedPlan {
        let shards = 1 + random.index(3);
        let drawn = Theme::draw(random);
        let theme = theme.unwrap_or(drawn);
        let scarce = theme.is_scarce(random);
        let segment_bytes = 1024 * *random.pick(&[64u64, 64, 128, 256]);
        let budget = if scarce { segment_bytes * *random.pick(&[11, 13, 24]) } else { 512 << 20 };
        let disk = disk(random, scarce.then_some(budget + 12 * segment_bytes));
        let journal = journal(random, segment_bytes, budget);
        let think_nanos = *random.pick(&[200 * MICRO, MILLI, 3 * MILLI]);
        let broker = broker(random, scarce);
        let clients = (0..3 + random.index(5)).map(|_| client(random, think_nanos)).collect();
        let mut plan = SeedPlan {
            theme,
            shards,
            own_broker: random.percent(40),
            disk,
            network: network(random),
            journal,
            broker,
            // A small disk fills in a longer life.
            lives: if scarce { random.index(3) } else { 1 + random.index(7) },
            life_nanos: think_nanos * if scarce { 200 } else { 60 },
            rot: u64::from(random.one_in(20)),
            rot_while_running: 0,
            scarce,
            few_pairs: false,
            sizes: Sizes::Mixed,
            // What a life that ends at once leaves is a case of its own (R1).
            short_lives: 30,
            sudden_ends: 20,
            ends_of_segments: 0,
            power_cuts: 65,
            listener: Listener::Everybody,
            clients,
            way_up: WayUp::default(),
            frame_limit: FRAME_LIMIT,
            odd_addresses: Vec::new(),
            half_frame_bytes: limits::HALF_FRAME_BUDGET_BYTES,
            step_nanos: *random.pick(&[2 * MICRO, 20 * MICRO, 100 * MICRO]),
        };
        theme.shape(&mut plan, random);
        plan.draw_failures(random.clone());
        plan.draw_browsers(random.clone().fork());
        plan.draw_pairs(random.clone().fork().fork());
        plan.draw_crowds(random.clone().fork().fork().fork());
        plan.draw_seldom(random.clone().fork().fork().fork().fork());
        plan.draw_rare(random.clone().fork().fork().fork().fork().fork());
        plan.draw_backlog(random.clone().fork().fork().fork().fork().fork().fork());
        plan.draw_wishes(random.clone().fork().fork().fork().fork().fork().fork().fork().fork());
        plan.draw_flood(random.clone().fork().fork().fork().fork().fork().fork().fork());
        // The window counts records, and the frames of clients with long ids have these several times.
        if !plan.has_throng() {
            // So have those that tell of consumers, by which a small record becomes a whole ConsumerInfo.
            let longer = if plan.clients.iter().any(|client| client.listens) { 3 } else { 1 };
            plan.network.most_pending = longer * plan.broker.send_window.largest as usize + BEYOND_THE_WINDOW;
        }
        plan
    }
}

impl SeedPlan {
    /// The queue that few listen to, or none.
    pub fn unheard() -> Address {
        Address::queue("queue.c")
    }

    /// Connections of an open loop that send, with those that are gone and not heard to the end.
    pub fn senders(&self) -> u64 {
        let senders = |role: &FloodRole| match role {
            FloodRole::Acknowledges { .. } => 0,
            FloodRole::Says { .. } => 1,
            FloodRole::Floods { breaks, .. } => 1 + *breaks as u64,
        };
        self.clients.iter().filter_map(|client| client.flood.as_ref()).map(|flood| senders(&flood.role)).sum()
    }

    /// Whether a client has hundreds of producers that are remembered.
    pub fn has_throng(&self) -> bool {
        self.clients.iter().any(|client| client.throng.is_some())
    }

    /// Bytes of what producers are remembered by that live in the log of a small disk at most: an eighth of what may live (R17).
    pub fn mark_bytes(&self) -> u64 {
        self.live_limit() / 8
    }

    /// Bytes that may live in a small journal.
    pub fn live_limit(&self) -> u64 {
        let budget = self.journal.disk_budget.unwrap_or_default();
        budget.saturating_sub(RESERVED_SEGMENTS * self.journal.segment_bytes) / 2
    }

    /// In how many nanoseconds a healthy broker answers. Who says something large waits behind two who stop in the middle of what they say,
    /// each for at most two half minutes.
    pub fn patience(&self) -> u64 {
        if self.half_frame_bytes < limits::HALF_FRAME_BUDGET_BYTES { 140 * SECOND } else { 20 * SECOND }
    }

    /// Reads fail now and then, and on small disks preparations; little is on its way up: from draws that shift no others.
    fn draw_failures(&mut self, mut random: Random) {
        if random.one_in(4) {
            self.disk.failing_reads = *random.pick(&[2, 5, 20]);
        }
        if self.rot > 0 && self.theme != Theme::Rot {
            (self.rot, self.rot_while_running) = (random.within(0..4), random.within(0..4));
        }
        if !self.scarce && random.one_in(6) {
            self.listener = *random.pick(&[Listener::Nobody, Listener::Slow]);
            for client in &mut self.clients {
                client.unheard = Some((SeedPlan::unheard(), self.listener));
            }
        }
        if random.one_in(6) {
            for client in &mut self.clients {
                client.mortal = *random.pick(&[0, 10, 50]);
                client.skew_millis = *random.pick(&[0, 0, 0, 20, -20, 3_600_000, -3_600_000]);
            }
        }
        if self.scarce && random.one_in(3) {
            self.disk.failing_preparations = *random.pick(&[2, 5]);
        }
        if random.one_in(4) {
            self.way_up = WayUp { commands: *random.pick(&[1, 2, 8]), batches: *random.pick(&[1, 1, 4]) };
        }
    }
}

impl SeedPlan {
    /// Selectors in one seed of two, where frames need not end where a block does and what nobody wants does not fill the disk.
    fn draw_wishes(&mut self, mut random: Random) {
        if self.theme == Theme::ExactEnds || self.scarce || random.one_in(2) {
            return;
        }
        for client in &mut self.clients {
            client.wishing = Some(WishingPlan { seed: random.next(), percent: *random.pick(&[0, 30, 60, 100]) });
        }
        self.broker.trial_turn = *random.pick(&[1, 16, postrider_broker::Config::default().trial_turn]);
    }

    /// Browsers in one seed of five, where frames need not end where a block does.
    fn draw_browsers(&mut self, mut random: Random) {
        if self.theme == Theme::ExactEnds || !random.one_in(5) {
            return;
        }
        for client in &mut self.clients {
            let browsing = BrowsingPlan {
                seed: random.next(),
                most: *random.pick(&[1, 2, 4, 40]),
                opens: *random.pick(&[5, 20, 80]),
            };
            client.browsing = random.percent(60).then_some(browsing);
        }
    }
}

impl SeedPlan {
    /// In half of the seeds little may wait in a queue whose consumers wait for the broker.
    fn draw_backlog(&mut self, mut random: Random) {
        if random.percent(50) {
            let bytes = *random.pick(&[3_000, 100_000, u64::MAX]);
            self.broker.backlog = Backlog { messages: *random.pick(&[1, 4, 20]), bytes };
        }
    }
}

impl SeedPlan {
    /// A few consumers with patterns have room in one seed of six, where sends that nobody answers need not be followed.
    fn draw_pairs(&mut self, mut random: Random) {
        let plain = !self.scarce && !matches!(self.theme, Theme::ExactEnds | Theme::Absence);
        if !plain || !random.one_in(6) {
            return;
        }
        self.few_pairs = true;
        (self.broker.pair_bytes, self.broker.free_pair_bytes) = (*random.pick(&[600, 800, 1_600]), 0);
    }
}

impl SeedPlan {
    /// Sessions full of members in one seed of six, where frames need not end where a block does, and what nobody sends to finds room.
    fn draw_crowds(&mut self, mut random: Random) {
        let finds_room = !self.scarce && !self.few_pairs;
        if self.theme == Theme::ExactEnds || !finds_room || !random.one_in(6) {
            return;
        }
        for client in &mut self.clients {
            let crowd = CrowdPlan {
                seed: random.next(),
                members: *random.pick(&[100, 1_000, 3_000, 6_000]),
                comes: *random.pick(&[2, 10, 50]),
            };
            client.crowd = random.percent(60).then_some(crowd);
        }
    }
}

impl SeedPlan {
    /// What the mixture meets too seldom: reads that last while their segments go (R20), but never for as long as rest is, and a queue that one
    /// alone listens to who does not want what it sends there itself (R42).
    fn draw_seldom(&mut self, mut random: Random) {
        if !self.scarce && random.one_in(8) {
            self.disk.work_nanos = 2 * MILLI;
        }
        let plain = self.theme == Theme::Mixture && !self.scarce && self.listener == Listener::Everybody;
        if !plain || !random.one_in(3) {
            return;
        }
        for client in &mut self.clients {
            client.addresses.push(SeedPlan::unheard());
            client.unheard = Some((SeedPlan::unheard(), Listener::Nobody));
        }
        let client = &mut self.clients[0];
        // Who is restored wants everything.
        (client.failover, client.breaks) = (false, 0);
        client.addresses = vec![SeedPlan::unheard()];
        client.unheard = Some((SeedPlan::unheard(), Listener::Sender));
    }
}

fn disk(random: &mut Random, capacity: Option<u64>) -> DiskPlan {
    DiskPlan {
        medium: if random.percent(30) { Medium::Mapped } else { Medium::Direct },
        sync_nanos: *random.pick(&[20 * MICRO, 200 * MICRO, 2 * MILLI]),
        work_nanos: *random.pick(&[50 * MICRO, 500 * MICRO]),
        capacity: capacity.unwrap_or(1 << 30),
        failing_syncs: if random.one_in(12) { 200 } else { 0 },
        failing_reads: 0,
        failing_preparations: 0,
        loses_first: 20,
        lands_whole: 20,
    }
}

fn network(random: &mut Random) -> NetworkPlan {
    NetworkPlan {
        delay_nanos: *random.pick(&[5 * MICRO, 50 * MICRO, 500 * MICRO]),
        segment_bytes: *random.pick(&[400, 1_400, 60_000]),
        most_pending: usize::MAX,
        buffer_bytes: *random.pick(&[4_000, 16_000, 200_000]),
    }
}

fn journal(random: &mut Random, segment_bytes: u64, budget: u64) -> postrider_journal::Config {
    postrider_journal::Config {
        segment_bytes,
        block: BLOCK,
        hot_bytes: segment_bytes * random.within(1..6),
        cold_bytes: segment_bytes * random.within(1..4),
        read_ahead: BLOCK * random.within(1..9) as u32,
        disk_budget: Some(budget),
        spool_budget: Some(0),
        prepared: 1 + random.index(2),
        keys: random.next(),
        node: 1,
        give_up: Vec::new(),
    }
}

fn broker(random: &mut Random, scarce: bool) -> postrider_broker::Config {
    postrider_broker::Config {
        hash_seed: random.next(),
        reservation: *random.pick(&[512, 2_000, 1 << 24]),
        send_window: window(random),
        allowance_chunk: *random.pick(&[1, 8, 1_000]),
        allowance_doublings: *random.pick(&[0, 2, 5]),
        when_full: if scarce && random.percent(50) { WhenFull::Wait } else { WhenFull::Refuse },
        ..postrider_broker::Config::default()
    }
}

fn window(random: &mut Random) -> WindowSizes {
    let first = *random.pick(&[132 * 1024, 256 * 1024]);
    WindowSizes { first, largest: first * *random.pick(&[1, 2]), proof: first }
}

/// Where clients send and listen.
pub fn addresses() -> Vec<Address> {
    let queues = ["queue.a", "queue.b", "queue.c"].map(Address::queue);
    let topics = ["topic.x", "topic.y"].map(Address::topic);
    queues.into_iter().chain(topics).collect()
}

/// All queues that may hold something.
pub fn queues() -> Vec<Address> {
    addresses().into_iter().filter(|address| !address.is_topic()).chain([dead_letters()]).collect()
}

/// A client of the mixture.
pub fn client(random: &mut Random, think_nanos: u64) -> ClientPlan {
    let all = addresses();
    let mut chosen: Vec<Address> = all.iter().filter(|_| random.percent(50)).cloned().collect();
    if chosen.is_empty() {
        chosen.push(random.pick(&all).clone());
    }
    if random.one_in(6) {
        chosen.push(dead_letters());
    }
    ClientPlan {
        failover: random.percent(40),
        tight: random.percent(40),
        cache: *random.pick(&[0, 100, 1024]),
        inactivity_millis: *random.pick(&[0, 0, 3_000]),
        think_nanos,
        sends: *random.pick(&[20, 40, 70]),
        breaks: *random.pick(&[0, 2, 10]),
        addresses: chosen,
        consumers: 1 + random.index(4),
        producers: 4,
        persistent: *random.pick(&[50, 80, 100]),
        extras: random.percent(60),
        stalls: 300,
        stays_stalled: 10,
        mortal: 0,
        skew_millis: 0,
        answered: 80,
        absences: 25,
        hasty: 0,
        deep: false,
        gives_up: 150,
        hoards: 40,
        unheard: None,
        odd: *random.pick(&[0, 0, 10, 70]),
        browsing: None,
        wishing: None,
        crowd: None,
        moving: None,
        subscribing: None,
        half_closing: None,
        oversize: None,
        halting: None,
        returning: None,
        naming: None,
        deleting: None,
        throng: None,
        listens: false,
        flood: None,
        drain: false,
    }
}

/// A client that takes everything that is left.
pub fn drainer(random: &mut Random) -> ClientPlan {
    ClientPlan {
        failover: false,
        sends: 0,
        breaks: 0,
        addresses: queues(),
        extras: true,
        drain: true,
        think_nanos: 100 * MICRO,
        ..client(random, MILLI)
    }
}
