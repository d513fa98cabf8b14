//! A consumer: checks and acknowledges what it gets.

use std::sync::Arc;

use anyhow::{Context, Result};
use postrider_wire::openwire::schema::{consumer_info, message, message_dispatch};
use postrider_wire::openwire::{Decoder, Settings, Structure, WireFormat, WriterPolicy};

use crate::body::{self, STAMP_LENGTH, Stamp};
use crate::frames::{Acknowledge, Delivered, Dispatch, Identity, is_handmade};
use crate::ledger::Ledger;
use crate::link::{BrokerLink, Codec, Incoming};
use crate::meter::Meter;
use crate::plan::Plan;
use crate::{Arguments, names};

/// One consumer with its subscriptions.
#[derive(Debug)]
pub(crate) struct Consumer {
    run: Run,
    subscriptions: Vec<Subscription>,
    ack_every: u32,
    acknowledges: bool,
    /// What a text looks like behind its stamp.
    text: Vec<u8>,
    /// Whether the fields of a dispatch are cached; none if the codec has to read all of them.
    by_hand: Option<bool>,
    /// Messages of others.
    pub foreign: u64,
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
            let subscription = Subscription::new(run, number, names::consumer_id(&connection, number), &destination);
            let info = Structure::new(&consumer_info::DEFINITION)
                .with(consumer_info::CONSUMER_ID, subscription.id.clone())
                .with(consumer_info::DESTINATION, destination)
                .with(consumer_info::PREFETCH_SIZE, arguments.prefetch() as i32)
                .with(consumer_info::DISPATCH_ASYNC, true)
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
            _ => Ok(()),
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
        let acknowledge = &mut self.subscriptions[index].acknowledge;
        acknowledge.flush(&mut codec.format, &mut codec.command, &mut codec.out)?;
        acknowledge.push_other(id.clone(), &mut codec.format, &mut codec.command, &mut codec.out)?;
        Ok(())
    }

    /// Acknowledges what is not acknowledged yet; to be called when all that was received at once is through.
    #[inline]
    pub(crate) fn flush(&mut self, codec: &mut Codec) -> Result<()> {
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
        if subscription.acknowledge.add(Delivered { producer, sequence, broker_sequence }) >= self.ack_every {
            subscription.acknowledge.flush(&mut codec.format, &mut codec.command, &mut codec.out)?;
        }
        Ok(())
    }

    /// What arrived, by destination.
    pub(crate) fn into_ledgers(self) -> impl Iterator<Item = (u16, Ledger)> {
        self.subscriptions.into_iter().map(|subscription| (subscription.destination, subscription.ledger))
    }
}

impl Subscription {
    fn new(run: u32, number: u16, id: Arc<Structure>, destination: &Arc<Structure>) -> Subscription {
        let mut plain = WireFormat::new(Settings::initial(1 << 20), WriterPolicy::JavaOrder);
        let mut inline = Vec::new();
        plain.encode(&id, &mut inline).expect("short strings can be encoded");
        let acknowledge = Acknowledge::new(run, number, id.clone(), destination.clone());
        let inline = inline.split_off(size_of::<u32>());
        Subscription { destination: number, id, inline, acknowledge, ledger: Ledger::default() }
    }
}

#[cfg(test)]
mod tests {
    use postrider_wire::openwire::schema::{active_mq_bytes_message, message_ack, message_id};

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
                subscriptions: vec![Subscription::new(RUN, DESTINATION, id, &destination)],
                ack_every: 1,
                acknowledges: true,
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
            let mut acknowledged = Vec::new();
            let mut bytes = &self.codec.out[..];
            while let Some((size, rest)) = bytes.split_first_chunk() {
                let (frame, rest) = rest.split_at(u32::from_be_bytes(*size) as usize);
                let ack = self.broker.decode(frame).unwrap().unwrap();
                let id = ack.object(message_ack::LAST_MESSAGE_ID).unwrap();
                let long = |field| id.long(field);
                acknowledged.push((long(message_id::PRODUCER_SEQUENCE_ID), long(message_id::BROKER_SEQUENCE_ID)));
                bytes = rest;
            }
            acknowledged
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
        let fixed = Fixed { producer: &producer, destination: &destination, persistent: true, response_required: true };
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
