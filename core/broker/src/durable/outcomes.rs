//! How branches have ended: remembered for a day, and so many of them (R43). Who did not hear the answer to a decision asks again, and a
//! client that comes back says all of the branch again.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::bounds::{OUTCOME_MILLIS, OUTCOMES, OUTCOMES_OF_WHAT_LIVES, live_limit};
use crate::broker::Broker;
use crate::durable::staging::small;
use crate::kit::slab::Slab;
use crate::log::{Log, LogKind};
use crate::messages::OutcomeIndex;
use crate::plant::planted;
use crate::records::branch::{Branch, OUTCOME_BYTES, OutcomeMeta, read_outcome, write_outcome};
use crate::records::items::{Item, ItemHome, RECORD_OVERHEAD};
use crate::records::{MetaError, TransactionTag, kind};
use crate::step::Step;
use postrider_journal::{Bound, Home, Purpose, Record};
use postrider_model::{ConnectionHandle, PortIndex, Sequence, Xid};
use std::collections::BTreeMap;

/// Outcomes that are forgotten in one turn, at most, besides one for each that comes.
const FORGOTTEN_A_TURN: usize = 256;

/// What a decision says of its branch.
pub(crate) struct BranchEnd {
    pub branch: Branch,
    /// Its connection, while that lives: it does not say all of it again.
    pub heard: Option<(PortIndex, ConnectionHandle)>,
}

/// How a branch has ended.
pub(crate) struct Outcome {
    pub about: OutcomeMeta,
    pub heard: Option<(PortIndex, ConnectionHandle)>,
    tag: TransactionTag,
    home: ItemHome,
}

/// All that are remembered.
#[derive(Default)]
pub(crate) struct Outcomes {
    table: Slab<Outcome>,
    by_xid: BTreeMap<Xid, OutcomeIndex>,
    /// By the time of the decision, and its tag.
    by_age: BTreeMap<(i64, TransactionTag), OutcomeIndex>,
}

impl Outcomes {
    /// How a branch has ended, if that is remembered.
    pub(crate) fn find(&self, xid: &Xid) -> Option<&Outcome> {
        self.table.get(self.by_xid.get(xid)?.0)
    }

    pub(super) fn home(&self, index: OutcomeIndex) -> Option<ItemHome> {
        self.table.get(index.0).map(|outcome| outcome.home)
    }

    fn remove(&mut self, index: OutcomeIndex) -> ItemHome {
        let outcome = self.table.remove(index.0);
        self.by_age.remove(&(outcome.about.unix_millis, outcome.tag));
        if self.by_xid.get(&outcome.about.branch.xid) == Some(&index) {
            self.by_xid.remove(&outcome.about.branch.xid);
        }
        outcome.home
    }
}

impl Broker {
    /// Writes that nothing of a branch is done. There is room for it.
    pub(crate) fn write_rolled_back<L: Log>(&mut self, tag: TransactionTag, end: BranchEnd, step: &mut Step<'_, L>) {
        let BranchEnd { branch, heard } = end;
        let about = OutcomeMeta { branch, committed: false, unix_millis: step.now.unix_millis };
        let home = self.stage_outcome(tag, &about, step);
        self.apply_outcome(tag, about, heard, home);
    }

    /// Reclaim: it moves to the end. False: there is no room.
    pub(crate) fn move_outcome<L: Log>(&mut self, index: OutcomeIndex, step: &mut Step<'_, L>) -> bool {
        let Some(Outcome { about, heard, tag, .. }) = self.outcomes.table.get(index.0) else { return true };
        let (about, heard, tag) = (about.clone(), *heard, *tag);
        if !step.log.reserve(Purpose::Move, Bound { records: 2, bytes: OUTCOME_BYTES }) {
            return false;
        }
        let home = self.stage_outcome(tag, &about, step);
        self.apply_outcome(tag, about, heard, home);
        true
    }

    fn stage_outcome<L: Log>(&mut self, tag: TransactionTag, about: &OutcomeMeta, step: &mut Step<'_, L>) -> Home {
        self.flush_acknowledged(step);
        let mut meta = std::mem::take(&mut self.durable.meta);
        write_outcome(&mut meta, about);
        let record = Record { sequence: tag.sequence().0, ..small(kind::OUTCOME, &meta) };
        let home = self.stage(LogKind::Journal, &record, step);
        self.durable.meta = meta;
        home
    }

    /// It is remembered how a branch has ended, or where that stands; the same when it is written and when it is followed.
    pub(super) fn apply_outcome(
        &mut self,
        tag: TransactionTag,
        about: OutcomeMeta,
        heard: Option<(PortIndex, ConnectionHandle)>,
        home: Home,
    ) {
        if planted("outcome-forgotten") {
            return;
        }
        let (xid, key) = (about.branch.xid.clone(), (about.unix_millis, tag));
        if let Some(old) = self.outcomes.by_xid.get(&xid).copied() {
            // A younger branch of the same name: the record of the older one has moved behind it.
            if self.outcomes.table.get(old.0).is_some_and(|known| known.tag > tag) {
                return;
            }
            let home = self.outcomes.remove(old);
            self.journal.clear(home);
        }
        // What it takes to move it, whatever else its record says.
        let bytes = u32::try_from(OUTCOME_BYTES).unwrap_or(u32::MAX);
        let home = ItemHome { segment: home.segment, ordinal: home.ordinal, bytes };
        let index = OutcomeIndex(self.outcomes.table.insert(Outcome { about, heard, tag, home }));
        self.outcomes.by_xid.insert(xid, index);
        self.outcomes.by_age.insert(key, index);
        self.journal.place(home, Item::Outcome(index));
    }

    /// How a branch has ended, as it is followed.
    pub(super) fn follow_outcome(&mut self, record: &Record<'_>, home: Home) -> Result<(), MetaError> {
        let tag = TransactionTag::of(record.sequence).ok_or(MetaError::Malformed)?;
        let about = read_outcome(record.meta)?;
        self.sequences.saw(Sequence(tag.0));
        let is_rolled_back = !about.committed;
        self.apply_outcome(tag, about, None, home);
        if is_rolled_back {
            self.follow_rolled_back(record.sequence);
        }
        Ok(())
    }

    /// The end of a turn: what is too old is forgotten, and what is too much.
    pub(crate) fn forget_outcomes<L: Log>(&mut self, step: &mut Step<'_, L>) {
        let room = live_limit(step.log) / OUTCOMES_OF_WHAT_LIVES / (OUTCOME_BYTES + RECORD_OVERHEAD);
        let most = OUTCOMES.min(usize::try_from(room).unwrap_or(usize::MAX));
        for _ in 0..FORGOTTEN_A_TURN {
            let Some(((millis, _), index)) = self.outcomes.by_age.first_key_value() else { return };
            let (age, index) = (step.now.unix_millis.saturating_sub(*millis), *index);
            if self.outcomes.table.len() <= most && age <= OUTCOME_MILLIS {
                return;
            }
            let home = self.outcomes.remove(index);
            self.journal.clear(home);
        }
    }
}
