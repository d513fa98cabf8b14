//! Situations that a part of the seeds has: from draws that shift no others.

use crate::client::{HalfClosingPlan, HaltingPlan, OversizePlan};
use crate::ledger::Sizes;
use crate::plan::{FRAME_LIMIT, SeedPlan};
use crate::random::Random;
use crate::schedule::MICRO;
use crate::theme::Theme;

/// Bytes of a frame beside the body, its envelope on the way to a consumer included.
const ROOM_IN_FRAMES: usize = 6 * 1024;

impl SeedPlan {
    /// Each from a generator of its own. What comes anew stands behind what there was.
    pub fn draw_rare(&mut self, mut random: Random) {
        self.draw_half_closing(random.fork());
        let mut oversize = random.fork();
        self.draw_half_frames(random.fork());
        self.draw_oversize(&mut oversize);
    }

    /// Clients that send no more and read on in one seed of five, where frames need not end where a block does, and nothing has to be parked.
    fn draw_half_closing(&mut self, mut random: Random) {
        if self.theme == Theme::ExactEnds || self.scarce || !random.one_in(5) {
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
    /// four.
    fn draw_half_frames(&mut self, mut random: Random) {
        if self.theme != Theme::Mixture || self.scarce || !random.one_in(4) {
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
}
