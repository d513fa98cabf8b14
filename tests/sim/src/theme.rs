//! What a seed is about: most mix everything, others make one kind of situation likely.

use postrider_broker::WindowSizes;
use postrider_journal::Medium;

use crate::ledger::{Address, Sizes};
use crate::plan::SeedPlan;
use crate::random::Random;
use crate::schedule::{MICRO, MILLI};

/// What a seed is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Theme {
    /// Everything, as it comes.
    Mixture,
    /// Short lives that end by the power, and frames that end where a block does: what one life left stands where the next one's
    /// group ends (R1).
    ExactEnds,
    /// Many messages on a small disk: its limits are met (R6, R24).
    SmallDisk,
    /// Large messages for clients that read in bursts (R23).
    Stalls,
    /// Failover clients stay away while the log turns over (R17).
    Absence,
    /// Clients hoard messages and give up all they have at once: the dead letters of a turn go over the end of a segment, and the
    /// power goes between its groups (R34).
    DeadLetters,
    /// Topics and temporary queues with a spool of a few segments, and subscribers that do not read for long (R21, R57).
    SmallSpool,
    /// Old segments rot, under the broker and between its lives, while their messages wait (R5, R9, R15, R62).
    Rot,
}

impl Theme {
    /// All of them.
    pub const ALL: [Theme; 8] = [
        Theme::Mixture,
        Theme::ExactEnds,
        Theme::SmallDisk,
        Theme::Stalls,
        Theme::Absence,
        Theme::DeadLetters,
        Theme::SmallSpool,
        Theme::Rot,
    ];

    /// The theme of a seed.
    pub fn draw(random: &mut Random) -> Theme {
        match random.below(100) {
            0..14 => Theme::ExactEnds,
            14..20 => Theme::SmallDisk,
            20..26 => Theme::Stalls,
            26..42 => Theme::Absence,
            42..54 => Theme::DeadLetters,
            54..62 => Theme::Rot,
            62..66 => Theme::SmallSpool,
            _ => Theme::Mixture,
        }
    }

    /// Whether the disk budget is small.
    pub fn is_scarce(self, random: &mut Random) -> bool {
        matches!(self, Theme::SmallDisk | Theme::SmallSpool) || (self == Theme::Mixture && random.one_in(12))
    }

    /// Makes its kind of situation likely.
    pub fn shape(self, plan: &mut SeedPlan, random: &mut Random) {
        match self {
            Theme::Mixture => {}
            Theme::ExactEnds => exact_ends(plan, random),
            Theme::SmallDisk => small_disk(plan),
            Theme::Stalls => stalls(plan, random),
            Theme::Absence => absence(plan),
            Theme::DeadLetters => dead_letters(plan),
            Theme::SmallSpool => small_spool(plan, random),
            Theme::Rot => rot(plan, random),
        }
    }
}

fn exact_ends(plan: &mut SeedPlan, random: &mut Random) {
    plan.sizes = Sizes::Blocks;
    plan.lives = 20 + random.index(16);
    plan.life_nanos = 30 * MILLI;
    plan.short_lives = 50;
    plan.sudden_ends = 100;
    plan.power_cuts = 100;
    // Each start writes a reservation, a block.
    plan.broker.reservation = 512;
    // A slow sync gathers several frames into its group.
    plan.disk.sync_nanos = 2 * MILLI;
    plan.disk.loses_first = 100;
    plan.disk.lands_whole = 80;
    plan.clients.truncate(4);
    for client in &mut plan.clients {
        client.failover = true;
        client.think_nanos = 200 * MICRO;
        client.persistent = 100;
        client.answered = 100;
        client.sends = 90;
        client.breaks = 0;
        client.producers = 1;
        // What else stands in a frame makes it longer.
        (client.extras, client.odd) = (false, 0);
        client.consumers = 1;
        client.addresses.truncate(1);
    }
}

fn small_disk(plan: &mut SeedPlan) {
    plan.sizes = Sizes::Medium;
    for client in &mut plan.clients {
        client.sends = 70;
        client.persistent = 100;
    }
}

fn small_spool(plan: &mut SeedPlan, random: &mut Random) {
    plan.sizes = Sizes::Large;
    plan.lives = random.index(2);
    plan.network.buffer_bytes = 4_000;
    for (index, client) in plan.clients.iter_mut().enumerate() {
        client.persistent = *random.pick(&[0, 50]);
        client.addresses = [Address::topic("topic.x"), Address::topic("topic.y"), Address::queue("queue.a")].to_vec();
        client.extras = true;
        client.breaks = 0;
        if index % 2 == 0 {
            (client.stalls, client.stays_stalled, client.sends) = (20, 200, 20);
        } else {
            client.sends = 80;
        }
    }
}

fn stalls(plan: &mut SeedPlan, random: &mut Random) {
    plan.sizes = Sizes::Large;
    let first = 132 * 1024;
    plan.broker.send_window = WindowSizes { first, largest: first * *random.pick(&[1, 2]), proof: first };
    plan.network.buffer_bytes = 16_000;
    plan.disk.medium = Medium::Direct;
    for client in &mut plan.clients {
        client.stalls = 40;
        client.deep = true;
    }
}

fn absence(plan: &mut SeedPlan) {
    plan.sizes = Sizes::Large;
    plan.journal.segment_bytes = 64 << 10;
    plan.lives = 4;
    plan.short_lives = 0;
    plan.life_nanos *= 3;
    for (index, client) in plan.clients.iter_mut().enumerate() {
        client.failover = true;
        client.persistent = 100;
        if index % 2 == 0 {
            // It stays away, and the others turn the log over.
            (client.absences, client.breaks, client.hasty) = (90, 5, 50);
        } else {
            (client.sends, client.breaks) = (80, 2);
        }
    }
}

fn dead_letters(plan: &mut SeedPlan) {
    plan.sizes = Sizes::Large;
    plan.journal.segment_bytes = 64 << 10;
    plan.lives = 8;
    plan.life_nanos = 40 * MILLI;
    plan.short_lives = 0;
    plan.ends_of_segments = 100;
    plan.clients.truncate(4);
    plan.power_cuts = 100;
    plan.disk.sync_nanos = 2 * MILLI;
    for client in &mut plan.clients {
        client.persistent = 100;
        client.deep = true;
        client.think_nanos = 500 * MICRO;
        client.gives_up = 12;
        client.hoards = 95;
    }
}

fn rot(plan: &mut SeedPlan, random: &mut Random) {
    plan.sizes = Sizes::Medium;
    plan.journal.segment_bytes = 64 << 10;
    // What waits lies on the disk.
    plan.journal.hot_bytes = 64 << 10;
    plan.lives = 2 + random.index(3);
    plan.life_nanos *= 3;
    plan.short_lives = 10;
    (plan.rot, plan.rot_while_running) = (random.within(0..6), random.within(3..16));
    plan.clients.truncate(3);
    for client in &mut plan.clients {
        client.persistent = 90;
        client.sends = 70;
        client.hoards = 70;
        client.breaks = 10;
        client.deep = random.percent(50);
    }
}
