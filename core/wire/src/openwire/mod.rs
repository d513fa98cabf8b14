//! ActiveMQ's OpenWire, versions 1 to 12: frames and structures.
//!
//! A connection goes through these, in this order:
//!
//! 1. [`FrameSplitter`] cuts the received bytes into frames;
//! 2. [`WireFormat`] turns each frame into a [`Structure`], as the [`schema`] tables say, and structures into frames;
//! 3. [`Offer`] holds what a WireFormatInfo says; two of them make the [`Agreed`] format of the connection.
//!
//! [`Reader`] and [`writer`] are the primitives below the tables, for code that reads or writes one structure by hand.
//! Strings stay the Modified UTF-8 that was received; [`postrider_model::modified_utf8`] converts. Properties stay as they are, too:
//! a message record has them in the same form ([`postrider_model::properties`]).

mod boolean_stream;
mod cache;
mod decode;
mod encode;
mod error;
mod frame;
mod hot;
mod negotiate;
mod reader;
pub mod schema;
pub mod session;
mod throwable;
mod value;
mod wire_format;
pub mod writer;

pub use boolean_stream::{BooleanReader, BooleanWriter};
pub use cache::{NOT_KEPT, Placement, ReaderCache, WriterCache, WriterPolicy};
pub use decode::{Decoder, FIXED_ALLOCATION, RECEIVED_FACTOR};
pub use encode::Encoder;
pub use error::{DecodeError, EncodeError, Fault, NegotiationError};
pub use frame::FrameSplitter;
pub use negotiate::{Agreed, Offer};
pub use reader::Reader;
pub use throwable::{StackFrame, Throwable};
pub use value::{Nested, Structure, Value};
pub use wire_format::{Settings, WireFormat};

/// The newest version of the protocol, and what this broker offers.
pub const NEWEST_VERSION: u8 = 12;
