//! What rot may have taken: messages, what is known of their producers, and ends of messages.

use std::collections::{BTreeMap, BTreeSet};

use postrider_broker::records::{self, Placement, kind};
use postrider_model::record::Tag;
use postrider_model::{DestinationKind, MessageView, Sequence, modified_utf8};

use super::{Address, Ledger, MessageId, Part};
use crate::disk::FoundRecord;

/// A producer as the wire names it: connection, session, value.
pub type WireProducer = (String, i64, i64);

/// What queues that nothing names any more are called, before their number.
const RECOVERED_PREFIX: &str = "postrider.recovered.";

/// Bytes of a usual connection's id, which are not counted.
const SHORT_NAME: usize = 100;

/// What rotten records said.
#[derive(Default)]
pub struct Rotten {
    /// Their messages may be gone.
    messages: BTreeSet<MessageId>,
    /// Messages, by sequence, of which the end may be forgotten: they are back.
    revived: BTreeSet<u64>,
    /// Messages of which a place was given up for a dead letter that rotted: they are back, also where nobody has had them.
    replaced: BTreeSet<MessageId>,
    /// Producers of which may be forgotten what they have sent up to a number (R17).
    producers: BTreeMap<u64, i64>,
    /// Any producer may be forgotten, for want of room for what it is remembered by.
    pub forgets_any: bool,
    /// Queues that may have lost their names, by what they are called then.
    queues: BTreeMap<Address, Address>,
    /// Numbers of all producers.
    names: BTreeMap<WireProducer, u64>,
}

impl Rotten {
    /// Whether a message may be gone.
    pub fn has_taken(&self, id: MessageId) -> bool {
        self.messages.contains(&id)
    }

    /// Whether the end of what has this sequence may be forgotten.
    pub fn has_revived(&self, sequence: u64) -> bool {
        self.revived.contains(&sequence)
    }

    /// Whether the place that a dead letter of this message stood for may be back.
    pub fn has_lost_dead_letter(&self, id: MessageId) -> bool {
        self.replaced.contains(&id)
    }

    /// The sequences of all that may be back.
    pub fn revived_sequences(&self) -> impl Iterator<Item = u64> {
        self.revived.iter().copied()
    }

    /// Whether what a producer repeats may be taken for new: what it had sent when something of it rotted.
    pub fn has_forgotten(&self, producer: u64, number: i64) -> bool {
        self.forgets_any || self.producers.get(&producer).is_some_and(|last| number <= *last)
    }

    /// All producers of a connection.
    pub fn producers_of(&self, connection: &str) -> BTreeSet<u64> {
        self.names.iter().filter(|((of, ..), _)| of == connection).map(|(_, number)| *number).collect()
    }

    /// Whether a queue may have lost its name.
    pub fn has_renamed(&self, queue: &Address) -> bool {
        self.queues.values().any(|known| known == queue)
    }

    /// What queues are called whose names are lost.
    pub fn queues(&self) -> impl Iterator<Item = Address> {
        self.queues.keys().cloned()
    }
}

impl Ledger {
    /// A client has a producer.
    pub fn names_producer(&mut self, name: WireProducer, number: u64) {
        if name.0.len() > SHORT_NAME {
            self.long_names.insert(number, name.0.len() as u64);
        }
        self.rotten.names.insert(name, number);
    }

    /// A record is not what it was any more, or not found.
    pub fn has_rotted(&mut self, record: &FoundRecord) {
        match record.kind {
            kind::MESSAGE => self.message_has_rotted(record),
            kind::ACKNOWLEDGE => {
                let ends = records::read_acknowledged(&record.meta, |_, sequence| {
                    self.rotten.revived.insert(sequence.0);
                });
                ends.expect("an intact acknowledgement");
            }
            kind::DELETE => {
                let parts = self.messages.values_mut().flat_map(|message| &mut message.parts);
                parts.for_each(Part::rotten_deletion);
            }
            kind::MARK => {
                let (connection, (session, value), _) = records::read_mark(&record.meta).expect("an intact mark");
                let name = (String::from_utf8_lossy(connection).into_owned(), session, value);
                if let Some(producer) = self.rotten.names.get(&name).copied() {
                    self.forgets(producer);
                }
            }
            kind::DESTINATION => {
                let (id, destination) = records::read_destination(&record.meta).expect("an intact destination");
                if destination.kind == DestinationKind::Queue {
                    let name = modified_utf8::decode_lossy(&destination.name).into_owned();
                    let recovered = Address::queue(&format!("{RECOVERED_PREFIX}{}", id.0));
                    self.rotten.queues.insert(recovered, Address::queue(&name));
                }
            }
            _ => {}
        }
    }

    fn message_has_rotted(&mut self, record: &FoundRecord) {
        let mut places: Vec<Placement> = Vec::new();
        let meta = records::read_message(&record.meta, Sequence(record.sequence), &mut places).expect("an intact meta");
        self.rotten.revived.extend(meta.instead.map(|instead| instead.sequence.0));
        // What rotted before is of no message that could be told.
        let Ok(view) = MessageView::parse(&record.body) else { return };
        let correlation = String::from_utf8_lossy(view.field(Tag::Correlation).unwrap_or_default()).into_owned();
        let Some(id) = message_of(&correlation) else { return };
        self.rotten.messages.insert(id);
        if meta.instead.is_some() {
            self.rotten.replaced.insert(id);
        }
        if let Some(producer) = self.messages.get(&id).map(|message| message.producer) {
            self.forgets(producer);
        }
    }

    /// What a producer has sent so far may be forgotten.
    fn forgets(&mut self, producer: u64) {
        let sent = self.messages.values().filter(|message| message.producer == producer);
        let last = sent.map(|message| message.number).max().unwrap_or_default();
        self.rotten.producers.insert(producer, last);
    }

    /// The address that the broker calls so.
    pub fn true_address(&self, wire: &Address) -> Address {
        self.rotten.queues.get(wire).unwrap_or(wire).clone()
    }
}

fn message_of(correlation: &str) -> Option<MessageId> {
    correlation.strip_prefix("correlation-")?.parse().ok()
}
