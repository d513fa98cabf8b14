//! How much of a log counts: all that was found, or less of it, as far as another node has the same.

use crate::epoch::{LIVES_TO_DRAIN, MAX_LIVES};
use crate::error::OpenError;
use crate::position::{Position, SegmentNumber};
use crate::recovery::bounded::Reading;
use crate::recovery::scan::Scan;
use crate::recovery::{Bounded, OldLog, Opened, Recovery, load};
use crate::storage::Storage;

/// What the frames say that end with a position.
struct Before {
    /// Where the last one ends that does not reach beyond it.
    end: Position,
    /// The greatest head that they state.
    head: SegmentNumber,
}

impl<S: Storage> Opened<S> {
    /// What was found so far.
    pub fn recovery(&self) -> &Recovery {
        &self.0.report
    }

    /// Where the log ends.
    pub fn end(&self) -> Position {
        self.0.tail.end
    }

    /// Keeps the log as it was found.
    ///
    /// # Errors
    /// Segments that it should have are missing, or are not its own.
    pub fn keep_all(self) -> Result<Bounded<S>, OpenError> {
        let end = self.end();
        self.cut(end)
    }

    /// Keeps of the log what lies before `to`, where a frame must end: the rest is cut off, and saved aside, when a life begins.
    ///
    /// # Errors
    /// The log has no such end, or had given back what it needed there; or segments that it should have are missing, or not its own.
    pub fn cut(self, to: Position) -> Result<Bounded<S>, OpenError> {
        let Opened(mut log) = self;
        if to != log.tail.end {
            log.shorten(to)?;
        }
        log.check_contiguous()?;
        log.check_lives()?;
        let (head, end) = (log.tail.head, log.tail.end);
        let first = log.directory.found.partition_point(|found| found.number < head);
        let after = log.directory.found.partition_point(|found| found.data_start < end);
        let live = first..after.max(first);
        log.directory.check_lives(&log.table, live.clone())?;
        Ok(Bounded { log, reading: Reading::of(live) })
    }
}

impl<S: Storage> OldLog<S> {
    /// An end before the one that was found. What had been given back is not there any more, and whoever needs it takes a whole copy (R31).
    fn shorten(&mut self, to: Position) -> Result<(), OpenError> {
        let no_end = OpenError::NoSuchEnd { to, end: self.tail.end };
        let gone_before = self.gone_before();
        let given_back = OpenError::GivenBack { to, head: gone_before };
        if to > self.tail.end {
            return Err(no_end);
        }
        if to <= Position(gone_before.0 * self.table.segment_bytes) {
            return Err(given_back);
        }
        match self.before(to)? {
            Some(Before { end, head }) if end == to && head < gone_before => Err(given_back),
            Some(Before { end, head }) if end == to => {
                (self.tail.end, self.tail.head, self.tail.is_cut) = (to, head, true);
                Ok(())
            }
            _ => Err(no_end),
        }
    }

    /// Before this segment nothing is there any more, or may not be at any time: the table's head, or one that its life has come to.
    fn gone_before(&self) -> SegmentNumber {
        let there = self.directory.found.iter().map(|found| found.number).find(|number| *number >= self.table.head);
        there.map_or(self.table.head, |there| there.min(self.tail.head))
    }

    /// Whether the table has a place for one more life, besides those that have written something which is kept.
    fn check_lives(&mut self) -> Result<(), OpenError> {
        let most = if self.config.gives_up_table() { MAX_LIVES + LIVES_TO_DRAIN } else { MAX_LIVES };
        let lives = self.table.kept(self.tail.end, Position(self.tail.head.0 * self.table.segment_bytes));
        self.report.lives = lives;
        if lives < most { Ok(()) } else { Err(OpenError::TooManyLives(lives)) }
    }

    /// What the frames before `to` say, in the segment that holds the last of them.
    fn before(&mut self, to: Position) -> Result<Option<Before>, OpenError> {
        let Some(found) = self.directory.at(Position(to.0.saturating_sub(1))) else { return Ok(None) };
        let Some(key) = found.key() else { return Ok(None) };
        if !self.tail.loaded.contains_key(&found.number) {
            let contents = load(&mut self.storage, &self.config, &self.table, found, None)?;
            self.tail.loaded.insert(found.number, contents);
        }
        let Some(contents) = self.tail.loaded.get(&found.number) else { return Ok(None) };
        let bytes = contents.writer.bytes(0, contents.writer.len());
        let scan = Scan { bytes, start: found.start, key, table: &self.table };
        let mut before: Option<Before> = None;
        let mut position = found.data_start;
        while position < to {
            let (life_end, next_first) = self.table.break_after(position).unwrap_or((to, to));
            if position >= life_end {
                // What an earlier life wrote behind its end does not count, nor what it says of its length.
                position = next_first;
                continue;
            }
            let limit = life_end.min(to);
            let header = scan.header_at(position).or_else(|| scan.next_header(position, limit));
            let Some(header) = header.filter(|header| header.end() <= limit) else {
                position = limit;
                continue;
            };
            position = header.end();
            // A pad over what is given up states none.
            let head = before.map_or(header.head, |before| before.head.max(header.head));
            before = Some(Before { end: position, head });
        }
        Ok(before)
    }

    /// All files from the head on are one interval, at any moment: a gap, or an end before the log's, was made by somebody else.
    fn check_contiguous(&self) -> Result<(), OpenError> {
        let mut next = self.tail.head;
        for found in self.directory.found.iter().filter(|found| found.number >= self.tail.head) {
            if found.number > next {
                return Err(self.missing(next));
            }
            next = next.max(SegmentNumber(found.number.0 + found.bytes / self.table.segment_bytes));
        }
        let data_start = Position(next.0 * self.table.segment_bytes + u64::from(self.table.block));
        if data_start < self.tail.end {
            return Err(self.missing(next));
        }
        Ok(())
    }

    fn missing(&self, number: SegmentNumber) -> OpenError {
        OpenError::Missing(number, self.storage.name(number))
    }
}
