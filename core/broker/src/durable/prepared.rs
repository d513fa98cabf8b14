//! Branches that are prepared: each is an item of the log, with all that it acknowledges, and survives whoever began it. Whoever takes a
//! log back finds them, and claims again what they have acknowledged (R37).
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::log::{Log, LogKind};
use crate::messages::{DestinationIndex, Message, MessageIndex, TransactionIndex, flag};
use crate::plant::planted;
use crate::records::branch::{Branch, PREPARED_BYTES, PreparedMeta, read_prepared, write_prepared};
use crate::records::commit::HEAD_BYTES;
use crate::records::items::{Item, ItemHome, RECORD_OVERHEAD};
use crate::records::{MetaError, TransactionTag, kind, read_acknowledged};
use crate::step::Step;
use postrider_journal::{Bound, Home, Purpose, Record, body_crc};
use postrider_model::{DestinationId, Sequence};

/// What the log says of a prepared branch.
pub(crate) struct Prepared {
    pub about: PreparedMeta,
    /// Runs, as a record has them: what buries these names them again (R32).
    pub acknowledged: Box<[u8]>,
    pub home: ItemHome,
}

/// A message that a branch has acknowledged, and of which queue or subscription.
pub(crate) type Claimed = (DestinationIndex, MessageIndex);

/// What a decision takes, or this again.
fn decision_bytes(about: &PreparedMeta, acknowledged: &[u8]) -> u64 {
    (HEAD_BYTES.max(PREPARED_BYTES) + about.client_bytes() + acknowledged.len()) as u64
}

impl Prepared {
    /// Room that is kept for its decision (R46).
    fn kept_bytes(&self) -> u64 {
        decision_bytes(&self.about, &self.acknowledged) + RECORD_OVERHEAD
    }
}

impl super::undecided::Undecided {
    /// Bytes that the decisions of prepared branches may take in the log.
    pub(crate) fn prepared_bytes(&self) -> u64 {
        self.prepared_bytes
    }

    /// Its tag, if it is prepared.
    pub(crate) fn prepared_tag(&self, of: TransactionIndex) -> Option<TransactionTag> {
        self.prepared(of).and_then(|_| self.tag(of))
    }

    /// Subscriptions with this number and later ones came since it has sent something to a topic.
    pub(crate) fn since(&self, of: TransactionIndex) -> Option<DestinationId> {
        self.table.get(of.0)?.topics.since()
    }

    /// The same, as its record has it. Those that came before what it has sent later are known to have that.
    fn set_since(&mut self, of: TransactionIndex, since: Option<DestinationId>) {
        if let Some(staged) = self.table.get_mut(of.0) {
            staged.topics.set_since(since);
        }
    }

    /// What the log says of a branch, if it is prepared.
    pub(crate) fn prepared(&self, of: TransactionIndex) -> Option<&Prepared> {
        self.table.get(of.0)?.prepared.as_deref()
    }
}

impl Broker {
    /// Writes that a branch is prepared. There is room for the record.
    pub(crate) fn write_prepared<L: Log>(
        &mut self,
        of: TransactionIndex,
        (branch, client): (Branch, Option<Box<[u8]>>),
        acknowledged: &[u8],
        step: &mut Step<'_, L>,
    ) {
        let (places, since) = (self.undecided.places(of), self.undecided.since(of));
        let about = PreparedMeta { branch, unix_millis: step.now.unix_millis, places, since, client };
        self.stage_prepared(of, about, acknowledged.into(), step);
    }

    /// Reclaim: it moves to the end. False: there is no room.
    pub(crate) fn move_prepared<L: Log>(&mut self, of: TransactionIndex, step: &mut Step<'_, L>) -> bool {
        let Some(prepared) = self.undecided.prepared(of) else { return true };
        let bytes = decision_bytes(&prepared.about, &prepared.acknowledged);
        if !step.log.reserve(Purpose::Move, Bound { records: 2, bytes }) {
            return false;
        }
        let (about, acknowledged) = (prepared.about.clone(), prepared.acknowledged.clone());
        self.stage_prepared(of, about, acknowledged, step);
        true
    }

    fn stage_prepared<L: Log>(
        &mut self,
        of: TransactionIndex,
        about: PreparedMeta,
        acknowledged: Box<[u8]>,
        step: &mut Step<'_, L>,
    ) {
        self.flush_acknowledged(step);
        let tag = self.tag_of(of);
        let mut meta = std::mem::take(&mut self.durable.meta);
        let body = write_prepared(&mut meta, &about, &acknowledged).unwrap_or_default();
        let sequence = tag.sequence().0;
        let record =
            Record { kind: kind::PREPARED, flags: 0, sequence, meta: &meta, body: &body, body_crc: body_crc(&body) };
        let home = self.stage(LogKind::Journal, &record, step);
        let home = ItemHome::new(home, meta.len());
        self.durable.meta = meta;
        self.apply_prepared(of, Prepared { about, acknowledged, home });
    }

    /// A branch is prepared, or its record has moved; the same when it is written and when it is followed.
    fn apply_prepared(&mut self, of: TransactionIndex, prepared: Prepared) {
        self.journal.place(prepared.home, Item::Branch(of));
        self.undecided.prepared_bytes += prepared.kept_bytes();
        if let Some(old) = self.undecided.set_prepared(of, prepared) {
            self.leave_prepared(&old);
        }
    }

    /// It is decided: its record counts no more.
    pub(super) fn forget_prepared(&mut self, of: TransactionIndex) {
        if let Some(prepared) = self.undecided.take_prepared(of) {
            self.leave_prepared(&prepared);
        }
    }

    /// What the log has said of a prepared branch counts no more.
    fn leave_prepared(&mut self, old: &Prepared) {
        self.undecided.prepared_bytes = self.undecided.prepared_bytes.saturating_sub(old.kept_bytes());
        self.journal.clear(old.home);
    }

    /// That a branch is prepared, as it is followed.
    pub(super) fn follow_prepared(&mut self, record: &Record<'_>, home: Home) -> Result<(), MetaError> {
        let tag = TransactionTag::of(record.sequence).ok_or(MetaError::Malformed)?;
        let (about, acknowledged) = read_prepared(record.meta, record.body)?;
        read_acknowledged(acknowledged, |_, _| ()).ok_or(MetaError::Malformed)?;
        self.sequences.saw(Sequence(tag.0));
        let of = self.undecided.find_or_begin(tag);
        let home = ItemHome::new(home, record.meta.len());
        self.undecided.set_since(of, about.since.filter(|_| !planted("since-forgotten")));
        self.apply_prepared(of, Prepared { about, acknowledged: acknowledged.into(), home });
        Ok(())
    }

    /// All of them: the tag, which branch, where its record is.
    #[cfg(feature = "plant")]
    pub(crate) fn prepared_branches(&self) -> impl Iterator<Item = (u64, &Branch, ItemHome)> {
        self.undecided.all_prepared().map(|(tag, prepared)| (tag.0, &prepared.about.branch, prepared.home))
    }

    /// Where a prepared branch's record is.
    pub(super) fn prepared_home(&self, of: TransactionIndex) -> Option<ItemHome> {
        self.undecided.prepared(of).map(|prepared| prepared.home)
    }

    /// A life begins: what prepared branches have acknowledged leaves its queues. Which branches there are.
    pub(crate) fn claim_prepared(&mut self) -> Vec<(TransactionIndex, Branch, Vec<Claimed>)> {
        let mut found = Vec::new();
        for of in self.undecided.prepared_ones() {
            let Some(prepared) = self.undecided.prepared(of) else { continue };
            let branch = prepared.about.branch.clone();
            let mut named: Vec<(DestinationId, Sequence)> = Vec::new();
            read_acknowledged(&prepared.acknowledged, |destination, sequence| named.push((destination, sequence)));
            if planted("claims-returned") {
                named.clear();
            }
            if planted("subscribed-claims-forgotten") {
                let of = |id: DestinationId| self.destinations.by_id(id).map(|of| self.destinations.get(of));
                named.retain(|(id, _)| of(*id).is_none_or(|of| of.subscription.is_none()));
            }
            let taken = named.into_iter().filter_map(|(destination, sequence)| self.take_out(destination, sequence));
            let claims: Vec<Claimed> = taken.collect();
            for (of, index) in &claims {
                let Message { sequence, flags, .. } = *self.messages.at(*index);
                let state = self.destinations.get_mut(*of);
                state.undecided += 1;
                // What moves is asked for whom: the subscription's it is still.
                if flags & flag::SHARED != 0
                    && !planted("claims-unlent")
                    && let Content::Queue(queue) = &mut state.content
                {
                    queue.lend(sequence, *index);
                }
            }
            self.find_touched(of);
            found.push((of, branch, claims));
        }
        found
    }

    /// Where its places are, those at subscriptions among them: nothing comes there before them, once it is committed.
    pub(super) fn find_touched(&mut self, of: TransactionIndex) {
        for head in self.undecided.heads(of) {
            let mut index = head;
            while index != MessageIndex::NONE {
                let message = self.messages.at(index);
                let (destination, next) = (message.destination, message.sibling);
                self.undecided.touch(of, destination);
                index = next;
            }
        }
        self.undecided.touch_sharers(of);
    }
}
