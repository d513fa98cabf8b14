//! Browsers: each sees once, and in order, what its queues hold from its beginning to its end, and takes nothing.

use std::collections::BTreeSet;

use super::{Address, Delivery, Ledger, MOVED, MessageId, Send, dead_letters};

/// What one browser has seen, and has to see.
pub struct Browse {
    /// Stored for sure when it was opened.
    expected: BTreeSet<(MessageId, Address)>,
    shown: BTreeSet<(MessageId, Address)>,
    /// The queues that it has come to, as the broker calls them, each with the last sequence that it has seen there.
    queues: Vec<(Address, u64)>,
}

impl Browse {
    /// Another message of a queue: behind those that it has seen there, and no queue but the last is looked at.
    fn goes_on(&mut self, queue: &Address, sequence: u64) {
        let known = self.queues.iter().position(|(known, _)| known == queue);
        let Some(known) = known else { return self.queues.push((queue.clone(), sequence)) };
        assert_eq!(known + 1, self.queues.len(), "a browser comes back to {queue:?}: {:?}", self.queues);
        let last = std::mem::replace(&mut self.queues[known].1, sequence);
        assert!(last < sequence, "order of {queue:?} for a browser: sequence {sequence} comes after {last}");
    }
}

impl Ledger {
    /// A browser is about to be opened.
    pub fn browse(&self, address: &Address, wants: impl Fn(MessageId) -> bool) -> Browse {
        let certain = self.messages.iter().filter(|(id, message)| message.send == Send::Certain && wants(**id));
        let queues = certain.flat_map(|(id, message)| message.parts.iter().map(|part| (*id, part.stays_at())));
        let expected = queues.filter_map(|(id, queue)| Some((id, queue?))).filter(|(_, queue)| address.takes(queue));
        Browse { expected: expected.collect(), shown: BTreeSet::new(), queues: Vec::new() }
    }

    /// A browser sees a message; `since`: the [`Ledger::moment`] at which it let the broker send one more.
    pub fn shown(&mut self, browse: &mut Browse, delivery: &Delivery<'_>, since: u64) -> MessageId {
        self.counts.shown += 1;
        browse.goes_on(delivery.wire, delivery.sequence);
        if delivery.wire.name.starts_with(MOVED) {
            return 0;
        }
        let id = self.recognize(delivery);
        let what = (id, delivery.address.clone());
        if let Some(known) = self.sequences.get(&delivery.sequence) {
            assert_eq!(*known, what, "R9: sequence {} is used twice", delivery.sequence);
        }
        let revived = self.is_revived(id, delivery);
        let message = self.messages.get_mut(&id).expect("a message that was sent");
        let stored_twice = revived || (message.repeated && self.rotten.has_forgotten(message.producer, message.number));
        let part = message.parts.iter().find(|part| part.is_at(delivery.address));
        let part = part.unwrap_or_else(|| panic!("message {id} at {:?}, where it was not sent", delivery.address));
        if !stored_twice {
            part.check_shown(id, delivery.address, since);
        }
        if message.persistent {
            // It is shown when it is committed (R14).
            message.send = Send::Certain;
        }
        let first = browse.shown.insert(what);
        assert!(first || stored_twice, "message {id} of {:?} is shown twice to a browser", delivery.address);
        id
    }

    /// A browser hears that there is no more: has it seen all that stayed?
    pub fn browsed(&self, browse: &Browse) {
        let stays = |(id, queue): &&(MessageId, Address)| {
            let message = &self.messages[id];
            let stays = |part: &super::Part| part.stays_at().as_ref() == Some(queue);
            let lost = self.rotten.has_taken(*id) || self.rotten.has_renamed(queue);
            !lost && message.send == Send::Certain && message.parts.iter().any(stays)
        };
        let missed: Vec<_> = browse.expected.difference(&browse.shown).filter(stays).collect();
        assert!(
            missed.is_empty(),
            "R13: a browser hears of the end, and has not seen {} messages that stayed there: {:?}",
            missed.len(),
            &missed[..missed.len().min(5)]
        );
    }

    /// What is back for want of a record of its end; it may have expired at once, and is a dead letter with a sequence of its own.
    pub(super) fn is_revived(&self, id: MessageId, delivery: &Delivery<'_>) -> bool {
        self.rotten.has_revived(delivery.sequence)
            || (*delivery.address == dead_letters()
                && (self.rotten.has_lost_dead_letter(id) || self.revived().any(|revived| revived == id)))
    }
}
