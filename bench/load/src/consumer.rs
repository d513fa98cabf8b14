//! A consumer: checks and acknowledges what it gets.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::{Context, Result};
use postrider_wire::openwire::schema::{
    connection_id, consumer_info, message, message_dispatch, remove_info, remove_subscription_info,
};
use postrider_wire::openwire::{Decoder, Settings, Structure, Value, WireFormat, WriterPolicy};

use crate::body::{self, STAMP_LENGTH, Stamp};
use crate::frames::{Acknowledge, Delivered, Dispatch, Identity, is_handmade};
use crate::ledger::Ledger;
use crate::link::{BrokerLink, Codec, Incoming};
use crate::meter::Meter;
use crate::plan::Plan;
use crate::transaction::Transactions;
use crate::{Arguments, names};

/// One consumer with its subscriptions.
#[derive(Debug)]
pub(crate) struct Consumer {
    run: Run,
    subscriptions: Vec<Subscription>,
    ack_every: u32,
    acknowledges: bool,
    transacted: Option<Transacted>,
    /// Its connection, whose subscriptions end with it, if they are durable.
    durable: Option<Arc<Structure>>,
    /// What a text looks like behind its stamp.
    text: Vec<u8>,
    /// Whether the fields of a dispatch are cached; none if the codec has to read all of them.
    by_hand: Option<bool>,
    /// Messages of others.
    pub foreign: u64,
}

/// Acknowledgements in transactions. While the broker decides one, nothing is taken into the next.
#[derive(Debug)]
struct Transacted {
    transactions: Transactions,
    /// Messages that came meanwhile, with their subscriptions.
    waiting: VecDeque<(usize, Delivered)>,
}

/// Whose messages are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// Those of this run.
    Own(u32),
    /// Those of the run that the first message belongs to, as this one has no producers.
    First,
    /// Those of an earlier run.
    Earlier(u32),
}

#[derive(Debug)]
struct Subscription {
    destination: u16,
    /// The destination's, and that of a durable subscription.
    name: String,
    id: Arc<Structure>,
    /// The ConsumerId as it stands in an uncached frame.
    inline: Vec<u8>,
    acknowledge: Acknowledge,
    ledger: Ledger,
}

impl Consumer {
    /// Subscribes the consumer of that number on its connection.
    pub(crate) fn open(
        arguments: &Arguments,
        plan: &Plan,
        run: u32,
        number: u16,
        link: &mut BrokerLink,
    ) -> Result<Consumer> {
        let connection = names::consumer_connection(run, number);
        let mut subscriptions = Vec::new();
        for &number in &plan.consumers[usize::from(number)] {
            let name = &plan.names[usize::from(number)];
            let destination = names::destination(name, plan.topic);
            let subscription =
                Subscription::new(run, number, name, names::consumer_id(&connection, number), &destination);
            let text = |text: Option<&str>| text.map_or(Value::String(None), Value::from);
            let info = Structure::new(&consumer_info::DEFINITION)
                .with(consumer_info::CONSUMER_ID, subscription.id.clone())
                .with(consumer_info::DESTINATION, destination)
                .with(consumer_info::PREFETCH_SIZE, arguments.prefetch() as i32)
                .with(consumer_info::DISPATCH_ASYNC, true)
                .with(consumer_info::SELECTOR, text(arguments.selector.as_deref()))
                .with(consumer_info::SUBSCRIPTION_NAME, text(arguments.durable.then_some(name)))
                .with(consumer_info::OPTIMIZED_ACKNOWLEDGE, arguments.ack_every > 1);
            link.request(info).with_context(|| format!("{} cannot subscribe to {name}", link.label))?;
            subscriptions.push(subscription);
        }
        let settings = link.codec.format.settings();
        Ok(Consumer {
            run: if arguments.producers == 0 { Run::First } else { Run::Own(run) },
            subscriptions,
            ack_every: arguments.ack_every,
            acknowledges: arguments.acknowledges(),
            transacted: arguments.transaction.map(|size| Transacted {
                transactions: Transactions::new(link.connection(), size),
                waiting: VecDeque::new(),
            }),
            durable: arguments.durable.then(|| link.connection().clone()),
            text: body::blank(arguments.size),
            by_hand: is_handmade(settings).then_some(settings.cache_size.is_some()),
            foreign: 0,
        })
    }

    /// Takes a frame, given without its size.
    #[inline]
    pub(crate) fn frame(&mut self, frame: &[u8], codec: &mut Codec, meter: &mut Meter, now: u64) -> Result<()> {
        if let Some(dispatch) = self.by_hand.and_then(|is_cached| Dispatch::read(frame, is_cached))
            && let Some(index) = self.subscription(dispatch.consumer, &mut codec.format.decoder)
            && let Some(stamp) = self.own_stamp(dispatch.text)
        {
            return self.deliver(index, &dispatch, &stamp, codec, meter, now);
        }
        match codec.decode(frame)? {
            Incoming::Dispatch(dispatch) => self.dispatch(&dispatch, codec, meter, now),
            Incoming::Receipt(command) => self.committed(command, codec, now),
            Incoming::Ignored => Ok(()),
        }
    }

    /// Takes a dispatch that the codec has read.
    pub(crate) fn dispatch(
        &mut self,
        structure: &Structure,
        codec: &mut Codec,
        meter: &mut Meter,
        now: u64,
    ) -> Result<()> {
        let id = structure.object(message_dispatch::CONSUMER_ID);
        let index = self.subscriptions.iter().position(|subscription| Some(&subscription.id) == id);
        let index = index.context("the broker sent a message for a consumer that this connection does not have")?;
        // The identity is settled; the index of no slot stands for it.
        let Some(dispatch) = Dispatch::of(structure, Identity::Index(-1)) else { return Ok(()) };
        if let Some(stamp) = self.own_stamp(dispatch.text) {
            return self.deliver(index, &dispatch, &stamp, codec, meter, now);
        }
        self.foreign += 1;
        if !self.acknowledges {
            return Ok(());
        }
        let message = structure.object(message_dispatch::MESSAGE);
        let id = message.and_then(|message| message.object(message::MESSAGE_ID)).context("a message without an id")?;
        self.commit_all(codec, now)?;
        let acknowledge = &mut self.subscriptions[index].acknowledge;
        acknowledge.flush(&mut codec.format, &mut codec.command, &mut codec.out)?;
        acknowledge.push_other(id.clone(), &mut codec.format, &mut codec.command, &mut codec.out)?;
        Ok(())
    }

    /// Acknowledges what is not acknowledged yet; to be called when all that was received at once is through.
    #[inline]
    pub(crate) fn flush(&mut self, codec: &mut Codec) -> Result<()> {
        if self.transacted.is_some() {
            return Ok(());
        }
        for subscription in &mut self.subscriptions {
            subscription.acknowledge.flush(&mut codec.format, &mut codec.command, &mut codec.out)?;
        }
        Ok(())
    }

    #[inline]
    fn subscription(&self, identity: Identity<'_>, decoder: &mut Decoder) -> Option<usize> {
        match identity {
            Identity::Inline(bytes) => self.subscriptions.iter().position(|subscription| subscription.inline == bytes),
            Identity::Index(index) => {
                let cache = decoder.cache()?;
                // The tag is 0 until the value at the index was looked at.
                if let tag @ 1.. = cache.tag(index).ok()? {
                    return Some(tag as usize - 1);
                }
                let id = cache.get(index).ok()?;
                let found = self.subscriptions.iter().position(|subscription| Some(&subscription.id) == id)?;
                cache.set_tag(index, found as u32 + 1).ok()?;
                Some(found)
            }
        }
    }

    /// The stamp of a message that is to be checked.
    #[inline]
    fn own_stamp(&mut self, text: &[u8]) -> Option<Stamp> {
        let stamp = Stamp::read(text)?;
        if self.run == Run::First {
            self.run = Run::Earlier(stamp.run);
            self.subscriptions.iter_mut().for_each(|subscription| subscription.acknowledge.set_run(stamp.run));
        }
        (self.run == Run::Own(stamp.run) || self.run == Run::Earlier(stamp.run)).then_some(stamp)
    }

    #[inline]
    fn deliver(
        &mut self,
        index: usize,
        dispatch: &Dispatch<'_>,
        stamp: &Stamp,
        codec: &mut Codec,
        meter: &mut Meter,
        now: u64,
    ) -> Result<()> {
        let subscription = &mut self.subscriptions[index];
        let is_as_sent = stamp.destination == subscription.destination
            && dispatch.sequence == stamp.counter as i64 + 1
            && dispatch.text.get(STAMP_LENGTH..) == Some(&self.text[STAMP_LENGTH..]);
        if is_as_sent {
            subscription.ledger.record(stamp.producer, stamp.counter, dispatch.redelivered);
        } else {
            subscription.ledger.altered += 1;
        }
        meter.delivered(stamp.time, now);
        if !self.acknowledges {
            return Ok(());
        }
        let (producer, sequence, broker_sequence) = (stamp.producer, dispatch.sequence, dispatch.broker_sequence);
        let delivered = Delivered { producer, sequence, broker_sequence };
        if self.transacted.is_some() {
            return self.acknowledge_within(index, delivered, codec, now);
        }
        if subscription.acknowledge.add(delivered) >= self.ack_every {
            subscription.acknowledge.flush(&mut codec.format, &mut codec.command, &mut codec.out)?;
        }
        Ok(())
    }

    /// Takes a message into the open transaction, or has it wait for the next one.
    fn acknowledge_within(&mut self, index: usize, delivered: Delivered, codec: &mut Codec, now: u64) -> Result<()> {
        let Some(Transacted { transactions, waiting }) = &mut self.transacted else { return Ok(()) };
        if transactions.pending() > 0 {
            waiting.push_back((index, delivered));
            return Ok(());
        }
        transactions.enter(codec)?;
        self.subscriptions[index].acknowledge.add(delivered);
        if transactions.add() { self.commit(codec, now) } else { Ok(()) }
    }

    fn commit(&mut self, codec: &mut Codec, now: u64) -> Result<()> {
        let Some(Transacted { transactions, .. }) = &mut self.transacted else { return Ok(()) };
        let id = transactions.enter(codec)?;
        for subscription in &mut self.subscriptions {
            subscription.acknowledge.flush_within(&id, &mut codec.format, &mut codec.command, &mut codec.out)?;
        }
        transactions.commit(codec, now)
    }

    /// The broker answered a command; what waited for that goes on.
    fn committed(&mut self, command: i32, codec: &mut Codec, now: u64) -> Result<()> {
        if let Some(transacted) = &mut self.transacted {
            transacted.transactions.committed(command);
        }
        while let Some((index, delivered)) = self.transacted.as_mut().and_then(Transacted::next) {
            self.acknowledge_within(index, delivered, codec, now)?;
        }
        Ok(())
    }

    /// Commits all that came, however much that is, without waiting for an answer.
    fn commit_all(&mut self, codec: &mut Codec, now: u64) -> Result<()> {
        let Some(Transacted { transactions, waiting }) = &mut self.transacted else { return Ok(()) };
        for (index, delivered) in std::mem::take(waiting) {
            transactions.enter(codec)?;
            transactions.add();
            self.subscriptions[index].acknowledge.add(delivered);
        }
        if transactions.is_open() { self.commit(codec, now) } else { Ok(()) }
    }

    /// The end: what is open is committed, and durable subscriptions are given up.
    pub(crate) fn leave(&mut self, codec: &mut Codec) -> Result<()> {
        self.commit_all(codec, 0)?;
        let Some(connection) = &self.durable else { return Ok(()) };
        let client = connection.fields()[connection_id::VALUE].clone();
        for subscription in &self.subscriptions {
            codec
                .push(Structure::new(&remove_info::DEFINITION).with(remove_info::OBJECT_ID, subscription.id.clone()))?;
            let info = Structure::new(&remove_subscription_info::DEFINITION)
                .with(remove_subscription_info::CONNECTION_ID, connection.clone())
                .with(remove_subscription_info::CLIENT_ID, client.clone())
                .with(remove_subscription_info::SUBSCRIPTION_NAME, &*subscription.name);
            codec.push(info)?;
        }
        Ok(())
    }

    /// What arrived, by destination.
    pub(crate) fn into_ledgers(self) -> impl Iterator<Item = (u16, Ledger)> {
        self.subscriptions.into_iter().map(|subscription| (subscription.destination, subscription.ledger))
    }
}

impl Transacted {
    /// What goes into the open transaction next, unless the broker still decides the one before.
    fn next(&mut self) -> Option<(usize, Delivered)> {
        if self.transactions.pending() > 0 { None } else { self.waiting.pop_front() }
    }
}

impl Subscription {
    fn new(run: u32, number: u16, name: &str, id: Arc<Structure>, destination: &Arc<Structure>) -> Subscription {
        let mut plain = WireFormat::new(Settings::initial(1 << 20), WriterPolicy::JavaOrder);
        let mut inline = Vec::new();
        plain.encode(&id, &mut inline).expect("short strings can be encoded");
        let acknowledge = Acknowledge::new(run, number, id.clone(), destination.clone());
        let inline = inline.split_off(size_of::<u32>());
        let (name, ledger) = (name.to_owned(), Ledger::default());
        Subscription { destination: number, name, id, inline, acknowledge, ledger }
    }
}

#[cfg(test)]
mod tests {
    use postrider_wire::openwire::schema::{
        active_mq_bytes_message, message_ack, message_id, response, transaction_info,
    };

    use super::*;
    use crate::frames::{Fixed, Variable, message as text_message};
    use crate::ledger::Verdict;

    const RUN: u32 = 77;
    const SIZE: usize = 64;
    const DESTINATION: u16 = 1;

    /// A consumer, both sides of its connection, and what was acknowledged.
    struct Bench {
        consumer: Consumer,
        codec: Codec,
        broker: WireFormat,
        meter: Meter,
    }

    impl Bench {
        fn new(settings: Settings, run: Run) -> Bench {
            let (id, destination) = (names::consumer_id("ID:c", DESTINATION), names::destination("bench-1", false));
            let consumer = Consumer {
                run,
                subscriptions: vec![Subscription::new(RUN, DESTINATION, "bench-1", id, &destination)],
                ack_every: 1,
                acknowledges: true,
                transacted: None,
                durable: None,
                text: body::blank(SIZE),
                by_hand: is_handmade(&settings).then_some(settings.cache_size.is_some()),
                foreign: 0,
            };
            let format = || WireFormat::new(settings, WriterPolicy::JavaOrder);
            let codec = Codec { format: format(), out: Vec::new(), command: 0 };
            Bench { consumer, codec, broker: format(), meter: Meter::default() }
        }

        fn receive(&mut self, dispatch: &Structure) {
            let mut frame = Vec::new();
            self.broker.encode(dispatch, &mut frame).unwrap();
            self.consumer.frame(&frame[4..], &mut self.codec, &mut self.meter, 1_000).unwrap();
        }

        /// Numbers and broker's numbers of the acknowledged messages.
        fn acknowledged(&mut self) -> Vec<(i64, i64)> {
            self.consumer.flush(&mut self.codec).unwrap();
            let said = self.said();
            let acknowledged = said.iter().map(|ack| {
                let id = ack.object(message_ack::LAST_MESSAGE_ID).unwrap();
                (id.long(message_id::PRODUCER_SEQUENCE_ID), id.long(message_id::BROKER_SEQUENCE_ID))
            });
            acknowledged.collect()
        }

        /// What the consumer has said since the last time.
        fn said(&mut self) -> Vec<Structure> {
            let (mut said, out) = (Vec::new(), std::mem::take(&mut self.codec.out));
            let mut bytes = &out[..];
            while let Some((size, rest)) = bytes.split_first_chunk() {
                let (frame, rest) = rest.split_at(u32::from_be_bytes(*size) as usize);
                said.push(self.broker.decode(frame).unwrap().unwrap());
                bytes = rest;
            }
            said
        }

        /// The same in words: a begin, a commit, or how many messages are acknowledged.
        fn transactions(&mut self) -> Vec<String> {
            let word = |said: &Structure| match said.code() {
                code if code == transaction_info::DEFINITION.code => {
                    if said.byte(transaction_info::TYPE) == 0 {
                        "begin".to_owned()
                    } else {
                        "commit".to_owned()
                    }
                }
                code if code == message_ack::DEFINITION.code => {
                    let within = said.object(message_ack::TRANSACTION_ID).map_or("outside", |_| "within");
                    format!("{} {within}", said.int(message_ack::MESSAGE_COUNT))
                }
                _ => "other".to_owned(),
            };
            self.said().iter().map(word).collect()
        }

        fn verdict(self, sent: u64) -> Verdict {
            let mut verdict = Verdict { foreign: self.consumer.foreign, ..Verdict::default() };
            let ledgers: Vec<Ledger> = self.consumer.into_ledgers().map(|(_, ledger)| ledger).collect();
            verdict.add(&[0, 0, 0, sent], &ledgers.iter().collect::<Vec<_>>(), false);
            verdict
        }
    }

    fn stamp(counter: u64) -> Stamp {
        Stamp { run: RUN, producer: 3, destination: DESTINATION, counter, time: 400 }
    }

    fn dispatch(stamp: Stamp, spoil: impl FnOnce(&mut Vec<u8>)) -> Structure {
        let (producer, destination) =
            (names::producer_id(stamp.run, 3, DESTINATION), names::destination("bench-1", false));
        let fixed = Fixed {
            producer: &producer,
            destination: &destination,
            persistent: true,
            response_required: true,
            transaction: None,
            properties: None,
        };
        let mut text = body::blank(SIZE);
        stamp.write(&mut text);
        spoil(&mut text);
        let sequence = stamp.counter as i64 + 1;
        let mut message = text_message(&fixed, Variable { command: 1, sequence, timestamp: 1 }, &text);
        let id = Structure::clone(message.object(message::MESSAGE_ID).unwrap());
        message.set(message::MESSAGE_ID, id.with(message_id::BROKER_SEQUENCE_ID, 500 + sequence));
        Structure::new(&message_dispatch::DEFINITION)
            .with(message_dispatch::CONSUMER_ID, names::consumer_id("ID:c", DESTINATION))
            .with(message_dispatch::DESTINATION, destination)
            .with(message_dispatch::MESSAGE, message)
    }

    fn whole(counter: u64) -> Structure {
        dispatch(stamp(counter), |_| ())
    }

    fn all_settings() -> [Settings; 4] {
        let loose = Settings::initial(1 << 20);
        let cached = Settings { cache_size: Some(1024), ..loose };
        [loose, cached, Settings { tight: true, ..loose }, Settings { tight: true, ..cached }]
    }

    #[test]
    fn all_that_arrives_is_acknowledged_and_counted() {
        for settings in all_settings() {
            let mut bench = Bench::new(settings, Run::Own(RUN));
            (0..5).for_each(|counter| bench.receive(&whole(counter)));
            assert_eq!(bench.acknowledged(), [(1, 501), (2, 502), (3, 503), (4, 504), (5, 505)]);
            assert_eq!(bench.meter.counts.delivered, 5);
            assert_eq!(bench.verdict(5), Verdict::default());
        }
    }

    #[test]
    fn planted_faults_are_found() {
        for settings in all_settings() {
            let mut bench = Bench::new(settings, Run::Own(RUN));
            for counter in [0, 1, 3, 1, 2, 5] {
                bench.receive(&whole(counter));
            }
            assert_eq!(bench.acknowledged().len(), 6);
            let expected = Verdict { lost: 1, duplicated: 1, out_of_order: 1, ..Verdict::default() };
            assert_eq!(bench.verdict(6), expected);
        }
    }

    #[test]
    fn altered_texts_are_found() {
        let spoilers: [fn(&mut Vec<u8>); 4] = [
            |text| text[SIZE - 1] ^= 1,
            |text| text.truncate(SIZE - 1),
            |text| Stamp { counter: 0, ..stamp(1) }.write(text),
            |text| Stamp { destination: 0, ..stamp(1) }.write(text),
        ];
        for settings in all_settings() {
            for spoil in spoilers {
                let mut bench = Bench::new(settings, Run::Own(RUN));
                bench.receive(&whole(0));
                bench.receive(&dispatch(stamp(1), spoil));
                assert_eq!(bench.verdict(2), Verdict { altered: 1, lost: 1, ..Verdict::default() });
            }
        }
    }

    #[test]
    fn a_transaction_waits_for_the_decision_of_the_one_before() {
        for settings in all_settings() {
            let mut bench = Bench::new(settings, Run::Own(RUN));
            let transactions = Transactions::new(&names::connection("ID:c"), 2);
            bench.consumer.transacted = Some(Transacted { transactions, waiting: VecDeque::new() });
            (0..5).for_each(|counter| bench.receive(&whole(counter)));
            assert_eq!(bench.transactions(), ["begin", "2 within", "commit"]);
            let answer = Structure::new(&response::DEFINITION).with(response::CORRELATION_ID, 3);
            bench.receive(&answer);
            assert_eq!(bench.transactions(), ["begin", "2 within", "commit"]);
            bench.receive(&dispatch(Stamp { run: 5, ..stamp(6) }, |_| ()));
            assert_eq!(bench.transactions(), ["begin", "1 within", "commit", "1 outside"], "in the order of dispatch");
            bench.receive(&whole(5));
            bench.consumer.leave(&mut bench.codec).unwrap();
            assert_eq!(bench.transactions(), ["begin", "1 within", "commit"]);
            assert_eq!(bench.verdict(6), Verdict { foreign: 1, ..Verdict::default() });
        }
    }

    #[test]
    fn marked_repetitions_are_allowed() {
        let mut bench = Bench::new(all_settings()[1], Run::Own(RUN));
        bench.receive(&whole(0));
        bench.receive(&whole(0).with(message_dispatch::REDELIVERY_COUNTER, 1));
        assert_eq!(bench.verdict(1), Verdict { redelivered: 1, ..Verdict::default() });
    }

    #[test]
    fn messages_of_others_are_acknowledged_and_left_alone() {
        let mut bytes = whole(8);
        let message = Structure::clone(bytes.object(message_dispatch::MESSAGE).unwrap());
        let mut other = Structure::new(&active_mq_bytes_message::DEFINITION);
        (0..message.fields().len()).for_each(|field| other.set(field, message.fields()[field].clone()));
        bytes.set(message_dispatch::MESSAGE, other);
        for settings in all_settings() {
            let mut bench = Bench::new(settings, Run::Own(RUN));
            bench.receive(&whole(0));
            bench.receive(&dispatch(Stamp { run: 5, ..stamp(6) }, |_| ()));
            bench.receive(&dispatch(stamp(7), |text| text[0] = b'#'));
            bench.receive(&bytes);
            bench.receive(&whole(1));
            assert_eq!(bench.acknowledged(), [(1, 501), (7, 507), (8, 508), (9, 509), (2, 502)]);
            assert_eq!(bench.verdict(2), Verdict { foreign: 3, ..Verdict::default() });
        }
    }

    #[test]
    fn without_producers_the_first_run_is_checked() {
        let mut bench = Bench::new(all_settings()[1], Run::First);
        for counter in 0..3 {
            bench.receive(&dispatch(Stamp { run: 5, ..stamp(counter) }, |_| ()));
        }
        bench.receive(&whole(3));
        assert_eq!(bench.acknowledged(), [(1, 501), (2, 502), (3, 503), (4, 504)]);
        assert_eq!(bench.verdict(3), Verdict { foreign: 1, ..Verdict::default() });
    }

    #[test]
    fn what_is_held_is_checked_and_not_acknowledged() {
        for settings in all_settings() {
            let mut bench = Bench::new(settings, Run::Own(RUN));
            bench.consumer.acknowledges = false;
            (0..3).for_each(|counter| bench.receive(&whole(counter)));
            bench.receive(&dispatch(Stamp { run: 5, ..stamp(6) }, |_| ()));
            assert_eq!(bench.acknowledged(), []);
            assert_eq!(bench.meter.counts.delivered, 3);
            assert_eq!(bench.verdict(4), Verdict { lost: 1, foreign: 1, ..Verdict::default() });
        }
    }

    #[test]
    fn ranges_end_with_what_came_at_once() {
        let mut bench = Bench::new(all_settings()[1], Run::Own(RUN));
        bench.consumer.ack_every = 3;
        (0..5).for_each(|counter| bench.receive(&whole(counter)));
        assert_eq!(bench.acknowledged(), [(3, 503), (5, 505)]);
    }
}
