//! The broker's turn over a journal whose syncs have finished at once, and a port with one producer and one consumer.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::num::NonZeroU16;

use postrider_broker::{Broker, Config, WindowSizes};
use postrider_dispatcher::port::{ClientPort, port};
use postrider_dispatcher::turn::BrokerTurn;
use postrider_dispatcher::wake::Alarm;
use postrider_journal::{Journal, NoSpill, Spool, SpoolConfig};
use postrider_model::command::{Acknowledge, AcknowledgeKind, Publish, Request, Transact, TransactionAct};
use postrider_model::{Command, CommandBatch, DestinationKind, Event, Sequence, Token, TransactionNumber, limits};

use crate::client::{Client, Format, HASH_SEED, NOW};
use crate::instant::InstantStorage;

/// Batches of commands that are in the ring before the turns of a round begin. Each makes two batches of events at most.
pub const ROUND: usize = limits::RING_BATCHES / 4;

/// Whether a message is stored and answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    /// Stored, synced, then answered.
    Persistent,
    /// Neither.
    NonPersistent,
    /// Stored; each batch is one transaction that is synced and answered, and another acknowledges what is held.
    Transacted,
    /// As [`Delivery::Persistent`], to a topic that has a durable subscription.
    Durable,
}

/// What came back from a round.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Told {
    /// Receipts.
    pub replies: usize,
    /// Messages for the consumer.
    pub dispatches: usize,
}

/// The broker and its client.
pub struct Turns {
    delivery: Delivery,
    turn: BrokerTurn<InstantStorage, NoSpill>,
    port: ClientPort,
    template: Publish,
    record: Vec<u8>,
    acknowledge: Acknowledge,
    producer_sequence: i64,
    request_token: Token,
    /// Messages that the consumer has and has not acknowledged.
    held: VecDeque<Sequence>,
    /// Bytes of dispatches that the socket has taken and the broker has not heard of.
    written: u32,
}

impl Turns {
    /// A broker with one connection, ready for messages of this kind.
    #[must_use]
    pub fn new(delivery: Delivery) -> Turns {
        let mut client = Client::connected(Format::LooseCached);
        let records = client.records(1);
        let [Command::Publish(publish)] = records.commands[..] else { panic!("one message") };
        let persistent = delivery != Delivery::NonPersistent;
        let alarm = Alarm::new();
        let (port, broker_port) = port(&alarm, &alarm);
        let acknowledge = Acknowledge {
            connection: publish.connection,
            request: Request::default(),
            consumer: client.consumer(),
            kind: AcknowledgeKind::Standard,
            first: Sequence(0),
            last: Sequence(0),
            count: 1,
            transaction: None,
            cause: Default::default(),
        };
        let request = match delivery {
            Delivery::Transacted => Request::default(),
            _ => Request::new(publish.request.token(), persistent),
        };
        let mut turns = Turns {
            delivery,
            turn: broker_turn(broker_port),
            port,
            template: Publish { persistent, request, ..publish },
            record: publish.record.of(&records.arena).to_vec(),
            acknowledge,
            producer_sequence: 1,
            request_token: publish.request.token(),
            held: VecDeque::new(),
            written: 0,
        };
        turns.open(client.opening().commands.iter().map(|command| with_destination(command.clone(), delivery)));
        turns
    }

    /// Fills the ring with batches of this many messages, and of acknowledgements of what the consumer holds.
    pub fn fill(&mut self, messages: usize) {
        for _ in 0..ROUND {
            let mut batch = self.port.commands.blank();
            self.add(messages, &mut batch);
            assert!(self.port.commands.push(batch).is_ok(), "the ring is empty before a round");
        }
    }

    /// Turns until nothing is left to do: this is what is measured.
    pub fn run(&mut self) {
        while self.turn.turn(NOW).expect("no sync fails").busy {}
    }

    /// Does what these commands ask, which are of the one connection.
    pub fn handle(&mut self, commands: &CommandBatch) {
        let mut batch = self.port.commands.blank();
        batch.commands.extend(commands.commands.iter().cloned());
        batch.arena.extend_from_slice(&commands.arena);
        assert!(self.port.commands.push(batch).is_ok(), "the ring is empty before it");
        while !self.port.commands.is_empty() {
            self.run();
        }
    }

    /// Takes what the broker has said.
    pub fn drain(&mut self) -> Told {
        let mut told = Told::default();
        while let Some(batch) = self.port.events.pop() {
            for event in &batch.events {
                match event {
                    Event::Reply { .. } => told.replies += 1,
                    Event::Dispatch(dispatch) => {
                        told.dispatches += 1;
                        self.held.push_back(dispatch.sequence);
                        self.written += dispatch.place.length;
                    }
                    Event::Opened { .. } => {}
                    other => panic!("nobody asked for {other:?}"),
                }
            }
            self.port.events.recycle(batch);
        }
        told
    }

    fn open(&mut self, opening: impl Iterator<Item = Command>) {
        let mut batch = self.port.commands.blank();
        batch.commands.extend(opening);
        assert!(self.port.commands.push(batch).is_ok());
        // The first turns wait for the journal.
        while !self.port.commands.is_empty() {
            self.run();
        }
        self.drain();
    }

    fn add(&mut self, messages: usize, batch: &mut CommandBatch) {
        if self.written > 0 {
            let (connection, bytes) = (self.template.connection, std::mem::take(&mut self.written));
            batch.commands.push(Command::Written { connection, bytes });
        }
        if self.delivery == Delivery::Transacted {
            return self.add_transactions(messages, batch);
        }
        for _ in 0..messages {
            self.publish(None, batch);
            if let Some(last) = self.held.pop_front() {
                batch.commands.push(Command::Acknowledge(Acknowledge { last, ..self.acknowledge }));
            }
        }
    }

    /// One that sends and one that acknowledges.
    fn add_transactions(&mut self, messages: usize, batch: &mut CommandBatch) {
        let [sends, acknowledges] = [1, 2].map(|number| TransactionNumber(NonZeroU16::MIN.saturating_add(number)));
        batch.commands.push(self.transact(sends, TransactionAct::Begin));
        (0..messages).for_each(|_| self.publish(Some(sends), batch));
        batch.commands.push(self.transact(sends, TransactionAct::Commit));
        let count = self.held.len().min(messages);
        let mut range = self.held.drain(..count);
        let Some(first) = range.next() else { return };
        let last = range.next_back().unwrap_or(first);
        drop(range);
        let (count, transaction) = (count as u32, Some(acknowledges));
        batch.commands.push(self.transact(acknowledges, TransactionAct::Begin));
        batch.commands.push(Command::Acknowledge(Acknowledge { first, last, count, transaction, ..self.acknowledge }));
        batch.commands.push(self.transact(acknowledges, TransactionAct::Commit));
    }

    fn publish(&mut self, transaction: Option<TransactionNumber>, batch: &mut CommandBatch) {
        self.producer_sequence += 1;
        let (record, producer_sequence) = (batch.store(&self.record), self.producer_sequence);
        batch.commands.push(Command::Publish(Publish { record, producer_sequence, transaction, ..self.template }));
    }

    fn transact(&self, transaction: TransactionNumber, act: TransactionAct) -> Command {
        let request = Request::new(self.request_token, act == TransactionAct::Commit);
        Command::Transact(Transact { connection: self.template.connection, request, transaction, act })
    }
}

/// The topic instead of the queue, and the subscription to it.
fn with_destination(mut command: Command, delivery: Delivery) -> Command {
    let destinations = match &mut command {
        _ if delivery != Delivery::Durable => return command,
        Command::DefineDestination { destinations, .. } => destinations,
        Command::OpenProducer(open) => &mut open.destinations,
        Command::OpenConsumer(open) => {
            open.subscription = Some((*b"subscription").into());
            &mut open.destinations
        }
        _ => return command,
    };
    destinations.iter_mut().for_each(|destination| destination.kind = DestinationKind::Topic);
    command
}

fn broker_turn(port: postrider_dispatcher::port::BrokerPort) -> BrokerTurn<InstantStorage, NoSpill> {
    // Small segments, so that their memory is soon used again: the helper that makes new memory in the product is not here.
    let config = postrider_journal::Config {
        segment_bytes: 8 << 20,
        hot_bytes: 16 << 20,
        disk_budget: Some(4 << 30),
        spool_budget: Some(0),
        keys: HASH_SEED,
        ..Default::default()
    };
    let mut journal = Journal::recover(InstantStorage::default(), config, &mut |_, _| Ok::<_, Infallible>(()))
        .expect("an empty journal");
    journal.poll().expect("no sync fails");
    // The window of a socket must not be what is measured.
    let config = Config {
        hash_seed: HASH_SEED,
        send_window: WindowSizes { first: u64::MAX, largest: u64::MAX, proof: 0 },
        ..Config::default()
    };
    let mut broker = Broker::new(config);
    broker.recovered(NOW, 0, 1);
    let spool = Spool::new(NoSpill, SpoolConfig { keys: HASH_SEED, ..SpoolConfig::default() });
    BrokerTurn::new(broker, journal, spool, vec![port])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_and_closes_is_answered() {
        let mut client = Client::connected(Format::LooseCached);
        let frames = client.openings(8);
        let mut turns = Turns::new(Delivery::NonPersistent);
        for round in 0..3 {
            let commands = client.receive(&frames);
            turns.handle(commands);
            assert_eq!(turns.drain(), Told { replies: 8 * 6, dispatches: 0 }, "round {round}");
            let statistics = turns.turn.broker().statistics();
            assert_eq!((statistics.consumers, statistics.stale_commands), (1, 0), "round {round}: the one that stays");
        }
    }

    #[test]
    fn every_message_is_answered_and_dispatched() {
        for delivery in [Delivery::Persistent, Delivery::NonPersistent, Delivery::Transacted, Delivery::Durable] {
            for messages in [1, 8, 64, 256] {
                let mut turns = Turns::new(delivery);
                for round in 0..3 {
                    turns.fill(messages);
                    turns.run();
                    let expected = ROUND * messages;
                    let replies = match delivery {
                        Delivery::Persistent | Delivery::Durable => expected,
                        Delivery::NonPersistent => 0,
                        // Of what was sent, and, once there is something, of what is acknowledged.
                        Delivery::Transacted => ROUND * if round == 0 { 1 } else { 2 },
                    };
                    let told = Told { replies, dispatches: expected };
                    assert_eq!(turns.drain(), told, "{delivery:?}, {messages} messages, round {round}");
                }
                let statistics = turns.turn.broker().statistics();
                let last_round = (ROUND * messages) as u64;
                assert_eq!(statistics.messages, last_round, "{delivery:?}: all others are acknowledged");
            }
        }
    }
}
