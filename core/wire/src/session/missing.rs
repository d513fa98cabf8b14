//! What clients count on and this version does not do, without an error that would tell them: the log says it.

/// Something that is silently missing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Missing {
    /// A message names a group, whose messages should all go to one consumer.
    Groups,
}

/// What of that clients have asked for.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Asked {
    groups: bool,
}

impl Asked {
    pub(crate) fn note(&mut self, missing: Missing) {
        match missing {
            Missing::Groups => self.groups = true,
        }
    }

    /// One of them, which is forgotten.
    pub(crate) fn take(&mut self) -> Option<Missing> {
        std::mem::take(&mut self.groups).then_some(Missing::Groups)
    }
}
