//! The writing direction of one connection: hand-written frames and those of the tables, side by side.

use super::output::{Bits, Inline, Loose, Output, STAGE_BYTES};
use super::placing::PeerCache;
use crate::openwire::{BooleanWriter, EncodeError, Encoder, Settings, Structure, WriterPolicy, writer};

/// Slots of the peer's cache that the table-driven codec uses; the hand-written frames use those behind them. Neither knows what
/// the other has put where.
const TABLE_SLOTS: u16 = 16;

/// A frame that is written by hand.
pub(super) trait Frame {
    /// Its type.
    const CODE: u8;

    /// Bytes that it will hardly exceed.
    fn capacity(&self) -> usize;

    /// Writes the fields behind the type.
    fn write<O: Output>(&self, output: &mut O);
}

/// The writing direction of one connection.
pub(crate) struct Outgoing {
    settings: Settings,
    cache: Option<PeerCache>,
    encoder: Encoder,
    bits: BooleanWriter,
}

impl Outgoing {
    /// A direction in which nothing was written yet.
    pub(crate) fn new(settings: Settings, hash_seed: u64) -> Outgoing {
        let table = Settings { cache_size: settings.cache_size.map(|size| size.min(TABLE_SLOTS)), ..settings };
        let range = |size: u16| TABLE_SLOTS.min(size)..size;
        Outgoing {
            settings,
            cache: settings.cache_size.map(|size| PeerCache::new(range(size), hash_seed)),
            encoder: Encoder::new(table, WriterPolicy::Cheap),
            bits: BooleanWriter::default(),
        }
    }

    /// The agreed format.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) fn cache_mut(&mut self) -> Option<&mut PeerCache> {
        self.cache.as_mut()
    }

    /// Appends a structure as its table says. After an error `output` is as it was.
    pub(crate) fn structure(&mut self, structure: &Structure, output: &mut Vec<u8>) -> Result<(), EncodeError> {
        self.encoder.encode(structure, output)
    }

    /// Appends a hand-written frame. After an error `output` is as it was.
    #[inline]
    pub(super) fn frame<F: Frame>(&mut self, frame: &F, output: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = output.len();
        output.reserve(frame.capacity());
        if self.settings.tight {
            output.extend_from_slice(&[0, 0, 0, 0, F::CODE]);
            self.bits.clear();
            frame.write(&mut Bits(&mut self.bits));
            self.bits.write(output)?;
            frame.write(&mut Inline(output));
        } else {
            let mut stage = [0; STAGE_BYTES];
            let mut loose = Loose::new(output, &mut stage);
            loose.int(0);
            loose.byte(F::CODE);
            frame.write(&mut loose);
            loose.finish();
        }
        let size = output.len() - start - 4;
        let limit = self.settings.max_frame_size.min(i32::MAX as usize);
        if size > limit {
            return Err(self.give_up(output, start, EncodeError::FrameTooLarge { size, limit }));
        }
        #[expect(clippy::cast_possible_truncation, reason = "the limit has 31 bits")]
        writer::replace(output, start, (size as u32).to_be_bytes());
        Ok(())
    }

    #[cold]
    fn give_up(&mut self, output: &mut Vec<u8>, start: usize, error: EncodeError) -> EncodeError {
        output.truncate(start);
        self.cache.iter_mut().for_each(PeerCache::forget);
        error
    }
}
