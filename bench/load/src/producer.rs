//! A producer: sends as far as its window, its schedule and the backlog allow.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use postrider_wire::openwire::schema::producer_info;
use postrider_wire::openwire::{EncodeError, Structure};

use crate::body::{self, Stamp};
use crate::frames::{Fixed, SendTemplate, Variable, is_handmade, message};
use crate::link::{BrokerLink, Codec};
use crate::meter::Meter;
use crate::pace::Pace;
use crate::plan::Plan;
use crate::ramp::StepMeter;
use crate::transaction::Transactions;
use crate::{Arguments, names, properties};

/// Bytes that are made before they are sent.
const FILL_LIMIT: usize = 64 << 10;
/// Messages of a transaction to a destination from which on a template for them takes less time than it saves.
const TEMPLATE_WORTH: usize = 16;

/// One producer with its streams.
#[derive(Debug)]
pub(crate) struct Producer {
    run: u32,
    number: u16,
    streams: Vec<Stream>,
    /// Which stream sends next.
    turn: usize,
    persistent: bool,
    window: Window,
    /// Commits that may wait for their answer take the place of the window's sends.
    transactions: Option<Transactions>,
    /// Commits that may wait.
    commits: u32,
    /// Within a transaction, whether templates are made at all.
    is_template_worth: bool,
    /// What each message has as properties.
    properties: Option<Vec<u8>>,
    /// A whole text, for frames that the codec writes.
    text: Vec<u8>,
    /// When sends are due; none: at once.
    pub pace: Option<Pace>,
    /// Messages that may still be sent.
    pub quota: u64,
    /// Answers to sends that had theirs.
    pub answered_again: u64,
}

/// What goes to one destination.
#[derive(Debug)]
struct Stream {
    number: u16,
    producer: Arc<Structure>,
    destination: Arc<Structure>,
    deliveries: u64,
    sent: u64,
    template: Option<SendTemplate>,
    /// The transaction that the template is for.
    transaction: i64,
    /// Bytes of the shortest frame so far: of one that put nothing into the cache.
    shortest: usize,
}

/// Why a producer stopped filling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It has made as many bytes as are sent at once.
    Full,
    /// Receipts are missing.
    Window,
    /// The next send is due at that time.
    Until(u64),
    /// Its schedule is over; another one may follow.
    Over,
    /// Deliveries are missing.
    Backlog,
    /// Its quota is used up.
    Quota,
}

impl Producer {
    /// Announces the producer of that number on its connection.
    pub(crate) fn open(
        arguments: &Arguments,
        plan: &Plan,
        run: u32,
        number: u16,
        link: &mut BrokerLink,
    ) -> Result<Producer> {
        let stream = |&destination: &u16| Stream {
            number: destination,
            producer: names::producer_id(run, number, destination),
            destination: names::destination(&plan.names[usize::from(destination)], plan.topic),
            deliveries: plan.deliveries(destination),
            sent: 0,
            template: None,
            transaction: 0,
            shortest: usize::MAX,
        };
        let streams: Vec<Stream> = plan.producers[usize::from(number)].iter().map(stream).collect();
        for stream in &streams {
            let info = Structure::new(&producer_info::DEFINITION)
                .with(producer_info::PRODUCER_ID, stream.producer.clone())
                .with(producer_info::DESTINATION, stream.destination.clone());
            let name = &plan.names[usize::from(stream.number)];
            link.request(info).with_context(|| format!("{} cannot send to {name}", link.label))?;
        }
        let transacted = arguments.transaction.map(|size| Transactions::new(link.connection(), size));
        // A send in a transaction asks for no receipt.
        let window = if transacted.is_some() { 0 } else { arguments.window() };
        let a_stream = arguments.transaction.map_or(usize::MAX, |size| size as usize / streams.len());
        Ok(Producer {
            run,
            number,
            streams,
            turn: 0,
            persistent: arguments.persistent(),
            window: Window::new(window, link.codec.command),
            transactions: transacted,
            commits: arguments.window(),
            is_template_worth: a_stream >= TEMPLATE_WORTH,
            properties: properties::marshalled(&arguments.property),
            text: body::blank(arguments.size),
            pace: None,
            quota: u64::MAX,
            answered_again: 0,
        })
    }

    /// Makes sends until something says to pause. `room` is how many deliveries may be added to the backlog.
    pub(crate) fn fill(
        &mut self,
        codec: &mut Codec,
        meter: &mut Meter,
        now: u64,
        wall: i64,
        room: i64,
    ) -> Result<Pause> {
        let owed = meter.counts.owed;
        loop {
            if self.quota == 0 {
                self.finish(codec, now)?;
                return Ok(Pause::Quota);
            }
            if !self.has_room() {
                return Ok(Pause::Window);
            }
            if (meter.counts.owed - owed) as i64 >= room {
                return Ok(Pause::Backlog);
            }
            if codec.out.len() >= FILL_LIMIT {
                return Ok(Pause::Full);
            }
            let due = match self.pace {
                Some(pace) if pace.is_over() => return Ok(Pause::Over),
                Some(pace) => pace.next(),
                None => now,
            };
            if due > now {
                return Ok(Pause::Until(due));
            }
            self.send(codec, meter, due, wall)?;
            if let Some(transactions) = &mut self.transactions
                && transactions.add()
            {
                transactions.commit(codec, now)?;
            }
        }
    }

    /// Commits what is open.
    pub(crate) fn finish(&mut self, codec: &mut Codec, now: u64) -> Result<()> {
        self.transactions.as_mut().map_or(Ok(()), |transactions| transactions.commit(codec, now))
    }

    #[inline]
    fn has_room(&self) -> bool {
        match &self.transactions {
            Some(transactions) => transactions.pending() < self.commits as usize,
            None => self.window.has_room(),
        }
    }

    #[inline]
    fn send(&mut self, codec: &mut Codec, meter: &mut Meter, time: u64, wall: i64) -> Result<()> {
        let transaction = self.transactions.as_mut().map(|transactions| transactions.enter(codec)).transpose()?;
        codec.command = codec.command.wrapping_add(1);
        let number = self.transactions.as_ref().map_or(0, Transactions::number);
        let stream = &mut self.streams[self.turn];
        if stream.transaction != number {
            (stream.template, stream.transaction) = (None, number);
        }
        let variable = Variable { command: codec.command, sequence: stream.sent as i64 + 1, timestamp: wall };
        let (run, producer, destination) = (self.run, self.number, stream.number);
        let stamp = Stamp { run, producer, destination, counter: stream.sent, time };
        match &stream.template {
            Some(template) => template.push(&mut codec.out, variable, &stamp),
            None => {
                self.send_first(codec, variable, &stamp, transaction.as_ref()).context("cannot encode a message")?
            }
        }
        let stream = &mut self.streams[self.turn];
        stream.sent += 1;
        meter.counts.sent += 1;
        meter.counts.owed += stream.deliveries;
        self.window.sent(codec.command, time);
        self.quota -= 1;
        self.pace.iter_mut().for_each(Pace::advance);
        self.turn = if self.turn + 1 == self.streams.len() { 0 } else { self.turn + 1 };
        Ok(())
    }

    /// Lets the codec write the message, and makes the template from what it writes after that, unless the message put
    /// something into the cache: then the next one may have to put back what that took the place of.
    fn send_first(
        &mut self,
        codec: &mut Codec,
        variable: Variable,
        stamp: &Stamp,
        transaction: Option<&Arc<Structure>>,
    ) -> Result<(), EncodeError> {
        let stream = &mut self.streams[self.turn];
        let fixed = Fixed {
            producer: &stream.producer,
            destination: &stream.destination,
            persistent: self.persistent,
            response_required: self.window.size > 0,
            transaction,
            properties: self.properties.as_deref(),
        };
        stamp.write(&mut self.text);
        let start = codec.out.len();
        codec.format.encode(&message(&fixed, variable, &self.text), &mut codec.out)?;
        let length = codec.out.len() - start;
        let has_added = length != stream.shortest;
        stream.shortest = stream.shortest.min(length);
        if is_handmade(codec.format.settings()) && self.is_template_worth && !has_added {
            let encode = |variable, text: &[u8]| {
                let mut frame = Vec::new();
                codec.format.encode(&message(&fixed, variable, text), &mut frame).map(|()| frame)
            };
            stream.template = Some(SendTemplate::new(&body::blank(self.text.len()), encode)?);
        }
        Ok(())
    }

    /// The broker answered a command.
    #[inline]
    pub(crate) fn receipt(&mut self, command: i32, now: u64, meter: &mut Meter) -> Result<()> {
        if let Some(commit) = self.transactions.as_mut().and_then(|transactions| transactions.committed(command)) {
            meter.committed(commit.messages, commit.time, now);
            return Ok(());
        }
        match self.window.receipted(command) {
            Some(sent) => meter.receipted(sent, now),
            None => {
                ensure!(self.window.has(command), "the broker answered command {command}, which waits for no answer");
                self.answered_again += 1;
            }
        }
        Ok(())
    }

    /// Whether a send is due.
    pub(crate) fn is_late(&self, now: u64) -> bool {
        self.pace.is_none_or(|pace| pace.next() <= now)
    }

    /// Whether its schedule has nothing left.
    pub(crate) fn has_sent_all(&self) -> bool {
        self.pace.is_none_or(|pace| pace.is_over())
    }

    /// The end of a step of a ramp: what its schedule still had is not sent.
    pub(crate) fn give_up(&self, step: usize, meter: &mut StepMeter) {
        let Some(pace) = &self.pace else { return };
        let deliveries = self.streams.iter().map(|stream| stream.deliveries).sum::<u64>();
        meter.gave_up(step, pace, deliveries.div_ceil(self.streams.len() as u64));
    }

    /// Sends without a receipt so far.
    pub(crate) fn unanswered(&self) -> u64 {
        let commits = self.transactions.as_ref().map_or(0, Transactions::unanswered);
        commits + self.window.times.iter().filter(|&&time| time != ANSWERED).count() as u64
    }

    /// Its number in the run.
    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    /// How many messages went to which destination.
    pub(crate) fn sent(&self) -> impl Iterator<Item = (u16, u64)> {
        self.streams.iter().map(|stream| (stream.number, stream.sent))
    }
}

/// Stands for the time of a send that has its receipt.
const ANSWERED: u64 = 0;

/// The sends that wait for receipts. Their commands are within `size` of the oldest one, so each has a slot of its own.
#[derive(Debug)]
struct Window {
    size: u32,
    times: Vec<u64>,
    /// The command of the first send of all.
    first: i32,
    /// The command of the oldest send without a receipt, or the next one to be sent.
    oldest: i32,
    next: i32,
}

impl Window {
    /// A window for the commands after `last`; of size 0 if no receipts are asked for.
    fn new(size: u32, last: i32) -> Window {
        let times = vec![ANSWERED; if size == 0 { 0 } else { size.next_power_of_two() as usize }];
        let first = last.wrapping_add(1);
        Window { size, times, first, oldest: first, next: first }
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.size == 0 || (self.next.wrapping_sub(self.oldest) as u32) < self.size
    }

    #[inline]
    fn sent(&mut self, command: i32, time: u64) {
        if self.size > 0 {
            let slot = self.slot(command);
            self.times[slot] = time;
            self.next = command.wrapping_add(1);
        }
    }

    /// When the command was sent; nothing if it does not wait for a receipt.
    #[inline]
    fn receipted(&mut self, command: i32) -> Option<u64> {
        if command.wrapping_sub(self.oldest) as u32 >= self.next.wrapping_sub(self.oldest) as u32 {
            return None;
        }
        let slot = self.slot(command);
        let time = std::mem::replace(&mut self.times[slot], ANSWERED);
        while self.oldest != self.next && self.times[self.slot(self.oldest)] == ANSWERED {
            self.oldest = self.oldest.wrapping_add(1);
        }
        (time != ANSWERED).then_some(time)
    }

    /// Whether the command is one of the sends, with its receipt or without.
    fn has(&self, command: i32) -> bool {
        (command.wrapping_sub(self.first) as u32) < self.next.wrapping_sub(self.first) as u32
    }

    #[inline]
    fn slot(&self, command: i32) -> usize {
        command as u32 as usize & (self.times.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_opens_from_its_oldest_send() {
        let mut window = Window::new(3, i32::MAX - 1);
        let commands = [i32::MAX, i32::MIN, i32::MIN + 1, i32::MIN + 2];
        for (time, command) in (10..).zip(&commands[..3]) {
            assert!(window.has_room());
            window.sent(*command, time);
        }
        assert!(!window.has_room());
        assert_eq!(window.receipted(commands[1]), Some(11));
        assert!(!window.has_room(), "the oldest is still open");
        assert_eq!(window.receipted(commands[1]), None, "answered twice");
        assert_eq!(window.receipted(commands[3]), None, "not sent yet");
        assert_eq!(window.receipted(commands[0]), Some(10));
        assert!(window.has_room());
        assert_eq!(window.oldest, commands[2]);
        assert_eq!(window.receipted(commands[0]), None, "long answered");
        let had = [commands[0] - 1, commands[0], commands[2], commands[3]].map(|command| window.has(command));
        assert_eq!(had, [false, true, true, false], "only what was sent");
    }

    #[test]
    fn without_receipts_there_is_always_room() {
        let mut window = Window::new(0, 7);
        (8..100).for_each(|command| window.sent(command, 1));
        assert!(window.has_room());
        assert_eq!(window.receipted(8), None);
        assert!(!window.has(8), "nothing waits for an answer");
    }
}
