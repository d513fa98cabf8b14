//! What goes out past others is named: records say which messages may have been delivered that no allowance covers (R41). One for all of a
//! turn, or a few; each is good from its commit on. It buries nothing and lives by nothing: what it names says so itself when it moves.

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::durable::Durable;
use crate::durable::staging::small;
use crate::log::{Log, LogKind};
use crate::messages::{DestinationIndex, MessageIndex, flag};
use crate::plant::planted;
use crate::records::{self, ACKNOWLEDGED_BYTES, META_BYTES, RUN_BYTES, acknowledgement_bound, kind};
use crate::step::Step;
use foldhash::fast::FixedState;
use postrider_journal::{Position, Purpose};
use postrider_model::{DestinationId, Sequence};
use std::collections::{HashSet, VecDeque};

/// A message that is named.
#[derive(Clone, Copy)]
struct Entry {
    queue: DestinationIndex,
    sequence: Sequence,
    message: MessageIndex,
}

/// What is to be named, and what waits for the commit of that.
#[derive(Default)]
pub(super) struct Named {
    of_this_turn: Vec<Entry>,
    uncommitted: VecDeque<(Position, Vec<Entry>)>,
    /// All of these: they do not go out yet.
    pending: HashSet<MessageIndex, FixedState>,
    /// What earlier lives have left and this one has named first: nobody has had it before.
    of_earlier_lives: HashSet<Sequence, FixedState>,
}

/// Sequences of a queue that are written in one run.
const RUN: usize = 2_000;

impl Durable {
    /// Whether what is named waits for its commit.
    pub(crate) fn is_naming(&self) -> bool {
        !self.named.uncommitted.is_empty()
    }

    /// Whether a message of an earlier life has been named in this one, and not before.
    pub(super) fn is_named_first(&self, sequence: Sequence) -> bool {
        self.named.of_earlier_lives.contains(&sequence)
    }

    /// Whether a message waits for the commit of the record that names it.
    #[inline]
    pub(crate) fn is_being_named(&self, message: MessageIndex) -> bool {
        !self.named.pending.is_empty() && self.named.pending.contains(&message)
    }
}

impl Broker {
    /// Messages of a queue may go out when the record is committed that this turn writes. False: there is no room for it now.
    pub(crate) fn name<L: Log>(
        &mut self,
        queue: DestinationIndex,
        messages: &[(Sequence, MessageIndex)],
        step: &mut Step<'_, L>,
    ) -> bool {
        if !step.log.reserve(Purpose::Settle, acknowledgement_bound(messages.len() as u64)) {
            return false;
        }
        for (sequence, message) in messages {
            let is_new = !self.messages.at(*message).has(flag::OFFERED);
            if is_new && self.sequences.is_of_an_earlier_life(*sequence) {
                self.durable.named.of_earlier_lives.insert(*sequence);
            }
            self.messages.at_mut(*message).flags |= flag::OFFERED;
            self.durable.named.pending.insert(*message);
            self.durable.named.of_this_turn.push(Entry { queue, sequence: *sequence, message: *message });
        }
        true
    }

    /// The turn ends: what it has named is written.
    pub(crate) fn flush_named<L: Log>(&mut self, step: &mut Step<'_, L>) {
        let entries = std::mem::take(&mut self.durable.named.of_this_turn);
        if entries.is_empty() {
            return;
        }
        self.flush_acknowledged(step);
        let mut named: Vec<(DestinationId, u64)> = entries.iter().filter_map(|entry| self.named_place(entry)).collect();
        named.sort_unstable();
        let mut meta = std::mem::take(&mut self.durable.meta);
        let mut position = Position::default();
        meta.clear();
        for of_queue in named.chunk_by(|(one, _), (other, _)| one == other) {
            for run in of_queue.chunks(RUN) {
                let bytes = run.len() as u64 * ACKNOWLEDGED_BYTES + RUN_BYTES;
                if meta.len() as u64 + bytes > META_BYTES as u64 {
                    position = self.stage_named(&meta, step);
                    meta.clear();
                }
                let sequences: Vec<u64> = run.iter().map(|(_, sequence)| *sequence).collect();
                if let Some((id, _)) = run.first() {
                    records::write_acknowledged(&mut meta, *id, &sequences);
                }
            }
        }
        if !meta.is_empty() {
            position = self.stage_named(&meta, step);
        }
        self.durable.meta = meta;
        self.durable.named.uncommitted.push_back((position, entries));
    }

    fn stage_named<L: Log>(&mut self, meta: &[u8], step: &mut Step<'_, L>) -> Position {
        if planted("named-forgotten") {
            return Position::default();
        }
        self.stage(LogKind::Journal, &small(kind::NAMED, meta), step).position
    }

    /// Where the log knows a message that is named, if it is still there.
    fn named_place(&self, entry: &Entry) -> Option<(DestinationId, u64)> {
        let message = self.messages.get(entry.message).filter(|message| message.sequence == entry.sequence)?;
        let dying = self.destinations.try_get(entry.queue).is_none_or(|state| state.is_dying());
        let id = self.recorded_id(entry.queue, message).filter(|_| message.store == LogKind::Journal && !dying)?;
        Some((id, message.sequence.0))
    }

    /// What is named in committed records goes out.
    #[inline]
    pub(crate) fn end_naming(&mut self, committed: Position) {
        while self.durable.named.uncommitted.front().is_some_and(|(position, _)| *position < committed) {
            self.end_named();
        }
    }

    #[cold]
    fn end_named(&mut self) {
        let Some((_, entries)) = self.durable.named.uncommitted.pop_front() else { return };
        let mut last = None;
        for Entry { queue, message, .. } in entries {
            self.durable.named.pending.remove(&message);
            if last.replace(queue) != Some(queue) && self.destinations.try_get(queue).is_some() {
                if let Content::Queue(state) = &mut self.destinations.get_mut(queue).content
                    && let Some(views) = state.views_mut()
                {
                    views.named();
                }
                self.destinations.line_up(queue);
            }
        }
    }

    /// Such a record is followed.
    pub(crate) fn follow_named(&mut self, meta: &[u8]) -> Option<()> {
        records::read_acknowledged(meta, |id, sequence| {
            let found = self.destinations.by_id(id).and_then(|queue| self.find_in(queue, sequence));
            if let Some(message) = found.and_then(|index| self.messages.get_mut(index)) {
                message.flags |= flag::OFFERED;
            }
        })
    }
}
