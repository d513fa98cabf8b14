//! Messages whose bytes are not what they were: nobody gets them. What is left is kept aside before anything else happens (R5).

use crate::broker::Broker;
use crate::durable::store::message_home;
use crate::log::{Log, LogKind};
use crate::messages::{DestinationIndex, MessageIndex, NOWHERE, flag};
use crate::plant::planted;
use crate::records::items::Item;
use crate::records::{Placement, acknowledgement_bound, kind, read_message};
use crate::step::Step;
use postrider_journal::{Damage, Kept, Purpose, Record, Remains};
use postrider_model::record::Tag;
use postrider_model::{Destination, DestinationKind, MessageView, Sequence};

/// What becomes of a message has to wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// For room in the log.
    Room,
    /// For bytes from a disk.
    Bytes,
    /// For the turn's end, when what it has staged can be read.
    TurnEnd,
}

/// Bytes of a record's header in the log: they come before its body.
const HEADER_BYTES: usize = 20;

impl Broker {
    /// Makes sure that what is left of a damaged message is kept aside, and that there is room to acknowledge it.
    pub(crate) fn set_aside<L: Log>(&mut self, index: MessageIndex, step: &mut Step<'_, L>) -> Result<(), Wait> {
        if self.messages.at(index).store == LogKind::Journal
            && !step.log.reserve(Purpose::Settle, acknowledgement_bound(1))
        {
            return Err(Wait::Room);
        }
        self.keep_remains(index, step)
    }

    fn keep_remains<L: Log>(&mut self, index: MessageIndex, step: &mut Step<'_, L>) -> Result<(), Wait> {
        let message = self.messages.at(index);
        let (store, position, length, sequence) = (message.store, message.position, message.length, message.sequence);
        if position == NOWHERE {
            return Ok(());
        }
        match step.log.kept(sequence) {
            Kept::Yes => {
                self.statistics.damaged += 1;
                self.messages.at_mut(index).position = NOWHERE;
                Ok(())
            }
            Kept::UnderWay => Err(Wait::Bytes),
            Kept::No => {
                let remains = step.log.remains(store, position, length);
                let about = self.about(index, &remains);
                let bytes = aside_bytes(&about, (sequence, position.0, message_crc(self, index)), &remains);
                step.log.keep_aside(sequence, about, bytes);
                Err(Wait::Bytes)
            }
        }
    }

    /// A damaged message that waits in its queue goes. False: it has to wait longer.
    pub(crate) fn discard_waiting<L: Log>(
        &mut self,
        (of, message): (DestinationIndex, MessageIndex),
        was_returned: bool,
        step: &mut Step<'_, L>,
    ) -> bool {
        if self.set_aside(message, step).is_err() {
            self.destinations.await_commit(of);
            self.destinations.await_bytes(of);
            return false;
        }
        self.destinations.get_mut(of).queue().take(message, was_returned, &self.messages);
        self.consume(of, message, step);
        true
    }

    /// The places of a damaged record leave the journal, so that it does not hold its segment. What waits in a queue goes; what a
    /// consumer has, or a job works on, stands for itself until that is done with it: it moves, and has the room of what moves. False: it
    /// has to wait.
    pub(crate) fn leave_damaged<L: Log>(&mut self, head: MessageIndex, step: &mut Step<'_, L>) -> bool {
        if self.messages.at(head).has(flag::STAGED) {
            self.lose_damaged(head, step);
            return true;
        }
        let mut index = head;
        while index != MessageIndex::NONE {
            let next = self.messages.at(index).sibling;
            if !step.log.reserve(Purpose::Move, acknowledgement_bound(1)) || self.keep_remains(index, step).is_err() {
                return false;
            }
            let of = self.messages.at(index).destination;
            if self.messages.at(index).has(flag::SHARED) {
                if !self.leave_shared_damaged(index, step) {
                    return false;
                }
            } else if self.leave_queue(of, index) {
                self.consume(of, index, step);
            } else if !planted("damaged-pins") {
                self.stand_alone(index, step);
            }
            index = next;
        }
        true
    }

    /// The same of a message that subscriptions share.
    fn leave_shared_damaged<L: Log>(&mut self, index: MessageIndex, step: &mut Step<'_, L>) -> bool {
        let mut is_gone = false;
        for of in self.sharers(index) {
            if !step.log.reserve(Purpose::Move, acknowledgement_bound(1)) {
                return false;
            }
            if self.leave_queue(of, index) {
                is_gone = self.messages.at(index).places() == 1;
                self.consume(of, index, step);
            } else {
                self.note_acknowledged(of, index);
            }
        }
        if !is_gone {
            self.stand_in_spool(index, step);
        }
        true
    }

    /// Takes a message that waits out of its queue, if it does.
    fn leave_queue(&mut self, of: DestinationIndex, index: MessageIndex) -> bool {
        let message = self.messages.at(index);
        let (sequence, expiration) = (message.sequence, message.expiration);
        let queue = self.destinations.get_mut(of).queue();
        queue.leave_ready(sequence, index, &self.messages)
            || (!planted("damaged-pins") && queue.leave_returned(sequence, index, expiration))
    }

    /// A message whose record is gone gets a home without bytes, for as long as somebody has it.
    fn stand_alone<L: Log>(&mut self, index: MessageIndex, step: &mut Step<'_, L>) {
        self.note_acknowledged(self.messages.at(index).destination, index);
        self.stand_in_spool(index, step);
    }

    fn stand_in_spool<L: Log>(&mut self, index: MessageIndex, step: &mut Step<'_, L>) {
        self.leave_home(index);
        let sequence = self.messages.at(index).sequence.0;
        let record = Record { kind: kind::MESSAGE, flags: 0, sequence, meta: &[], body: &[], body_crc: 0 };
        let home = self.stage(LogKind::Spool, &record, step);
        let message = self.messages.at_mut(index);
        message.store = LogKind::Spool;
        message.position = NOWHERE;
        message.segment = home.segment;
        message.ordinal = home.ordinal;
        message.length = 0;
        message.sibling = MessageIndex::NONE;
        let home = message_home(message);
        self.spool.place(home, Item::Message(index));
    }

    /// One line that says which message it is, as far as that can be read.
    fn about(&self, index: MessageIndex, remains: &Remains) -> String {
        let message = self.messages.at(index);
        let destination = told(&self.destinations.get(message.destination).destination);
        let log = if message.store == LogKind::Journal { "journal" } else { "spool" };
        format!(
            "message {} of {destination}, sequence {}, at position {} of the {log}, in {} at {}",
            message_id(remains.bytes.get(HEADER_BYTES..).filter(|_| remains.is_its_own).unwrap_or_default()),
            message.sequence,
            message.position,
            remains.file,
            remains.offset,
        )
    }

    /// Which message a start lost with a record, as far as that can be read of its remains: id and destinations. To be asked when all
    /// records are recovered.
    #[must_use]
    pub fn lost(&self, damage: &Damage) -> Option<String> {
        let view = MessageView::of_remains(&damage.head);
        let mut placements = Vec::new();
        let sequence = Sequence(damage.sequence.unwrap_or_default());
        let is_message = damage.record.is_none_or(|record| record == kind::MESSAGE);
        let placed = is_message && read_message(&damage.meta, sequence, &mut placements).is_ok();
        if view.is_none() && !placed {
            return None;
        }
        let known = |placement: &Placement| self.destinations.by_id(placement.destination);
        let mut destinations: Vec<String> = placements
            .iter()
            .filter(|_| placed)
            .filter_map(|placement| Some(told(&self.destinations.get(known(placement)?).destination)))
            .take(MOST_DESTINATIONS)
            .collect();
        if destinations.is_empty() {
            let said = view.as_ref().and_then(|view| view.destination_field(Tag::Destination));
            destinations.extend(said.map(|(kind, name)| told(&Destination::new(kind, name))));
        }
        let destinations =
            if destinations.is_empty() { "a destination that cannot be read".into() } else { destinations.join(", ") };
        Some(format!("message {} of {destinations}", message_id(&damage.head)))
    }
}

/// Destinations of one message that a line of the log names.
const MOST_DESTINATIONS: usize = 8;

fn told(Destination { kind, name }: &Destination) -> String {
    let scheme = match kind {
        DestinationKind::Queue => "queue",
        DestinationKind::Topic => "topic",
        DestinationKind::TemporaryQueue => "temp-queue",
        DestinationKind::TemporaryTopic => "temp-topic",
    };
    format!("{scheme}://{}", String::from_utf8_lossy(name).escape_debug())
}

fn message_crc(broker: &Broker, index: MessageIndex) -> u32 {
    broker.messages.at(index).crc
}

/// A readable head, an empty line, and the bytes as they were found.
fn aside_bytes(about: &str, (sequence, position, crc): (Sequence, u64, u32), remains: &Remains) -> Vec<u8> {
    let found = postrider_journal::body_crc(remains.bytes.get(HEADER_BYTES..).unwrap_or_default());
    let head = format!(
        "damaged: {about}\nsequence: {sequence}\nposition: {position}\nfile: {}\noffset: {}\n\
         checksum: {crc:08x}, found {found:08x}\nbytes: {}, the record's header of {HEADER_BYTES} and the record\n\n",
        remains.file,
        remains.offset,
        remains.bytes.len(),
    );
    [head.as_bytes(), &remains.bytes].concat()
}

/// The message's id as clients see it. Its bytes may be the damaged ones.
fn message_id(record: &[u8]) -> String {
    let view = MessageView::of_remains(record);
    if let Some(text) = view.as_ref().and_then(|view| view.field(Tag::TextView)) {
        return String::from_utf8_lossy(text).escape_debug().to_string();
    }
    let Some((view, connection)) = view.and_then(|view| Some((view, view.field(Tag::ProducerConnection)?))) else {
        return "whose id cannot be read".to_owned();
    };
    let header = view.header();
    format!(
        "{}:{}:{}:{}",
        String::from_utf8_lossy(connection).escape_debug(),
        header.producer_session,
        header.producer_value,
        header.producer_sequence
    )
}
