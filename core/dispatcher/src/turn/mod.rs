//! The broker's turn: the ports' batches through the state machine into one frame of the journal, a sync when somebody waits for
//! one, and what was decided back to the ports.

mod gathering;
mod logs;
mod parked;
mod returns;
mod room;
mod shedding;

use postrider_broker::{Broker, Outbox};
use postrider_journal::{Journal, Position, Spill, Spool, Storage, SyncFailed, soonest};
use postrider_model::{CommandBatch, Now, PortIndex};

use crate::port::BrokerPort;
pub use gathering::Expected;
use gathering::Gathering;
use logs::Logs;
use returns::Returns;
use room::Unstored;
use shedding::Shedding;

/// Unsynced bytes for which nobody waits, after which they are synced all the same.
const UNHURRIED_BYTES: u64 = 256 * 1024;

/// Nanoseconds after which unsynced bytes are synced though nobody waits (acknowledgements, for the most part).
const UNHURRIED_NANOS: u64 = 10_000_000;

/// Nanoseconds in which nothing was appended, after which a frame of its own proves the last group durable (R2).
const REST_NANOS: u64 = 100_000_000;

/// The same while the medium gives no further segment: each sync takes a block of what is left.
const UNHURRIED_NANOS_WHEN_SHORT: u64 = 1_000_000_000;

/// Batches of commands that one turn takes of a port at most: of connections that send there is no more than one batch's worth in them.
const COMMAND_BATCHES: usize = 4;

/// Batches of deliveries that one turn makes for a port at most.
const DELIVERY_BATCHES: usize = 2;

/// What a turn says to the owner of its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turned {
    /// Something was done.
    pub busy: bool,
    /// There is more to do at once, which no port and no log will tell of.
    pub more: bool,
    /// When the next timer comes up, in nanoseconds.
    pub deadline: Option<u64>,
    /// Who is expected, if it is not worth waking up for less.
    pub expected: Option<Expected>,
}

/// Since when nothing was appended to the log, which then ended here.
#[derive(Clone, Copy, Default)]
struct Rest {
    since: u64,
    appended: Position,
}

/// What a turn handed over to the ports.
#[derive(Clone, Copy, Default)]
struct HandedOver {
    anything: bool,
    /// A port got as many deliveries as one turn makes: there may be more for it.
    filled: bool,
}

/// What the broker's turn has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnStatistics {
    /// Commands handled.
    pub commands: u64,
    /// Turns that did something.
    pub turns: u64,
    /// Batches that had to wait for room in the journal.
    pub postponed: u64,
}

/// The broker, its logs and its ends of the ports.
pub struct BrokerTurn<S: Storage, P: Spill> {
    broker: Broker,
    logs: Logs<S, P>,
    outbox: Outbox,
    ports: Vec<BrokerPort>,
    returns: Vec<Returns>,
    /// A batch that did not fit into the journal's room, or what is left of one that was more than a turn's work, by port.
    postponed: Vec<Option<CommandBatch>>,
    first_port: usize,
    /// No batch is taken until the log has come further.
    waits_for_log: bool,
    /// A batch waits until reclaim has made the log shorter.
    waits_for_room: bool,
    /// The journal has no place yet for what could go on of the parked sends.
    parked_wait: bool,
    /// A batch has some left that was begun in this turn.
    has_rest: bool,
    /// Commands that were taken are not done: a batch has some left, or they go on in slices.
    goes_on: bool,
    unsynced_since: Option<u64>,
    rest: Rest,
    gathering: Gathering,
    shedding: Shedding,
    /// The log's end is written down: nothing may follow it.
    ended: bool,
    statistics: TurnStatistics,
}

impl<S: Storage, P: Spill> BrokerTurn<S, P> {
    /// A broker that has recovered from this journal already.
    pub fn new(mut broker: Broker, journal: Journal<S>, spool: Spool<P>, ports: Vec<BrokerPort>) -> BrokerTurn<S, P> {
        for port in 0..ports.len() {
            broker.attach(PortIndex::at(port));
        }
        BrokerTurn {
            broker,
            logs: Logs::new(journal, spool),
            outbox: Outbox::new(),
            returns: ports.iter().map(|_| Returns::default()).collect(),
            postponed: ports.iter().map(|_| None).collect(),
            ports,
            first_port: 0,
            waits_for_log: false,
            waits_for_room: false,
            parked_wait: false,
            has_rest: false,
            goes_on: false,
            unsynced_since: None,
            rest: Rest::default(),
            gathering: Gathering::default(),
            shedding: Shedding::default(),
            ended: false,
            statistics: TurnStatistics::default(),
        }
    }

    /// One turn.
    ///
    /// # Errors
    /// A sync failed: the process must end (R7).
    pub fn turn(&mut self, now: Now) -> Result<Turned, SyncFailed> {
        if self.ended {
            return Ok(Turned { busy: false, more: false, deadline: None, expected: None });
        }
        let news = self.logs.poll(now)?;
        if news.durable {
            self.gathering.committed(now.nanos);
        }
        if news.prepared {
            self.broker.prepared();
        }
        if news.fetched {
            self.broker.fetched();
        }
        self.open_outbox();
        self.waits_for_log = !self.broker.is_ready(now, &mut self.logs, &mut self.outbox);
        self.waits_for_room = false;
        self.logs.journal.keep_for_moves(self.broker.needed_for_large_moves(&self.logs));
        let resumed = !self.waits_for_log && self.resume_parked(now);
        let commands = if self.waits_for_log { 0 } else { self.handle_batches(now) };
        let left = std::mem::take(&mut self.has_rest) || self.broker.has_worked_enough();
        self.waits_for_room |= self.holds_parked(now) && self.broker.parks_for_journal();
        let more = self.broker.advance(now, &mut self.logs, &mut self.outbox);
        self.goes_on = left || self.broker.has_jobs_to_do();
        self.broker.end_turn(now, &mut self.logs, &mut self.outbox);
        self.shedding.note(self.broker.shed_deliveries(), now.nanos);
        let appended = self.logs.journal.seal();
        if self.broker.states_losses() {
            self.logs.journal.losses_stated();
        }
        let HandedOver { anything: handed_over, filled } = self.close_outbox(appended);
        let walks = self.broker.walks_at_rest() || ((self.waits_for_log || self.waits_for_room) && self.broker.walks());
        let more = more || left || filled || walks || self.can_resume_parked(now);
        self.sync(now);
        self.prove(now, appended);
        let busy = news.any() || commands > 0 || resumed || more || handed_over;
        self.statistics.commands += commands as u64;
        self.statistics.turns += u64::from(busy);
        Ok(Turned { busy, more, deadline: self.deadline(now), expected: self.expected() })
    }

    /// Whether a port or the journal has something for the broker: looked at once more before the thread sleeps (R26).
    pub fn has_work(&self) -> bool {
        if self.ended {
            return false;
        }
        let ready =
            |(port, postponed): (&BrokerPort, &Option<CommandBatch>)| !port.commands.is_empty() && postponed.is_none();
        let commands = !self.waits_for_log && self.ports.iter().zip(&self.postponed).any(ready);
        let returns = |(returns, port): (&Returns, &BrokerPort)| {
            returns.is_ready(self.logs.journal.committed()) && port.events.has_room()
        };
        self.logs.has_news() || commands || self.returns.iter().zip(&self.ports).any(returns)
    }

    /// Lets go of what is kept for later use only: as much as the largest burst took.
    pub fn trim(&mut self) {
        for port in &mut self.ports {
            port.events.trim();
        }
        self.outbox.trim();
    }

    /// The state machine, for reading.
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// The journal, for reading.
    pub fn journal(&self) -> &Journal<S> {
        &self.logs.journal
    }

    /// The spool, for reading.
    pub fn spool(&self) -> &Spool<P> {
        &self.logs.spool
    }

    /// Counts since the turn began.
    pub fn statistics(&self) -> TurnStatistics {
        self.statistics
    }

    /// Whether what was taken is done, everything appended is durable and everything said is with the ports: the process may end.
    pub fn is_drained(&self) -> bool {
        let journal = &self.logs.journal;
        !self.goes_on && journal.durable() == journal.appended() && self.returns.iter().all(Returns::is_empty)
    }

    /// Syncs what is unsynced, though nobody waits: the process is to end.
    pub fn hurry(&mut self) {
        let journal = &mut self.logs.journal;
        if !journal.submit() {
            journal.prove();
        }
    }

    /// The last thing before an orderly end of the process, when all is drained: what clients still say is not heard. Blocks.
    pub fn end(&mut self) {
        self.ended = true;
        if let Err(error) = self.logs.journal.end() {
            tracing::warn!(%error, "the end of the log could not be written down; the next start looks for it");
        }
    }

    fn open_outbox(&mut self) {
        for (index, (port, returns)) in self.ports.iter_mut().zip(&self.returns).enumerate() {
            let room = if port.events.has_room() && !returns.is_blocked() { DELIVERY_BATCHES } else { 0 };
            self.outbox.set_room(PortIndex::at(index), room);
            while let Some(batch) = port.events.returned() {
                self.outbox.recycle(batch);
            }
        }
    }

    /// A few batches of each port, in turns and another port first each time (R23), as far as their commands' work is for one turn (R53).
    fn handle_batches(&mut self, now: Now) -> usize {
        let (ports, first) = (self.ports.len(), self.first_port);
        let mut commands = 0;
        for round in 0..COMMAND_BATCHES {
            let before = commands;
            for port in (0..ports).map(|step| (first + step) % ports) {
                if self.broker.has_worked_enough() {
                    break;
                }
                commands += self.handle_next_batch(port, round == 0, now);
            }
            if commands == before {
                break;
            }
        }
        self.first_port = (first + 1) % ports.max(1);
        commands
    }

    /// The next batch of a port, or, if that is due, what is left of one. How many commands were handled.
    #[expect(
        clippy::indexing_slicing,
        reason = "ports are counted by their own lists, which are as long as each other"
    )]
    fn handle_next_batch(&mut self, port: usize, again: bool, now: Now) -> usize {
        if !again && self.postponed[port].is_some() {
            return 0;
        }
        let Some(mut batch) = self.postponed[port].take().or_else(|| self.ports[port].commands.pop()) else {
            return 0;
        };
        let index = PortIndex::at(port);
        let mut rest = Vec::new();
        let begun = self.begin(index, &batch, now).or_else(|_| self.begin_some(index, (&mut batch, &mut rest), now));
        let Ok(unstored) = begun else {
            self.statistics.postponed += 1;
            batch.commands.append(&mut rest);
            self.postponed[port] = Some(batch);
            return 0;
        };
        self.broker.heard(index, batch.look);
        let handled = self.handle_within_bounds(index, &mut batch, unstored, now);
        self.ports[port].portion.turned(handled, !self.broker.has_worked_enough());
        if !batch.commands.is_empty() || !rest.is_empty() {
            batch.commands.append(&mut rest);
            self.postponed[port] = Some(batch);
            self.has_rest = true;
        } else {
            self.ports[port].commands.recycle(batch);
        }
        handled
    }

    /// Handles a batch's commands, as far as their work is for one turn (R53), and takes them out of it: how many. Where what was bounded
    /// does not hold any more for those that are left they are bounded again (R6), which is work, too.
    fn handle_within_bounds(
        &mut self,
        port: PortIndex,
        batch: &mut CommandBatch,
        mut unstored: Unstored,
        now: Now,
    ) -> usize {
        let mut all = 0;
        loop {
            let handled = self.handle_batch(port, batch, &unstored, now);
            batch.commands.drain(..handled);
            all += handled;
            if batch.commands.is_empty() || self.broker.has_worked_enough() {
                return all;
            }
            self.broker.bounds_again(batch.commands.len());
            let Ok(begun) = self.begin(port, batch, now) else { return all };
            unstored = begun;
        }
    }

    /// Handles commands of a batch, up to one with which the turn has worked enough, or behind which others take more than was bounded.
    fn handle_batch(&mut self, port: PortIndex, batch: &CommandBatch, unstored: &Unstored, now: Now) -> usize {
        for (place, command) in batch.commands.iter().enumerate() {
            let (logs, out) = (&mut self.logs, &mut self.outbox);
            if !unstored.places.is_empty() && unstored.places.contains(&place) {
                let told = if unstored.wait { Broker::park_command } else { Broker::refuse_command };
                told(&mut self.broker, port, command, &batch.arena, now, logs, out);
            } else {
                self.broker.handle(port, command, &batch.arena, now, logs, out);
            }
            if self.broker.has_outgrown_bounds() || self.broker.has_worked_enough() {
                return place + 1;
            }
        }
        batch.commands.len()
    }

    /// Deliveries go at once, replies when everything appended before them is committed (R13). The deliveries of all ports go
    /// first: an advisory must not be overtaken by the answer to what it tells of.
    fn close_outbox(&mut self, appended: Position) -> HandedOver {
        let committed = self.logs.journal.committed();
        let mut handed_over = HandedOver::default();
        for (index, (port, returns)) in self.ports.iter_mut().zip(&mut self.returns).enumerate() {
            let mut batches = 0;
            while let Some(batch) = self.outbox.take_deliveries(PortIndex::at(index)) {
                returns.deliver(batch);
                batches += 1;
            }
            handed_over.filled |= batches >= DELIVERY_BATCHES;
            handed_over.anything |= returns.push_deliveries(&mut port.events);
        }
        for (index, (port, returns)) in self.ports.iter_mut().zip(&mut self.returns).enumerate() {
            while let Some(batch) = self.outbox.take_replies(PortIndex::at(index)) {
                returns.reply(batch, appended, committed, &mut self.gathering);
            }
            handed_over.anything |= returns.push_replies(committed, &mut port.events, &mut self.gathering);
        }
        handed_over
    }

    /// Somebody who waits, many bytes, or time: then what is appended is handed to the disk, unless a write is on its way.
    fn sync(&mut self, now: Now) {
        let journal = &self.logs.journal;
        let unsynced = journal.unsubmitted_bytes();
        if unsynced == 0 {
            self.unsynced_since = None;
            return;
        }
        let committed = journal.committed();
        let since = *self.unsynced_since.get_or_insert(now.nanos);
        let waited_for = self.broker.wants_sync() || self.returns.iter().any(|returns| returns.waits(committed));
        let due = waited_for || unsynced >= UNHURRIED_BYTES || now.nanos >= since + self.unhurried_nanos();
        if !due || journal.in_flight() {
            return;
        }
        if !self.gathering.holds(unsynced, now.nanos) && self.logs.journal.submit() {
            self.unsynced_since = None;
            self.gathering.submitted(unsynced, now.nanos);
        }
    }

    fn unhurried_nanos(&self) -> u64 {
        match self.logs.journal.room_when_short() {
            Some(_) => UNHURRIED_NANOS_WHEN_SHORT,
            None => UNHURRIED_NANOS,
        }
    }

    /// Once after a while in which nothing was appended.
    fn prove(&mut self, now: Now, appended: Position) {
        if self.rest.appended != appended {
            self.rest = Rest { since: now.nanos, appended };
        } else if now.nanos >= self.rest.since + REST_NANOS {
            self.logs.journal.prove();
        }
    }

    /// Only where all come through one port: of what comes through another, one thing that happens may be a whole batch.
    fn expected(&self) -> Option<Expected> {
        match self.ports.len() {
            1 if self.logs.journal.in_flight() => self.gathering.in_flight(),
            1 => self.gathering.before_submit(),
            _ => None,
        }
    }

    fn deadline(&self, now: Now) -> Option<u64> {
        let sync =
            self.unsynced_since.map(|since| since + self.unhurried_nanos()).filter(|_| !self.logs.journal.in_flight());
        let gathered = self.gathering.until();
        let rest = (self.rest.since + REST_NANOS > now.nanos && !self.logs.journal.is_proven())
            .then_some(self.rest.since + REST_NANOS);
        // Once the walk stands still only the logs can tell more.
        let stall = self.waits_for_room.then(|| self.broker.stalls_at()).filter(|at| *at > now.nanos);
        soonest([self.broker.deadline(), self.logs.deadline(), sync, gathered, rest, stall])
    }
}
