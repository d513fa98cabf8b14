//! Transactions whose decision may lie in damage: they are kept aside, as branches that are prepared under a name that says which they
//! are, and decided by hand (R48). What was acknowledged in them is not known, and comes again.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::broker::Broker;
use crate::log::Log;
use crate::messages::TransactionIndex;
use crate::plant::planted;
use crate::records::branch::{Branch, PREPARED_BYTES};
use crate::records::{TransactionTag, kind};
use crate::step::Step;
use postrider_journal::{Bound, Damage, Position, Purpose};
use postrider_model::Xid;

/// The format of their names: "POST".
pub const KEPT_FORMAT: i32 = 0x504F_5354;

/// The global transaction id of all of them; the branch qualifier is the tag, in digits.
pub const KEPT_GLOBAL: &[u8] = b"postrider.kept";

/// Damage that a decision may lie in.
struct Doubt {
    end: Position,
    /// Of this transaction, if that is known.
    sequence: Option<u64>,
}

/// What is not known of transactions.
#[derive(Default)]
pub(crate) struct Doubts {
    doubts: Vec<Doubt>,
    /// Those that are kept aside, while the log does not say so.
    unstated: Vec<TransactionIndex>,
}

/// A transaction that is kept aside.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeptTransaction {
    /// Its tag.
    pub tag: u64,
    /// Places of what it has sent.
    pub places: u64,
}

/// Whether a name is one of those.
pub(crate) fn is_kept_name(xid: &Xid) -> bool {
    xid.format() == KEPT_FORMAT && xid.global() == KEPT_GLOBAL
}

fn name(tag: TransactionTag) -> Option<Branch> {
    let xid = Xid::new(KEPT_FORMAT, KEPT_GLOBAL, tag.0.to_string().as_bytes()).ok()?;
    Some(Branch { xid, owner: 0 })
}

impl Broker {
    /// Before [`Broker::recovered`]: what of the log was damaged, and whether there was more than that.
    pub fn note_damages(&mut self, damages: &[Damage], and_more: bool) {
        let decides = [kind::COMMIT, kind::PREPARED, kind::OUTCOME];
        let may_decide = |damage: &&Damage| damage.record.is_none_or(|record| decides.contains(&record));
        let doubts = damages.iter().filter(|damage| !damage.kind.is_harmless()).filter(may_decide);
        let doubts = doubts.map(|damage| Doubt {
            end: Position(damage.position.0.saturating_add(damage.len.max(1))),
            sequence: damage.sequence.filter(|_| damage.record.is_some()),
        });
        self.durable.doubts.doubts.extend(doubts);
        if and_more {
            self.durable.doubts.doubts.push(Doubt { end: Position(u64::MAX), sequence: None });
        }
    }

    /// A life begins: what no decision was found for, though there may have been one. It is not seen, and not dropped.
    pub(super) fn keep_doubtful(&mut self) {
        let doubts = std::mem::take(&mut self.durable.doubts.doubts);
        let is_doubtful = |tag: TransactionTag, last: Position| {
            doubts
                .iter()
                .any(|doubt| doubt.end > last && doubt.sequence.is_none_or(|sequence| sequence == tag.sequence().0))
        };
        if !planted("rotten-commit-rolled-back") {
            let kept = self.undecided.keep(is_doubtful);
            kept.iter().for_each(|of| self.find_touched(*of));
            self.durable.doubts.unstated = kept;
        }
    }

    /// Those that were kept aside by this start, for people.
    #[must_use]
    pub fn kept_transactions(&self) -> Vec<KeptTransaction> {
        let kept = self.durable.doubts.unstated.iter();
        let tagged = kept.filter_map(|of| Some((self.undecided.try_tag(*of)?, *of)));
        tagged.map(|(tag, of)| KeptTransaction { tag: tag.0, places: self.undecided.places(of) }).collect()
    }

    /// The names of those that the log does not call prepared yet.
    pub(crate) fn kept_names(&self) -> Vec<(TransactionIndex, Branch)> {
        let kept = self.durable.doubts.unstated.iter();
        kept.filter_map(|of| Some((*of, name(self.undecided.try_tag(*of)?)?))).collect()
    }

    /// The end of a turn: the log says what is kept aside, as far as it has room.
    pub(crate) fn state_kept<L: Log>(&mut self, step: &mut Step<'_, L>) {
        while let Some(of) = self.durable.doubts.unstated.last().copied() {
            if !step.log.reserve(Purpose::Settle, Bound { records: 2, bytes: PREPARED_BYTES as u64 }) {
                return;
            }
            self.durable.doubts.unstated.pop();
            if let Some(branch) = self.undecided.kept_tag(of).and_then(name) {
                self.write_prepared(of, (branch, None), &[], step);
            }
        }
    }

    /// Whether the log says all of that.
    pub(super) fn has_stated_kept(&self) -> bool {
        self.durable.doubts.unstated.is_empty()
    }
}
