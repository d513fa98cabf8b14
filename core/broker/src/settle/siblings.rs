//! Dead letters out of queues that are deleted. The log knows nothing of such a place any more, so the dead letter's record cannot tell
//! the message's other places of it, as it does elsewhere (R34): their own record is written anew before, and says that there is a copy.

use crate::broker::Broker;
use crate::durable::damage::Wait;
use crate::log::{Log, LogKind};
use crate::messages::{MessageIndex, flag};
use crate::plant::planted;
use crate::records::message_bytes;
use crate::step::Step;
use postrider_journal::{Bound, Lookup, Purpose};

impl Broker {
    /// Sees to it that the other places know of a dead letter before it is there.
    pub(crate) fn tell_siblings<L: Log>(&mut self, index: MessageIndex, step: &mut Step<'_, L>) -> Result<(), Wait> {
        let message = self.messages.at(index);
        let (sequence, length) = (message.sequence, message.length);
        if message.store != LogKind::Journal || !self.destinations.get(message.destination).is_dying() {
            return Ok(());
        }
        let untold = self.untold_siblings(index);
        if !untold || planted("siblings-untold") {
            return Ok(());
        }
        let places = self.live_places(self.head_of(index)) + 1;
        if !step.log.reserve(Purpose::Settle, Bound { records: 3, bytes: message_bytes(places) + u64::from(length) }) {
            return Err(Wait::Room);
        }
        self.settlements.untold.push((index, sequence));
        Err(Wait::TurnEnd)
    }

    /// Whether one of a message's other places that counts does not know of a dead letter.
    fn untold_siblings(&self, index: MessageIndex) -> bool {
        let mut untold = false;
        let mut other = self.head_of(index);
        while other != MessageIndex::NONE {
            let place = self.messages.at(other);
            let counts = other != index && !self.destinations.get(place.destination).is_dying();
            untold |= counts && !place.has(flag::COPIED);
            other = place.sibling;
        }
        untold
    }

    /// The end of a turn: the records that are to be written anew are, for which there is room. Their bytes cannot be read before.
    pub(crate) fn restate_untold<L: Log>(&mut self, step: &mut Step<'_, L>) {
        // A decision may have buried other places of them.
        if self.is_applying() {
            return;
        }
        for (index, sequence) in std::mem::take(&mut self.settlements.untold) {
            let Some(message) = self.messages.get(index).filter(|message| message.sequence == sequence) else {
                continue;
            };
            let (position, length) = (message.position, message.length);
            if !self.untold_siblings(index) {
                continue;
            }
            let found = step.log.extent(LogKind::Journal, position, length, message.crc);
            // What has gone cold meanwhile is asked for when its dead letter is tried again.
            let (Lookup::Memory(extent) | Lookup::Checked(extent)) = found else { continue };
            let head = self.head_of(index);
            let mut other = head;
            while other != MessageIndex::NONE {
                let place = self.messages.at_mut(other);
                place.flags |= if other == index { 0 } else { flag::COPIED };
                other = place.sibling;
            }
            self.restate_message(head, extent.bytes(position, length as usize), step);
        }
    }
}
