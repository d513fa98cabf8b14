//! Planted bugs: each breaks one rule, so that a test which should see it can be seen to do so.

/// A crate's planted bugs, each with its rule, and the question whether one is planted. Without the crate's feature `plant` the
/// question is answered at compile time, and the branches are gone.
#[doc(hidden)]
#[macro_export]
macro_rules! planted_bugs {
    ($($bug:expr),* $(,)?) => {
        #[cfg(feature = "plant")]
        mod planted {
            use std::cell::Cell;

            /// Name and rule of every planted bug.
            pub const LIST: &[(&str, &str)] = &[$($bug),*];

            // A process that has threads of its own, the broker from outside, is told by its environment.
            thread_local!(static CHOSEN: Cell<&'static str> = Cell::new(told()));

            fn told() -> &'static str {
                let told = std::env::var("POSTRIDER_PLANT").unwrap_or_default();
                LIST.iter().map(|(known, _)| *known).find(|known| *known == told).unwrap_or("")
            }

            /// Plants a bug in this thread; an empty name takes it out. Panics on an unknown name.
            pub fn set(name: &str) {
                let known = LIST.iter().map(|(known, _)| *known).find(|known| *known == name);
                assert!(known.is_some() || name.is_empty(), "no planted bug is called {name}");
                CHOSEN.set(known.unwrap_or(""));
            }

            pub(crate) fn planted(name: &str) -> bool {
                CHOSEN.get() == name
            }
        }

        #[cfg(feature = "plant")]
        pub(crate) use planted::planted;
        #[cfg(feature = "plant")]
        pub use planted::{LIST, set};

        #[cfg(not(feature = "plant"))]
        #[inline(always)]
        pub(crate) const fn planted(_name: &str) -> bool {
            false
        }
    };
}

planted_bugs! {
    ("skip-epoch-check", "R1: a frame of an earlier life counts"),
    ("keep-after-hole", "R2: valid frames after a torn one are kept"),
    ("damage-is-the-end", "R2: the log is cut at any bad frame"),
    ("any-log", "R1: a segment of another log, or of a copy that went on, counts"),
    ("end-unstated", "R2: nothing outside of the active segment says how far the log has come"),
    ("last-group-unproven", "R2: a log at rest does not say that its last group is durable"),
    ("losses-forgotten", "R9, R15: what a start gave up is forgotten by the next, if it ends before the log says what follows"),
    ("no-sync-before-epoch", "R3: recovery answers before it has synced what it keeps"),
    ("rewrite-last-block", "R4: a synced block is written again"),
    ("unseeded-checksum", "R5: checks do not depend on the segment's key"),
    ("damage-untold", "R5: what is damaged is left out, and nothing is said"),
    ("damage-unnamed", "R5: what is left of a damaged record does not say which one it was"),
    ("sound-named", "R5: records behind a damaged one are said to be damaged, and are not"),
    ("stand-in-unwritten", "R2: what is given up is left as it was, and the next start is refused for it"),
    ("damage-ends-all", "R5: a damaged record ends the process"),
    ("skip-body-crc", "R5: bodies from a disk are not checked"),
    ("bound-without-overhead", "R6: room is taken for bodies alone"),
    ("create-takes-all", "R6: what is created takes the room that acknowledgements have"),
    ("settle-takes-all", "R6: acknowledgements take the room that is left to moves"),
    ("oversize-unkept", "R6: no room is kept to move what does not fit into a segment of the usual size"),
    ("retry-failed-sync", "R7: a failed sync is tried again"),
    ("ack-before-sync", "R4: durable moves with the submit"),
    ("head-in-closing-pad", "R20: a full segment's pad states a head whose moves come behind it"),
    ("head-of-the-start", "R20: an end in order leaves the head of the start in the table"),
    ("stays-forgotten", "R20: a file that could not be given back is not thought of again"),
    ("recycle-before-head-committed", "R20: segments go before the head is durable"),
    ("short-write-believed", "R3: a write that took a part counts for all of it"),
    ("unreadable-is-zeros", "R5: what cannot be read is zeros"),
    ("spill-failure-unseen", "R21: a spill that failed counts as done"),
    ("spool-without-bound", "R21: the spool takes whatever comes"),
    ("spool-forgets-waiters", "R27: who waits for bytes of a spool segment that goes is not told"),
    ("recycle-under-read", "R20: a segment goes while a window of it is being read"),
}
