//! The agreed format of one connection, both directions.

use super::schema::wire_format_info;
use super::{DecodeError, Decoder, EncodeError, Encoder, NEWEST_VERSION, Structure, WriterPolicy};

/// How frames are written. Both peers use the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// 1 to 12.
    pub version: u8,
    /// Tight or loose.
    pub tight: bool,
    /// The size of each direction's cache; None if it is off.
    pub cache_size: Option<u16>,
    /// Whether exceptions carry stack trace and cause.
    pub stack_trace: bool,
    /// The largest frame in bytes, without its size prefix.
    pub max_frame_size: usize,
}

impl Settings {
    /// What a connection starts with, until both WireFormatInfos are there.
    pub fn initial(max_frame_size: usize) -> Settings {
        Settings { version: NEWEST_VERSION, tight: false, cache_size: None, stack_trace: false, max_frame_size }
    }
}

/// Frames to structures and structures to frames.
#[derive(Debug)]
pub struct WireFormat {
    settings: Settings,
    /// The reading direction.
    pub decoder: Decoder,
    /// The writing direction.
    pub encoder: Encoder,
}

impl WireFormat {
    /// A format with empty caches. On a connection it is made anew, with the agreed settings, when the peer's
    /// WireFormatInfo has come.
    pub fn new(settings: Settings, policy: WriterPolicy) -> WireFormat {
        WireFormat { settings, decoder: Decoder::new(settings), encoder: Encoder::new(settings, policy) }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Decodes one frame, given without its size prefix. None is the null frame. After an error the connection is to be
    /// closed.
    pub fn decode(&mut self, frame: &[u8]) -> Result<Option<Structure>, DecodeError> {
        if frame.first() == Some(&wire_format_info::DEFINITION.code) {
            return self.plain().0.decode(frame);
        }
        self.decoder.decode(frame)
    }

    /// Appends the structure as a frame with its size prefix. After an error `out` is as it was, and the connection can
    /// go on.
    pub fn encode(&mut self, structure: &Structure, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if structure.is(&wire_format_info::DEFINITION) {
            return self.plain().1.encode(structure, out);
        }
        self.encoder.encode(structure, out)
    }

    /// A WireFormatInfo is always loose and without the cache, as it is what agrees on them.
    fn plain(&self) -> (Decoder, Encoder) {
        let settings = Settings { tight: false, cache_size: None, ..self.settings };
        (Decoder::new(settings), Encoder::new(settings, WriterPolicy::Cheap))
    }
}
