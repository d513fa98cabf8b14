//! Whose bytes need no wake-up of their own (decision 0017): acknowledgements that come often and whose credit can wait, and sends that come so
//! fast that several come within a fraction of a millisecond. Nobody gathers who waits for an answer, or says other things in between.

use postrider_wire::session::{Session, Unhurried};

/// After so many frames in a row it is looked at how fast they come.
const LOOK: u64 = 32;

/// Acknowledgements: so many together at most,
const MOST: u64 = 32;

/// and of what a consumer may have in flight this part: the rest is its credit meanwhile.
const PART: u64 = 8;

/// The time for each, in nanoseconds: with fewer, hardly any come together within a moment.
const OFTEN_NANOS: u64 = 250_000;

/// Sends: as many as come in this time, in nanoseconds,
const GATHERS_NANOS: u64 = 150_000;

/// but no more than so many, and no fewer.
const SENDS: std::ops::RangeInclusive<u64> = 6..=64;

/// If what was to come together has not in this time, in nanoseconds, the client has paused and the moment brought it.
const PAUSE_NANOS: u64 = 3 * GATHERS_NANOS;

/// After that its sends do not gather for so many nanoseconds, twice as many after each one that follows soon, and so many times at most.
const BACK_OFF_NANOS: u64 = 2_000_000;
const MOST_MISSES: u32 = 10;

/// If so many times as many come together by themselves, under load, nothing is gained.
const TOGETHER: u64 = 4;

/// More bytes than these are news from anybody.
const MOST_BYTES: usize = 16 * 1024;

/// What a connection has said so far: so many frames, and which of them are such as may gather.
#[derive(Clone, Copy, Default)]
pub(super) struct Said {
    frames: u64,
    unhurried: Unhurried,
}

/// What all frames of a piece were.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Other,
    Acknowledgements,
    Sends,
}

impl Said {
    /// By this session.
    pub(super) fn by(session: &Session) -> Said {
        Said { frames: session.frames(), unhurried: session.unhurried() }
    }

    /// Acknowledgements that came since, and whether nothing else did.
    pub(super) fn acknowledgements_since(self, before: Said) -> (u64, bool) {
        let acknowledgements = self.unhurried.acknowledgements - before.unhurried.acknowledgements;
        (acknowledgements, acknowledgements == self.frames - before.frames)
    }

    /// What came since, if it is of one kind.
    fn since(self, before: Said) -> Kind {
        let frames = self.frames - before.frames;
        if self.unhurried.sends - before.unhurried.sends == frames {
            Kind::Sends
        } else if self.acknowledgements_since(before).1 {
            Kind::Acknowledgements
        } else {
            Kind::Other
        }
    }
}

/// What is known of one connection.
#[derive(Default)]
pub(super) struct Gathering {
    said: Said,
    kind: Kind,
    /// Frames at the last look, when that was, and bytes since.
    looked: u64,
    since: u64,
    bytes: usize,
    /// How many times some came since.
    pieces: u64,
    /// When something came last.
    last: u64,
    /// Bytes that may gather; 0: none.
    gathers: usize,
    /// Pauses that were not followed by twice as long a time without one, and until when sends do not gather because of the last.
    misses: u32,
    until: u64,
}

impl Gathering {
    /// Bytes came, by which so much is said now. How many may gather until it is worth a wake-up, if not each is.
    pub(super) fn heard(&mut self, bytes: usize, said: Said, prefetch: u32, nanos: u64) -> Option<usize> {
        let before = std::mem::replace(&mut self.said, said);
        if said.frames == before.frames {
            return None;
        }
        let kind = std::mem::replace(&mut self.kind, said.since(before));
        let pause = nanos.saturating_sub(std::mem::replace(&mut self.last, nanos));
        if self.kind == Kind::Sends && pause > PAUSE_NANOS && bytes < self.gathers {
            self.misses = (self.misses + 1).min(MOST_MISSES);
            self.until = nanos + (BACK_OFF_NANOS << self.misses);
            self.gathers = 0;
        }
        if self.kind == Kind::Other || self.kind != kind || pause > LOOK * OFTEN_NANOS {
            self.gathers = 0;
            self.begin();
            return None;
        }
        self.bytes += bytes;
        self.pieces += 1;
        let new = said.frames - self.looked;
        if new >= LOOK {
            let passed = nanos.saturating_sub(self.since).max(1);
            let together = match self.kind {
                Kind::Sends => self.sends(new, passed),
                _ => acknowledgements(new, passed, prefetch),
            };
            let come_alone = new <= self.pieces.saturating_mul(TOGETHER * together);
            self.gathers = if together > 1 && come_alone { self.length(new, together) } else { 0 };
            self.begin();
        }
        (self.gathers > 0).then_some(self.gathers)
    }

    /// From here on it is looked at what comes.
    fn begin(&mut self) {
        (self.looked, self.since, self.bytes, self.pieces) = (self.said.frames, self.last, 0, 0);
    }

    /// How many sends are worth a wake-up, if so many came in so many nanoseconds. A client that sends one when it has heard of the last
    /// sends one at a time.
    fn sends(&mut self, new: u64, passed: u64) -> u64 {
        if self.misses > 0 && self.last.saturating_sub(self.until) > BACK_OFF_NANOS << self.misses {
            (self.misses, self.until) = (self.misses - 1, self.last);
        }
        let together = (new * GATHERS_NANOS / passed).min(*SENDS.end());
        let waits = 4 * new < 5 * self.pieces || self.last < self.until;
        if waits || together < *SENDS.start() { 0 } else { together }
    }

    /// Bytes of so many frames, as the last ones were.
    #[allow(clippy::cast_possible_truncation, reason = "a few")]
    fn length(&self, new: u64, together: u64) -> usize {
        (self.bytes / new as usize * together as usize).min(MOST_BYTES)
    }
}

/// How many acknowledgements are worth a wake-up, if so many came in so many nanoseconds.
fn acknowledgements(new: u64, passed: u64, prefetch: u32) -> u64 {
    if passed <= new * OFTEN_NANOS { MOST.min(u64::from(prefetch) / PART) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 60;

    fn acknowledgements(frames: u64) -> Said {
        Said { frames, unhurried: Unhurried { acknowledgements: frames, sends: 0 } }
    }

    fn sends(frames: u64) -> Said {
        Said { frames, unhurried: Unhurried { acknowledgements: 0, sends: frames } }
    }

    /// The last of so many frames of 60 bytes, so many at a time, one in so many nanoseconds.
    fn after(
        gathering: &mut Gathering,
        said: fn(u64) -> Said,
        (frames, pieces): (std::ops::Range<u64>, usize),
        prefetch: u32,
        nanos: u64,
    ) -> Option<usize> {
        let heard = |frame| gathering.heard(pieces * BYTES, said(frame), prefetch, 1 + frame * nanos);
        frames.step_by(pieces).map(heard).last().flatten()
    }

    #[test]
    fn who_acknowledges_often_and_has_much_in_flight_gathers() {
        let gathers =
            |prefetch, nanos| after(&mut Gathering::default(), acknowledgements, (1..100, 1), prefetch, nanos);
        assert_eq!(gathers(1000, OFTEN_NANOS), Some(32 * BYTES));
        assert_eq!(gathers(32, OFTEN_NANOS), Some(4 * BYTES));
        assert_eq!(gathers(15, OFTEN_NANOS), None, "its credit waits for each");
        assert_eq!(gathers(1000, OFTEN_NANOS + 1), None, "rarely");
    }

    #[test]
    fn a_pause_or_something_else_ends_it() {
        let mut gathering = Gathering::default();
        assert!(after(&mut gathering, acknowledgements, (1..100, 1), 1000, 1000).is_some());
        let other = |frames| Said { frames, unhurried: Unhurried { acknowledgements: frames - 1, sends: 0 } };
        assert_eq!(gathering.heard(BYTES, other(100), 1000, 101_000), None, "a request");
        let again = |frame| gathering.heard(BYTES, other(frame), 1000, 1000 * frame);
        let gathers: Vec<_> = (101..200).map(again).map(|gathers| gathers.is_some()).collect();
        assert_eq!(gathers.iter().position(|gathers| *gathers), Some(LOOK as usize));
        assert_eq!(gathering.heard(BYTES, other(200), 1000, 1_000_000_000), None, "a pause");
        assert_eq!(gathering.heard(BYTES, other(201), 1000, 1_000_001_000), None);
    }

    #[test]
    fn long_ones_gather_to_a_bound() {
        let mut gathering = Gathering::default();
        let gathers = (1..100).map(|row| gathering.heard(5000, acknowledgements(row), 1000, 1 + row * 1000)).last();
        assert_eq!(gathers, Some(Some(MOST_BYTES)));
    }

    #[test]
    fn what_is_sent_fast_gathers_for_a_fraction_of_a_millisecond_unless_each_waits_for_the_one_before() {
        let gathers = |pieces, nanos| after(&mut Gathering::default(), sends, (1..200, pieces), 1000, nanos);
        assert_eq!(gathers(2, 10_000), Some(15 * BYTES));
        assert_eq!(gathers(2, 1_000), Some(64 * BYTES));
        assert_eq!(gathers(2, 30_000), None, "too few within the time");
        assert_eq!(gathers(1, 10_000), None, "one at a time");
        assert_eq!(gathers(70, 10_000), None, "many at a time");
    }

    #[test]
    fn who_pauses_in_the_middle_gathers_less_and_less_often() {
        let mut gathering = Gathering::default();
        let (mut now, mut sent, mut hits) = (1, 0, Vec::new());
        for burst in 0..2000 {
            let mut gathers = None;
            for _ in 0..50 {
                (now, sent) = (now + 20_000, sent + 2);
                gathers = gathering.heard(2 * BYTES, sends(sent), 1000, now);
            }
            if gathers.is_some() {
                hits.push(burst);
            }
            // What was left when it paused comes when the moment is over.
            (now, sent) = (now + 1_000_000, sent + 1);
            gathering.heard(BYTES, sends(sent), 1000, now);
        }
        assert!(hits.len() < 20 && hits.len() > 3, "{hits:?}");
    }
}
