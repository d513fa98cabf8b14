//! The log takes effect: each of its records, by the same means as when it was written (R12). A start follows the journal that it finds,
//! and whoever follows another broker's log does it with what that has committed. What makes no sense is a value: it refuses the log, and
//! ends no process.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::destinations::subscription::Subscription;
use crate::durable::duplicates::MarkReference;
use crate::durable::naming::Naming;
use crate::durable::store::{Arrival, is_sharer};
use crate::log::LogKind;
use crate::messages::{DestinationIndex, MessageIndex, flag};
use crate::plant::planted;
use crate::records::items::ItemHome;
use crate::records::{self, Instead, MessageMeta, MetaError, Placement, kind};
use foldhash::fast::FixedState;
use postrider_journal::{FIRST_IGNORABLE_KIND, Generation, Home, Position, Record, SegmentNumber};
use postrider_model::record::{RecordError, Tag};
use postrider_model::{DestinationId, MessageView, Sequence};
use std::collections::VecDeque;
use std::fmt;

/// Messages of deleted queues that go with each record: more than come by it as a rule.
const EMPTIED_A_RECORD: usize = 4;

/// Why a journal's records cannot be taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecoverError {
    /// Written by a newer version.
    UnknownKind {
        /// The record's kind.
        kind: u8,
        /// The segment that holds it.
        segment: SegmentNumber,
        /// Where it is.
        position: Position,
    },
    /// It says what only a newer version knows (R38).
    UnknownBits {
        /// The record's kind.
        kind: u8,
        /// The segment that holds it.
        segment: SegmentNumber,
        /// Where it is.
        position: Position,
    },
    /// Its checksums are right and its contents, or its number within the segment, are not.
    Malformed {
        /// The record's kind.
        kind: u8,
        /// The segment that holds it.
        segment: SegmentNumber,
        /// Where it is.
        position: Position,
    },
}

impl fmt::Display for RecoverError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecoverError::UnknownKind { kind, segment, position } => write!(
                formatter,
                "{} has a record of kind {kind} at {position}, which only another version knows: start the version that wrote it",
                segment.file_name()
            ),
            RecoverError::UnknownBits { kind, segment, position } => write!(
                formatter,
                "{} has a record of kind {kind} at {position} that says what only a newer version knows: start that version",
                segment.file_name()
            ),
            RecoverError::Malformed { kind, segment, position } => write!(
                formatter,
                "{} has a record of kind {kind} at {position} that makes no sense, though all its checks hold: a version with a \
                 defect wrote it; start one that is mended, or keep this directory and start on an empty one",
                segment.file_name()
            ),
        }
    }
}

impl std::error::Error for RecoverError {}

/// What only a broker has that follows a log.
pub(crate) struct Following {
    pub names: Naming,
    /// Deleted queues that are not empty yet.
    pub emptying: VecDeque<DestinationIndex>,
    /// The mark that was found last.
    pub mark: Option<MarkReference>,
    /// A buffer that is used again.
    parts: Vec<DestinationIndex>,
}

impl Following {
    pub(crate) fn new(hasher: &FixedState) -> Following {
        let names = Naming::new(hasher);
        Following { names, emptying: VecDeque::new(), mark: None, parts: Vec::new() }
    }
}

impl Broker {
    /// Takes the next record of the journal, in its order.
    ///
    /// # Errors
    /// The record is one that this version cannot take.
    pub fn follow(&mut self, record: &Record<'_>, home: Home) -> Result<(), RecoverError> {
        let (kind, segment, position) = (record.kind, home.segment, home.position);
        if self.following.is_none() {
            self.following = Some(Box::new(Following::new(&self.hasher)));
        }
        if self.journal.is_taken(home.segment, home.ordinal) {
            return Err(RecoverError::Malformed { kind, segment, position });
        }
        self.journal.note(home.segment, home.ordinal, Generation::Young);
        if record.flags != 0 && kind < FIRST_IGNORABLE_KIND {
            return Err(RecoverError::UnknownBits { kind, segment, position });
        }
        let small = || ItemHome::new(home, record.meta.len());
        let done = match kind {
            kind::MESSAGE => self.follow_message(record, home),
            kind::ACKNOWLEDGE => self.follow_acknowledged(record.meta).ok_or(MetaError::Malformed),
            kind::NAMED => self.follow_named(record.meta).ok_or(MetaError::Malformed),
            kind::COUNT => self.follow_counted(record.meta).ok_or(MetaError::Malformed),
            kind::DESTINATION => self.follow_destination(record.meta, small()),
            kind::DELETE => {
                records::read_delete(record.meta).map(|id| self.follow_delete(id)).ok_or(MetaError::Malformed)
            }
            kind::SUBSCRIPTION => self.follow_subscription(record.meta, small()),
            kind::ALLOW => self.follow_allowance(record.meta, small()).ok_or(MetaError::Malformed),
            kind::RESERVE => {
                let read = records::read_reserve(record.meta);
                read.map(|up_to| self.apply_reservation(up_to, small())).ok_or(MetaError::Malformed)
            }
            kind::MARK => {
                let read = records::read_mark(record.meta);
                let mark =
                    read.map(|(connection, producer, runs)| self.follow_mark(connection, producer, &runs, segment));
                mark.ok_or(MetaError::Malformed)
            }
            kind::COMMIT => self.follow_commit(record, home),
            kind::PREPARED => self.follow_prepared(record, home),
            kind::OUTCOME => self.follow_outcome(record, home),
            kind::ROLLED_BACK => {
                self.follow_rolled_back(record.sequence);
                Ok(())
            }
            kind::FORGET => {
                self.apply_forget(record.meta);
                Ok(())
            }
            kind if kind >= FIRST_IGNORABLE_KIND => Ok(()),
            kind => return Err(RecoverError::UnknownKind { kind, segment, position }),
        };
        self.empty_some_deleted();
        done.map_err(|error| match error {
            MetaError::Newer => RecoverError::UnknownBits { kind, segment, position },
            MetaError::Malformed => RecoverError::Malformed { kind, segment, position },
        })
    }

    fn follow_message(&mut self, record: &Record<'_>, home: Home) -> Result<(), MetaError> {
        let mut placements = std::mem::take(&mut self.durable.placements);
        let mut parts =
            self.following.as_mut().map(|following| std::mem::take(&mut following.parts)).unwrap_or_default();
        placements.clear();
        parts.clear();
        let outcome = self.follow_placed(record, home, &mut placements, &mut parts);
        self.durable.placements = placements;
        if let Some(following) = &mut self.following {
            following.parts = parts;
        }
        outcome
    }

    fn follow_placed(
        &mut self,
        record: &Record<'_>,
        home: Home,
        placements: &mut Vec<Placement>,
        parts: &mut Vec<DestinationIndex>,
    ) -> Result<(), MetaError> {
        let meta = records::read_message(record.meta, Sequence(record.sequence), placements)?;
        let view = MessageView::parse(record.body).map_err(|error| match error {
            RecordError::NewerFormat(_) => MetaError::Newer,
            RecordError::Malformed => MetaError::Malformed,
        })?;
        for (number, placement) in placements.iter().enumerate() {
            let part = match placement.shared && !is_sharer(placements, number) {
                true => self.topic_by_id(placement.destination),
                false => self.queue_by_id(placement.destination),
            };
            parts.push(part.ok_or(MetaError::Malformed)?);
        }
        let is_one =
            placements.first().zip(placements.last()).is_some_and(|(one, other)| one.sequence == other.sequence);
        if let Some(tag) = meta.tag {
            let (body, crc, expiration, elsewhere) = (record.body, record.body_crc, view.expiration(), meta.elsewhere);
            let arrival =
                Arrival { record: body, crc, expiration, publisher: 0, elsewhere, run_from: None, instead: None };
            if let (Some(part), true, false) = (parts.first(), is_one, elsewhere) {
                self.note_name(*part, &view);
            }
            return self.follow_undecided(tag, home, arrival, parts, placements);
        }
        let known =
            parts.iter().zip(&*placements).find_map(|(part, placement)| self.find_in(*part, placement.sequence));
        match known {
            Some(index) => {
                let message = self.messages.at(index);
                // A message keeps its bytes for life (R5): this is another one, under a number that is taken.
                if (message.length, message.crc) != (home.len, record.body_crc) {
                    return Err(MetaError::Malformed);
                }
                self.apply_move(self.head_of(index), placements, home);
            }
            None => {
                let MessageMeta { elsewhere, run_from, instead, .. } = meta;
                let (record, crc, expiration) = (record.body, record.body_crc, view.expiration());
                let arrival = Arrival { record, crc, expiration, publisher: 0, elsewhere, run_from, instead };
                if let (Some(part), true, false) = (parts.first(), is_one, elsewhere) {
                    self.note_name(*part, &view);
                }
                self.apply_message(LogKind::Journal, home, arrival, parts, placements);
            }
        }
        if let Some(last) = placements.last() {
            self.sequences.saw(last.sequence);
        }
        if let Some(from) = meta.run_from {
            let header = view.header();
            let connection = view.field(Tag::ProducerConnection).ok_or(MetaError::Malformed)?;
            let producer = (header.producer_session, header.producer_value);
            self.follow_run(connection, producer, (from, header.producer_sequence), home.segment);
        }
        if let Some(Instead { destination, sequence }) = meta.instead
            && let Some((of, index)) = self.take_out(destination, sequence)
        {
            self.apply_instead(of, index);
        }
        Ok(())
    }

    /// The message of this sequence in a queue.
    pub(super) fn find_in(&self, queue: DestinationIndex, sequence: Sequence) -> Option<MessageIndex> {
        match &self.destinations.get(queue).content {
            Content::Queue(queue) => queue.find(sequence, &self.messages),
            Content::Topic(_) => None,
        }
    }

    /// Takes it out of its queue, if it is there.
    pub(super) fn take_out(
        &mut self,
        id: DestinationId,
        sequence: Sequence,
    ) -> Option<(DestinationIndex, MessageIndex)> {
        let index = self.destinations.by_id(id)?;
        match &mut self.destinations.get_mut(index).content {
            Content::Queue(queue) => queue.take_out(sequence, &self.messages).map(|number| (index, number)),
            Content::Topic(_) => None,
        }
    }

    pub(super) fn follow_acknowledged(&mut self, meta: &[u8]) -> Option<()> {
        records::read_acknowledged(meta, |destination, sequence| {
            if let Some((of, index)) = self.take_out(destination, sequence) {
                if planted("ack-for-all") && self.messages.at(index).has(flag::SHARED) {
                    self.take_from_all(index, sequence);
                }
                self.remove_place(of, index);
            }
        })
    }

    /// A planted bug: who acknowledges a message buries it for all others.
    fn take_from_all(&mut self, number: MessageIndex, sequence: Sequence) {
        for of in self.sharers(number) {
            if let Content::Queue(queue) = &mut self.destinations.get_mut(of).content
                && queue.take_out(sequence, &self.messages).is_some()
            {
                self.remove_place(of, number);
            }
        }
    }

    fn follow_subscription(&mut self, meta: &[u8], home: ItemHome) -> Result<(), MetaError> {
        let (id, subscription, instead) = records::read_subscription(meta)?;
        if let Some(instead) = instead {
            self.follow_delete(instead);
        }
        let known = self.destinations.by_id(id);
        let is_moved = known.is_some_and(|index| self.destinations.get(index).subscription.is_some());
        // A number that is a topic's, or a queue's with a name.
        if known.is_some_and(|index| {
            let state = self.destinations.get(index);
            state.is_topic() || (state.subscription.is_none() && !state.destination.name.is_empty())
        }) {
            return Err(MetaError::Malformed);
        }
        match known.filter(|_| is_moved) {
            Some(index) => self.apply_destination(index, home),
            None => drop(self.apply_subscription(id, Subscription::new(subscription), home)),
        }
        Ok(())
    }

    fn follow_destination(&mut self, meta: &[u8], home: ItemHome) -> Result<(), MetaError> {
        let (id, destination) = records::read_destination(meta).ok_or(MetaError::Malformed)?;
        // This version stores nothing of them.
        if destination.kind.is_temporary() {
            return Err(MetaError::Newer);
        }
        let index = match self.destinations.by_id(id) {
            // A queue and a topic with one number.
            Some(index) if self.destinations.get(index).is_topic() != destination.kind.is_topic() => {
                return Err(MetaError::Malformed);
            }
            Some(index) => match self.destinations.taken_in(id, index) {
                // Reclaim goes on to move the record of one that another has taken in.
                Some(taken_in) => taken_in,
                None => {
                    self.destinations.name(index, destination);
                    index
                }
            },
            None => self.destinations.add(destination, Some(id)),
        };
        self.apply_destination(index, home);
        Ok(())
    }

    /// The queue with this number. Its own record may come later: reclaim had moved it. None: it is a topic.
    pub(super) fn queue_by_id(&mut self, id: DestinationId) -> Option<DestinationIndex> {
        match self.destinations.by_id(id) {
            Some(index) if self.destinations.get(index).is_topic() => None,
            Some(index) => Some(index),
            None => Some(self.destinations.add_unnamed(id)),
        }
    }

    /// The topic with this number, likewise.
    fn topic_by_id(&mut self, id: DestinationId) -> Option<DestinationIndex> {
        match self.destinations.by_id(id) {
            Some(index) if self.destinations.get(index).is_topic() => Some(index),
            Some(_) => None,
            None => Some(self.destinations.add_unnamed_topic(id)),
        }
    }

    fn follow_allowance(&mut self, meta: &[u8], home: ItemHome) -> Option<()> {
        let (id, up_to) = records::read_allow(meta)?;
        let index = self.queue_by_id(id)?;
        self.apply_allowance(index, up_to, home);
        Some(())
    }

    fn follow_delete(&mut self, id: DestinationId) {
        self.destinations.skip_id(id);
        let Some(index) = self.destinations.by_id(id) else { return };
        self.apply_delete(index);
        if let Some(following) = &mut self.following {
            following.names.forget(index);
            following.emptying.push_back(index);
        }
    }

    /// What deleted queues held goes by and by.
    fn empty_some_deleted(&mut self) {
        for _ in 0..EMPTIED_A_RECORD {
            let Some(following) = self.following.as_deref_mut() else { return };
            let Some(index) = following.emptying.front().copied() else { return };
            match self.destinations.get_mut(index).take_any() {
                Some(message) => drop(self.remove_place(index, message)),
                // What is undecided of it, or shared, is not in it, and means it all the same.
                None if self.destinations.get(index).holds_messages() => following.emptying.rotate_left(1),
                None => {
                    following.emptying.pop_front();
                    self.destinations.free(index);
                }
            }
        }
    }
}
