//! The nouns of the broker: identifiers, destinations, the message record, commands, events, limits.
//!
//! Everything here is plain data, shared by the shards (which translate protocols) and the broker (which decides). It knows of no
//! protocol, no thread, no file and no clock.

#![forbid(unsafe_code)]
#![deny(unreachable_pub)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

pub mod advisory;
pub mod batch;
pub mod command;
pub mod destination;
pub mod event;
pub mod ids;
pub mod limits;
pub mod modified_utf8;
pub mod pattern;
pub mod properties;
pub mod record;
pub mod time;
pub mod xid;

pub use advisory::Advisory;
pub use batch::{CommandBatch, Span};
pub use command::Command;
pub use destination::{Destination, DestinationKind};
pub use event::Event;
pub use ids::{ConnectionHandle, ConsumerHandle, DestinationId, Handle, PortIndex, Sequence, Token, TransactionNumber};
pub use record::{MessageView, MessageWriter};
pub use time::{Clock, Now};
pub use xid::Xid;
