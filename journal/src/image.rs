//! A segment's memory: one writer above the frontier, any number of readers below it.
//!
//! Why the safe API is sound: an image has at most one [`ImageWriter`] (it is made with the image, or from an `Arc` that nobody
//! shares), a writer is not `Clone`, and it writes only at or above the frontier, through `&mut self`. Readers see only bytes below the
//! frontier, which only grows while anybody shares the image. So no byte is ever written while a reference to it exists. The
//! frontier is stored with Release after the bytes and loaded with Acquire before them.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use memmap2::{Advice, MmapMut, MmapOptions, MmapRaw, UncheckedAdvice};

use crate::position::Position;
use crate::size::size;

/// Bytes that the system is asked to fill or to take at a time. Meanwhile nobody else in the process gets memory, and the thread of the
/// broker stands still when it wants some: a whole segment would take that from it for some hundred milliseconds.
const PIECE: usize = 512 << 10;

/// Memory of a segment, a window or a spool segment. Bytes below the frontier never change.
pub struct Image {
    map: MmapRaw,
    frontier: AtomicUsize,
    file_backed: bool,
}

/// The only way to write an image.
pub struct ImageWriter {
    image: Arc<Image>,
}

/// Memory that holds a part of the log.
#[derive(Clone)]
pub struct Extent {
    /// The position of the image's first byte.
    pub base: Position,
    /// The memory.
    pub image: Arc<Image>,
}

impl Extent {
    /// The bytes of the log from `position` on. Panics if the image does not hold them.
    #[must_use]
    pub fn bytes(&self, position: Position, len: usize) -> &[u8] {
        self.image.bytes(size(position - self.base), len)
    }
}

/// The whole of so many bytes, piece by piece.
fn pieces(bytes: usize) -> impl Iterator<Item = Range<usize>> {
    (0..bytes).step_by(PIECE).map(move |start| start..bytes.min(start + PIECE))
}

/// Has every page there. An old kernel refuses it, and the first touch is slower then.
fn populate(bytes: usize, mut ask: impl FnMut(Range<usize>) -> io::Result<()>) {
    let _ = pieces(bytes).try_for_each(&mut ask);
}

/// The least that the system gives at a time.
const PAGE: usize = 4096;

/// Touches every page of new memory. The system gives a page that is touched without the lock that each of its calls about memory
/// holds until it is through: those who want that lock would wait for a thread that may be without a core meanwhile.
fn touch(map: &MmapRaw) {
    for offset in (0..map.len()).step_by(PAGE) {
        // SAFETY: within the mapping, which nobody else has yet.
        unsafe { map.as_mut_ptr().add(offset).write_volatile(0) };
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        for piece in pieces(self.map.len()) {
            // SAFETY: nobody has a reference to the memory any more. What a file's memory holds stays in the file. Where it is refused,
            // the memory goes with the mapping.
            let _ = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, piece.start, piece.len()) };
        }
    }
}

impl Image {
    /// Bytes of the whole image.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.len() == 0
    }

    /// The first byte that is not readable yet.
    #[must_use]
    pub fn frontier(&self) -> usize {
        self.frontier.load(Ordering::Acquire)
    }

    /// Whether the memory is a mapped file, so that the file is in use as long as the image is.
    #[must_use]
    pub fn file_backed(&self) -> bool {
        self.file_backed
    }

    /// Readable bytes. Panics beyond the frontier.
    #[must_use]
    pub fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        let end = offset.saturating_add(len);
        assert!(end <= self.frontier(), "read of {offset}..{end} beyond the frontier {}", self.frontier());
        // SAFETY: the range lies within the mapping, as the frontier never exceeds its length, and below the frontier, where
        // nobody writes while `self` is borrowed (see the module). The mapping lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(offset), len) }
    }

    /// Writes a mapped file's range to its medium, and waits for it. `offset` lies on a page.
    ///
    /// # Errors
    /// What msync says.
    pub fn flush(&self, offset: usize, len: usize) -> io::Result<()> {
        self.map.flush_range(offset, len)
    }
}

impl ImageWriter {
    /// New memory, every page of it touched, all zeros.
    ///
    /// # Errors
    /// No memory.
    pub fn anonymous(bytes: usize) -> io::Result<ImageWriter> {
        let map = MmapRaw::from(MmapMut::map_anon(bytes)?);
        // Advice: without it there are more pages to touch.
        let _ = map.advise(Advice::HugePage);
        touch(&map);
        Ok(ImageWriter::over(map, false))
    }

    /// A shared mapping of a file that has `bytes` allocated bytes. Nothing else may change or cut the file meanwhile: the
    /// directory's lock and the file's name see to it.
    ///
    /// # Errors
    /// What mmap says.
    pub fn mapped(file: &std::fs::File, bytes: usize) -> io::Result<ImageWriter> {
        let map = MmapOptions::new().len(bytes).map_raw(file)?;
        populate(bytes, |piece| map.advise_range(Advice::PopulateWrite, piece.start, piece.len()));
        Ok(ImageWriter::over(map, true))
    }

    /// Takes an image over for new contents, if nobody else holds it.
    ///
    /// # Errors
    /// The image, while it is shared.
    pub fn reuse(mut image: Arc<Image>) -> Result<ImageWriter, Arc<Image>> {
        match Arc::get_mut(&mut image) {
            Some(unique) => *unique.frontier.get_mut() = 0,
            None => return Err(image),
        }
        Ok(ImageWriter { image })
    }

    fn over(map: MmapRaw, file_backed: bool) -> ImageWriter {
        ImageWriter { image: Arc::new(Image { map, frontier: AtomicUsize::new(0), file_backed }) }
    }

    /// The image, to be shared.
    #[must_use]
    pub fn image(&self) -> &Arc<Image> {
        &self.image
    }

    /// Bytes of the whole image.
    #[must_use]
    pub fn len(&self) -> usize {
        self.image.len()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.image.is_empty()
    }

    /// Any bytes, those above the frontier too.
    #[must_use]
    pub fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        self.check(offset, len);
        // SAFETY: within the mapping; only this writer writes, and it is borrowed.
        unsafe { std::slice::from_raw_parts(self.image.map.as_ptr().add(offset), len) }
    }

    /// Bytes to be written. Panics below the frontier.
    #[inline]
    pub fn bytes_mut(&mut self, offset: usize, len: usize) -> &mut [u8] {
        self.check(offset, len);
        let frontier = self.image.frontier.load(Ordering::Relaxed);
        assert!(offset >= frontier, "write at {offset} below the frontier {frontier}");
        // SAFETY: within the mapping and at or above the frontier, where no reader has a reference; this is the only writer, and
        // it is borrowed for as long as the slice lives.
        unsafe { std::slice::from_raw_parts_mut(self.image.map.as_mut_ptr().add(offset), len) }
    }

    /// Copies `bytes` to `offset`. Panics below the frontier.
    #[inline]
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.bytes_mut(offset, bytes.len()).copy_from_slice(bytes);
    }

    /// Makes all below `frontier` readable and unchangeable.
    pub fn publish(&mut self, frontier: usize) {
        assert!(
            frontier <= self.len() && frontier >= self.image.frontier.load(Ordering::Relaxed),
            "a frontier only grows"
        );
        self.image.frontier.store(frontier, Ordering::Release);
    }

    #[inline]
    fn check(&self, offset: usize, len: usize) {
        let end = offset.saturating_add(len);
        assert!(end <= self.len(), "range {offset}..{end} beyond the image's {} bytes", self.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_see_what_was_published() {
        let mut writer = ImageWriter::anonymous(8192).unwrap();
        let image = Arc::clone(writer.image());
        writer.write(0, b"abc");
        assert_eq!(image.frontier(), 0);
        writer.publish(3);
        writer.write(3, b"def");
        assert_eq!(image.bytes(0, 3), b"abc");
        assert_eq!(writer.bytes(0, 6), b"abcdef");
    }

    #[test]
    #[should_panic(expected = "beyond the frontier")]
    fn nothing_is_read_beyond_the_frontier() {
        let writer = ImageWriter::anonymous(4096).unwrap();
        let _ = writer.image().bytes(0, 1);
    }

    #[test]
    #[should_panic(expected = "below the frontier")]
    fn nothing_is_written_below_the_frontier() {
        let mut writer = ImageWriter::anonymous(4096).unwrap();
        writer.publish(8);
        writer.write(7, b"x");
    }

    #[test]
    fn the_system_is_asked_for_a_piece_at_a_time() {
        for bytes in [0, 1, 4096, PIECE - 1, PIECE, PIECE + 1, 64 << 20, (64 << 20) + 4096] {
            let mut filled = Vec::new();
            populate(bytes, |piece| {
                filled.push(piece);
                Ok(())
            });
            assert!(filled.iter().all(|piece| (1..=PIECE).contains(&piece.len())), "{bytes}");
            assert!(filled.iter().map(|piece| piece.start).eq((0..bytes).step_by(PIECE)), "{bytes}");
            assert_eq!(filled.iter().map(Range::len).sum::<usize>(), bytes);
        }
    }

    #[test]
    fn a_refusal_ends_the_asking() {
        let mut asked = 0;
        populate(64 << 20, |_| {
            asked += 1;
            Err(io::ErrorKind::InvalidInput.into())
        });
        assert_eq!(asked, 1);
    }

    #[test]
    fn all_of_an_image_can_be_written_and_a_files_bytes_outlive_it() {
        const BYTES: usize = 2 * PIECE + 4096;
        let path = std::env::temp_dir().join(format!("postrider-image-{}", std::process::id()));
        let file = std::fs::File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file.set_len(BYTES as u64).unwrap();
        for mut writer in [ImageWriter::anonymous(BYTES).unwrap(), ImageWriter::mapped(&file, BYTES).unwrap()] {
            assert!(writer.bytes(0, BYTES).iter().all(|byte| *byte == 0));
            (0..BYTES).step_by(4096).for_each(|offset| writer.write(offset, &[7]));
            assert!((0..BYTES).step_by(4096).all(|offset| writer.bytes(offset, 1) == [7]));
        }
        let again = ImageWriter::mapped(&file, BYTES).unwrap();
        assert!((0..BYTES).step_by(4096).all(|offset| again.bytes(offset, 1) == [7]));
    }

    #[test]
    fn only_an_unshared_image_is_reused() {
        let writer = ImageWriter::anonymous(4096).unwrap();
        let shared = Arc::clone(writer.image());
        let shared = ImageWriter::reuse(shared).err().expect("the writer still holds it");
        drop(writer);
        let writer = ImageWriter::reuse(shared).ok().expect("nobody else holds it");
        assert_eq!(writer.image().frontier(), 0);
    }
}
