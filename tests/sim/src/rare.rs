//! Situations that a part of the seeds has: from draws that shift no others.

use crate::client::HalfClosingPlan;
use crate::plan::SeedPlan;
use crate::random::Random;
use crate::theme::Theme;

impl SeedPlan {
    /// Each from a generator of its own. What comes anew stands behind what there was.
    pub fn draw_rare(&mut self, mut random: Random) {
        self.draw_half_closing(random.fork());
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
}
