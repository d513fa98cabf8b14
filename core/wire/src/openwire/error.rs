//! What can be wrong with bytes from a peer, and with a structure that is to be written.

/// What is wrong with received bytes. After any of these the connection is to be closed: a frame has neither a checksum
/// nor a version, so nothing behind the error can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A value reaches beyond the end of its frame.
    #[error("the frame ends inside a value")]
    Truncated,
    /// The last field ends before the frame does.
    #[error("{0} bytes follow the last field")]
    TrailingBytes(usize),
    /// No structure of the agreed version has this code.
    #[error("data structure type {0} is not one of the agreed version")]
    UnknownType(u8),
    /// A structure stands where another class is declared.
    #[error("a structure of type {found} stands in a field of class {expected}")]
    WrongType {
        /// The declared class.
        expected: &'static str,
        /// The code received; 0 for null.
        found: u8,
    },
    /// A length or count that is negative, or larger than what it counts may be.
    #[error("the length {0} is not possible here")]
    BadLength(i64),
    /// A cache index beyond the agreed size, or of a slot that was never filled.
    #[error("cache index {0} is outside the agreed cache or was never filled")]
    BadCacheIndex(i16),
    /// The values that the peer has put in the cache take too much memory.
    #[error("the peer's cached values take more than {0} bytes")]
    CacheFull(usize),
    /// Structures, causes, maps or lists nested too deep.
    #[error("values are nested deeper than {0}")]
    TooDeep(usize),
    /// The frame would take many times its size in memory.
    #[error("the frame unfolds to more memory than is allowed for its size")]
    TooMuchMemory,
    /// Bytes that are not Modified UTF-8.
    #[error("a string is not Modified UTF-8")]
    BadString,
    /// A frame larger than the agreed `MaxFrameSize`, or of negative or no size.
    #[error(
        "a frame of {size} bytes; 1 to {limit} are allowed (setting `openwire.max_frame_bytes`, or the peer's wireFormat.maxFrameSize)"
    )]
    FrameSize {
        /// The size that the frame announced.
        size: i32,
        /// The limit in force.
        limit: usize,
    },
}

/// A [`Fault`] and the field it was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{structure}.{field}: {fault}")]
pub struct DecodeError {
    /// What is wrong.
    pub fault: Fault,
    /// The innermost structure that was being read; `frame` outside of any.
    pub structure: &'static str,
    /// Its field.
    pub field: &'static str,
}

impl DecodeError {
    /// The same error with its place, unless a more exact one is known.
    pub(super) fn within(mut self, structure: &'static str, field: &'static str) -> DecodeError {
        if self.structure == FRAME {
            (self.structure, self.field) = (structure, field);
        }
        self
    }
}

const FRAME: &str = "frame";

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> DecodeError {
        DecodeError { fault, structure: FRAME, field: "type" }
    }
}

/// A structure that the agreed format cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Strings have a 16-bit length; ActiveMQ reads it with a sign when tight.
    #[error("a string of {length} bytes; at most {limit} can be sent")]
    StringTooLong {
        /// Its length in Modified UTF-8.
        length: usize,
        /// The most that the encoding takes.
        limit: usize,
    },
    /// Arrays have a signed 16-bit count.
    #[error("an array of {0} elements; at most 32767 can be sent")]
    ArrayTooLong(usize),
    /// The BooleanStream has a 16-bit length.
    #[error("{0} bytes of bits; at most 65535 can be sent")]
    TooManyBits(usize),
    /// The whole frame is larger than the agreed `MaxFrameSize`.
    #[error(
        "a frame of {size} bytes; the peer takes at most {limit} (setting `openwire.max_frame_bytes`, or its wireFormat.maxFrameSize)"
    )]
    FrameTooLarge {
        /// The size without its prefix.
        size: usize,
        /// The limit in force.
        limit: usize,
    },
}

/// A WireFormatInfo that ends the connection. There is no error frame for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NegotiationError {
    /// The first frame is another structure.
    #[error("the first frame is {0}, not a WireFormatInfo")]
    NotWireFormatInfo(&'static str),
    /// Not the eight bytes `ActiveMQ`.
    #[error("the magic of the WireFormatInfo is not ActiveMQ")]
    BadMagic,
    /// A version below 1.
    #[error("the peers' versions {0} and {1} leave no version to speak")]
    BadVersion(i32, i32),
    /// More properties than ActiveMQ takes.
    #[error("the WireFormatInfo has {0} properties; at most 4096 are allowed")]
    TooManyProperties(usize),
    /// Properties that cannot be read.
    #[error("the WireFormatInfo's properties: {0}")]
    BadProperties(#[from] postrider_model::properties::PropertyError),
    /// A cache size that is negative, or larger than an index can name.
    #[error("the agreed cache size {0} is not one of 0 to 32767 (wireFormat.cacheSize)")]
    BadCacheSize(i32),
}
