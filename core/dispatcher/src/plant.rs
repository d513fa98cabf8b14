//! Planted bugs: each breaks one rule, so that the simulator can be seen to see it. Without the feature `plant` the question is
//! answered at compile time, and the branches are gone.

#[cfg(feature = "plant")]
mod planted {
    use std::cell::Cell;

    /// Name and rule of every planted bug.
    pub const LIST: &[(&str, &str)] = &[("reply-before-commit", "R13: replies do not wait for the commit")];

    thread_local!(static CHOSEN: Cell<&'static str> = const { Cell::new("") });

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
