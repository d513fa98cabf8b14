//! A consumer: checks and acknowledges what it gets.

use std::sync::Arc;

use anyhow::{Context, Result};
use postrider_wire::openwire::schema::{consumer_info, message, message_dispatch};
use postrider_wire::openwire::{Decoder, Settings, Structure, WireFormat, WriterPolicy};

use crate::body::{self, STAMP_LENGTH, Stamp};
use crate::frames::{Acknowledge, Delivered, Dispatch, Identity, is_handmade};
use crate::ledger::Ledger;
use crate::link::{Codec, Incoming, Link};
use crate::meter::Meter;
use crate::plan::Plan;
use crate::{Arguments, names};

/// One consumer with its subscriptions.
#[derive(Debug)]
pub struct Consumer {
    run: Run,
    subscriptions: Vec<Subscription>,
    ack_every: u32,
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
    pub fn open(arguments: &Arguments, plan: &Plan, run: u32, number: u16, link: &mut Link) -> Result<Consumer> {
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
            text: body::blank(arguments.size),
            by_hand: is_handmade(settings).then_some(settings.cache_size.is_some()),
            foreign: 0,
        })
    }

    /// Takes a frame, given without its size.
    #[inline]
    pub fn frame(&mut self, frame: &[u8], codec: &mut Codec, meter: &mut Meter, now: u64) -> Result<()> {
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
    pub fn dispatch(&mut self, structure: &Structure, codec: &mut Codec, meter: &mut Meter, now: u64) -> Result<()> {
        let id = structure.object(message_dispatch::CONSUMER_ID);
        let index = self.subscriptions.iter().position(|subscription| Some(&subscription.id) == id);
        let index = index.context("the broker sent a message for a consumer that this connection does not have")?;
        // The identity is settled; the index of no slot stands for it.
        let Some(dispatch) = Dispatch::of(structure, Identity::Index(-1)) else { return Ok(()) };
        if let Some(stamp) = self.own_stamp(dispatch.text) {
            return self.deliver(index, &dispatch, &stamp, codec, meter, now);
        }
        self.foreign += 1;
        let message = structure.object(message_dispatch::MESSAGE);
        let id = message.and_then(|message| message.object(message::MESSAGE_ID)).context("a message without an id")?;
        let acknowledge = &mut self.subscriptions[index].acknowledge;
        acknowledge.flush(&mut codec.format, &mut codec.command, &mut codec.out)?;
        acknowledge.push_other(id.clone(), &mut codec.format, &mut codec.command, &mut codec.out)?;
        Ok(())
    }

    /// Acknowledges what is not acknowledged yet; to be called when all that was received at once is through.
    #[inline]
    pub fn flush(&mut self, codec: &mut Codec) -> Result<()> {
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
        let (producer, sequence, broker_sequence) = (stamp.producer, dispatch.sequence, dispatch.broker_sequence);
        if subscription.acknowledge.add(Delivered { producer, sequence, broker_sequence }) >= self.ack_every {
            subscription.acknowledge.flush(&mut codec.format, &mut codec.command, &mut codec.out)?;
        }
        Ok(())
    }

    /// What arrived, by destination.
    pub fn into_ledgers(self) -> impl Iterator<Item = (u16, Ledger)> {
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
