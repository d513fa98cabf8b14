//! The open loop of a part of the seeds: bursts of small messages that nobody waits for, consumers that only acknowledge, and some who say
//! little.

use crate::client::{ClientPlan, FloodPlan, FloodRole};
use crate::ledger::{Address, Sizes};
use crate::plan::{Listener, SeedPlan, client};
use crate::random::Random;
use crate::schedule::{MICRO, MILLI};
use crate::theme::Theme;
use postrider_broker::Backlog;
use postrider_dispatcher::shard::WayUp;
use postrider_model::limits;

/// Messages of all that flood.
const MESSAGES: usize = 6_000;

impl SeedPlan {
    /// In one mixed seed of two where the disk is not small and nothing rots, instead of all other clients: what is checked there counts
    /// what these send and acknowledge (R24). From a draw that shifts no others.
    pub fn draw_flood(&mut self, mut random: Random) {
        let plain = self.theme == Theme::Mixture && !self.scarce && !self.few_pairs && self.rot == 0;
        if !plain || !random.one_in(2) {
            return;
        }
        (self.listener, self.half_frame_bytes) = (Listener::Everybody, limits::HALF_FRAME_BUDGET_BYTES);
        self.shards = *random.pick(&[1, 1, 1, 2]);
        (self.sizes, self.way_up) = (Sizes::Small, WayUp::default());
        self.network.segment_bytes = *random.pick(&[1_400, 60_000, 60_000]);
        self.network.delay_nanos = self.network.delay_nanos.min(50 * MICRO);
        // The queue of those who say little never holds so much.
        self.broker.backlog = Backlog { messages: *random.pick(&[100, 1_000, 10_000]), bytes: u64::MAX };
        self.broker.allowance_chunk = self.broker.allowance_chunk.max(100);
        (self.lives, self.short_lives, self.life_nanos) = (random.index(3), 0, 40 * MILLI);
        let (floods, quiet) = ([Address::queue("queue.a"), Address::queue("queue.b")], Address::queue("queue.c"));
        let persistent = *random.pick(&[0, 0, 50, 100]);
        self.clients.clear();
        let mut chance_of_breaks = random.clone().fork();
        let (flooding, burst) = (random.within(2..5) as usize, *random.pick(&[300, 1_000, 2_000]));
        for index in 0..flooding {
            let (to, percent) = (floods[index % floods.len()].clone(), *random.pick(&[5, 20, 100]));
            let breaks = chance_of_breaks.index(3);
            let role = FloodRole::Floods { to, burst, percent, messages: MESSAGES / flooding, breaks };
            self.clients.push(of_flood(role, &[], persistent, &mut random));
        }
        for _ in 0..random.within(1..4) {
            let prefetches = (0..random.within(1..4)).map(|_| *random.pick(&[1, 10, 100, 1_000])).collect();
            let role = FloodRole::Acknowledges { prefetches, pace: *random.pick(&[1, 5, 50]) };
            self.clients.push(of_flood(role, &floods, persistent, &mut random));
        }
        for _ in 0..random.within(1..4) {
            let role = FloodRole::Says { to: quiet.clone(), percent: *random.pick(&[10, 50, 100]) };
            self.clients.push(of_flood(role, &[], persistent, &mut random));
        }
        let role = FloodRole::Acknowledges { prefetches: vec![100], pace: 10 };
        self.clients.push(of_flood(role, &[quiet], persistent, &mut random));
    }
}

fn of_flood(role: FloodRole, addresses: &[Address], persistent: u64, random: &mut Random) -> ClientPlan {
    ClientPlan {
        failover: false,
        addresses: addresses.to_vec(),
        persistent,
        extras: false,
        gives_up: u64::MAX,
        hoards: *random.pick(&[0, 0, 50]),
        odd: 0,
        flood: Some(FloodPlan { seed: random.next(), role }),
        ..client(random, 200 * MICRO)
    }
}
