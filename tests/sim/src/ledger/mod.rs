//! The oracle: what was sent, receipted, delivered and acknowledged, and whether the broker may do what it does.
//!
//! What it sees that must not be is a panic: the seed has failed.

mod body;
mod browse;
mod part;
mod rotten;
#[cfg(test)]
mod tests;
mod topics;

use std::collections::{BTreeMap, BTreeSet};

use postrider_model::pattern::name_matches;

pub use body::{MessageId, Sizes, correlation, type_of};
use body::{body, read_body};
pub use browse::Browse;
pub use part::Acknowledged;
use part::Part;
use rotten::Rotten;
pub use topics::Subscriptions;

/// A destination: the code of its structure, and its name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub struct Address {
    /// 100 queue, 101 topic, 102 and 103 temporary ones.
    pub kind: u8,
    /// Its name.
    pub name: String,
}

impl Address {
    /// A queue.
    pub fn queue(name: &str) -> Address {
        Address { kind: 100, name: name.to_owned() }
    }

    /// A topic.
    pub fn topic(name: &str) -> Address {
        Address { kind: 101, name: name.to_owned() }
    }

    /// Whether each message goes to every subscriber.
    pub fn is_topic(&self) -> bool {
        self.kind == 101 || self.kind == 103
    }

    /// Whether it goes with its connection.
    pub fn is_temporary(&self) -> bool {
        self.kind >= 102
    }

    /// The parts of a composite, or itself.
    pub fn parts(&self) -> Vec<Address> {
        self.name
            .split(',')
            .map(|part| {
                part.strip_prefix("topic://")
                    .map_or_else(|| Address { kind: self.kind, name: part.to_owned() }, Address::topic)
            })
            .collect()
    }

    /// Whether a consumer here gets what is sent there.
    pub fn takes(&self, other: &Address) -> bool {
        self.parts()
            .iter()
            .any(|part| part.kind == other.kind && name_matches(part.name.as_bytes(), other.name.as_bytes()))
    }
}

/// The queue of messages that were given up.
pub fn dead_letters() -> Address {
    Address::queue("ActiveMQ.DLQ")
}

/// How the queues begin between which tokens move: who moves them follows them.
pub const MOVED: &str = "moving.";

/// Times that the id of its connection stands in a record: its own, its producer's, and the mark's.
const NAMES_OF_A_MESSAGE: u64 = 3;

/// How far a send has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Send {
    /// On its way.
    Sent,
    /// Stored: the broker has said so, or has delivered it.
    Certain,
    /// The connection broke: stored or not.
    Unknown,
    /// Refused.
    Refused,
}

struct Message {
    producer: u64,
    number: i64,
    persistent: bool,
    /// Sent again by a failover client.
    repeated: bool,
    send: Send,
    /// The moment at which it was about to be sent first.
    sent_at: u64,
    parts: Vec<Part>,
}

fn parts_at<'m>(message: &'m mut Message, address: &Address) -> impl Iterator<Item = &'m mut Part> {
    message.parts.iter_mut().filter(move |part| part.address == *address)
}

/// One delivery, as a client decoded it.
pub struct Delivery<'a> {
    /// Number of the consumer, never used twice.
    pub consumer: u64,
    /// Where the message is.
    pub address: &'a Address,
    /// What the broker calls that.
    pub wire: &'a Address,
    /// The broker's sequence.
    pub sequence: u64,
    /// The dispatch's redelivery counter.
    pub redeliveries: u32,
    /// The message's own fields.
    pub persistent: bool,
    /// Its correlation id.
    pub correlation: &'a str,
    /// Its content.
    pub content: &'a [u8],
}

/// Everything that clients did and saw.
#[derive(Default)]
pub struct Ledger {
    messages: BTreeMap<MessageId, Message>,
    next_message: MessageId,
    /// Sent on connections that ended in order: taken, as long as the process lives.
    heard: BTreeSet<MessageId>,
    /// Which message and address each sequence belongs to.
    sequences: BTreeMap<u64, (MessageId, Address)>,
    /// Bytes of the long ids of connections, by their producers.
    long_names: BTreeMap<u64, u64>,
    /// Bytes of marks that live in the log at most.
    pub mark_bytes: u64,
    /// The disk is small: messages are refused.
    scarce: bool,
    sizes: Sizes,
    /// Sequences by producer, address, whether they may be out of order, and number within the producer.
    orders: BTreeMap<(u64, Address, bool), BTreeMap<i64, u64>>,
    /// Consumers of each address, ever.
    pub listeners: BTreeMap<Address, u64>,
    /// Plain topic consumers.
    pub subscriptions: Subscriptions,
    /// What rot may have taken.
    pub rotten: Rotten,
    /// One consumer takes all that is left: in the order of the sequences, and this one was the last.
    pub draining: Option<BTreeMap<Address, u64>>,
    /// Counts what is known of ends of messages, so that it can be told what was known when.
    moment: u64,
    /// What was seen until this moment the broker has written: a message that was sent after that is stored.
    written: u64,
    /// How often something was delivered may be lost with its record.
    pub loses_counts: bool,
    /// What was counted, for people.
    pub counts: Counts,
}

/// Counts of a seed.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Messages sent.
    pub sent: u64,
    /// Receipts.
    pub receipts: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Deliveries marked as repeated.
    pub redelivered: u64,
    /// Messages that browsers saw.
    pub shown: u64,
    /// Acknowledgements.
    pub acknowledged: u64,
    /// Bytes of persistent messages that clients sent to queues.
    pub bytes: u64,
}

impl Ledger {
    /// Nothing has happened yet. Where the disk is small, messages may be refused.
    pub fn new(scarce: bool, sizes: Sizes) -> Ledger {
        Ledger { scarce, sizes, ..Ledger::default() }
    }

    /// The body of a message.
    pub fn body(&self, id: MessageId) -> Vec<u8> {
        body(id, self.sizes.length(id))
    }

    /// A new message is about to be sent.
    pub fn send(&mut self, producer: u64, number: i64, address: &Address, persistent: bool) -> MessageId {
        self.next_message += 1;
        self.counts.sent += 1;
        let id = self.next_message;
        let parts: Vec<Part> = address.parts().into_iter().map(Part::new).collect();
        for part in parts.iter().filter(|part| part.address.is_topic()) {
            self.subscriptions.sent(id, &part.address);
        }
        let (send, sent_at) = (Send::Sent, self.moment);
        self.messages.insert(id, Message { producer, number, persistent, repeated: false, send, sent_at, parts });
        self.brings(id);
        id
    }

    /// The message that is about to be sent may expire: then it is with the dead letters.
    pub fn may_expire(&mut self, id: MessageId) {
        let message = self.messages.get_mut(&id).expect("a message that was sent");
        message.parts.iter_mut().for_each(Part::may_expire);
    }

    /// The broker has said what became of a send, or the connection broke before it did.
    pub fn answered(&mut self, id: MessageId, send: Send) {
        let message = self.messages.get_mut(&id).expect("a message that was sent");
        if send == Send::Certain && message.persistent {
            self.written = self.written.max(message.sent_at);
        }
        if message.send == Send::Certain {
            return;
        }
        // The first try may have been taken, and a temporary queue be gone since.
        let send = if send == Send::Refused && message.repeated { Send::Unknown } else { send };
        assert!(
            send != Send::Refused || message.parts.iter().all(|part| part.deliveries == 0),
            "message {id} was refused and delivered"
        );
        self.counts.receipts += u64::from(send == Send::Certain);
        message.send = send;
    }

    /// The connection on which it was sent has ended in order, behind it: the broker hears it, if this process of it lives so long.
    pub fn is_heard(&mut self, id: MessageId) {
        self.heard.insert(id);
    }

    /// A failover client sends a message again, for it was not answered.
    pub fn repeated(&mut self, id: MessageId) {
        let message = self.messages.get_mut(&id).expect("a message that was sent");
        message.repeated = true;
        message.parts.iter_mut().for_each(Part::sent_again);
        self.brings(id);
    }

    /// The present one, for comparison.
    pub fn moment(&self) -> u64 {
        self.moment
    }

    /// Which message it is that has come, unaltered.
    fn recognize(&self, delivery: &Delivery<'_>) -> MessageId {
        let id = read_body(delivery.content, self.sizes)
            .unwrap_or_else(|reason| panic!("R5: altered or invented: {reason}"));
        let Some(message) = self.messages.get(&id) else { panic!("R5: message {id} was never sent") };
        assert!(message.send != Send::Refused, "message {id} was refused and is delivered");
        assert_eq!(delivery.correlation, correlation(id), "correlation id of message {id} altered");
        assert_eq!(delivery.persistent, message.persistent, "delivery mode of message {id} altered");
        id
    }

    /// A message has come to a client. Answers with its id.
    pub fn delivered(&mut self, delivery: &Delivery<'_>) -> MessageId {
        let id = self.recognize(delivery);
        self.counts.delivered += 1;
        self.counts.redelivered += u64::from(delivery.redeliveries > 0);
        let known = self.sequences.contains_key(&delivery.sequence);
        self.check_sequence(id, delivery);
        if delivery.address.is_topic() {
            let message = &self.messages[&id];
            if !message.repeated {
                self.subscriptions.delivered(id, delivery, message.producer, message.number);
            }
            return id;
        }
        if let Some(last) = self.draining.as_mut().map(|draining| draining.entry(delivery.wire.clone()).or_default()) {
            let ordered = *last < delivery.sequence;
            assert!(ordered, "order of {:?}: sequence {} comes after {last}", delivery.wire, delivery.sequence);
            *last = delivery.sequence;
        }
        let revived = self.is_revived(id, delivery);
        let message = self.messages.get_mut(&id).expect("just found");
        if message.persistent && !delivery.address.is_temporary() {
            // Dispatch waits for the commit (R14): what was seen stays.
            message.send = Send::Certain;
        }
        let part = message.parts.iter_mut().find(|part| part.is_at(delivery.address));
        let part = part.unwrap_or_else(|| panic!("message {id} at {:?}, where it was not sent", delivery.address));
        if revived {
            part.rotten_acknowledgement(delivery.address);
            if !known && *delivery.address == dead_letters() {
                // It has become a dead letter once more, which nobody has had.
                part.stored_again(delivery.address);
            }
        }
        if message.repeated && self.rotten.has_forgotten(message.producer, message.number) {
            part.stored_again(delivery.address);
        }
        self.moment += 1;
        part.delivered(id, delivery, self.moment);
        id
    }

    /// Each sequence is one message's at one address, and grows with the sends of a producer to an address (R9).
    fn check_sequence(&mut self, id: MessageId, delivery: &Delivery<'_>) {
        assert!(delivery.sequence > 0, "a message without a sequence");
        let what = (id, delivery.address.clone());
        let known = self.sequences.entry(delivery.sequence).or_insert_with(|| what.clone());
        assert_eq!(*known, what, "R9: sequence {} is used twice", delivery.sequence);
        let message = &self.messages[&id];
        // What a topic or a temporary queue had leaves nothing by which a repetition could be known.
        let passes = delivery.address.is_topic() || delivery.address.is_temporary();
        if *delivery.address == dead_letters() || (passes && message.repeated) {
            return;
        }
        if message.repeated && self.rotten.has_forgotten(message.producer, message.number) {
            return;
        }
        // It was refused for want of space, perhaps, and its answer lost: when it comes again there is space, behind what did not wait
        // for an answer and was let in.
        let late = message.repeated && self.scarce;
        let order = self.orders.entry((message.producer, delivery.address.clone(), late)).or_default();
        let first = *order.entry(message.number).or_insert(delivery.sequence);
        assert_eq!(first, delivery.sequence, "R17: message {id} is stored twice at {:?}", delivery.address);
        if late {
            return;
        }
        let before = order.range(..message.number).next_back();
        let after = order.range(message.number + 1..).next();
        let ordered =
            before.is_none_or(|(_, sequence)| *sequence < first) && after.is_none_or(|(_, sequence)| *sequence > first);
        assert!(
            ordered,
            "order of producer {} at {:?} around message {id}: {before:?} {first} {after:?}",
            message.producer, delivery.address
        );
    }

    fn part(&mut self, id: MessageId, address: &Address) -> Option<&mut Part> {
        let message = self.messages.get_mut(&id)?;
        message.parts.iter_mut().find(|part| !part.address.is_topic() && part.is_at(address))
    }

    /// A client acknowledges; `confirmed` later, when an answer to a later request shows that the broker has it.
    pub fn acknowledged(&mut self, id: MessageId, address: &Address, how: Acknowledged) {
        self.counts.acknowledged += 1;
        if let Some(part) = self.part(id, address) {
            part.acknowledge(how);
        }
    }

    /// The broker has an acknowledgement for sure.
    pub fn confirmed(&mut self, id: MessageId, address: &Address) {
        self.moment += 1;
        let moment = self.moment;
        if let Some(part) = self.part(id, address) {
            part.confirm(address, moment);
        }
    }

    /// Who alone sends there deletes a queue: what is in it goes, sooner or later.
    pub fn deletes(&mut self, address: &Address) {
        self.messages.values_mut().flat_map(|message| parts_at(message, address)).for_each(Part::is_to_be_deleted);
    }

    /// The broker has deleted it. What came over a connection that broke may come to the broker after that: who is there again does not
    /// wait for what its last connection has left on the way.
    pub fn has_deleted(&mut self, address: &Address) {
        self.moment += 1;
        let moment = self.moment;
        for message in self.messages.values_mut().filter(|message| message.send != Send::Unknown) {
            parts_at(message, address).for_each(|part| part.has_been_deleted(moment));
        }
    }

    /// A consumer that had the message has been closed by its client. `marked`: it counts as delivered.
    pub fn returned(&mut self, id: MessageId, address: &Address, consumer: u64, marked: bool) {
        if let Some(part) = self.part(id, address) {
            part.returned(consumer, marked);
        }
    }

    /// Whether a client may give the message up: what becomes of the copy is only followed in the plain case.
    pub fn may_give_up(&self, id: MessageId, address: &Address) -> bool {
        let message = &self.messages[&id];
        message.persistent && message.parts.len() == 1 && !address.is_temporary() && *address != dead_letters()
    }

    /// The process of the broker has ended.
    pub fn crashed(&mut self) {
        self.subscriptions.crashed();
        self.heard.clear();
        for message in self.messages.values_mut() {
            if !message.persistent && message.send != Send::Refused {
                message.send = Send::Unknown;
            }
            let survives = |part: &Part| message.persistent && !part.address.is_temporary();
            for part in &mut message.parts {
                let survives = survives(part);
                part.crashed(survives, if self.loses_counts { 0 } else { self.written });
            }
        }
    }

    /// Whether a message is stored for sure, or was.
    pub fn is_certain(&self, id: MessageId) -> bool {
        self.messages[&id].send == Send::Certain
    }

    /// Stored for sure, at some queue, and not acknowledged.
    pub fn owed(&self) -> u64 {
        let certain = |(id, message): &(&MessageId, &Message)| {
            message.persistent && message.send == Send::Certain && !self.rotten.has_taken(**id)
        };
        let parts = self.messages.iter().filter(certain).flat_map(|(_, message)| &message.parts);
        parts.filter(|part| !part.address.is_topic() && part.is_owed()).count() as u64
    }

    /// All queues are empty, says the broker. What is missing?
    pub fn check_drained(&self) {
        let mut missing = Vec::new();
        for (id, message) in self.messages.iter().filter(|(id, _)| !self.rotten.has_taken(**id)) {
            for part in message.parts.iter().filter(|part| !part.address.is_topic()) {
                if (message.send == Send::Certain || self.heard.contains(id)) && part.is_owed() {
                    missing.push((*id, part.address.name.clone(), message.persistent));
                }
            }
        }
        assert!(missing.is_empty(), "lost: {} messages, {:?}", missing.len(), &missing[..missing.len().min(20)]);
    }

    /// A consumer waits at this queue that wants some of it, and perhaps nothing of its own connection: whatever it wants has been served.
    pub fn check_wanted(&self, address: &Address, not_of: Option<&str>, wants: impl Fn(MessageId) -> bool) {
        let own = not_of.map(|connection| self.rotten.producers_of(connection)).unwrap_or_default();
        let is_renamed = self.rotten.has_renamed(address);
        let foreign = self.messages.iter().filter(|(id, message)| {
            // What was sent to several does not say which of them has lost its name: it is in the queue that goes by the number.
            let is_elsewhere = is_renamed && message.parts.len() > 1;
            message.send == Send::Certain
                && !own.contains(&message.producer)
                && wants(**id)
                && !self.rotten.has_taken(**id)
                && !is_elsewhere
        });
        let waits = |part: &&Part| part.address == *address && part.is_owed() && part.waits();
        let missed: Vec<_> =
            foreign.filter(|(_, message)| message.parts.iter().any(|part| waits(&part))).map(|(id, _)| *id).collect();
        assert!(
            missed.is_empty(),
            "R42: {} messages wait at {address:?} for one that wants them: {:?}",
            missed.len(),
            missed.first()
        );
    }

    /// Consumers that an address has had.
    pub fn listeners(&self, address: &Address) -> u64 {
        self.listeners.iter().filter(|(of, _)| of.takes(address)).map(|(_, count)| count).sum()
    }

    /// Messages of a queue that no client had had before it was drained, and that were marked as delivered all the same.
    pub fn overmarked(&self, address: &Address) -> u64 {
        let parts = self.messages.values().flat_map(|message| &message.parts);
        parts.filter(|part| part.address == *address && part.was_overmarked()).count() as u64
    }

    /// All topic consumers have read what there is.
    pub fn check_topics(&self) {
        let certain = |id: MessageId| self.messages[&id].send == Send::Certain && !self.messages[&id].repeated;
        self.subscriptions.check(certain);
    }

    /// Messages that may be back for want of the record of their end.
    fn revived(&self) -> impl Iterator<Item = MessageId> {
        let known = self.rotten.revived_sequences().map(|sequence| self.sequences.get(&sequence));
        known.flatten().map(|(id, _)| *id)
    }

    /// Bytes of bodies that are or may be stored.
    pub fn live_bytes(&self) -> u64 {
        let live = |message: &&(MessageId, &Message)| {
            message.1.persistent
                && message.1.send != Send::Refused
                && message.1.parts.iter().any(|part| !part.address.is_topic() && part.may_be_stored())
        };
        self.messages
            .iter()
            .map(|(id, message)| (*id, message))
            .filter(|pair| live(&pair))
            .map(|(id, message)| self.stored_bytes(id, message.producer))
            .chain(self.revived().map(|id| 300 + self.sizes.length(id)))
            .sum::<u64>()
            + self.mark_bytes
    }

    /// Bytes of a message in the log, about.
    fn stored_bytes(&self, id: MessageId, producer: u64) -> u64 {
        let names = NAMES_OF_A_MESSAGE * self.long_names.get(&producer).copied().unwrap_or_default();
        300 + self.sizes.length(id) + names
    }

    /// A message goes to the broker, which may have to store it.
    fn brings(&mut self, id: MessageId) {
        let message = &self.messages[&id];
        let stored = message.persistent && message.parts.iter().any(|part| part.address.kind == 100);
        if stored {
            self.counts.bytes += self.stored_bytes(id, message.producer);
        }
    }
}

impl Counts {
    /// Adds another's.
    pub fn add(&mut self, other: &Counts) {
        self.sent += other.sent;
        self.receipts += other.receipts;
        self.delivered += other.delivered;
        self.redelivered += other.redelivered;
        self.shown += other.shown;
        self.acknowledged += other.acknowledged;
        self.bytes += other.bytes;
    }
}
