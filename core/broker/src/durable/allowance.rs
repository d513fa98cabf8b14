//! Allowances: what of a queue may have been delivered, as a crash must find it (R15).
//!
//! A persistent message goes out only when a committed record says that it may have been delivered: its own, where credit waited
//! for it (`offered`), or the queue's allowance, which covers all up to a sequence. After a crash what is covered counts as
//! delivered. While fewer messages wait than a chunk the allowance has no end; when more gather it is drawn in again, so that a
//! long untouched queue is not marked because of one message.
#![expect(clippy::expect_used, reason = "only stored queues have allowances")]

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::durable::staging::small;
use crate::log::{Log, LogKind};
use crate::messages::{DestinationIndex, Message, flag};
use crate::plant::planted;
use crate::records::items::{Item, ItemHome};
use crate::records::{self, kind};
use crate::step::Step;
use postrider_journal::{Bound, Position, Purpose};
use postrider_model::Sequence;

impl Broker {
    /// How often a message may have been delivered. After a crash what its record or the queue's allowance had covered counts as delivered
    /// once (R15): that is worked out here, whenever somebody asks, so that a start need not look at each.
    pub(crate) fn redeliveries(&self, of: DestinationIndex, message: &Message) -> u16 {
        let Message { sequence, mut redeliveries, .. } = *message;
        if message.has(flag::SHARED)
            && let Content::Queue(queue) = &self.destinations.get(of).content
        {
            redeliveries = queue.deliveries(sequence);
        }
        if redeliveries > 0 || !self.sequences.is_of_an_earlier_life(sequence) || planted("under-marked") {
            return redeliveries;
        }
        let covered = match &self.destinations.get(of).content {
            Content::Queue(queue) => queue.allowance.covered(sequence),
            Content::Topic(_) => false,
        };
        let was_offered = message.has(flag::OFFERED) && !self.durable.is_named_first(sequence);
        u16::from(covered || was_offered || planted("over-marked"))
    }

    /// A message needs an allowance, or the front of the queue does: states one for a chunk of messages from there on, which is good
    /// when it is committed. False: there is no room in the log now.
    pub(crate) fn extend_allowance<L: Log>(
        &mut self,
        index: DestinationIndex,
        from: Sequence,
        step: &mut Step<'_, L>,
    ) -> bool {
        let chunk = self.config.allowance_chunk;
        let queue = self.destinations.get_mut(index).queue();
        if queue.allowance.is_pending() {
            return true;
        }
        if !step.log.reserve(Purpose::Settle, Bound { records: 2, bytes: 12 }) {
            return false;
        }
        self.destinations.get_mut(index).queue().allowance.fit(self.config.allowance_doublings);
        let is_left = self.destinations.get(index).is_left();
        let queue = self.destinations.get_mut(index).queue();
        let up_to = match is_left {
            true => queue.allowance.up_to_dispatched(),
            false => queue.end_of_allowance(from, chunk, &self.messages),
        };
        self.write_allowance(index, up_to, step);
        true
    }

    /// Many messages wait under an allowance without end: it is drawn in, at the end of the turn; or damage may have taken it, and it
    /// is stated anew.
    pub(crate) fn watch_allowance(&mut self, index: DestinationIndex) {
        let chunk = self.config.allowance_chunk;
        if self.destinations.get_mut(index).queue().is_allowance_to_be_listed(chunk) {
            self.durable.allowances_without_end.push(index);
        }
    }

    /// The consumer of a subscription has left: what comes while it is away goes to nobody, and is not to count as delivered.
    pub(crate) fn draw_in_left(&mut self, index: DestinationIndex) {
        if self.destinations.get_mut(index).queue().allowance.is_to_be_drawn_in() {
            self.durable.allowances_without_end.push(index);
        }
    }

    /// Draws allowances in.
    pub(crate) fn draw_in_allowances<L: Log>(&mut self, step: &mut Step<'_, L>) {
        for index in std::mem::take(&mut self.durable.allowances_without_end) {
            if self
                .destinations
                .try_get(index)
                .is_none_or(|state| state.is_dying() || state.destination.kind.is_topic())
            {
                continue;
            }
            let allowance = &mut self.destinations.get_mut(index).queue().allowance;
            allowance.unlist();
            if allowance.is_pending() || !self.extend_allowance(index, Sequence(0), step) {
                self.watch_allowance(index);
            }
        }
    }

    /// Writes an allowance, or, in reclaim, the stated one once more.
    fn write_allowance<L: Log>(&mut self, index: DestinationIndex, up_to: Sequence, step: &mut Step<'_, L>) {
        let chunk = self.config.allowance_chunk;
        let position = self.stage_allowance(index, up_to, step);
        self.destinations.get_mut(index).queue().allowance.state(up_to, position, chunk);
    }

    /// Reclaim: the allowance moves to the end.
    pub(crate) fn move_allowance<L: Log>(&mut self, index: DestinationIndex, step: &mut Step<'_, L>) {
        let stated = self.destinations.get_mut(index).queue().allowance.stated();
        self.stage_allowance(index, stated, step);
    }

    fn stage_allowance<L: Log>(
        &mut self,
        index: DestinationIndex,
        up_to: Sequence,
        step: &mut Step<'_, L>,
    ) -> Position {
        self.flush_acknowledged(step);
        let id = self.destinations.get(index).id.expect("only stored queues have allowances");
        let mut meta = std::mem::take(&mut self.durable.meta);
        records::write_allow(&mut meta, id, up_to);
        let home = self.stage(LogKind::Journal, &small(kind::ALLOW, &meta), step);
        self.place_allowance(index, ItemHome::new(home, meta.len()));
        self.durable.meta = meta;
        home.position
    }

    fn place_allowance(&mut self, index: DestinationIndex, home: ItemHome) {
        self.journal.place(home, Item::Allowance(index));
        if let Some(old) = self.destinations.get_mut(index).queue().allowance.home.replace(home) {
            self.journal.clear(old);
        }
    }

    /// The record of an allowance is not needed any more.
    pub(crate) fn forget_allowance(&mut self, index: DestinationIndex) {
        if let Content::Queue(queue) = &mut self.destinations.get_mut(index).content
            && let Some(home) = queue.allowance.home.take()
        {
            self.journal.clear(home);
        }
    }

    pub(crate) fn apply_allowance(&mut self, index: DestinationIndex, up_to: Sequence, home: ItemHome) {
        self.place_allowance(index, home);
        self.destinations.get_mut(index).queue().allowance.follow(up_to);
    }
}
