//! Leads a run through its phases and takes the figures at the ends of the measured interval.

use std::io::{IsTerminal, Write};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::Arguments;
use crate::meter::{Board, Clock, Counts, Phase};
use crate::process::cpu_seconds;
use crate::ramp::Stairs;

/// How often the end of a phase is looked for.
const LOOK: Duration = Duration::from_millis(5);
const NANOS: f64 = 1e9;

/// What happened while it was measured.
#[derive(Debug)]
pub(crate) struct Interval {
    /// Messages.
    pub counts: Counts,
    /// Its length.
    pub seconds: f64,
    /// CPU seconds of the broker, if its process was named.
    pub broker_cpu: Option<f64>,
    /// CPU seconds of the generator.
    pub generator_cpu: f64,
}

impl Interval {
    /// So many in a second.
    pub(crate) fn rate(&self, count: u64) -> f64 {
        count as f64 / self.seconds
    }
}

/// What happened in a step of a ramp.
#[derive(Debug)]
pub(crate) struct Ascent {
    /// Its measured part.
    pub interval: Interval,
    /// The part before that, if it has one.
    pub warm_up: Option<Interval>,
    /// Deliveries under way when it ended.
    pub backlog: u64,
}

/// What happened after the last send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drained {
    /// Deliveries that were under way then.
    pub backlog: u64,
    /// Those that were still missing when it was over.
    pub left: u64,
    /// How long it took.
    pub seconds: f64,
    /// When it was over, in nanoseconds.
    pub end: u64,
}

/// One end of the interval.
#[derive(Debug, Clone, Copy)]
struct Snapshot {
    time: u64,
    counts: Counts,
    broker_cpu: Option<f64>,
    generator_cpu: f64,
}

/// Watches the board and moves the phase on.
#[derive(Debug)]
pub(crate) struct Conductor<'a> {
    arguments: &'a Arguments,
    board: &'a Board,
    clock: Clock,
    progress: Progress,
}

impl<'a> Conductor<'a> {
    /// Without a warm-up the measurement begins with the first message.
    pub(crate) fn first_phase(arguments: &Arguments) -> Phase {
        if arguments.warm_up > 0.0 { Phase::WarmUp } else { Phase::Measure }
    }

    /// For a board whose threads are at work, in its first phase.
    pub(crate) fn new(arguments: &'a Arguments, board: &'a Board, clock: Clock) -> Conductor<'a> {
        Conductor { arguments, board, clock, progress: Progress::new(clock.now()) }
    }

    /// Leads the run to its end. Returns early if a thread has stopped it.
    pub(crate) fn conduct(mut self) -> Result<(Interval, Drained)> {
        let outcome = self.measure().map(|interval| (interval, self.drain()));
        if outcome.is_ok() {
            self.hold();
        }
        self.end();
        outcome
    }

    /// Leads a ramp to its end: measures its steps, which the threads go through by themselves.
    pub(crate) fn climb(mut self, stairs: &Stairs) -> Result<(Vec<Ascent>, Drained)> {
        let steps = (0..stairs.steps().len()).map(|step| self.ascend(stairs, step)).collect::<Result<Vec<_>>>();
        let outcome = steps.map(|steps| (steps, self.drain()));
        self.end();
        outcome
    }

    fn end(&self) {
        self.board.enter(Phase::Stop);
        self.progress.end();
    }

    fn ascend(&mut self, stairs: &Stairs, step: usize) -> Result<Ascent> {
        self.watch_to(stairs.begin(step));
        let begin = self.snapshot()?;
        self.watch_to(stairs.measured(step));
        let measured = self.snapshot()?;
        self.watch_to(stairs.end(step));
        let end = self.snapshot()?;
        Ok(Ascent {
            warm_up: (stairs.measured(step) > stairs.begin(step)).then(|| self.interval(&begin, &measured)),
            interval: self.interval(&measured, &end),
            backlog: end.counts.backlog(),
        })
    }

    fn measure(&mut self) -> Result<Interval> {
        let mut begin = self.snapshot()?;
        if self.arguments.warm_up > 0.0 {
            self.watch_until(begin.time, self.arguments.warm_up);
            begin = self.snapshot()?;
            self.board.enter(Phase::Measure);
        } else {
            // The first messages may be on their way already.
            begin.counts = Counts::default();
        }
        if self.arguments.count().is_some() {
            self.watch_until_all_is_done();
        } else {
            self.watch_until(begin.time, self.arguments.seconds);
        }
        Ok(self.interval(&begin, &self.snapshot()?))
    }

    fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot {
            time: self.clock.now(),
            counts: self.board.total(None),
            broker_cpu: self.arguments.broker_pid.map(cpu_seconds).transpose()?,
            generator_cpu: cpu_seconds(std::process::id())?,
        })
    }

    fn interval(&self, begin: &Snapshot, end: &Snapshot) -> Interval {
        // With a count the interval ends with the last message, not when that was noticed; if any came: there may be no
        // consumers and no receipts.
        let ends_with_last = self.arguments.count().is_some() && end.counts.last > 0;
        let last = if ends_with_last { end.counts.last.max(begin.time + 1) } else { end.time };
        Interval {
            counts: Counts {
                sent: end.counts.sent - begin.counts.sent,
                receipted: end.counts.receipted - begin.counts.receipted,
                owed: end.counts.owed - begin.counts.owed,
                delivered: end.counts.delivered - begin.counts.delivered,
                held: end.counts.held - begin.counts.held,
                ..end.counts
            },
            seconds: (last - begin.time) as f64 / NANOS,
            broker_cpu: end.broker_cpu.zip(begin.broker_cpu).map(|(end, begin)| end - begin),
            generator_cpu: end.generator_cpu - begin.generator_cpu,
        }
    }

    fn watch_until(&mut self, begin: u64, seconds: f64) {
        self.watch_to(begin + (seconds * NANOS) as u64);
    }

    fn watch_to(&mut self, end: u64) {
        while self.clock.now() < end && self.look(Duration::from_nanos(end.saturating_sub(self.clock.now()))) {}
    }

    fn watch_until_all_is_done(&mut self) {
        // With a low rate nothing happens for long.
        let patience = self.arguments.drain_seconds.max(self.arguments.rate.map_or(0.0, |rate| 2.0 / rate));
        self.watch_while_it_moves(patience);
    }

    fn drain(&mut self) -> Drained {
        self.board.enter(Phase::Drain);
        let (begin, backlog) = (self.clock.now(), self.board.total(None).backlog());
        let latest = begin + (self.arguments.drain_seconds * NANOS) as u64;
        while self.clock.now() < latest && !self.is_drained() && self.look(LOOK) {}
        let end = self.clock.now();
        Drained { backlog, left: self.board.total(None).backlog(), seconds: (end - begin) as f64 / NANOS, end }
    }

    /// Says so on standard error, for scripts that wait for it.
    fn hold(&mut self) {
        let seconds = self.arguments.hold_seconds;
        if seconds > 0.0 && self.board.phase() != Phase::Stop {
            self.board.enter(Phase::Hold);
            eprintln!("holding {} messages for {seconds} s", self.board.total(None).delivered);
            self.watch_until(self.clock.now(), seconds);
        }
    }

    /// Whether nothing is under way any more. A thread that has not noticed the phase may still send.
    fn is_drained(&self) -> bool {
        self.board.has_reached(Phase::Drain) && self.is_quiet(&self.board.total(None))
    }

    fn watch_while_it_moves(&mut self, patience: f64) {
        let (mut counts, mut since) = (Counts::default(), self.clock.now());
        while self.look(LOOK) {
            // The time for which producers are held grows while nothing moves.
            let new = Counts { held: 0, ..self.board.total(None) };
            if new != counts {
                (counts, since) = (new, self.clock.now());
            }
            let is_stuck = (self.clock.now() - since) as f64 > patience * NANOS;
            if is_stuck || self.is_done(&new) {
                return;
            }
        }
    }

    fn is_done(&self, counts: &Counts) -> bool {
        if self.arguments.producers == 0 {
            return self.arguments.count().is_some_and(|count| counts.delivered >= count);
        }
        counts.unfinished == 0 && self.is_quiet(counts)
    }

    /// Whether everything that was sent was receipted and delivered.
    fn is_quiet(&self, counts: &Counts) -> bool {
        (self.arguments.window() == 0 || counts.receipted >= counts.sent) && counts.delivered >= counts.owed
    }

    /// Waits a moment; false if the run was stopped.
    fn look(&mut self, longest: Duration) -> bool {
        thread::sleep(longest.min(LOOK));
        self.progress.show(self.clock.now(), self.board);
        self.board.phase() != Phase::Stop
    }
}

/// A line on the terminal that is written over once a second.
#[derive(Debug)]
struct Progress {
    is_shown: bool,
    time: u64,
    counts: Counts,
}

impl Progress {
    fn new(time: u64) -> Progress {
        Progress { is_shown: std::io::stderr().is_terminal(), time, counts: Counts::default() }
    }

    fn show(&mut self, now: u64, board: &Board) {
        let seconds = (now - self.time) as f64 / NANOS;
        if !self.is_shown || seconds < 1.0 {
            return;
        }
        let counts = board.total(None);
        let rate = |new: u64, old: u64| (new - old) as f64 / seconds;
        let sent = rate(counts.sent, self.counts.sent);
        let delivered = rate(counts.delivered, self.counts.delivered);
        let outstanding = counts.backlog();
        let phase = format!("{:?}", board.phase());
        eprint!(
            "\r{phase:8} {:5.0} s  sent {sent:9.0}/s  delivered {delivered:9.0}/s  outstanding {outstanding:9}",
            now as f64 / NANOS
        );
        _ = std::io::stderr().flush();
        (self.time, self.counts) = (now, counts);
    }

    fn end(&self) {
        if self.is_shown {
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;
    use crate::arguments::tests::parsed;

    #[test]
    fn a_count_of_messages_ends_with_the_last_that_came() {
        let arguments = parsed("--count 9");
        let (board, clock) = (Board::new(1, Phase::Measure), Clock::start());
        let conductor = Conductor::new(&arguments, &board, clock);
        let at = |time, last| {
            let counts = Counts { last, ..Counts::default() };
            Snapshot { time, counts, broker_cpu: None, generator_cpu: 0.0 }
        };
        let seconds = |last| conductor.interval(&at(1_000_000_000, 0), &at(4_000_000_000, last)).seconds;
        assert_eq!(seconds(3_000_000_000), 2.0);
        assert_eq!(seconds(0), 3.0, "nothing comes where nobody consumes and nobody asks for receipts");
    }

    #[test]
    fn producers_that_are_held_do_not_move() {
        let arguments = parsed("--count 9 --drain-seconds 0.05");
        let (board, clock) = (Board::new(1, Phase::Measure), Clock::start());
        let is_over = AtomicBool::new(false);
        let counts = |held| Counts { sent: 5, owed: 5, held, unfinished: 1, ..Counts::default() };
        thread::scope(|scope| {
            scope.spawn(|| {
                // A socket that takes nothing for two seconds.
                for held in 1..1_000 {
                    board.publish(0, &counts(held), Phase::Measure);
                    thread::sleep(Duration::from_millis(2));
                    if is_over.load(Relaxed) {
                        return;
                    }
                }
                board.enter(Phase::Stop);
            });
            Conductor::new(&arguments, &board, clock).watch_until_all_is_done();
            is_over.store(true, Relaxed);
        });
        assert_eq!(board.phase(), Phase::Measure, "it was given up before all was over");
    }
}
