//! Deliveries are counted in the log: a record says how often what has come back was delivered, one for all of a turn or a few (R50). Else
//! what nobody can handle is at one again after each start, and no client gives it up. It buries nothing and lives by nothing: what moves
//! says its count itself.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::durable::staging::small;
use crate::log::{Log, LogKind};
use crate::messages::{DestinationIndex, MessageIndex, flag};
use crate::plant::planted;
use crate::records::{self, COUNTED_BYTES, META_BYTES, RUN_BYTES, counted_bound, kind};
use crate::step::Step;
use postrider_journal::Purpose;
use postrider_model::{DestinationId, Sequence};

/// A message that has come back.
#[derive(Clone, Copy)]
struct Entry {
    of: DestinationIndex,
    sequence: Sequence,
    message: MessageIndex,
}

/// Those that are to be counted in the log.
#[derive(Default)]
pub(super) struct Counted(Vec<Entry>);

/// So many wait for room. *Without: where there is none for long, each that comes back again and again takes memory.*
const MOST_WAITING: usize = 65_536;

/// Sequences of a queue that are written in one run.
const RUN: usize = 2_000;

impl Broker {
    /// A message has come back from who had been given it: the turn's end says how often by now.
    #[inline]
    pub(crate) fn note_counted(&mut self, of: DestinationIndex, message: MessageIndex) {
        let known = self.messages.at(message);
        if known.store == LogKind::Journal && !planted("counts-forgotten") {
            self.durable.counted.0.push(Entry { of, sequence: known.sequence, message });
        }
    }

    /// The turn ends: what has come back in it is counted, if there is room for that; else later, and most of all the newest.
    pub(crate) fn flush_counted<L: Log>(&mut self, step: &mut Step<'_, L>) {
        let waiting = self.durable.counted.0.len();
        if waiting == 0 {
            return;
        }
        if !step.log.reserve(Purpose::Settle, counted_bound(waiting as u64)) {
            self.durable.counted.0.drain(..waiting.saturating_sub(MOST_WAITING));
            return;
        }
        let mut entries = std::mem::take(&mut self.durable.counted.0);
        let mut counted: Vec<(DestinationId, u64, u16)> = Vec::with_capacity(entries.len());
        for entry in entries.drain(..) {
            if let Some((id, deliveries)) = self.counted_of(&entry) {
                counted.push((id, entry.sequence.0, deliveries));
                self.apply_count(entry.of, entry.message, deliveries);
            }
        }
        self.durable.counted.0 = entries;
        counted.sort_unstable();
        counted.dedup();
        let mut meta = std::mem::take(&mut self.durable.meta);
        meta.clear();
        for of_queue in counted.chunk_by(|(one, ..), (other, ..)| one == other) {
            for run in of_queue.chunks(RUN) {
                let bytes = run.len() as u64 * COUNTED_BYTES + RUN_BYTES;
                if meta.len() as u64 + bytes > META_BYTES as u64 {
                    self.stage_counted(&meta, step);
                    meta.clear();
                }
                let all: Vec<(u64, u16)> =
                    run.iter().map(|(_, sequence, deliveries)| (*sequence, *deliveries)).collect();
                if let Some((id, ..)) = run.first() {
                    records::write_counted(&mut meta, *id, &all);
                }
            }
        }
        if !meta.is_empty() {
            self.stage_counted(&meta, step);
        }
        self.durable.meta = meta;
    }

    fn stage_counted<L: Log>(&mut self, meta: &[u8], step: &mut Step<'_, L>) {
        self.flush_acknowledged(step);
        self.stage(LogKind::Journal, &small(kind::COUNT, meta), step);
    }

    /// Where the log knows a message, if it is still there, and how often it was delivered.
    fn counted_of(&self, entry: &Entry) -> Option<(DestinationId, u16)> {
        let message = self.messages.get(entry.message).filter(|message| message.sequence == entry.sequence)?;
        // It may have gone meanwhile, with what it had.
        self.destinations.try_get(entry.of).filter(|state| !state.is_dying())?;
        let id = self.recorded_id(entry.of, message)?;
        let deliveries = match &self.destinations.get(entry.of).content {
            // Of one that it is done with it knows nothing any more, though others may have it.
            Content::Queue(queue) if message.has(flag::SHARED) => queue.deliveries(entry.sequence),
            _ => message.redeliveries,
        };
        Some((id, deliveries)).filter(|_| deliveries > 0)
    }

    /// So often it was delivered; the same when it is written and when it is followed.
    fn apply_count(&mut self, of: DestinationIndex, number: MessageIndex, deliveries: u16) {
        let message = self.messages.at_mut(number);
        let sequence = message.sequence;
        if !message.has(flag::SHARED) {
            message.redeliveries = deliveries;
            #[cfg(feature = "plant")]
            {
                message.stated = deliveries;
            }
        } else if let Content::Queue(queue) = &mut self.destinations.get_mut(of).content {
            queue.set_deliveries(sequence, deliveries);
        }
    }

    /// Such a record is followed.
    pub(super) fn follow_counted(&mut self, meta: &[u8]) -> Option<()> {
        records::read_counted(meta, |id, sequence, deliveries| {
            let found = self.destinations.by_id(id).and_then(|of| Some((of, self.find_in(of, sequence)?)));
            if let Some((of, number)) = found.filter(|_| !planted("follow-forgets-counter")) {
                self.apply_count(of, number, deliveries);
            }
        })
    }
}
