//! The frames that pass by the million, made and read by hand; everything else goes through the table-driven codec.
//!
//! What is sent comes from frames that the codec wrote, in which only fixed places change. What is received is read here
//! as far as the generator needs it, and refused (which is no error) where a cached value changes, so that the codec reads
//! it and the reader's cache stays right. All of this is for loose encoding; tight goes through the codec alone.

mod acknowledge;
mod dispatch;
mod receipt;
mod send;

pub(crate) use acknowledge::{Acknowledge, Delivered};
pub(crate) use dispatch::{Dispatch, Identity};
pub(crate) use receipt::correlation;
pub(crate) use send::{Fixed, SendTemplate, Variable, message};

use postrider_wire::openwire::Settings;

/// Whether the hand-made frames fit the agreed format: loose, and a version since which their fields have not changed.
pub(crate) fn is_handmade(settings: &Settings) -> bool {
    !settings.tight && settings.version >= 10
}
