//! Parked commands: sends that found the journal or the spool full and wait for room, and what of the same connection waits behind them (R24).
//!
//! A shard bounds them: it stops reading a connection before they are more than it has set aside (decision 0010).

use crate::bounds::{BEYOND, live_limit};
use crate::broker::Broker;
use crate::clients::connection::Connection;
use crate::intake::bound::{Defined, stores};
use crate::intake::lines::Need;
use crate::kit::budget::Budget;
use crate::log::{Log, LogKind};
use crate::messages::ConnectionIndex;
use crate::plant::planted;
use crate::records::{acknowledgement_bound, live_bytes};
use crate::step::Step;
use postrider_journal::{Bound, Pressure, SpoolUse};
use postrider_model::command::Publish;
use postrider_model::{Command, ConnectionHandle, Event, PortIndex, Span, limits};
use std::collections::VecDeque;

/// Connections of each line that are looked at for one slice: the first may be one whose message is too large for what is free.
const LOOKED_AT: usize = 16;

/// Parked commands that are looked at in the time of a step.
const LOOKS_A_STEP: usize = 16;

/// A command that waits, with the bytes that it refers to.
pub(crate) struct Parked {
    command: Command,
    arena: Box<[u8]>,
    /// The log that had no room.
    store: LogKind,
    /// It is the first to name a destination, for which the journal had none.
    creates: bool,
}

/// What stood behind the goodbye of a connection that has gone.
pub(crate) struct Dropping(VecDeque<Parked>);

impl Parked {
    fn new(command: &Command, arena: &[u8], (store, creates): (LogKind, bool)) -> Parked {
        match command {
            Command::Publish(publish) => {
                let arena: Box<[u8]> = publish.record.of(arena).into();
                let record = Span { offset: 0, length: publish.record.length };
                Parked { command: Command::Publish(Publish { record, ..*publish }), arena, store, creates }
            }
            other => Parked { command: other.clone(), arena: Box::default(), store, creates },
        }
    }
}

/// Commands that can go on: the first so many of one connection.
#[derive(Clone, Copy, Debug)]
pub struct ParkedSlice {
    pub(crate) connection: ConnectionIndex,
    pub(crate) commands: usize,
    /// Nothing may be stored: those that would, and may not wait, are refused.
    settles: bool,
    /// It is one send that goes beyond what may live.
    goes_beyond: bool,
    /// What they stage.
    pub bound: Bound,
}

impl ParkedSlice {
    /// None of its commands yet.
    fn of(connection: ConnectionIndex, settles: bool) -> ParkedSlice {
        ParkedSlice { connection, commands: 0, settles, goes_beyond: false, bound: acknowledgement_bound(0) }
    }
}

/// Why nothing of what is parked goes on.
enum Held {
    /// There is no room.
    Waits,
    /// More sequences are reserved for it.
    Asks,
}

impl Broker {
    /// Whether the command has to wait behind parked ones of its connection.
    pub(crate) fn waits_behind_sends(&mut self, port: PortIndex, command: &Command) -> bool {
        let Some(index) = command.waits_behind_sends().and_then(|handle| self.peek_connection(port, handle)) else {
            return false;
        };
        if self.is_behind_parked(index) {
            return true;
        }
        self.clients.connection_mut(index).settle(command.parked_bytes());
        false
    }

    /// Whether a send of this connection has others before it that wait.
    pub(crate) fn is_behind_parked(&self, index: ConnectionIndex) -> bool {
        self.clients.connection(index).is_parking()
            && !self.intake.parked_of(index).is_empty()
            && !planted("parked-overtaken")
    }

    /// How many places that store it a send behind parked commands will have: one of these may define where it goes.
    pub(crate) fn durable_places_behind(&mut self, index: ConnectionIndex, publish: &Publish) -> usize {
        let (port, parked) = (self.clients.connection(index).port, self.intake.parked_of(index));
        let newest = parked.iter().rev().take(limits::HANDLE_STEPS);
        let names = newest.enumerate().find_map(|(looked, parked)| match &parked.command {
            Command::DefineDestination { number, destinations, .. } if *number == publish.destination => {
                Some((looked, &**destinations))
            }
            _ => None,
        });
        let looked = names.map_or(parked.len().min(limits::HANDLE_STEPS), |(looked, _)| looked);
        let names = names.map(|(_, names)| names);
        let names = names.or_else(|| Some(self.places_of(port, publish.connection, publish.destination)?.0));
        let places = names.map_or(1, |names| self.durable_places_of(names));
        self.work.spend(looked / LOOKS_A_STEP);
        places
    }

    /// A send of a connection with parked ones is answered, and not parked itself.
    pub(crate) fn note_settled(&mut self, port: PortIndex, publish: &Publish) {
        if let Some(index) = self.peek_connection(port, publish.connection) {
            self.clients.connection_mut(index).settle(publish.parked_bytes());
        }
    }

    /// Keeps a command until there is room for it in a log, for a message or for what it is the first to name. The first tells the
    /// connection's shard. Whose it is, unless that is gone.
    pub(crate) fn park<L: Log>(
        &mut self,
        port: PortIndex,
        (command, arena): (&Command, &[u8]),
        lacking: (LogKind, bool),
        step: &mut Step<'_, L>,
    ) -> Option<ConnectionIndex> {
        let index = command.waits_behind_sends().and_then(|handle| self.peek_connection(port, handle))?;
        if planted("limit-drops-async") {
            return None;
        }
        self.intake.parked_bytes += command.parked_bytes();
        let connection = self.clients.connection_mut(index);
        self.intake.waiting.entry(index).or_default().commands.push_back(Parked::new(command, arena, lacking));
        if connection.begin_parking() {
            self.line_up(index, step.log);
            self.report_settled(index, step);
        }
        Some(index)
    }

    /// What can go on of the connection whose turn it is, at most so many commands. While nothing may be stored that is what waits for
    /// the spool, up to what would store.
    pub fn parked_slice<L: Log>(&mut self, most: usize, log: &L) -> Option<ParkedSlice> {
        self.look_at_parked(most, log).ok()
    }

    /// What is parked can go on while nothing may be stored, nor will be for now: what would store and may not wait for it is refused.
    pub fn settling_slice(&mut self, most: usize) -> Option<ParkedSlice> {
        while let Some(index) = self.intake.answerable.first().copied() {
            let slice = self.settling_slice_of(index, most);
            if slice.commands > 0 {
                return Some(slice);
            }
            self.intake.answerable.remove(&index);
        }
        None
    }

    /// Whether a connection has parked sends that wait for room.
    #[must_use]
    #[inline]
    pub fn parks(&self) -> bool {
        !self.intake.lines.is_empty()
    }

    /// Whether anything is parked that waits for the journal.
    #[must_use]
    pub fn parks_for_journal(&self) -> bool {
        self.intake.lines.waits_for(LogKind::Journal)
    }

    /// Whether something of what is parked can go on, or will when this turn's successor has reserved the sequences for it.
    pub fn resumes_parked<L: Log>(&mut self, log: &L) -> bool {
        !matches!(self.look_at_parked(1, log), Err(Held::Waits))
    }

    fn look_at_parked<L: Log>(&mut self, most: usize, log: &L) -> Result<ParkedSlice, Held> {
        let mut held = Held::Waits;
        if self.intake.lines.is_empty() || planted("parked-forgotten") {
            return Err(held);
        }
        let passes = log.has_fallen_behind();
        for index in self.intake.lines.next(LOOKED_AT, !passes) {
            match self.slice_of(index, most, passes, log) {
                Ok(slice) if slice.commands > 0 => return Ok(slice),
                Ok(_) => {}
                Err(sequences) if self.want_sequences(sequences) => held = Held::Asks,
                Err(_) => {}
            }
        }
        Err(held)
    }

    /// What can go on of a connection, if need be without what stores, or how many sequences the first of it lacks.
    fn slice_of<L: Log>(&self, index: ConnectionIndex, most: usize, passes: bool, log: &L) -> Result<ParkedSlice, u64> {
        let connection = self.clients.connection(index);
        let mut slice = ParkedSlice::of(index, false);
        let (mut live, mut bytes, mut sequences) = (0, 0, 0);
        let (mut defined, mut counted) = (Defined::default(), Defined::default());
        for parked in self.intake.parked_of(index).iter().take(most) {
            let needed = self.live_bytes_of(connection.port, parked, &mut defined);
            let has_room = match parked.store {
                LogKind::Spool => self.has_spool_room(connection.port, parked, &mut defined, log),
                LogKind::Journal => self.has_room(needed, live, log),
            };
            let goes_beyond = !has_room && slice.commands == 0 && self.goes_beyond(index, needed, log);
            if !(has_room || goes_beyond) || slice.goes_beyond || bytes >= limits::BATCH_BYTES as u64 {
                break;
            }
            let bound = self.command_bound(connection.port, &parked.command, &mut defined);
            if passes && stores(&parked.command) && bound != Bound::default() {
                break;
            }
            if !planted("parked-uncounted") {
                sequences += self.sequences_for(connection.port, &parked.command, &mut counted);
            }
            if !self.has_sequences_for(sequences) {
                if slice.commands == 0 {
                    return Err(sequences);
                }
                break;
            }
            live += needed;
            bytes += parked.command.parked_bytes();
            slice.commands += 1;
            slice.goes_beyond |= goes_beyond;
            slice.bound = slice.bound.and(bound);
        }
        Ok(slice)
    }

    fn settling_slice_of(&self, index: ConnectionIndex, most: usize) -> ParkedSlice {
        let connection = self.clients.connection(index);
        let mut slice = ParkedSlice::of(index, true);
        let (mut defined, mut counted, mut sequences) = (Defined::default(), Defined::default(), 0);
        for parked in self.intake.parked_of(index).iter().take(most) {
            sequences += self.sequences_for(connection.port, &parked.command, &mut counted);
            let needed = self.command_bound(connection.port, &parked.command, &mut defined);
            let waits = match &parked.command {
                _ if parked.store == LogKind::Spool => true,
                Command::Publish(publish) => needed != Bound::default() && self.may_wait(publish),
                _ => false,
            };
            if waits || !self.has_sequences_for(sequences) {
                break;
            }
            slice.commands += 1;
            match &parked.command {
                Command::Publish(publish) => defined.take_back(publish.connection, publish.destination),
                command if stores(command) => {}
                _ => slice.bound = slice.bound.and(needed),
            }
        }
        slice
    }

    /// Whether a command of such a slice is refused.
    fn is_refused_in(&self, slice: &ParkedSlice, port: PortIndex, command: &Command) -> bool {
        slice.settles
            && stores(command)
            && self.command_bound(port, command, &mut Defined::default()) != Bound::default()
    }

    /// Bytes that a parked command needs of the live limit, with what those before it have defined.
    fn live_bytes_of<'a>(&'a self, port: PortIndex, parked: &Parked, defined: &mut Defined<'a>) -> u64 {
        let Command::Publish(publish) = &parked.command else { return 0 };
        if parked.store != LogKind::Journal {
            return 0;
        }
        let places = if publish.persistent { self.durable_places(port, publish, defined) } else { 0 };
        match places {
            0 if !parked.creates => 0,
            // A record is longer than what its destination takes.
            _ => live_bytes(publish.record.length as usize, places),
        }
    }

    /// Whether the journal has room for so much beside so many bytes more.
    fn has_room<L: Log>(&self, bytes: u64, beside: u64, log: &L) -> bool {
        let limit = live_limit(log);
        // What never fits is answered so when it goes on.
        bytes == 0 || bytes > limit || self.journal.live_bytes() + beside + bytes <= limit
    }

    /// Whether a send goes a little beyond what may live: it is the first in the line for the journal, which others keep full with smaller
    /// ones, and would wait for ever.
    fn goes_beyond<L: Log>(&self, index: ConnectionIndex, bytes: u64, log: &L) -> bool {
        let limit = live_limit(log);
        bytes <= limit / BEYOND && self.journal.live_bytes() <= limit && self.intake.lines.is_passed(index)
    }

    /// Whether a parked send goes on to the spool: while the disk catches up, when it has; and where it makes no room by itself, if a new
    /// one would not be parked either.
    fn has_spool_room<'a, L: Log>(
        &'a self,
        port: PortIndex,
        parked: &Parked,
        defined: &mut Defined<'a>,
        log: &L,
    ) -> bool {
        let SpoolUse { eased, leaves, pressure, .. } = log.spool_use();
        let is_refused = || self.wants_answer(parked) && self.spooling.topics_have_lost_all();
        let mut is_for_topics = || !self.spooling.sheds_first() && self.is_for_topics(port, parked, defined);
        eased || (!leaves && (pressure == Pressure::None || is_for_topics() || is_refused()))
    }

    /// Whether it is a send that is refused rather than kept waiting.
    fn wants_answer(&self, parked: &Parked) -> bool {
        matches!(&parked.command, Command::Publish(publish) if !self.may_wait(publish))
    }

    fn is_for_topics<'a>(&'a self, port: PortIndex, parked: &Parked, defined: &mut Defined<'a>) -> bool {
        match &parked.command {
            Command::Publish(publish) => !self.has_passing_queue(port, publish, defined),
            _ => false,
        }
    }

    /// The connection is the last in the line of what its first parked command waits for.
    fn line_up<L: Log>(&mut self, index: ConnectionIndex, log: &L) {
        let connection = self.clients.connection(index);
        let need = self.intake.parked_of(index).front().map(|parked| {
            let defined = &mut Defined::default();
            let bytes = match parked.store {
                // There may be room for topics, and for queues none for long: then who waits for an answer gets one.
                LogKind::Spool if self.is_for_topics(connection.port, parked, defined) => 0,
                LogKind::Spool => 1 + u64::from(!self.wants_answer(parked)),
                LogKind::Journal => self.live_bytes_of(connection.port, parked, defined),
            };
            let never = bytes > live_limit(log);
            Need { store: parked.store, bytes: if never { 0 } else { bytes } }
        });
        let ticket = need.map(|need| self.intake.lines.join(index, need));
        if let Some(waiting) = self.intake.waiting.get_mut(&index) {
            waiting.ticket = ticket;
        }
    }

    /// The slice cannot begin now: another connection is next. Who goes beyond what may live keeps its place: many have passed it.
    pub fn pass_over<L: Log>(&mut self, slice: ParkedSlice, log: &L) {
        if slice.goes_beyond {
            return self.intake.lines.set_waits(true);
        }
        if self.intake.leave_line(slice.connection) {
            self.line_up(slice.connection, log);
        }
    }

    /// A slice begins: its connection, which leaves its line, and what is parked of it.
    pub(crate) fn begin_slice(&mut self, slice: &ParkedSlice) -> ((PortIndex, ConnectionHandle), VecDeque<Parked>) {
        self.intake.leave_line(slice.connection);
        self.intake.goes_beyond = slice.goes_beyond;
        let waiting = self.intake.waiting.get_mut(&slice.connection);
        let parked = waiting.map(|waiting| std::mem::take(&mut waiting.commands)).unwrap_or_default();
        let Connection { port, handle, .. } = *self.clients.connection(slice.connection);
        ((port, handle), parked)
    }

    /// The next command of a slice, and whether it is to be refused.
    pub(crate) fn next_of_slice(
        &mut self,
        slice: &ParkedSlice,
        port: PortIndex,
        parked: &mut VecDeque<Parked>,
    ) -> Option<(Command, Box<[u8]>, bool)> {
        let Parked { command, arena, .. } = parked.pop_front()?;
        self.intake.parked_bytes -= command.parked_bytes();
        let is_refused = self.is_refused_in(slice, port, &command);
        Some((command, arena, is_refused))
    }

    /// The slice is over: what is left of it waits again, and the connection is the last of its line.
    pub(crate) fn end_slice<L: Log>(
        &mut self,
        slice: &ParkedSlice,
        (port, handle): (PortIndex, ConnectionHandle),
        mut parked: VecDeque<Parked>,
        step: &mut Step<'_, L>,
    ) {
        let index = slice.connection;
        self.intake.goes_beyond = false;
        if self.peek_connection(port, handle) != Some(index) {
            if !parked.is_empty() {
                self.jobs.push(Dropping(parked));
            }
            return;
        }
        let waiting = self.intake.waiting.entry(index).or_default();
        // What was parked just now stands before the rest, which may be long.
        while let Some(newer) = waiting.commands.pop_back() {
            parked.push_front(newer);
        }
        if parked.is_empty() {
            self.clients.connection_mut(index).end_parking();
            self.intake.answerable.remove(&index);
            self.intake.waiting.remove(&index);
            step.out.tell(port, Event::Unparked { connection: handle });
            return;
        }
        waiting.commands = parked;
        self.line_up(index, step.log);
        // What is the first now may be what is answered while nothing may be stored.
        self.intake.answerable.insert(index);
        if self.clients.connection(index).unreported() >= limits::SETTLED_REPORT_BYTES {
            self.report_settled(index, step);
        }
    }

    /// The connection has ended: what it had parked is not answered, and is to be dropped.
    pub(crate) fn take_parked<L: Log>(&mut self, index: ConnectionIndex, step: &mut Step<'_, L>) -> VecDeque<Parked> {
        self.intake.answerable.remove(&index);
        self.intake.leave_line(index);
        let ended = self.clients.connection_mut(index);
        if ended.end_parking() {
            step.out.tell(ended.port, Event::Unparked { connection: ended.handle });
        }
        self.intake.waiting.remove(&index).unwrap_or_default().commands
    }

    /// It is answered while nothing may be stored.
    pub(crate) fn note_answerable(&mut self, index: ConnectionIndex) {
        self.intake.answerable.insert(index);
    }

    /// Drops one of these.
    pub(crate) fn drop_parked(&mut self, parked: &Parked) {
        self.intake.parked_bytes -= parked.command.parked_bytes();
    }

    /// Drops some of these. True: all are.
    pub(crate) fn drop_some(&mut self, parked: &mut Dropping, budget: &mut Budget) -> bool {
        while budget.step() {
            let Some(parked) = parked.0.pop_front() else { return true };
            self.drop_parked(&parked);
        }
        false
    }

    fn report_settled<L: Log>(&mut self, index: ConnectionIndex, step: &mut Step<'_, L>) {
        let connection = self.clients.connection_mut(index);
        let settled = connection.report();
        step.out.tell(connection.port, Event::Parked { connection: connection.handle, settled });
    }
}
