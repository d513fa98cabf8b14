//! File descriptors: as many as the system lets the process have, and a part of them for the journal alone.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for what is neither a connection nor a file of the journal: listeners, drivers, wakers, the log.
const OTHERS: u64 = 64;

/// The largest part that the journal takes for its open files.
const MOST_OF_THE_JOURNAL: u64 = 16_384;

/// Raises the soft limit to the hard one, and says what it is then.
pub(crate) fn raise() -> u64 {
    let before = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: before.maximum, maximum: before.maximum };
    if before.current != before.maximum
        && let Err(error) = setrlimit(Resource::Nofile, wanted)
    {
        tracing::warn!(%error, "the limit of open descriptors stays at {:?}", before.current);
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Connections of so many descriptors each that a limit leaves room for. The journal's files come first: a connection is refused before
/// a message cannot be read.
pub(crate) fn connections(limit: u64, each: u64) -> usize {
    let journal = (limit / 4).clamp(16, MOST_OF_THE_JOURNAL);
    usize::try_from((limit.saturating_sub(journal + OTHERS) / each).max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_comes_first() {
        let left = [(u64::MAX, u64::MAX as usize - 16_448), (20_000, 14_936), (1_024, 704), (64, 1), (0, 1)];
        for (limit, expected) in left {
            assert_eq!(connections(limit, 1), expected, "of {limit}");
        }
        assert_eq!((connections(1_024, 2), connections(64, 2)), (352, 1));
    }
}
