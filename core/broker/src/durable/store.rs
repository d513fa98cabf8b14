//! Messages in the log: how they come into it, move in it and leave it, as they are written and as they are followed (R12).
#![expect(clippy::expect_used, reason = "what is stored has its numbers")]

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::destinations::filter::Facts;
use crate::durable::staging::small;
use crate::log::{Log, LogKind};
use crate::messages::{DestinationIndex, Message, MessageIndex, NOWHERE, flag};
use crate::plant::planted;
use crate::records::items::{Item, ItemHome, Segments};
use crate::records::{self, Instead, META_BYTES, MessageMeta, Placement, kind};
use crate::step::Step;
use postrider_journal::Home;
use postrider_model::{DestinationId, Sequence};

/// A record that is to be stored, or is being followed.
#[derive(Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub record: &'a [u8],
    pub crc: u32,
    pub expiration: i64,
    pub publisher: u32,
    /// The places are not what the record names.
    pub elsewhere: bool,
    /// First of the run of stored sends that this one ends (R17).
    pub run_from: Option<i64>,
    /// The place that it takes (R34).
    pub instead: Option<Instead>,
}

/// What was acknowledged since the last record that said so.
#[derive(Default)]
pub(crate) struct Acknowledged {
    destinations: Vec<DestinationIndex>,
    /// Messages whose records name another destination than the one that held them.
    strays: Vec<(DestinationId, u64)>,
    /// A buffer that is used again.
    bytes: Vec<u8>,
    /// Planted bugs: this turn writes nothing of it; the newest message that was acknowledged.
    is_held_back: bool,
    #[cfg(feature = "plant")]
    newest: Option<Message>,
}

impl Acknowledged {
    fn is_empty(&self) -> bool {
        self.destinations.is_empty() && self.strays.is_empty()
    }

    /// The turn ends, and what it has acknowledged is to be written.
    pub(crate) fn end_turn(&mut self) {
        self.is_held_back = planted("ack-after-other-record") && !self.is_held_back;
    }
}

impl Broker {
    pub(crate) fn segments(&mut self, store: LogKind) -> &mut Segments {
        match store {
            LogKind::Journal => &mut self.journal,
            LogKind::Spool => &mut self.spool,
        }
    }

    /// Writes one record for these places, and puts the message there. Where it is offered its own record says that it may have been
    /// delivered (R15): nobody waits for an allowance.
    pub(crate) fn store<L: Log>(
        &mut self,
        store: LogKind,
        parts: &[DestinationIndex],
        arrival: Arrival<'_>,
        offered: impl Fn(&Broker, DestinationIndex) -> bool,
        step: &mut Step<'_, L>,
    ) -> Home {
        let first = self.sequences.take(parts.len() as u64);
        let mut placements = std::mem::take(&mut self.durable.placements);
        placements.clear();
        for (number, part) in parts.iter().enumerate() {
            let state = self.destinations.get(*part);
            let destination = state.id.unwrap_or_default();
            if matches!(&state.content, Content::Queue(queue) if queue.has_views()) {
                self.try_arrival(*part, &arrival);
            }
            let offered = store == LogKind::Journal && offered(self, *part);
            let sequence = Sequence(first.0 + number as u64);
            placements.push(Placement { destination, sequence, offered, ..Placement::default() });
        }
        let home = self.store_placed(store, parts, &placements, arrival, step);
        self.durable.placements = placements;
        home
    }

    /// As [`Broker::store`], where it is known what each place says.
    #[inline(always)]
    pub(super) fn store_placed<L: Log>(
        &mut self,
        store: LogKind,
        parts: &[DestinationIndex],
        placements: &[Placement],
        arrival: Arrival<'_>,
        step: &mut Step<'_, L>,
    ) -> Home {
        let Arrival { record, crc, elsewhere, run_from, instead, .. } = arrival;
        let about = MessageMeta { elsewhere, run_from, instead, tag: None };
        let home = self.stage_message(store, about, placements, (record, crc), step);
        self.apply_message(store, home, arrival, parts, placements);
        home
    }

    /// Consumers of a queue that want only some messages are asked about one that is to come.
    #[cold]
    pub(super) fn try_arrival(&mut self, part: DestinationIndex, arrival: &Arrival<'_>) {
        if let Content::Queue(queue) = &mut self.destinations.get_mut(part).content
            && queue.has_views()
        {
            let facts = Facts { publisher: arrival.publisher, redeliveries: 0 };
            let (asked, steps) = queue.try_arrival(arrival.record, facts, self.work.left());
            self.work.spend(steps);
            self.statistics.evaluations += asked;
        }
    }

    /// A message record takes effect; the same when it is written and when it is followed.
    pub(crate) fn apply_message(
        &mut self,
        store: LogKind,
        home: Home,
        arrival: Arrival<'_>,
        parts: &[DestinationIndex],
        placements: &[Placement],
    ) {
        match (parts, placements) {
            ([part], [placement]) if !placement.shared => {
                let index = self.place_alone((store, home), arrival, (*part, placement));
                return self.enqueue(*part, index);
            }
            ([topic, part], [of_topic, placement]) if is_sharer(placements, 1) => {
                return self.apply_to_one_sharer((store, home), arrival, (*topic, of_topic), (*part, placement));
            }
            _ => {}
        }
        let mut index = self.place_message(store, home, arrival, parts, placements, 0);
        while index != MessageIndex::NONE {
            let message = self.messages.at(index);
            let (next, destination) = (message.sibling, message.destination);
            if message.has(flag::SHARED) {
                self.enqueue_shared(index, parts, placements);
            } else {
                self.enqueue(destination, index);
            }
            index = next;
        }
    }

    /// Its places come into the table, with these bits, and into none of the destinations. The first of them.
    #[inline(always)]
    pub(super) fn place_message(
        &mut self,
        store: LogKind,
        home: Home,
        arrival: Arrival<'_>,
        parts: &[DestinationIndex],
        placements: &[Placement],
        bits: u8,
    ) -> MessageIndex {
        let (mut sibling, mut item) = (MessageIndex::NONE, None);
        let (mut sharers, mut places) = (0, 0);
        for (number, (part, placement)) in parts.iter().zip(placements).enumerate().rev() {
            if placement.shared && is_sharer(placements, number) {
                sharers += 1;
                continue;
            }
            let mut publisher = arrival.publisher;
            if placement.shared && bits & flag::STAGED == 0 {
                publisher = sharers;
                self.destinations.get_mut(*part).topic().shared += 1;
            }
            places += if placement.shared && bits & flag::STAGED == 0 { u64::from(sharers) } else { 1 };
            sharers = 0;
            let arrival = Arrival { publisher, ..arrival };
            let message = self.placed((store, home), arrival, (*part, placement), sibling, bits);
            item = Some(message_home(&message));
            sibling = self.messages.insert(message);
        }
        if let Some(item) = item {
            self.segments(store).place(item, Item::Message(sibling));
        }
        if places > 1 && store == LogKind::Journal {
            self.journal.add_places(home.segment, places - 1);
        }
        sibling
    }

    /// The one place of a message comes into the table.
    #[inline(always)]
    pub(super) fn place_alone(
        &mut self,
        (store, home): (LogKind, Home),
        arrival: Arrival<'_>,
        at: (DestinationIndex, &Placement),
    ) -> MessageIndex {
        let message = self.placed((store, home), arrival, at, MessageIndex::NONE, 0);
        let item = message_home(&message);
        let index = self.messages.insert(message);
        self.segments(store).place(item, Item::Message(index));
        index
    }

    /// A message at one of its places, before another one, with these bits.
    #[inline(always)]
    fn placed(
        &self,
        (store, home): (LogKind, Home),
        arrival: Arrival<'_>,
        (part, placement): (DestinationIndex, &Placement),
        sibling: MessageIndex,
        bits: u8,
    ) -> Message {
        let bit = |set: bool, bit: u8| if set { bit } else { 0 };
        let is_told = planted("apply-reads-configuration") && !self.config.dead_letter_expired;
        Message {
            sequence: placement.sequence,
            position: home.position,
            expiration: if is_told { 0 } else { arrival.expiration },
            segment: home.segment,
            ordinal: home.ordinal,
            length: home.len,
            crc: arrival.crc,
            destination: part,
            sibling,
            publisher: arrival.publisher,
            redeliveries: placement.redeliveries,
            flags: bits
                | bit(placement.shared, flag::SHARED)
                | bit(placement.offered, flag::OFFERED)
                | bit(placement.copied, flag::COPIED)
                | bit(arrival.elsewhere, flag::ELSEWHERE),
            store,
            #[cfg(feature = "plant")]
            stated: placement.redeliveries,
        }
    }

    /// Puts a message at the end of a destination, its own or a subscription that shares it, behind decisions that take effect there.
    #[inline(always)]
    pub(super) fn enqueue(&mut self, of: DestinationIndex, index: MessageIndex) {
        if self.is_applying() && !planted("commit-overtaken") && self.waits_behind_decision(of, index) {
            return;
        }
        self.enter_queue(of, index);
    }

    /// Puts a message at the end of a destination.
    #[inline(always)]
    pub(super) fn enter_queue(&mut self, of: DestinationIndex, index: MessageIndex) {
        let store = self.messages.at(index).store;
        match &mut self.destinations.get_mut(of).content {
            Content::Topic(topic) => topic.push(index),
            Content::Queue(queue) => {
                queue.add(index, &self.messages);
                if self.following.is_some() {
                    return;
                }
                if store == LogKind::Journal {
                    self.watch_allowance(of);
                }
            }
        }
        self.destinations.line_up(of);
    }

    /// A message is done with, durably if it was durable.
    pub(crate) fn consume<L: Log>(&mut self, of: DestinationIndex, index: MessageIndex, step: &mut Step<'_, L>) {
        self.statistics.acknowledged += 1;
        self.note_acknowledged(of, index);
        self.settle(of, index, step);
    }

    /// It is written at the turn's end that a message is done with, if it was durable.
    pub(crate) fn note_acknowledged(&mut self, of: DestinationIndex, index: MessageIndex) {
        let message = self.messages.at(index);
        let (destination, sequence, store) = (of, message.sequence, message.store);
        if message.has(flag::STRAY) {
            let id = self.recorded_id(of, message).filter(|_| store == LogKind::Journal);
            return self.acknowledged.strays.extend(id.map(|id| (id, sequence.0)));
        }
        let state = self.destinations.get_mut(destination);
        // Of a destination that is deleted the record of the deletion has said it all.
        let is_unsaid = planted("ack-without-record") && sequence.0.is_multiple_of(8);
        if store == LogKind::Journal && !state.is_dying() && !is_unsaid && state.note_acknowledged(sequence) {
            self.acknowledged.destinations.push(destination);
        }
    }

    /// Writes what was acknowledged: before any record but a message, and at the turn's end (R11).
    #[allow(clippy::cast_possible_truncation, reason = "constants of a few bytes")]
    pub(crate) fn flush_acknowledged<L: Log>(&mut self, step: &mut Step<'_, L>) {
        if self.acknowledged.is_empty() || self.acknowledged.is_held_back {
            return;
        }
        let mut destinations = std::mem::take(&mut self.acknowledged.destinations);
        let mut bytes = std::mem::take(&mut self.acknowledged.bytes);
        bytes.clear();
        for index in destinations.drain(..) {
            let state = self.destinations.get_mut(index);
            let sequences = state.take_acknowledged();
            let id = state.id.expect("only stored destinations are acknowledged durably");
            for run in sequences.chunks(2_000) {
                if bytes.len() + run.len() * records::ACKNOWLEDGED_BYTES as usize + records::RUN_BYTES as usize
                    > META_BYTES
                {
                    self.stage(LogKind::Journal, &small(kind::ACKNOWLEDGE, &bytes), step);
                    bytes.clear();
                }
                records::write_acknowledged(&mut bytes, id, run);
            }
            self.destinations.get_mut(index).acknowledged_written(sequences);
        }
        for (id, sequence) in std::mem::take(&mut self.acknowledged.strays) {
            if bytes.len() + (records::ACKNOWLEDGED_BYTES + records::RUN_BYTES) as usize > META_BYTES {
                self.stage(LogKind::Journal, &small(kind::ACKNOWLEDGE, &bytes), step);
                bytes.clear();
            }
            records::write_acknowledged(&mut bytes, id, &[sequence]);
        }
        self.stage(LogKind::Journal, &small(kind::ACKNOWLEDGE, &bytes), step);
        self.acknowledged.bytes = bytes;
        self.acknowledged.destinations = destinations;
    }

    /// Takes a message out of the table; its record dies with its last place.
    pub(crate) fn settle<L: Log>(&mut self, of: DestinationIndex, index: MessageIndex, step: &mut Step<'_, L>) {
        let (store, segment) = (self.messages.at(index).store, self.messages.at(index).segment);
        if self.remove_place(of, index) && store == LogKind::Spool {
            self.release_spool(segment, step);
        }
    }

    /// The part of [`Broker::settle`] that following the log shares. True: its segment holds no message any more.
    #[inline(always)]
    pub(crate) fn remove_place(&mut self, of: DestinationIndex, index: MessageIndex) -> bool {
        if self.messages.at(index).has(flag::SHARED) { self.end_share(of, index) } else { self.remove_message(index) }
    }

    /// A message that is not shared goes. True: its segment holds no message any more.
    pub(crate) fn remove_message(&mut self, index: MessageIndex) -> bool {
        let message = self.messages.remove(index);
        #[cfg(feature = "plant")]
        {
            self.acknowledged.newest =
                (message.store == LogKind::Journal).then(|| message.clone()).or(self.acknowledged.newest.take());
        }
        if let Content::Queue(queue) = &mut self.destinations.get_mut(message.destination).content {
            queue.gone(index);
        }
        if message.has(flag::STRAY) {
            self.strays.remove(&message);
        }
        self.leave_record(index, &message)
    }

    /// A place is over, as a dead letter takes it; the message's other places know of that. The same when it is followed. True: its
    /// segment holds no message any more.
    pub(crate) fn apply_instead(&mut self, of: DestinationIndex, index: MessageIndex) -> bool {
        let mut other = self.head_of(index);
        while other != MessageIndex::NONE {
            let Some(place) = self.messages.get_mut(other) else { break };
            place.flags |= flag::COPIED;
            other = place.sibling;
        }
        self.remove_place(of, index)
    }

    /// A message that goes on living leaves its record to the other places of it.
    pub(crate) fn leave_home(&mut self, index: MessageIndex) {
        let message = self.messages.at(index).clone();
        if message.places() > 1 && message.store == LogKind::Journal {
            self.journal.remove_places(message.segment, message.places() - 1);
        }
        self.leave_record(index, &message);
    }

    /// One place of a record is no more. True: its segment holds no message any more.
    #[inline(always)]
    pub(super) fn leave_record(&mut self, index: MessageIndex, message: &Message) -> bool {
        let head = self.head_at(message);
        let is_last = head == index && message.sibling == MessageIndex::NONE;
        if !is_last && message.store == LogKind::Journal {
            self.journal.remove_places(message.segment, 1);
        }
        if head != index {
            self.unlink(head, index, message.sibling);
            return false;
        }
        if message.sibling != MessageIndex::NONE {
            let (segment, ordinal) = (message.segment, message.ordinal);
            self.segments(message.store).replace(segment, ordinal, Item::Message(message.sibling));
            return false;
        }
        self.segments(message.store).clear(message_home(message))
    }

    /// All entries of a record follow it to its new home.
    pub(crate) fn rehome_message(&mut self, head: MessageIndex, home: Home) {
        let old = message_home(self.messages.at(head));
        let store = self.messages.at(head).store;
        self.segments(store).clear(old);
        let (mut index, mut places) = (head, 0);
        while index != MessageIndex::NONE {
            let message = self.messages.at_mut(index);
            places += message.places();
            if message.position != NOWHERE {
                message.position = home.position;
            }
            message.segment = home.segment;
            message.ordinal = home.ordinal;
            index = message.sibling;
        }
        let new = message_home(self.messages.at(head));
        self.segments(store).place(new, Item::Message(head));
        if places > 1 && store == LogKind::Journal {
            self.journal.remove_places(old.segment, places - 1);
            self.journal.add_places(new.segment, places - 1);
        }
    }

    /// A record is written anew, and says what there is to know of those of its places that are to be served.
    pub(crate) fn apply_move(&mut self, head: MessageIndex, placements: &[Placement], home: Home) {
        self.rehome_message(head, home);
        let (mut index, mut placements) = (head, placements.iter().peekable());
        while index != MessageIndex::NONE {
            let message = self.messages.at_mut(index);
            while placements.next_if(|placement| placement.sequence < message.sequence).is_some() {}
            if message.has(flag::SHARED) {
                let is_its_own = |placement: &&Placement| placement.sequence == message.sequence;
                let mut copied = false;
                while let Some(placement) = placements.next_if(is_its_own) {
                    copied |= placement.copied;
                    if let Some(of) = self.destinations.by_id(placement.destination)
                        && let Content::Queue(queue) = &mut self.destinations.get_mut(of).content
                    {
                        queue.set_deliveries(placement.sequence, placement.redeliveries);
                    }
                }
                message.flags |= if copied { flag::COPIED } else { 0 };
            } else if let Some(placement) = placements.next_if(|placement| placement.sequence == message.sequence) {
                if !planted("follow-forgets-counter") || self.following.is_none() {
                    message.redeliveries = placement.redeliveries;
                    #[cfg(feature = "plant")]
                    {
                        message.stated = placement.redeliveries;
                    }
                }
                message.flags |= if placement.offered { flag::OFFERED } else { 0 };
                message.flags |= if placement.copied { flag::COPIED } else { 0 };
            }
            index = message.sibling;
        }
    }

    /// A planted bug: a message that was acknowledged is written anew.
    #[cfg(feature = "plant")]
    pub(crate) fn restage_acknowledged<L: Log>(&mut self, step: &mut Step<'_, L>) {
        let Some(message) = self.acknowledged.newest.take().filter(|_| planted("dead-message-moved")) else { return };
        let Some(destination) = self.destinations.try_get(message.destination).and_then(|state| state.id) else {
            return;
        };
        let found = step.log.extent(LogKind::Journal, message.position, message.length, message.crc);
        let Some(extent) = found.extent() else { return };
        let bytes = 600 + u64::from(message.length);
        if message.position < step.log.committed()
            && step.log.reserve(postrider_journal::Purpose::Move, postrider_journal::Bound { records: 1, bytes })
        {
            let placement = Placement { destination, sequence: message.sequence, ..Placement::default() };
            let body = extent.bytes(message.position, message.length as usize);
            self.stage_message(LogKind::Journal, MessageMeta::default(), &[placement], (body, message.crc), step);
        }
    }

    /// Writes a message's record anew, with the places of it that are still to be served. There is room for it.
    /// Bytes that have moved; 0: nobody is to be served any more.
    pub(crate) fn restate<L: Log>(&mut self, head: MessageIndex, body: &[u8], step: &mut Step<'_, L>) -> u64 {
        let mut moved = 0;
        self.flush_acknowledged(step);
        let mut placements = std::mem::take(&mut self.durable.placements);
        self.live_placements(head, &mut placements);
        if !placements.is_empty() {
            let message = self.messages.at(head);
            let (elsewhere, length, crc) = (message.has(flag::ELSEWHERE), message.length, message.crc);
            let about = MessageMeta { elsewhere, tag: self.tag_of_message(message), ..MessageMeta::default() };
            let home = self.stage_message(LogKind::Journal, about, &placements, (body, crc), step);
            self.apply_move(head, &placements, home);
            moved = records::live_bytes(length as usize, placements.len()) + 64;
        }
        self.durable.placements = placements;
        moved
    }

    /// How many places of a record are still to be served.
    pub(crate) fn live_places(&self, head: MessageIndex) -> u64 {
        let (mut index, mut places) = (head, 0);
        while index != MessageIndex::NONE {
            let message = self.messages.at(index);
            let state = self.destinations.get(message.destination);
            places += if message.has(flag::SHARED) {
                self.most_sharers(message) + 1
            } else {
                u64::from(state.id.is_some() && !state.is_dying())
            };
            index = message.sibling;
        }
        places
    }

    /// The places of a record that are still to be served.
    fn live_placements(&mut self, head: MessageIndex, placements: &mut Vec<Placement>) {
        placements.clear();
        let mut index = head;
        while index != MessageIndex::NONE {
            if self.messages.at(index).has(flag::SHARED) {
                self.shared_placements(index, placements);
                index = self.messages.at(index).sibling;
                continue;
            }
            let message = self.messages.at(index);
            let (of, state) = (message.destination, self.destinations.get(message.destination));
            if let Some(destination) = self.recorded_id(of, message).filter(|_| !state.is_dying()) {
                placements.push(Placement {
                    destination,
                    sequence: message.sequence,
                    offered: message.has(flag::OFFERED),
                    copied: message.has(flag::COPIED),
                    shared: false,
                    untried: false,
                    redeliveries: self.redeliveries(of, message),
                });
            }
            index = message.sibling;
        }
    }

    /// The first of the places of a message's record.
    pub(crate) fn head_of(&self, index: MessageIndex) -> MessageIndex {
        self.head_at(self.messages.at(index))
    }

    fn head_at(&self, message: &Message) -> MessageIndex {
        let segments = match message.store {
            LogKind::Journal => &self.journal,
            LogKind::Spool => &self.spool,
        };
        let table = segments.table(message.segment).expect("a message's segment is known");
        let Item::Message(head) = table.item(message.ordinal) else { unreachable!("a message's record is its home") };
        head
    }

    fn unlink(&mut self, head: MessageIndex, gone: MessageIndex, next: MessageIndex) {
        let mut before = head;
        while self.messages.at(before).sibling != gone {
            before = self.messages.at(before).sibling;
        }
        self.messages.at_mut(before).sibling = next;
    }
}

/// Whether a place is a subscription's, of the topic before it.
pub(super) fn is_sharer(placements: &[Placement], number: usize) -> bool {
    let before = number.checked_sub(1).and_then(|before| placements.get(before));
    let same =
        |(before, place): (&Placement, &Placement)| before.shared && place.shared && before.sequence == place.sequence;
    before.zip(placements.get(number)).is_some_and(same)
}

/// The home of a message's record, for the counting of its bytes.
pub(crate) fn message_home(message: &Message) -> ItemHome {
    ItemHome { segment: message.segment, ordinal: message.ordinal, bytes: message.length }
}
