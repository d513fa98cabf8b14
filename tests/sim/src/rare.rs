//! Situations that a part of the seeds has: from draws that shift no others.

use crate::client::{HalfClosingPlan, OversizePlan};
use crate::plan::{FRAME_LIMIT, SeedPlan};
use crate::random::Random;
use crate::theme::Theme;

/// Bytes of a frame beside the body, its envelope on the way to a consumer included.
const ROOM_IN_FRAMES: usize = 6 * 1024;

impl SeedPlan {
    /// Each from a generator of its own. What comes anew stands behind what there was.
    pub fn draw_rare(&mut self, mut random: Random) {
        self.draw_half_closing(random.fork());
        self.draw_oversize(random.fork());
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
    fn draw_oversize(&mut self, mut random: Random) {
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
}
