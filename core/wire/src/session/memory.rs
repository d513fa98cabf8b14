//! What clients make the broker keep besides messages: members of their connections, names that they have defined, cached values.

use postrider_model::limits;

/// The memory that the connections of a shard may take, shared as [`limits::is_fair_share`] has it.
pub struct ClientMemory {
    budget: u64,
    taken: u64,
}

impl Default for ClientMemory {
    fn default() -> ClientMemory {
        ClientMemory { budget: limits::CLIENT_MEMORY_BYTES, taken: 0 }
    }
}

/// What one connection makes the broker keep.
#[derive(Default)]
pub(crate) struct Kept {
    bytes: u64,
    /// As many of them as are cached values, which stay when the connection has taken its leave.
    cached: u64,
}

impl Kept {
    /// The bytes of cached values that were counted last.
    #[inline]
    pub(crate) fn cached(&self) -> u64 {
        self.cached
    }

    /// All of it.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn counted(&self) -> u64 {
        self.bytes.saturating_sub(limits::CLIENT_FREE_BYTES)
    }
}

impl ClientMemory {
    /// Changes how much there is.
    pub fn set_budget(&mut self, bytes: u64) {
        self.budget = bytes;
    }

    /// Bytes that are taken of it.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Takes room for so much more. False: there is none, and nothing was taken.
    pub(crate) fn take(&mut self, kept: &mut Kept, bytes: u64) -> bool {
        let before = kept.counted();
        kept.bytes += bytes;
        let after = kept.counted();
        let taken = self.taken + (after - before);
        if after > before && !limits::is_fair_share(after, taken, self.budget) {
            kept.bytes -= bytes;
            return false;
        }
        self.taken = taken;
        true
    }

    /// Gives room back.
    pub(crate) fn give_back(&mut self, kept: &mut Kept, bytes: u64) {
        let before = kept.counted();
        kept.bytes = kept.bytes.saturating_sub(bytes);
        self.taken = self.taken.saturating_sub(before - kept.counted());
    }

    /// The cached values take so much by now. False: there is no room for them.
    pub(crate) fn recount_cached(&mut self, kept: &mut Kept, cached: u64) -> bool {
        let before = std::mem::take(&mut kept.cached);
        self.give_back(kept, before);
        let has_room = self.take(kept, cached);
        if has_room {
            kept.cached = cached;
        }
        has_room
    }

    /// The connection has taken its leave: only its cached values are left.
    pub(crate) fn forget_members(&mut self, kept: &mut Kept) {
        let members = kept.bytes - kept.cached;
        self.give_back(kept, members);
    }

    /// It is gone.
    pub(crate) fn forget(&mut self, kept: &mut Kept) {
        let all = kept.bytes;
        self.give_back(kept, all);
        kept.cached = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_more_than_is_left_for_all_others() {
        let mut memory = ClientMemory::default();
        memory.set_budget(1_000_000);
        let fill = |memory: &mut ClientMemory| {
            let mut kept = Kept::default();
            while memory.take(&mut kept, 1_000) {}
            kept
        };
        let mut all: Vec<Kept> = (0..3).map(|_| fill(&mut memory)).collect();
        let beyond: Vec<u64> = all.iter().map(|kept| kept.counted() / 1_000).collect();
        assert_eq!(beyond, [499, 249, 125]);
        all.iter_mut().for_each(|kept| memory.forget(kept));
        assert_eq!(memory.taken, 0, "it comes back");
        assert_eq!(fill(&mut memory).counted() / 1_000, 499);
    }

    #[test]
    fn what_is_free_needs_no_room_and_cached_values_stay_behind_the_members() {
        let mut memory = ClientMemory::default();
        memory.set_budget(0);
        let mut kept = Kept::default();
        assert!(memory.take(&mut kept, 40_000) && memory.recount_cached(&mut kept, 25_000));
        assert!(!memory.take(&mut kept, 1_000), "beyond what is free");
        assert!(!memory.recount_cached(&mut kept, 26_000));
        assert!(memory.recount_cached(&mut kept, 25_000));
        memory.forget_members(&mut kept);
        assert_eq!((kept.bytes, kept.cached, memory.taken), (25_000, 25_000, 0));
    }
}
