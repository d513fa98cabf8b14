//! Recovery: the journal's records take effect again, by the same means as when they were written (R12). What makes no sense is a value: it refuses
//! the start, and ends no process.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::durable::naming::{Mended, Names};
use crate::durable::store::Arrival;
use crate::log::Store;
use crate::messages::{DestinationIndex, MessageIndex, flag};
use crate::plant::planted;
use crate::records::items::ItemHome;
use crate::records::{self, MetaError, Placement, kind};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use postrider_journal::{FIRST_IGNORABLE_KIND, Generation, Home, Position, Record, SegmentNumber};
use postrider_model::record::{RecordError, Tag};
use postrider_model::{Destination, DestinationId, MessageView, Now, Sequence};
use std::fmt;

/// After damage so many sequences are passed over: more than a lost reservation, or many of them, can have given out (R9).
const SKIPPED_SEQUENCES: u64 = 1 << 40;

/// Sequences of a life that began after damage: they begin at its number times these, as the reservation of an earlier such life may be
/// lost, too, and what is found would lead to where that one began.
const SEQUENCES_OF_A_LIFE: u64 = 1 << 44;

/// Likewise numbers of destinations.
const SKIPPED_IDS: u32 = 1 << 16;

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

/// What only recovery needs.
pub(crate) struct Recovery {
    by_sequence: HashMap<u64, MessageIndex, FixedState>,
    highest: Sequence,
    deleted: Vec<DestinationIndex>,
    pub names: Names,
    placements: Vec<Placement>,
}

impl Recovery {
    fn new(hasher: &FixedState) -> Recovery {
        Recovery {
            by_sequence: HashMap::with_hasher(hasher.clone()),
            highest: Sequence(0),
            deleted: Vec::new(),
            names: Names::new(hasher),
            placements: Vec::new(),
        }
    }

    /// A message that lives, so far.
    pub fn found(&mut self, sequence: Sequence, index: MessageIndex) {
        self.by_sequence.insert(sequence.0, index);
        self.highest = self.highest.max(sequence);
    }
}

impl Broker {
    /// Takes the next record of the journal, in its order.
    ///
    /// # Errors
    /// The record is one that this version cannot take.
    pub fn recover(&mut self, record: &Record<'_>, home: Home) -> Result<(), RecoverError> {
        self.recovery();
        let (kind, segment, position) = (record.kind, home.segment, home.position);
        if self.journal.is_taken(home.segment, home.ordinal) {
            return Err(RecoverError::Malformed { kind, segment, position });
        }
        self.journal.note(home.segment, home.ordinal, Generation::Young);
        if record.flags != 0 && kind < FIRST_IGNORABLE_KIND {
            return Err(RecoverError::UnknownBits { kind, segment, position });
        }
        let done = match kind {
            kind::MESSAGE => match self.recover_message(record, home) {
                Err(MetaError::Newer) => return Err(RecoverError::UnknownBits { kind, segment, position }),
                outcome => outcome.ok(),
            },
            kind::ACKNOWLEDGE => self.recover_acknowledged(record.meta),
            kind::DESTINATION => match records::read_destination(record.meta) {
                // This version stores nothing of them.
                Some((_, destination)) if destination.kind.is_temporary() => {
                    return Err(RecoverError::UnknownBits { kind, segment, position });
                }
                read => read.and_then(|named| self.recover_destination(named, ItemHome::new(home, record.meta.len()))),
            },
            kind::DELETE => records::read_delete(record.meta).map(|id| self.recover_delete(id)),
            kind::ALLOW => records::read_allow(record.meta).and_then(|(id, up_to)| {
                let index = self.queue_by_id(id)?;
                self.apply_allowance(index, up_to, ItemHome::new(home, record.meta.len()));
                Some(())
            }),
            kind::RESERVE => records::read_reserve(record.meta)
                .map(|up_to| self.apply_reservation(up_to, ItemHome::new(home, record.meta.len()))),
            kind::MARK => records::read_mark(record.meta)
                .map(|(connection, producer, runs)| self.recover_mark(connection, producer, &runs, home.segment)),
            kind::FORGET => {
                self.apply_forget(record.meta);
                Some(())
            }
            kind if kind >= FIRST_IGNORABLE_KIND => Some(()),
            kind => return Err(RecoverError::UnknownKind { kind, segment, position }),
        };
        done.ok_or(RecoverError::Malformed { kind, segment, position })
    }

    fn recovery(&mut self) -> &mut Recovery {
        self.recovery.get_or_insert_with(|| Box::new(Recovery::new(&self.hasher)))
    }

    fn recover_message(&mut self, record: &Record<'_>, home: Home) -> Result<(), MetaError> {
        let mut placements = std::mem::take(&mut self.recovery().placements);
        placements.clear();
        let meta = records::read_message(record.meta, Sequence(record.sequence), &mut placements)?;
        let view = MessageView::parse(record.body).map_err(|error| match error {
            RecordError::NewerFormat(_) => MetaError::Newer,
            RecordError::Malformed => MetaError::Malformed,
        })?;
        let known = self.recovery().by_sequence.get(&record.sequence).copied();
        match known {
            Some(index) => {
                let message = self.messages.at(index);
                // A message keeps its bytes for life (R5): this is another one, under a number that is taken.
                if (message.length, message.crc) != (home.len, record.body_crc) {
                    return Err(MetaError::Malformed);
                }
                self.recover_move(index, &placements, home);
            }
            None => {
                let arrival = Arrival {
                    record: record.body,
                    crc: record.body_crc,
                    expiration: view.expiration(),
                    publisher: 0,
                    elsewhere: meta.elsewhere,
                    run_from: meta.run_from,
                    instead: meta.instead,
                };
                let parts: Option<Vec<DestinationIndex>> =
                    placements.iter().map(|placement| self.queue_by_id(placement.destination)).collect();
                let parts = parts.ok_or(MetaError::Malformed)?;
                if let ([part], false) = (&parts[..], meta.elsewhere) {
                    self.note_name(*part, &view);
                }
                self.apply_message(Store::Journal, home, arrival, &parts, &placements);
            }
        }
        if let Some(from) = meta.run_from {
            let header = view.header();
            let connection = view.field(Tag::ProducerConnection).ok_or(MetaError::Malformed)?;
            let producer = (header.producer_session, header.producer_value);
            self.recover_run(connection, producer, (from, header.producer_sequence), home.segment);
        }
        if let Some(instead) = meta.instead
            && let Some(index) = self.recovery().by_sequence.remove(&instead.sequence.0)
        {
            self.apply_instead(index);
        }
        self.recovery().placements = placements;
        Ok(())
    }

    /// The same message once more: reclaim had moved it.
    fn recover_move(&mut self, index: MessageIndex, placements: &[Placement], home: Home) {
        self.rehome_message(self.head_of(index), home);
        for placement in placements {
            let index = self.recovery().by_sequence.get(&placement.sequence.0).copied();
            let Some(message) = index.and_then(|index| self.messages.get_mut(index)) else { continue };
            message.redeliveries = placement.redeliveries;
            message.flags |= if placement.offered { flag::OFFERED } else { 0 };
            message.flags |= if placement.copied { flag::COPIED } else { 0 };
        }
    }

    fn recover_acknowledged(&mut self, meta: &[u8]) -> Option<()> {
        let mut sequences = Vec::new();
        records::read_acknowledged(meta, |_, sequence| sequences.push(sequence))?;
        for sequence in sequences {
            if let Some(index) = self.recovery().by_sequence.remove(&sequence.0) {
                self.remove_message(index);
            }
        }
        Some(())
    }

    /// None: a queue and a topic with one number.
    fn recover_destination(&mut self, (id, destination): (DestinationId, Destination), home: ItemHome) -> Option<()> {
        let index = match self.destinations.by_id(id) {
            Some(index) if self.destinations.get(index).is_topic() != destination.kind.is_topic() => return None,
            Some(index) => {
                self.destinations.name(index, destination);
                index
            }
            None => self.destinations.add(destination, Some(id)),
        };
        self.apply_destination(index, home);
        Some(())
    }

    /// The queue with this number. Its own record may come later: reclaim had moved it. None: it is a topic.
    fn queue_by_id(&mut self, id: DestinationId) -> Option<DestinationIndex> {
        match self.destinations.by_id(id) {
            Some(index) if self.destinations.get(index).is_topic() => None,
            Some(index) => Some(index),
            None => Some(self.destinations.add_unnamed(id)),
        }
    }

    fn recover_delete(&mut self, id: DestinationId) {
        self.destinations.skip_id(id);
        if let Some(index) = self.destinations.by_id(id) {
            self.apply_delete(index);
            self.recovery().deleted.push(index);
        }
    }

    /// After the last record: queues get their order, and what may have been delivered is marked so (R15). If some of the log was
    /// damaged, an allowance may be missing, and that is every message; and numbers may have been given out of which nothing is known
    /// any more. `life` is the number of the life that begins. Tells which queues got their names from elsewhere than their own records.
    pub fn recovered(&mut self, now: Now, damages: u64, life: u32) -> Vec<Mended> {
        let Some(recovery) = self.recovery.take() else { return Vec::new() };
        self.reclaim.moved_at = now.nanos;
        let Recovery { by_sequence, highest, mut deleted, mut names, .. } = *recovery;
        let mended = self.mend_names(&mut names);
        let unnamed: Vec<DestinationIndex> = self.destinations.unnamed().collect();
        for index in unnamed {
            self.apply_delete(index);
            deleted.push(index);
        }
        let mut messages: Vec<(u64, MessageIndex)> = by_sequence.into_iter().collect();
        messages.sort_unstable();
        for (sequence, index) in messages {
            self.take_back(Sequence(sequence), index, &names, damages > 0);
        }
        for index in names.merged() {
            self.apply_delete(index);
            deleted.push(index);
        }
        for index in deleted {
            self.destinations.free(index);
        }
        let all: Vec<DestinationIndex> = self.destinations.iter().map(|(index, _)| index).collect();
        for index in all {
            if let Content::Queue(queue) = &mut self.destinations.get_mut(index).content {
                queue.allowance.recovered(queue.last, damages > 0);
                self.watch_allowance(index);
            }
        }
        self.sequences.recovered(highest);
        self.losses_unstated = damages > 0;
        if damages > 0 && !planted("numbers-used-twice") {
            self.sequences.skip(SKIPPED_SEQUENCES, u64::from(life).saturating_mul(SEQUENCES_OF_A_LIFE));
            self.destinations.skip_ids(SKIPPED_IDS);
        }
        self.turn_start = self.sequences.next();
        self.detach_all_marks(now);
        mended
    }

    fn take_back(&mut self, sequence: Sequence, index: MessageIndex, names: &Names, damaged: bool) {
        let Some(message) = self.messages.get_mut(index) else { return };
        if let Some(target) = names.target(message.destination) {
            self.destinations.get_mut(message.destination).queue().size -= 1;
            message.destination = target;
            let queue = self.destinations.get_mut(target).queue();
            queue.size += 1;
            queue.last = queue.last.max(sequence);
        }
        let state = self.destinations.get_mut(message.destination);
        if state.dying {
            self.remove_message(index);
            return;
        }
        let queue = state.queue();
        let delivered = damaged
            || planted("over-marked")
            || message.has(flag::OFFERED)
            || queue.allowance.may_have_covered(sequence);
        if delivered && !planted("under-marked") {
            message.redeliveries = message.redeliveries.max(1);
        }
        queue.push(index, message.expiration);
    }
}
