//! Whose acknowledgements need no wake-up of their own: who sends nothing else, often, and may have so much in flight that its credit does not
//! wait for them.

/// Acknowledgements that come together at most.
const MOST: u64 = 16;

/// Of what a consumer may have in flight, the part that may wait for its credit.
const PART: u64 = 8;

/// After so many in a row it is looked at how fast they come.
const LOOK: u64 = 32;

/// The time for each, in nanoseconds: with fewer, hardly any come together within a moment.
const OFTEN_NANOS: u64 = 250_000;

/// If so many times as many come together by themselves, under load, nothing is gained.
const TOGETHER: u64 = 4;

/// More bytes than these are news from anybody.
const MOST_BYTES: usize = 4096;

/// What is known of one connection.
#[derive(Default)]
pub(super) struct Acknowledgements {
    /// Acknowledgements in a row at the last look, when that was, and bytes since.
    looked: u64,
    since: u64,
    bytes: usize,
    /// How many times some came since.
    pieces: u64,
    /// When something came last.
    last: u64,
    /// Bytes that may gather.
    gathers: Option<usize>,
}

impl Acknowledgements {
    /// Bytes came. `row`: the last so many frames were acknowledgements, and the client waits for nothing. How many bytes may gather until
    /// it is worth a wake-up, if not each is.
    #[allow(clippy::cast_possible_truncation, reason = "a few")]
    pub(super) fn heard(&mut self, bytes: usize, row: u64, prefetch: u32, nanos: u64) -> Option<usize> {
        let pause = nanos.saturating_sub(std::mem::replace(&mut self.last, nanos));
        if row < self.looked || row == 0 || pause > LOOK * OFTEN_NANOS {
            *self = Acknowledgements { looked: row, since: nanos, last: nanos, ..Acknowledgements::default() };
            return None;
        }
        self.bytes += bytes;
        self.pieces += 1;
        let new = row - self.looked;
        if new >= LOOK {
            let together = MOST.min(u64::from(prefetch) / PART);
            let often = nanos.saturating_sub(self.since) <= new * OFTEN_NANOS;
            let each = self.bytes / new as usize;
            let come_alone = new <= self.pieces * TOGETHER * MOST;
            self.gathers = (often && come_alone && together > 1).then(|| (each * together as usize).min(MOST_BYTES));
            (self.looked, self.since, self.bytes, self.pieces) = (row, nanos, 0, 0);
        }
        self.gathers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 60;

    /// So many acknowledgements of 60 bytes, one in so many nanoseconds.
    fn after(
        acknowledgements: &mut Acknowledgements,
        rows: std::ops::Range<u64>,
        prefetch: u32,
        nanos: u64,
    ) -> Option<usize> {
        rows.map(|row| acknowledgements.heard(BYTES, row, prefetch, 1 + row * nanos)).last().flatten()
    }

    #[test]
    fn who_acknowledges_often_and_has_much_in_flight_gathers() {
        let gathers = |prefetch, nanos| after(&mut Acknowledgements::default(), 1..100, prefetch, nanos);
        assert_eq!(gathers(1000, OFTEN_NANOS), Some(16 * BYTES));
        assert_eq!(gathers(32, OFTEN_NANOS), Some(4 * BYTES));
        assert_eq!(gathers(15, OFTEN_NANOS), None, "its credit waits for each");
        assert_eq!(gathers(1000, OFTEN_NANOS + 1), None, "rarely");
    }

    #[test]
    fn a_pause_or_something_else_ends_it() {
        let mut acknowledgements = Acknowledgements::default();
        assert!(after(&mut acknowledgements, 1..100, 1000, 1000).is_some());
        assert_eq!(acknowledgements.heard(BYTES, 0, 1000, 101_000), None, "a request");
        assert_eq!(after(&mut acknowledgements, 1..LOOK, 1000, 110_000), None);
        assert!(after(&mut acknowledgements, LOOK..100, 1000, 110_000).is_some());
        assert_eq!(acknowledgements.heard(BYTES, 101, 1000, 1_000_000_000), None, "a pause");
        assert_eq!(acknowledgements.heard(BYTES, 102, 1000, 1_000_001_000), None);
    }

    #[test]
    fn long_ones_gather_to_a_bound() {
        let mut acknowledgements = Acknowledgements::default();
        let gathers = (1..100).map(|row| acknowledgements.heard(5000, row, 1000, 1 + row * 1000)).last();
        assert_eq!(gathers, Some(Some(MOST_BYTES)));
    }
}
