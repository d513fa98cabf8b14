//! A life begins on what was followed of the log: what the log cannot say by itself, or has lost, is mended. No message is looked at for it.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::durable::follow::Following;
use crate::durable::naming::Mended;
use crate::messages::DestinationIndex;
use crate::plant::planted;
use postrider_model::Now;
use std::collections::VecDeque;

/// After damage so many sequences are passed over: more than a lost reservation, or many of them, can have given out (R9).
const SKIPPED_SEQUENCES: u64 = 1 << 40;

/// Sequences of a life that began after damage: they begin at its number times these, as the reservation of an earlier such life may be
/// lost, too, and what is found would lead to where that one began.
const SEQUENCES_OF_A_LIFE: u64 = 1 << 44;

/// That many lives begin so far from each other, and others ...
const FAR_APART: u32 = 1 << 17;

/// ... nearer, as sequences have 62 bits: still more than most lives give out.
const SEQUENCES_OF_A_LATER_LIFE: u64 = 1 << 29;

const _: () = assert!(FAR_APART as u64 * SEQUENCES_OF_A_LIFE + (SEQUENCES_OF_A_LATER_LIFE << 32) <= 1 << 62);

/// What is passed over where lives are near. *Without being less than what lies between them: two that find the same reservation begin at
/// the same sequence behind it.*
const SKIPPED_IN_A_LATER_LIFE: u64 = 1 << 27;

const _: () =
    assert!(2 * SKIPPED_SEQUENCES <= SEQUENCES_OF_A_LIFE && 2 * SKIPPED_IN_A_LATER_LIFE <= SEQUENCES_OF_A_LATER_LIFE);

/// Likewise numbers of destinations.
const SKIPPED_IDS: u32 = 1 << 16;

/// Sequences that a life passes over which follows on damage.
fn skipped_by(life: u32) -> u64 {
    if life < FAR_APART { SKIPPED_SEQUENCES } else { SKIPPED_IN_A_LATER_LIFE }
}

/// Where a life begins at the least that follows on damage.
fn first_of(life: u32) -> u64 {
    let far = life.min(FAR_APART);
    u64::from(far) * SEQUENCES_OF_A_LIFE + u64::from(life - far) * SEQUENCES_OF_A_LATER_LIFE
}

impl Broker {
    /// Moved messages take their places, and what may have been delivered counts so (R15). What the log named otherwise than by its own record,
    /// and deleted queues that are not empty.
    pub(crate) fn begin_life(
        &mut self,
        mut following: Following,
        now: Now,
        damages: u64,
        life: u32,
    ) -> (Vec<Mended>, VecDeque<DestinationIndex>) {
        self.keep_doubtful();
        self.drop_undecided();
        self.merge_moved();
        let mended = self.mend_names(&mut following.names);
        let unnamed: Vec<DestinationIndex> = self.destinations.unnamed().collect();
        for index in unnamed {
            self.apply_delete(index);
            self.destinations.free(index);
        }
        for (index, target) in following.names.merged() {
            self.take_in(index, target);
        }
        self.begin_allowances(damages > 0);
        self.durable.losses_unstated = damages > 0;
        let passed_over = damages > 0 && !planted("numbers-used-twice");
        self.sequences.begin_life(passed_over.then(|| (skipped_by(life), first_of(life))));
        if passed_over {
            self.destinations.skip_ids(SKIPPED_IDS);
        }
        self.durable.turn_start = self.sequences.next();
        self.detach_all_marks(now);
        (mended, following.emptying)
    }

    /// All destinations.
    fn indices(&self) -> Vec<DestinationIndex> {
        self.destinations.iter().map(|(index, _)| index).collect()
    }

    fn merge_moved(&mut self) {
        for index in self.indices() {
            if let Content::Queue(queue) = &mut self.destinations.get_mut(index).content {
                queue.merge_moved(&self.messages);
            }
        }
    }

    fn begin_allowances(&mut self, damaged: bool) {
        for index in self.indices() {
            if let Content::Queue(queue) = &mut self.destinations.get_mut(index).content {
                queue.begin_life(damaged);
                self.watch_allowance(index);
            }
        }
    }
}
