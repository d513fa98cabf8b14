//! The journal: a segmented log with group commit. One appender, its owner; readers behind a frontier; bytes that are checked
//! whenever they come from a disk. The format is in docs/journal-format.md, the rules R1 to R31 in docs/rules.md.
//!
//! It knows nothing of messages, destinations or protocols: records are opaque to it. It has no clock, and no threads
//! but those of its file storage: one at a start that reads a segment ahead, and the workers where whoever opens it asks for them.

#![deny(unsafe_code, unreachable_pub)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

mod ahead;
mod append;
mod aside;
mod budget;
mod cold;
mod config;
pub mod epoch;
mod error;
mod frame;
mod group;
#[allow(unsafe_code, reason = "mappings, and a frontier that one writer moves")]
mod image;
mod journal;
mod lock;
mod pause;
pub mod plant;
mod position;
mod prepare;
mod reclaim;
mod recovery;
pub mod room;
pub mod segment;
mod size;
mod spill;
mod spool;
mod stated;
mod statistics;
pub mod storage;
mod tail;
#[cfg(any(test, feature = "testing"))]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test that goes wrong panics"
)]
pub mod testing;
mod trouble;
mod version;
mod watermark;
mod windows;

pub use append::Bound;
pub use aside::{Kept, Remains};
pub use cold::Lookup;
pub use config::{Config, Medium};
pub use epoch::Life;
pub use error::{OpenError, Refusal, SyncFailed};
pub use frame::{FIRST_IGNORABLE_KIND, Record, body_crc};
pub use image::{Extent, Image, ImageWriter};
pub use journal::{Journal, Progress};
pub use pause::soonest;
pub use position::{Epoch, Home, Position, SegmentNumber};
pub use recovery::{Bounded, Cut, Damage, DamageKind, GivenUp, Opened, Recovery, Visited};
pub use room::{NoRoom, Purpose};
pub use spill::{NoSpill, Spill, Spilled};
pub use spool::{Generation, Pressure, Spool, SpoolConfig, SpoolUse};
pub use statistics::Statistics;
pub use storage::file::FileStorage;
pub use storage::spill::FileSpill;
pub use storage::{Completion, Loaded, Prepare, Read, SegmentFile, Storage, Unreadable, Write};
pub use tail::{Group, Tail, TailStep};
pub use trouble::Trouble;
