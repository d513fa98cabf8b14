//! The destinations of a consumer, by number.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::clients::consumer::{Consumer, Membership, Standing};
use crate::messages::DestinationIndex;

impl Consumer {
    /// With those whose destination is gone.
    pub(crate) fn memberships(&self) -> &[Membership] {
        &self.memberships
    }

    #[inline]
    pub(crate) fn membership(&self, number: u32) -> &Membership {
        &self.memberships[number as usize]
    }

    /// A membership gets a number: one that is free, if there is.
    #[allow(clippy::cast_possible_truncation, reason = "there are fewer destinations")]
    pub(super) fn add_membership(&mut self, membership: Membership) -> u32 {
        if let Some(number) = self.free_memberships.pop() {
            self.memberships[number as usize] = membership;
            return number;
        }
        self.memberships.push(membership);
        self.memberships.len() as u32 - 1
    }

    /// It goes, and leaves the last of its destinations.
    #[allow(clippy::cast_possible_truncation, reason = "there are fewer destinations")]
    pub(crate) fn pop_membership(&mut self) -> Option<(u32, Membership)> {
        let last = self.memberships.pop()?;
        Some((self.memberships.len() as u32, last))
    }

    /// The destination goes, and it stays.
    pub(crate) fn lose_destination(&mut self, number: u32) {
        let membership = &mut self.memberships[number as usize];
        if membership.standing != Standing::Starved {
            self.free_memberships.push(number);
        }
        membership.standing = Standing::Gone;
        self.orphaned = true;
    }

    /// A destination went with messages in flight here: acknowledgements of them are not an error.
    pub(crate) fn is_orphaned(&self) -> bool {
        self.orphaned
    }

    /// Of a topic: where it stands, or its ticket while it walks.
    #[inline]
    pub(crate) fn set_cursor(&mut self, number: u32, cursor: u64) {
        self.memberships[number as usize].cursor = cursor;
    }

    /// A pattern fits the membership's destination.
    pub(crate) fn note_matched(&mut self, number: u32) {
        self.memberships[number as usize].matched = true;
    }

    /// The same is no longer counted. Whether it was.
    pub(crate) fn take_matched(&mut self, number: u32) -> bool {
        std::mem::take(&mut self.memberships[number as usize].matched)
    }

    /// The next membership that has waited until it can take; none in it: it does not wait any more.
    pub(crate) fn next_starved(&mut self) -> Option<Option<(u32, DestinationIndex)>> {
        let number = self.starved.pop_front()?;
        let membership = &mut self.memberships[number as usize];
        Some(match membership.standing {
            Standing::Starved => {
                membership.standing = Standing::Served;
                Some((number, membership.destination))
            }
            Standing::Gone => {
                self.free_memberships.push(number);
                None
            }
            Standing::Served => None,
        })
    }
}
