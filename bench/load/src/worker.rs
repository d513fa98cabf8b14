//! One thread of the generator: the parties dealt to it and their turns.

use std::io::ErrorKind;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use mio::{Events, Poll, Token};

use crate::Arguments;
use crate::link::BrokerLink;
use crate::meter::{Board, Clock, Meter, Phase};
use crate::pace::Pace;
use crate::party::{Next, Party, Role, Turn};
use crate::plan::Plan;
use crate::ramp::{Stairs, StepMeter};
use crate::timer::Timer;

/// Bytes that one read takes.
const READ_BYTES: usize = 256 << 10;
/// The longest sleep: a new phase is noticed after that at the latest.
const LONGEST_SLEEP: Duration = Duration::from_millis(10);
/// Sleep while other threads have to work off the backlog.
const BACKLOG_SLEEP: Duration = Duration::from_micros(500);
/// Sends that are due within this of each other are made together.
const SHORTEST_SLEEP: Duration = Duration::from_micros(50);
/// Nanoseconds after a step of a ramp in which what was due at its very end may still be sent.
const GRACE: u64 = 20_000_000;
/// Stands for the timer among the parties.
const TIMER: Token = Token(usize::MAX);

/// What one thread works with.
#[derive(Debug)]
pub(crate) struct Worker<'a> {
    /// Its number.
    thread: usize,
    arguments: &'a Arguments,
    board: &'a Board,
    clock: Clock,
    /// The most deliveries that may be outstanding.
    backlog: Option<u64>,
    poll: Poll,
    timer: Timer,
    parties: Vec<Party>,
    meter: Meter,
    phase: Phase,
    /// The schedule of a ramp.
    stairs: Option<&'a Stairs>,
    /// The step that its producers are at.
    step: usize,
}

/// What is left when a thread has ended.
#[derive(Debug)]
pub(crate) struct Remains {
    /// Connections and roles, for leave and verdict.
    pub parties: Vec<(BrokerLink, Role)>,
    /// Latencies.
    pub meter: Meter,
}

impl<'a> Worker<'a> {
    /// Takes over connections that were set up.
    pub(crate) fn new(
        thread: usize,
        arguments: &'a Arguments,
        plan: &Plan,
        board: &'a Board,
        clock: Clock,
        stairs: Option<&'a Stairs>,
        links: Vec<(BrokerLink, Role)>,
    ) -> Result<Worker<'a>> {
        let poll = Poll::new()?;
        let timer = Timer::new(poll.registry(), TIMER)?;
        let parties = links.into_iter().enumerate();
        let parties = parties.map(|(index, (link, role))| Party::new(link, role, poll.registry(), Token(index)));
        let parties = parties.collect::<Result<_>>()?;
        let fan_out = (0..arguments.destinations).map(|destination| plan.deliveries(destination)).max().unwrap_or(0);
        let backlog = arguments.backlog.map(|messages| messages.saturating_mul(fan_out));
        let meter = Meter { steps: stairs.cloned().map(StepMeter::new), ..Meter::default() };
        let (phase, step) = (Phase::WarmUp, 0);
        Ok(Worker { thread, arguments, board, clock, backlog, poll, timer, parties, meter, phase, stairs, step })
    }

    /// Works until the run is over. If something fails the others stop as well.
    pub(crate) fn run(mut self) -> Result<Remains> {
        if let Err(error) = self.work() {
            self.board.enter(Phase::Stop);
            return Err(error);
        }
        let parties = self.parties.into_iter().map(Party::into_parts).collect::<Result<_>>()?;
        Ok(Remains { parties, meter: self.meter })
    }

    fn work(&mut self) -> Result<()> {
        let mut events = Events::with_capacity(self.parties.len() + 1);
        let mut buffer = vec![0; READ_BYTES];
        self.begin()?;
        while self.phase != Phase::Stop {
            let sleep = self.turn(&mut buffer)?;
            self.board.publish(self.thread, &self.meter.counts, self.phase);
            self.enter(self.board.phase());
            self.wait(&mut events, sleep)?;
        }
        // The run may be stopped before the last step is noticed to be over.
        while self.stairs.is_some_and(|stairs| self.step < stairs.steps().len()) {
            self.finish_step();
        }
        Ok(())
    }

    fn begin(&mut self) -> Result<()> {
        let now = self.clock.now();
        for party in &mut self.parties {
            party.begin(self.clock, &mut self.meter)?;
            if let (Some(producer), Some(rate)) = (party.producer(), self.arguments.rate) {
                producer.pace = Some(Pace::new(rate, producer.number(), self.arguments.producers, now));
            }
        }
        self.pace();
        self.enter(self.board.phase());
        Ok(())
    }

    /// Goes on to the step of the ramp whose time has come. What a step's schedule has left is given up: the next rate is
    /// to be seen by itself, not with the arrears of a higher one.
    fn climb(&mut self) {
        let Some(stairs) = self.stairs else { return };
        let now = self.clock.now();
        while self.step < stairs.steps().len() && now >= stairs.end(self.step) {
            let mut producers = self.parties.iter_mut().filter_map(Party::producer);
            if now < stairs.end(self.step) + GRACE && producers.any(|producer| !producer.has_sent_all()) {
                return;
            }
            self.finish_step();
        }
    }

    fn finish_step(&mut self) {
        let Some(meter) = &mut self.meter.steps else { return };
        self.parties.iter_mut().filter_map(Party::producer).for_each(|producer| producer.give_up(self.step, meter));
        self.step += 1;
        self.pace();
    }

    /// Gives the producers the schedule of the present step of the ramp; after the last they keep that, which is over.
    fn pace(&mut self) {
        let Some(stairs) = self.stairs else { return };
        let Some(step) = stairs.steps().get(self.step) else { return };
        let (begin, end) = (stairs.begin(self.step), stairs.end(self.step));
        for producer in self.parties.iter_mut().filter_map(Party::producer) {
            let pace = Pace::new(step.rate, producer.number(), self.arguments.producers, begin);
            producer.pace = Some(pace.until(end));
        }
    }

    /// One turn of each party; says how long to sleep after it.
    fn turn(&mut self, buffer: &mut [u8]) -> Result<Duration> {
        self.climb();
        let turn = Turn {
            clock: self.clock,
            wall: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64),
            is_sending: self.phase <= Phase::Measure,
            backlog: self.backlog.map(|limit| (limit, self.others_backlog())),
            waiting: self.waiting().map(|limit| (limit, self.others_backlog())),
        };
        let mut sleep = LONGEST_SLEEP;
        for party in &mut self.parties {
            let longest = match party.turn(&turn, buffer, &mut self.meter)? {
                Next::Socket => LONGEST_SLEEP,
                Next::Nothing => Duration::ZERO,
                Next::Time(time) => Duration::from_nanos(time.saturating_sub(self.clock.now())).max(SHORTEST_SLEEP),
                Next::Others if self.arguments.threads > 1 => BACKLOG_SLEEP,
                Next::Others => LONGEST_SLEEP,
            };
            sleep = sleep.min(longest);
        }
        let producers = self.parties.iter_mut().filter_map(Party::producer);
        self.meter.counts.unfinished = producers.filter(|producer| producer.quota > 0).count() as u64;
        Ok(sleep)
    }

    /// Deliveries that consumers leave to the broker, as long as more are sent.
    fn waiting(&self) -> Option<u64> {
        self.arguments.waiting.filter(|_| self.phase <= Phase::Measure)
    }

    fn others_backlog(&self) -> i64 {
        let others = self.board.total(Some(self.thread));
        others.owed as i64 - others.delivered as i64
    }

    fn wait(&mut self, events: &mut Events, sleep: Duration) -> Result<()> {
        if !sleep.is_zero() && sleep < LONGEST_SLEEP {
            self.timer.set(sleep)?;
        }
        let timeout = if sleep.is_zero() { Duration::ZERO } else { LONGEST_SLEEP };
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error).context("cannot poll"),
            _ => {}
        }
        for event in events.iter().filter(|event| event.token() != TIMER) {
            self.parties[event.token().0].ready(event);
        }
        Ok(())
    }

    fn enter(&mut self, phase: Phase) {
        if phase == self.phase {
            return;
        }
        self.phase = phase;
        self.meter.is_measuring = phase == Phase::Measure;
        if let (Phase::Measure, Some(count)) = (phase, self.arguments.count()) {
            let producers = u64::from(self.arguments.producers);
            for producer in self.parties.iter_mut().filter_map(Party::producer) {
                let extra = u64::from(u64::from(producer.number()) < count % producers);
                producer.quota = count / producers + extra;
            }
        }
    }
}
