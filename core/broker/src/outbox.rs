//! Events on their way to the ports.
#![expect(clippy::indexing_slicing, reason = "ports are numbered as they were attached")]
#![expect(clippy::expect_used, reason = "a batch was opened, or found, for it")]

use crate::log::{Log, LogKind};
use crate::plant::planted;
use postrider_journal::{Extent, Lookup, Position};
use postrider_model::event::{Dispatch, Fanout, Place, Recipient};
use postrider_model::{Event, MessageView, PortIndex, Sequence, Span, limits};
use std::collections::VecDeque;
use std::sync::Arc;

/// Events, and what they refer to. Used again and again: it keeps its memory.
#[derive(Default)]
pub struct EventBatch {
    /// What happened.
    pub events: Vec<Event>,
    /// Memory that holds the records; places name an index of it. Cleared by whoever has encoded the events.
    pub extents: Vec<Extent>,
    /// Consumers of fan-outs.
    pub recipients: Vec<Recipient>,
    /// Names of destinations.
    pub arena: Vec<u8>,
    /// The log of each extent that holds nothing but good records; none where only those that were asked for are checked.
    stores: Vec<Option<LogKind>>,
}

impl EventBatch {
    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.extents.clear();
        self.stores.clear();
        self.recipients.clear();
        self.arena.clear();
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    fn is_full(&self) -> bool {
        self.events.len() >= limits::BATCH_EVENTS
            || self.recipients.len() >= limits::BATCH_EVENTS * 8
            || self.arena.len() >= limits::BATCH_BYTES
            || self.extents.len() >= limits::BATCH_EVENTS
    }
}

/// Why a record cannot be sent now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Absent {
    /// Its bytes have been asked for.
    Cold,
    /// Its bytes are not what they were.
    Damaged,
}

#[derive(Default)]
struct PortOutbox {
    replies: VecDeque<EventBatch>,
    deliveries: VecDeque<EventBatch>,
    /// Delivery batches that may be held at a time.
    room: usize,
}

/// The events of a turn, by port: answers, which wait for the commit of what the turn appended (R13), and deliveries, which do not.
///
/// Whoever empties it hands a port's deliveries over before the answers of the same turn: an advisory must not be overtaken by
/// the answer to what it tells of.
#[derive(Default)]
pub struct Outbox {
    ports: Vec<PortOutbox>,
    spare: Vec<EventBatch>,
}

/// Empty batches that are kept for use.
const SPARE_BATCHES: usize = 256;

impl Outbox {
    /// An outbox without ports; they come with [`Outbox::set_room`].
    #[must_use]
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// Before a turn: how many delivery batches the port's ring takes.
    pub fn set_room(&mut self, port: PortIndex, batches: usize) {
        self.port(port).room = batches;
    }

    /// The oldest batch of deliveries. They go at once.
    pub fn take_deliveries(&mut self, port: PortIndex) -> Option<EventBatch> {
        while let Some(batch) = self.port(port).deliveries.pop_front() {
            if !batch.is_empty() {
                return Some(batch);
            }
            self.recycle(batch);
        }
        None
    }

    /// The oldest batch of answers. They go when the position appended at the turn's end is committed.
    pub fn take_replies(&mut self, port: PortIndex) -> Option<EventBatch> {
        self.port(port).replies.pop_front()
    }

    /// Takes a used batch back.
    pub fn recycle(&mut self, mut batch: EventBatch) {
        batch.clear();
        if self.spare.len() < SPARE_BATCHES {
            self.spare.push(batch);
        }
    }

    /// Lets go of the empty batches.
    pub fn trim(&mut self) {
        self.spare = Vec::new();
    }

    /// Whether another delivery to this port may be added (R23).
    #[must_use]
    pub fn has_room(&self, port: PortIndex) -> bool {
        self.ports.get(usize::from(port.0)).is_some_and(|port| {
            port.deliveries.len() < port.room
                || (port.deliveries.len() == port.room && port.deliveries.back().is_some_and(|batch| !batch.is_full()))
        })
    }

    pub(crate) fn reply(&mut self, port: PortIndex, event: Event) {
        let index = usize::from(port.0);
        self.port(port);
        if self.ports[index].replies.back().is_none_or(EventBatch::is_full) {
            let batch = self.spare.pop().unwrap_or_default();
            self.ports[index].replies.push_back(batch);
        }
        self.ports[index].replies.back_mut().expect("there is an open batch").events.push(event);
    }

    /// Where the record is for the port's next delivery.
    pub(crate) fn locate<L: Log>(
        &mut self,
        port: PortIndex,
        Body { store, position, length, crc }: Body,
        log: &mut L,
    ) -> Result<Place, Absent> {
        let batch = self.open(port);
        if let Some(place) = known_place(batch, store, position, length) {
            return Ok(place);
        }
        match log.extent(store, position, length, crc) {
            Lookup::Memory(extent) => Ok(add_extent(batch, extent, Some(store), position, length)),
            Lookup::Checked(extent) if planted("one-check-a-window") => {
                Ok(add_extent(batch, extent, Some(store), position, length))
            }
            // Who wrote the record may have been another program: what a shard cannot read must not come to it.
            Lookup::Checked(extent) if MessageView::parse(extent.bytes(position, length as usize)).is_err() => {
                Err(Absent::Damaged)
            }
            Lookup::Checked(extent) => Ok(add_extent(batch, extent, None, position, length)),
            Lookup::Cold => {
                log.fetch(store, position, length);
                Err(Absent::Cold)
            }
            Lookup::Damaged => Err(Absent::Damaged),
        }
    }

    /// Tells the port at once, whatever is not committed yet.
    pub(crate) fn tell(&mut self, port: PortIndex, event: Event) {
        self.open(port).events.push(event);
    }

    /// Adds a delivery, right after [`Outbox::locate`].
    pub(crate) fn dispatch(&mut self, port: PortIndex, mut dispatch: Dispatch, elsewhere: &[u8]) {
        let batch = self.located(port);
        dispatch.destination = store(batch, elsewhere);
        batch.events.push(Event::Dispatch(dispatch));
    }

    /// Adds a delivery to several consumers, right after [`Outbox::locate`].
    pub(crate) fn fan_out(
        &mut self,
        port: PortIndex,
        to: &[Recipient],
        (place, sequence): (Place, Sequence),
        elsewhere: &[u8],
    ) {
        let batch = self.located(port);
        let destination = store(batch, elsewhere);
        let recipients = recipients(batch, to);
        batch.events.push(Event::Fanout(Fanout { recipients, place, sequence, destination }));
    }

    fn port(&mut self, port: PortIndex) -> &mut PortOutbox {
        let index = usize::from(port.0);
        if self.ports.len() <= index {
            self.ports.resize_with(index + 1, PortOutbox::default);
        }
        &mut self.ports[index]
    }

    /// The batch for which the newest place was found, be it full by now: places name extents of their batch.
    fn located(&mut self, port: PortIndex) -> &mut EventBatch {
        self.port(port).deliveries.back_mut().expect("a place was found in an open batch")
    }

    fn open(&mut self, port: PortIndex) -> &mut EventBatch {
        let index = usize::from(port.0);
        self.port(port);
        if self.ports[index].deliveries.back().is_none_or(EventBatch::is_full) {
            let batch = self.spare.pop().unwrap_or_default();
            self.ports[index].deliveries.push_back(batch);
        }
        self.ports[index].deliveries.back_mut().expect("there is an open batch")
    }
}

/// Windows hold many records: one that is in the batch already is not added again.
#[allow(clippy::cast_possible_truncation, reason = "a segment has less than 4 GiB, a batch a few hundred events")]
fn add_extent(
    batch: &mut EventBatch,
    extent: Extent,
    store: Option<LogKind>,
    position: Position,
    length: u32,
) -> Place {
    let offset = (position.0 - extent.base.0) as u32;
    let mut newest = batch.extents.iter().zip(&batch.stores).enumerate().rev().take(4);
    let same = newest.find(|(_, (known, of))| **of == store && Arc::ptr_eq(&known.image, &extent.image));
    let index = same.map(|(index, _)| index).unwrap_or_else(|| {
        batch.extents.push(extent);
        batch.stores.push(store);
        batch.extents.len() - 1
    });
    Place { extent: index as u16, offset, length }
}

/// Where the body of a record is, and what its checksum is to be.
#[derive(Clone, Copy)]
pub(crate) struct Body {
    pub store: LogKind,
    pub position: Position,
    pub length: u32,
    pub crc: u32,
}

/// The newest extents are looked through first: neighbours in a log are sent one after the other.
#[allow(clippy::cast_possible_truncation, reason = "a segment has less than 4 GiB, a batch a few hundred events")]
fn known_place(batch: &EventBatch, store: LogKind, position: Position, length: u32) -> Option<Place> {
    let holds = |extent: &Extent| {
        let end = extent.base.0 + extent.image.len() as u64;
        extent.base <= position && position.0 + u64::from(length) <= end
    };
    let newest_first = batch.extents.iter().zip(&batch.stores).enumerate().rev().take(4);
    let mut same = newest_first.filter(|(_, (extent, of))| **of == Some(store) && holds(extent));
    let (index, (extent, _)) = same.next()?;
    Some(Place { extent: index as u16, offset: (position.0 - extent.base.0) as u32, length })
}

#[allow(clippy::cast_possible_truncation, reason = "a batch has a few hundred names")]
fn store(batch: &mut EventBatch, bytes: &[u8]) -> Span {
    if bytes.is_empty() {
        return Span::default();
    }
    if batch.arena.ends_with(bytes) {
        return Span { offset: (batch.arena.len() - bytes.len()) as u32, length: bytes.len() as u32 };
    }
    let span = Span { offset: batch.arena.len() as u32, length: bytes.len() as u32 };
    batch.arena.extend_from_slice(bytes);
    span
}

/// Message after message goes to the same consumers: one list serves them all.
#[allow(clippy::cast_possible_truncation, reason = "a batch has a few hundred lists of a shard's consumers")]
fn recipients(batch: &mut EventBatch, to: &[Recipient]) -> Span {
    let span = |end: usize| Span { offset: (end - to.len()) as u32, length: to.len() as u32 };
    if !batch.recipients.ends_with(to) {
        batch.recipients.extend_from_slice(to);
    }
    span(batch.recipients.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_journal::ImageWriter;

    #[test]
    fn a_delivery_is_in_the_batch_that_its_place_was_found_in() {
        let (port, mut out) = (PortIndex(0), Outbox::new());
        let extents = (0..limits::BATCH_EVENTS).map(|_| {
            let image = ImageWriter::anonymous(4096).unwrap().image().clone();
            Extent { base: Position(0), image }
        });
        let batch = out.open(port);
        batch.extents.extend(extents);
        batch.stores.resize(limits::BATCH_EVENTS, None);
        assert!(batch.is_full());
        let to = Recipient::default();
        let place = Place { extent: 511, offset: 0, length: 8 };
        let dispatch = Dispatch { to, place, sequence: Sequence(1), redeliveries: 0, destination: Span::default() };
        out.dispatch(port, dispatch, &[]);
        out.fan_out(port, &[to], (place, Sequence(2)), &[]);
        let batch = out.take_deliveries(port).unwrap();
        assert_eq!((batch.events.len(), batch.extents.len()), (2, limits::BATCH_EVENTS));
        assert!(out.take_deliveries(port).is_none());
    }
}
