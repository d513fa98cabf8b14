//! Situations that a part of the seeds has: from draws that shift no others.

use crate::client::{
    ClientPlan, DeletingPlan, FEW, HalfClosingPlan, HaltingPlan, MovingPlan, NamingPlan, OversizePlan, ReturningPlan,
    SubscribingPlan, ThrongPlan, all_of_many, deleted_places, odd_addresses,
};
use crate::ledger::{Address, Sizes};
use crate::plan::{FRAME_LIMIT, Listener, SeedPlan};
use crate::random::Random;
use crate::schedule::{MICRO, MILLI};
use crate::theme::Theme;
use postrider_journal::Medium;

/// Bytes of a frame beside the body, its envelope on the way to a consumer included.
const ROOM_IN_FRAMES: usize = 6 * 1024;

impl SeedPlan {
    /// Each from a generator of its own. What comes anew stands behind what there was.
    pub fn draw_rare(&mut self, mut random: Random) {
        self.draw_half_closing(random.fork());
        let mut oversize = random.fork();
        self.draw_half_frames(random.fork());
        self.draw_returns(random.fork());
        self.draw_oversize(&mut oversize);
        self.draw_names(random.fork());
        self.draw_throng(random.fork());
        self.draw_deletions(random.fork());
        self.draw_unreadable(random.fork());
        self.draw_moves(random.fork());
        self.draw_listeners(random.fork());
        self.draw_subscriptions(random.fork());
    }

    /// Clients that send no more and read on in one seed of five, where frames need not end where a block does.
    fn draw_half_closing(&mut self, mut random: Random) {
        if self.theme == Theme::ExactEnds || !random.one_in(5) {
            return;
        }
        for client in &mut self.clients {
            let half_closing = HalfClosingPlan { seed: random.next(), percent: *random.pick(&[1, 5]) };
            client.half_closing = random.percent(60).then_some(half_closing);
        }
    }

    /// Frames beyond a limit that is little above the largest message, in one seed of eight.
    fn draw_oversize(&mut self, random: &mut Random) {
        if self.theme == Theme::ExactEnds || !random.one_in(8) {
            return;
        }
        let limit = self.sizes.largest() as usize + ROOM_IN_FRAMES;
        self.frame_limit = *random.pick(&[limit, limit, FRAME_LIMIT]);
        let percent = *random.pick(&[1, 2, 5]);
        for client in &mut self.clients {
            let own = self.frame_limit > limit || random.one_in(3);
            let oversize = OversizePlan { seed: random.next(), percent, limit, own };
            client.oversize = random.percent(60).then_some(oversize);
        }
    }

    /// Large frames that come in pieces contend for a small budget, and two clients stop in the middle of theirs (R22), in one mixed seed of
    /// three.
    fn draw_half_frames(&mut self, mut random: Random) {
        if self.theme != Theme::Mixture || self.scarce || !random.one_in(3) {
            return;
        }
        self.half_frame_bytes = *random.pick(&[0, 70_000, 150_000]);
        self.sizes = Sizes::Huge;
        self.shards = 1 + random.index(2);
        // A frame comes within a life.
        self.network.segment_bytes = *random.pick(&[1_400, 60_000]);
        self.network.delay_nanos = self.network.delay_nanos.min(50 * MICRO);
        self.life_nanos *= 2;
        for client in self.clients.iter_mut().take(2) {
            let (percent, stays) = (*random.pick(&[30, 70]), *random.pick(&[0, 5]));
            client.halting = Some(HaltingPlan { seed: random.next(), percent, stays });
        }
    }

    /// Queues of hundreds of messages that are given back by hundreds, in one mixed seed of five that has no large frames.
    fn draw_returns(&mut self, mut random: Random) {
        let plain = self.theme == Theme::Mixture && !self.scarce && self.sizes == Sizes::Mixed;
        if !plain || self.listener != Listener::Everybody || !random.one_in(5) {
            return;
        }
        (self.sizes, self.short_lives) = (Sizes::Small, 0);
        (self.lives, self.life_nanos) = (1 + random.index(3), 6 * self.life_nanos);
        self.life_nanos = self.life_nanos.min(3 * 60 * MILLI);
        // Thousands are taken one by one at the end, perhaps.
        self.network.delay_nanos = self.network.delay_nanos.min(50 * MICRO);
        let (enough, percent) = (*random.pick(&[30, 100, 400]), *random.pick(&[5, 20]));
        let addresses = [Address::queue("queue.a"), Address::queue("queue.b")];
        let addresses = if random.percent(50) { &addresses[..1] } else { &addresses[..] };
        for (index, client) in self.clients.iter_mut().enumerate() {
            let sends = index % 2 == 0;
            let prefetch = *random.pick(&[500, 1_500, 3_000]);
            let burst = if sends { *random.pick(&[20, 60, 200]) } else { 1 };
            client.returning = Some(ReturningPlan { seed: random.next(), percent, enough, prefetch, burst });
            client.addresses = addresses.to_vec();
            client.think_nanos = client.think_nanos.min(MILLI);
            (client.sends, client.consumers) = if sends { (70, 1) } else { (5, 2) };
            (client.hoards, client.answered, client.breaks) = (95, 3, client.breaks.min(2));
            client.deep = true;
        }
    }

    /// Strange names, hundreds of them, and such as cannot be, in one seed of six where everybody finds room with them.
    fn draw_names(&mut self, mut random: Random) {
        let plain = self.theme != Theme::ExactEnds && !self.scarce && !self.few_pairs;
        let other = |client: &ClientPlan| client.returning.is_some() || client.oversize.is_some();
        if !plain || self.clients.iter().any(other) || !random.one_in(6) {
            return;
        }
        let limit = *random.pick(&[48, 200, 1_000]);
        self.broker.name_bytes = limit;
        let all = odd_addresses(limit);
        self.odd_addresses = (0..6).map(|_| random.pick(&all).clone()).collect();
        self.odd_addresses.sort();
        self.odd_addresses.dedup();
        let frame_limit = self.frame_limit;
        for client in &mut self.clients {
            let (percent, many) = (*random.pick(&[2, 5]), *random.pick(&[0, 10, 50]));
            client.naming = Some(NamingPlan { seed: random.next(), percent, many, limit, frame_limit });
            client.addresses.extend((0..3).map(|_| random.pick(&self.odd_addresses).clone()));
        }
        self.odd_addresses.push(all_of_many());
    }

    /// Clients that delete what they have sent, in one seed of four where the disk is not small. What a failover client says again would be of
    /// the queue before.
    fn draw_deletions(&mut self, mut random: Random) {
        if self.theme == Theme::ExactEnds || self.scarce || self.few_pairs || !random.one_in(4) {
            return;
        }
        for (index, client) in self.clients.iter_mut().enumerate().filter(|(_, client)| !client.failover) {
            let (percent, sends) = (*random.pick(&[5, 15, 30]), *random.pick(&[10, 30, 60]));
            client.deleting = Some(DeletingPlan { seed: random.next(), percent, sends });
            self.odd_addresses.extend(deleted_places(index));
        }
    }

    /// Messages that move within transactions, in one seed of two where nothing rots; thousands at once in one of eight of those where there is
    /// room for all.
    fn draw_moves(&mut self, mut random: Random) {
        let rots = self.rot > 0 || self.rot_while_running > 0;
        if self.theme == Theme::ExactEnds || self.few_pairs || rots || !random.one_in(2) {
            return;
        }
        let large = !self.scarce && random.one_in(8);
        for client in self.clients.iter_mut().take(2) {
            let (percent, tokens) = (*random.pick(&[20, 50, 80]), *random.pick(&[3, 10, 30]));
            let bytes = *random.pick(&[50, 500, 4_000]);
            let (tokens, most, bytes) = if large { (3_000, 2_500, 50) } else { (tokens, FEW, bytes) };
            let (seed, branches) = (random.next(), random.one_in(2));
            client.moving = Some(MovingPlan { seed, percent, tokens, most, bytes, branches });
        }
    }

    /// Clients that hear of all consumers, in one seed of two where the spool has room for what they have not read.
    fn draw_listeners(&mut self, mut random: Random) {
        let is_small = matches!(self.theme, Theme::SmallSpool | Theme::SmallDisk | Theme::ExactEnds) || self.scarce;
        if is_small || !random.one_in(2) {
            return;
        }
        for client in &mut self.clients {
            client.listens = random.percent(40);
        }
    }

    /// Durable subscriptions, in one seed of two where nothing rots and there is room for all. Who has them keeps its connection as long as the
    /// process lives: the broker refuses another one of its name.
    fn draw_subscriptions(&mut self, mut random: Random) {
        let rots = self.rot > 0 || self.rot_while_running > 0;
        if self.theme == Theme::ExactEnds || self.scarce || self.few_pairs || rots || !random.one_in(2) {
            return;
        }
        // Who hears of all consumers does not know of these.
        if self.clients.iter().any(|client| client.listens) {
            return;
        }
        let Some(client) = self.clients.last_mut() else { return };
        let (percent, names) = (*random.pick(&[20, 50, 80]), *random.pick(&[1, 2, 4]));
        let bytes = *random.pick(&[50, 500, 4_000]);
        let (seed, takes) = (random.next(), random.one_in(3).then(|| random.next()));
        client.subscribing = Some(SubscribingPlan { seed, percent, names, bytes, takes });
        (client.breaks, client.hasty, client.half_closing) = (0, 0, None);
        if let Some(subscribing) = client.subscribing.as_mut().filter(|subscribing| subscribing.takes.is_some()) {
            // A transaction is a thing of many steps, and a life is short.
            subscribing.percent = 90;
            client.think_nanos /= 8;
        }
    }

    /// The front of a full log cannot be read until the end, while what is in memory is taken, one by one, in one seed of four where the disk
    /// is small: what settles comes to what moves have (R6).
    fn draw_unreadable(&mut self, mut random: Random) {
        let plain = matches!(self.theme, Theme::SmallDisk | Theme::Mixture) && self.scarce && !self.has_throng();
        if !plain || !random.one_in(4) {
            return;
        }
        (self.disk.failing_reads, self.disk.medium) = (1, Medium::Direct);
        (self.disk.failing_preparations, self.disk.failing_syncs) = (0, 0);
        self.journal.hot_bytes = self.journal.segment_bytes * random.within(4..8);
        (self.sizes, self.lives) = (Sizes::Small, self.lives.min(1));
        self.life_nanos *= 6;
        for client in &mut self.clients {
            (client.persistent, client.breaks, client.deep) = (100, 0, true);
            (client.sends, client.hoards, client.gives_up) = (60, *random.pick(&[0, 90]), u64::MAX);
            (client.consumers, client.answered) = (client.consumers.max(3), 20);
        }
    }

    /// A failover client has hundreds of producers on a small disk, of which the marks would come to as much as the budget and more (R17), in
    /// some seeds where the disk is small anyway, and few others. What others repeat may come twice then: room for marks goes to the first.
    fn draw_throng(&mut self, mut random: Random) {
        let percent = match self.theme {
            Theme::SmallDisk => 40,
            Theme::Mixture if self.scarce => 30,
            _ => 0,
        };
        if !random.percent(percent) {
            return;
        }
        let segments = *random.pick(&[11, 11, 13, 24]);
        self.journal.segment_bytes = 64 << 10;
        // What comes at once has a segment of its own, for which there is room as long as reclaim is not held up.
        (self.disk.failing_reads, self.disk.failing_preparations) = (0, 0);
        let budget = segments * self.journal.segment_bytes;
        self.journal.disk_budget = Some(budget);
        self.disk.capacity = budget + 12 * self.journal.segment_bytes;
        self.sizes = *random.pick(&[Sizes::Small, Sizes::Small, Sizes::Medium]);
        (self.network.segment_bytes, self.frame_limit) = (60_000, FRAME_LIMIT);
        self.clients.truncate(4);
        for client in &mut self.clients {
            client.think_nanos = client.think_nanos.min(MILLI);
            client.addresses = vec![Address::queue("queue.a"), Address::queue("queue.b")];
            // What comes is taken soon, so that more of the throng can come, and is followed in the plain case.
            (client.hoards, client.sends, client.deep, client.unheard) = (10, client.sends.min(40), true, None);
            client.consumers = client.consumers.max(2);
            (client.mortal, client.gives_up, client.browsing, client.oversize) = (0, u64::MAX, None, None);
            client.wishing = None;
        }
        let id_bytes = *random.pick(&[1_000, 4_000, 4_000]);
        let percent = random.within(100..400);
        let producers = (budget * percent / 100) as usize / (id_bytes + 40);
        let producers = producers.min(1_500);
        let burst = *random.pick(&[4, 10, 20]);
        let throng = ThrongPlan { seed: random.next(), id_bytes, producers, burst, gaps: *random.pick(&[0, 20, 70]) };
        let client = &mut self.clients[0];
        (client.failover, client.extras, client.sends) = (true, false, 5);
        (client.breaks, client.stalls) = (client.breaks.min(2), 10_000);
        client.think_nanos = 200 * MICRO;
        client.throng = Some(throng);
        self.life_nanos = self.life_nanos.max(20 * (producers / burst) as u64 * client.think_nanos);
        self.short_lives = 0;
    }
}
