//! Counters and latencies of one thread, and where the threads show their counters to the others.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicU64};
use std::time::Instant;

use hdrhistogram::Histogram;

use crate::ramp::StepMeter;

/// The longest latency that is told apart, in nanoseconds: ten minutes.
const LONGEST: u64 = 600_000_000_000;
/// Significant decimal digits of latencies.
const DIGITS: u8 = 3;

/// Nanoseconds since the run began, at least 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Begins now.
    pub(crate) fn start() -> Clock {
        Clock(Instant::now())
    }

    /// The time.
    #[inline]
    pub(crate) fn now(self) -> u64 {
        self.0.elapsed().as_nanos() as u64 + 1
    }
}

/// What a run goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The load runs; nothing is measured.
    WarmUp,
    /// The load runs and is measured.
    Measure,
    /// Nothing is sent any more.
    Drain,
    /// Unacknowledged messages are held on quiet connections.
    Hold,
    /// All is over.
    Stop,
}

/// Totals since the run began.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Messages sent.
    pub sent: u64,
    /// Receipts of sends.
    pub receipted: u64,
    /// Deliveries that follow from what was sent.
    pub owed: u64,
    /// Deliveries of messages of this run.
    pub delivered: u64,
    /// When the last message or receipt came.
    pub last: u64,
    /// Nanoseconds for which producers were kept from sending what was due: by sockets that took no more, or for want of
    /// receipts.
    pub held: u64,
    /// Producers that have not used up their quota.
    pub unfinished: u64,
}

impl Counts {
    /// Both together.
    pub fn plus(self, other: Counts) -> Counts {
        Counts {
            sent: self.sent + other.sent,
            receipted: self.receipted + other.receipted,
            owed: self.owed + other.owed,
            delivered: self.delivered + other.delivered,
            last: self.last.max(other.last),
            held: self.held + other.held,
            unfinished: self.unfinished.saturating_add(other.unfinished),
        }
    }

    /// Deliveries under way; none where those of one thread are seen before the sends of another.
    pub(crate) fn backlog(&self) -> u64 {
        self.owed.saturating_sub(self.delivered)
    }
}

/// What one thread measures.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Totals.
    pub counts: Counts,
    /// Nanoseconds from send to receipt.
    pub receipts: Histogram<u64>,
    /// Nanoseconds from send to delivery.
    pub deliveries: Histogram<u64>,
    /// Whether latencies are recorded.
    pub is_measuring: bool,
    /// Deliveries by the steps of a ramp, which take the place of `deliveries`.
    pub steps: Option<StepMeter>,
}

impl Default for Meter {
    fn default() -> Meter {
        let (receipts, deliveries) = (histogram(), histogram());
        Meter { counts: Counts::default(), receipts, deliveries, is_measuring: false, steps: None }
    }
}

/// For latencies.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, DIGITS).expect("valid bounds")
}

impl Meter {
    /// A receipt for what was sent at `sent`.
    #[inline]
    pub(crate) fn receipted(&mut self, sent: u64, now: u64) {
        self.counts.receipted += 1;
        self.counts.last = now;
        if self.is_measuring {
            self.receipts.saturating_record(now.saturating_sub(sent));
        }
    }

    /// The answer to a commit of so many messages that was sent at `sent`.
    pub(crate) fn committed(&mut self, messages: u32, sent: u64, now: u64) {
        self.receipted(sent, now);
        self.counts.receipted = self.counts.receipted - 1 + u64::from(messages);
    }

    /// A delivery of what was sent at `sent`.
    #[inline]
    pub(crate) fn delivered(&mut self, sent: u64, now: u64) {
        self.counts.delivered += 1;
        self.counts.last = now;
        if let Some(steps) = &mut self.steps {
            steps.delivered(sent, now);
        } else if self.is_measuring {
            self.deliveries.saturating_record(now.saturating_sub(sent));
        }
    }
}

/// What the threads share. Everything on it may be seen a little late.
#[derive(Debug)]
pub(crate) struct Board {
    phase: AtomicU8,
    tallies: Vec<Tally>,
}

/// A cache line of its own, as its thread writes it at every turn.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Tally {
    sent: AtomicU64,
    receipted: AtomicU64,
    owed: AtomicU64,
    delivered: AtomicU64,
    last: AtomicU64,
    held: AtomicU64,
    /// Stored after all others and read before them: with 0 here, what was sent is final.
    unfinished: AtomicU64,
    /// The phase in which the thread was when it counted; stored and read like `unfinished`.
    phase: AtomicU8,
}

impl Board {
    /// For that many threads, none of which has published anything yet.
    pub(crate) fn new(threads: usize, phase: Phase) -> Board {
        let tally = || Tally { unfinished: AtomicU64::new(u64::MAX), ..Tally::default() };
        let tallies = (0..threads).map(|_| tally()).collect();
        Board { phase: AtomicU8::new(phase as u8), tallies }
    }

    /// The phase of the run.
    pub(crate) fn phase(&self) -> Phase {
        let phase = self.phase.load(Relaxed);
        [Phase::WarmUp, Phase::Measure, Phase::Drain, Phase::Hold, Phase::Stop][usize::from(phase)]
    }

    /// Goes on to a later phase; an earlier one is ignored.
    pub(crate) fn enter(&self, phase: Phase) {
        self.phase.fetch_max(phase as u8, Relaxed);
    }

    /// Shows a thread's counters, and the phase in which they were counted.
    pub(crate) fn publish(&self, thread: usize, counts: &Counts, phase: Phase) {
        let tally = &self.tallies[thread];
        tally.sent.store(counts.sent, Relaxed);
        tally.receipted.store(counts.receipted, Relaxed);
        tally.owed.store(counts.owed, Relaxed);
        tally.delivered.store(counts.delivered, Relaxed);
        tally.last.store(counts.last, Relaxed);
        tally.held.store(counts.held, Relaxed);
        tally.unfinished.store(counts.unfinished, Release);
        tally.phase.store(phase as u8, Release);
    }

    /// Whether all threads have published what they counted in this phase or a later one.
    pub(crate) fn has_reached(&self, phase: Phase) -> bool {
        self.tallies.iter().all(|tally| tally.phase.load(Acquire) >= phase as u8)
    }

    /// All threads' counters together, those of one thread left out if it is given.
    pub(crate) fn total(&self, without: Option<usize>) -> Counts {
        let tallies = self.tallies.iter().enumerate().filter(|(thread, _)| Some(*thread) != without);
        let counts = tallies.map(|(_, tally)| Counts {
            unfinished: tally.unfinished.load(Acquire),
            sent: tally.sent.load(Relaxed),
            receipted: tally.receipted.load(Relaxed),
            owed: tally.owed.load(Relaxed),
            delivered: tally.delivered.load(Relaxed),
            last: tally.last.load(Relaxed),
            held: tally.held.load(Relaxed),
        });
        counts.fold(Counts::default(), Counts::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_adds_up_what_the_threads_publish() {
        let board = Board::new(2, Phase::Measure);
        assert_eq!(board.total(None).unfinished, u64::MAX, "nothing is published yet");
        let one = Counts { sent: 5, receipted: 4, owed: 10, delivered: 3, last: 7, held: 9, unfinished: 1 };
        board.publish(0, &one, Phase::Drain);
        assert!(!board.has_reached(Phase::Drain));
        board.publish(1, &Counts { last: 6, ..one }, Phase::Drain);
        assert!(board.has_reached(Phase::Drain) && !board.has_reached(Phase::Stop));
        let both = Counts { sent: 10, receipted: 8, owed: 20, delivered: 6, last: 7, held: 18, unfinished: 2 };
        assert_eq!(board.total(None), both);
        assert_eq!(board.total(Some(1)), one);
    }

    #[test]
    fn phases_only_go_forward() {
        let board = Board::new(1, Phase::WarmUp);
        for phase in [Phase::Measure, Phase::Stop, Phase::Drain] {
            board.enter(phase);
        }
        assert_eq!(board.phase(), Phase::Stop);
    }

    #[test]
    fn latencies_are_recorded_while_it_is_measured() {
        let mut meter = Meter::default();
        meter.receipted(100, 300);
        meter.is_measuring = true;
        meter.receipted(100, 400);
        meter.delivered(500, 450);
        assert_eq!((meter.counts.receipted, meter.counts.delivered, meter.counts.last), (2, 1, 450));
        assert_eq!((meter.receipts.len(), meter.receipts.max()), (1, 300));
        assert_eq!((meter.deliveries.len(), meter.deliveries.max()), (1, 0));
    }
}
