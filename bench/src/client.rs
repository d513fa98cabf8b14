//! A client and the broker's session for it, in one thread: bytes that the one writes, the other reads.

use std::rc::Rc;

use postrider_model::record::MessageView;
use postrider_model::{Command, CommandBatch, ConnectionHandle, ConsumerHandle, Now, Sequence, Span, Token};
use postrider_wire::openwire::schema::{base_command, connection_id, connection_info, consumer_info, producer_info};
use postrider_wire::openwire::schema::{consumer_id, producer_id, remove_info, session_info};
use postrider_wire::openwire::{Offer, Settings, Structure, WireFormat, WriterPolicy};
use postrider_wire::session::{CommandSink, Delivery, Handles, Next, Profile, Protocol, Session};

use crate::canonical;

/// How the frames are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// The broker's own offer.
    LooseCached,
    /// What clients other than Java's ask for.
    Loose,
    /// The smallest frames without a cache.
    Tight,
}

/// The moment at which everything happens.
pub const NOW: Now = Now { nanos: 1_000_000_000, unix_millis: canonical::UNIX_MILLIS };

/// Seed of all hash tables: counts of instructions must not depend on chance.
pub const HASH_SEED: u64 = 7;

const CONNECTION: ConnectionHandle = ConnectionHandle { slot: 0, generation: 1 };
const MAX_FRAME_BYTES: i64 = 100 << 20;

struct Batch(CommandBatch);

impl CommandSink for Batch {
    fn batch(&mut self) -> &mut CommandBatch {
        &mut self.0
    }
}

/// Both sides of one connection with a producer and a consumer of the one queue.
pub struct Client {
    session: Session,
    handles: Handles,
    batch: Batch,
    output: Vec<u8>,
    format: WireFormat,
    consumer: ConsumerHandle,
    opening: CommandBatch,
}

impl Client {
    /// A connection that has been accepted.
    #[must_use]
    pub fn connected(format: Format) -> Client {
        let (offer, settings) = agreed(format);
        let mut output = Vec::new();
        let mut client = Client {
            session: Session::new(
                Protocol::OpenWire,
                CONNECTION,
                "127.0.0.1:41234",
                profile(offer.clone()),
                NOW,
                &mut output,
            ),
            handles: Handles::default(),
            batch: Batch(CommandBatch::default()),
            output,
            format: WireFormat::new(Settings::initial(1 << 16), WriterPolicy::JavaOrder),
            consumer: ConsumerHandle::default(),
            opening: CommandBatch::default(),
        };
        client.say(&offer.write());
        client.format = WireFormat::new(settings, WriterPolicy::JavaOrder);
        client.say(&connection_info());
        client.session.opened(Token(1), &mut client.output).expect("the session asked for it");
        [session_info(0), session_info(canonical::SESSION), producer_info(), consumer_info()]
            .iter()
            .for_each(|structure| client.say(structure));
        // The first of each kind: from here on the caches hold what they can.
        [canonical::message(1), canonical::acknowledgement(1, 1)].iter().for_each(|first| client.say(first));
        client.opened();
        client
    }

    /// What the broker was asked for before the first message.
    #[must_use]
    pub fn opening(&self) -> &CommandBatch {
        &self.opening
    }

    /// The consumer, as the broker knows it.
    #[must_use]
    pub fn consumer(&self) -> ConsumerHandle {
        self.consumer
    }

    /// Frames of `count` messages in the steady state: what the caches can hold, they hold.
    #[must_use]
    pub fn messages(&mut self, count: usize) -> Vec<u8> {
        self.frames((0..count as i64).map(|number| canonical::message(2 + number)))
    }

    /// Likewise, of a whole transaction with that many messages.
    #[must_use]
    pub fn transaction(&mut self, count: usize) -> Vec<u8> {
        let messages = (0..count as i64).map(|number| canonical::transacted_message(2 + number));
        let all: Vec<Structure> =
            std::iter::once(canonical::begin()).chain(messages).chain(std::iter::once(canonical::commit())).collect();
        // The first time its id goes into the caches.
        let first = self.frames(all.iter().cloned());
        self.receive(&first);
        self.frames(all.into_iter())
    }

    /// Likewise, of acknowledgements.
    #[must_use]
    pub fn acknowledgements(&mut self, count: usize) -> Vec<u8> {
        self.frames((0..count as i64).map(|number| canonical::acknowledgement(2 + number, 2 + number)))
    }

    /// Likewise: so often a session with a producer and a consumer comes and goes, each step of which is answered.
    #[must_use]
    pub fn openings(&mut self, count: usize) -> Vec<u8> {
        const NUMBER: i64 = canonical::SESSION + 1;
        let session = canonical::session(NUMBER);
        let producer = canonical::producer().with(producer_id::SESSION_ID, NUMBER);
        let consumer = canonical::consumer().with(consumer_id::SESSION_ID, NUMBER);
        let opens = [
            session_info(NUMBER),
            producer_info().with(producer_info::PRODUCER_ID, producer.clone()),
            consumer_info().with(consumer_info::CONSUMER_ID, consumer.clone()),
        ];
        let closes = [consumer, producer, session];
        let closes = closes.map(|id| Structure::new(&remove_info::DEFINITION).with(remove_info::OBJECT_ID, id));
        let round = opens.into_iter().chain(closes).map(|step| step.with(base_command::RESPONSE_REQUIRED, true));
        let round: Vec<Structure> = round.collect();
        self.frames((0..count).flat_map(|_| round.iter().cloned()))
    }

    /// The records of `count` messages.
    #[must_use]
    pub fn records(&mut self, count: usize) -> CommandBatch {
        let frames = self.messages(count);
        self.receive(&frames);
        std::mem::take(&mut self.batch.0)
    }

    /// The session takes bytes; what it asks of the broker is in the batch that is returned.
    pub fn receive(&mut self, bytes: &[u8]) -> &CommandBatch {
        self.batch.0.clear();
        let next =
            self.session.received(&mut &*bytes, u64::MAX, NOW, &mut self.handles, &mut self.batch, &mut self.output);
        assert_eq!(next.expect("frames of a real client"), Next::Continue);
        &self.batch.0
    }

    /// The session writes a dispatch of each record; returns the bytes of all frames.
    pub fn dispatch(&mut self, records: &CommandBatch) -> &[u8] {
        self.output.clear();
        for (index, span) in spans(records).enumerate() {
            let delivery = Delivery {
                view: MessageView::parse(span.of(&records.arena)).expect("a record"),
                sequence: Sequence(1_000_000 + index as u64),
                redeliveries: 0,
                destination: None,
                unix_millis: NOW.unix_millis,
            };
            let written =
                self.session.dispatch(self.consumer, &delivery.outbound(), &mut self.handles, &mut self.output);
            written.expect("a canonical message can be written");
        }
        &self.output
    }

    /// The session writes this many receipts; returns the bytes of all frames.
    pub fn reply(&mut self, count: usize) -> &[u8] {
        self.output.clear();
        (0..count).for_each(|number| self.session.reply(Token(10 + number as u64), &mut self.output));
        &self.output
    }

    fn frames(&mut self, structures: impl Iterator<Item = Structure>) -> Vec<u8> {
        let mut frames = Vec::new();
        structures.for_each(|structure| self.format.encode(&structure, &mut frames).expect("a frame"));
        frames
    }

    fn say(&mut self, structure: &Structure) {
        let frames = self.frames(std::iter::once(structure.clone()));
        let next =
            self.session.received(&mut &*frames, u64::MAX, NOW, &mut self.handles, &mut self.batch, &mut self.output);
        assert_eq!(next.expect("a command of a real client"), Next::Continue);
    }

    fn opened(&mut self) {
        self.opening = std::mem::take(&mut self.batch.0);
        self.opening.commands.retain(|command| !matches!(command, Command::Publish(_) | Command::Acknowledge(_)));
        let consumer = self.opening.commands.iter().find_map(|command| match command {
            Command::OpenConsumer(open) => Some(open.consumer),
            _ => None,
        });
        self.consumer = consumer.expect("the session opens the consumer");
        self.output.clear();
    }
}

/// The records of a batch's messages.
fn spans(batch: &CommandBatch) -> impl Iterator<Item = Span> + '_ {
    batch.commands.iter().filter_map(|command| match command {
        Command::Publish(publish) => Some(publish.record),
        _ => None,
    })
}

fn agreed(format: Format) -> (Offer, Settings) {
    let offer = Offer {
        tight_encoding_enabled: format == Format::Tight,
        cache_enabled: format == Format::LooseCached,
        ..Offer::of_broker(MAX_FRAME_BYTES)
    };
    let settings = offer.agree(&offer).expect("equal offers agree").settings();
    (offer, settings)
}

fn profile(offer: Offer) -> Rc<Profile> {
    Rc::new(Profile {
        broker_id: "ID:bench-1".into(),
        broker_name: "bench".into(),
        broker_url: "tcp://127.0.0.1:61616".into(),
        openwire: offer,
        hash_seed: HASH_SEED,
    })
}

fn connection_info() -> Structure {
    let id = Structure::new(&connection_id::DEFINITION).with(connection_id::VALUE, canonical::CONNECTION);
    Structure::new(&connection_info::DEFINITION)
        .with(connection_info::COMMAND_ID, 1)
        .with(connection_info::RESPONSE_REQUIRED, true)
        .with(connection_info::CONNECTION_ID, id)
        .with(connection_info::CLIENT_ID, "bench")
}

fn session_info(number: i64) -> Structure {
    Structure::new(&session_info::DEFINITION)
        .with(session_info::COMMAND_ID, 2)
        .with(session_info::SESSION_ID, canonical::session(number))
}

fn producer_info() -> Structure {
    Structure::new(&producer_info::DEFINITION)
        .with(producer_info::COMMAND_ID, 3)
        .with(producer_info::PRODUCER_ID, canonical::producer())
        .with(producer_info::DESTINATION, canonical::queue())
}

fn consumer_info() -> Structure {
    Structure::new(&consumer_info::DEFINITION)
        .with(consumer_info::COMMAND_ID, 4)
        .with(consumer_info::CONSUMER_ID, canonical::consumer())
        .with(consumer_info::DESTINATION, canonical::queue())
        .with(consumer_info::PREFETCH_SIZE, canonical::PREFETCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postrider_model::record::Tag;

    #[test]
    fn frames_become_records_and_records_become_frames() {
        for format in [Format::LooseCached, Format::Loose, Format::Tight] {
            let mut client = Client::connected(format);
            let records = client.records(3);
            assert_eq!(records.commands.len(), 3, "{format:?}: nothing but the messages");
            let view = MessageView::parse(spans(&records).next().unwrap().of(&records.arena)).unwrap();
            assert_eq!(view.field(Tag::Destination).unwrap()[1..], *canonical::QUEUE.as_bytes(), "{format:?}");
            let sent = client.dispatch(&records).to_vec();
            assert_eq!(bodies(&sent), 3, "{format:?}");
            let again = client.dispatch(&records).to_vec();
            assert_eq!(bodies(&again), 3, "{format:?}");
            assert_eq!(again.len() < sent.len(), format == Format::LooseCached, "{format:?}: caches fill once");
        }
    }

    #[test]
    fn an_acknowledgement_names_its_message() {
        for format in [Format::LooseCached, Format::Loose, Format::Tight] {
            let mut client = Client::connected(format);
            let frames = client.acknowledgements(2);
            let [_, Command::Acknowledge(acknowledge)] = client.receive(&frames).commands[..] else { panic!() };
            assert_eq!((acknowledge.last, acknowledge.count), (Sequence(3), 1), "{format:?}");
            assert_eq!(acknowledge.consumer, client.consumer, "{format:?}");
        }
    }

    #[test]
    fn a_transaction_is_its_messages_between_begin_and_commit() {
        for format in [Format::LooseCached, Format::Loose, Format::Tight] {
            let mut client = Client::connected(format);
            let frames = client.transaction(2);
            let [Command::Transact(_), Command::Publish(one), Command::Publish(two), Command::Transact(_)] =
                client.receive(&frames).commands[..]
            else {
                panic!("{format:?}")
            };
            assert!(one.transaction.is_some() && one.transaction == two.transaction, "{format:?}");
        }
    }

    #[test]
    fn a_receipt_is_one_frame() {
        let mut client = Client::connected(Format::LooseCached);
        let one = client.reply(1).len();
        assert_eq!(client.reply(64).len(), 64 * one);
    }

    /// How often the canonical text occurs.
    fn bodies(bytes: &[u8]) -> usize {
        let text: Vec<u8> = canonical::text().collect();
        bytes.windows(text.len()).filter(|window| *window == text).count()
    }
}
