//! Segment files past the page cache, where the file system allows it.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::{Errno, ReadWriteFlags, pread, pwrite, pwritev2};

use crate::image::ImageWriter;
use crate::plant::planted;
use crate::size::size;
use crate::storage::files::FILE_MODE;

/// Bytes of one read or one write of zeros.
pub(super) const CHUNK: usize = 4 << 20;
/// Bytes of one write at most: no system call takes 2 GiB.
const LARGEST_WRITE: usize = 1 << 30;
/// Short writes of the same bytes after which writing them has failed.
const SHORT_WRITES: usize = 8;

/// Opens a segment file for aligned reads and writes: past the page cache, or through it where that is refused.
pub(crate) fn open(path: &Path, create: bool, write: bool) -> io::Result<File> {
    let open = |flags: OFlags| {
        OpenOptions::new()
            .read(true)
            .write(write)
            .create_new(create)
            .mode(FILE_MODE)
            .custom_flags(flags.bits() as i32)
            .open(path)
    };
    match open(OFlags::DIRECT) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INVAL) => open(OFlags::empty()),
        answer => answer,
    }
}

/// Writes `bytes` at `offset`; they are durable when it returns.
pub(crate) fn write_durable(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let write = |bytes: &[u8], offset| pwritev2(file, &[IoSlice::new(bytes)], offset, ReadWriteFlags::DSYNC);
    match write_in_pieces(write, bytes, offset, LARGEST_WRITE) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            write_all(file, bytes, offset)?;
            file.sync_data()
        }
        answer => answer.map_err(io::Error::from),
    }
}

fn write_in_pieces(
    mut write: impl FnMut(&[u8], u64) -> Result<usize, Errno>,
    bytes: &[u8],
    offset: u64,
    largest: usize,
) -> Result<(), Errno> {
    let mut place = offset;
    bytes.chunks(largest).try_for_each(|piece| {
        write_whole(&mut write, piece, place)?;
        place += piece.len() as u64;
        Ok(())
    })
}

/// A write counts when one call has taken all of it. What a short one says of its bytes is not believed: all of them are written
/// again, which nobody has been promised anything of yet.
fn write_whole(
    mut write: impl FnMut(&[u8], u64) -> Result<usize, Errno>,
    bytes: &[u8],
    offset: u64,
) -> Result<(), Errno> {
    let mut written = 0;
    for _ in 0..SHORT_WRITES {
        written = loop {
            match write(bytes, offset) {
                Err(Errno::INTR) => {}
                answer => break answer?,
            }
        };
        if written >= bytes.len() || (written > 0 && planted("short-write-believed")) {
            return Ok(());
        }
    }
    // Why it does not go on the rest may tell: a full disk, as a rule.
    write(bytes.get(written..).unwrap_or_default(), offset + written as u64)?;
    Err(Errno::IO)
}

/// Writes zeros over the whole of a file of `bytes` bytes.
pub(crate) fn zero(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = ImageWriter::anonymous(CHUNK.min(size(bytes)))?;
    let mut offset = 0;
    while offset < bytes {
        let len = (bytes - offset).min(zeros.len() as u64);
        write_all(file, zeros.bytes(0, size(len)), offset)?;
        offset += len;
    }
    Ok(())
}

/// Writes a first block.
pub(crate) fn write_header(file: &File, block: &[u8]) -> io::Result<()> {
    let mut aligned = ImageWriter::anonymous(block.len())?;
    aligned.write(0, block);
    write_all(file, aligned.bytes(0, block.len()), 0)
}

/// Fills `image` from `from` of the file on: all of it, or an error, and then nothing is known of it.
pub(crate) fn read(file: &File, image: &mut ImageWriter, from: u64) -> io::Result<()> {
    let len = image.len();
    let mut offset = 0;
    while offset < len {
        let chunk = image.bytes_mut(offset, CHUNK.min(len - offset));
        offset += read_some(file, chunk, from + offset as u64)?;
    }
    Ok(())
}

/// Some bytes, at least one.
pub(super) fn read_some(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match pread(file, &mut *bytes, offset) {
            Err(Errno::INTR) => {}
            Ok(0) if !bytes.is_empty() => return Err(ended(offset)),
            answer => return answer.map_err(io::Error::from),
        }
    }
}

fn ended(offset: u64) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("the file ends before byte {offset}"))
}

/// Writes `bytes` at `offset`, into the page cache or past it.
pub(crate) fn write_all(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    Ok(write_in_pieces(|bytes, offset| pwrite(file, bytes, offset), bytes, offset, LARGEST_WRITE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: usize = 4096;

    /// A medium of one block that says of each call how much it took, and takes another part of it.
    struct Medium {
        bytes: Vec<u8>,
        /// What the next calls take and say; then all is well.
        calls: Vec<(usize, Result<usize, Errno>)>,
    }

    impl Medium {
        fn write(&mut self, bytes: &[u8], offset: u64) -> Result<usize, Errno> {
            let (taken, said) = self.calls.pop().unwrap_or((bytes.len(), Ok(bytes.len())));
            let taken = taken.min(bytes.len());
            self.bytes[offset as usize..][..taken].copy_from_slice(&bytes[..taken]);
            said
        }
    }

    fn written(calls: &[(usize, Result<usize, Errno>)]) -> (Result<(), Errno>, bool) {
        let mut medium = Medium { bytes: vec![0; BLOCK], calls: calls.iter().rev().copied().collect() };
        let block = [7; BLOCK];
        let answer = write_whole(|bytes, offset| medium.write(bytes, offset), &block, 0);
        (answer, medium.bytes == block)
    }

    /// The control: who goes on behind what a call said believes it.
    fn believed(calls: &[(usize, Result<usize, Errno>)]) -> bool {
        let mut medium = Medium { bytes: vec![0; BLOCK], calls: calls.iter().rev().copied().collect() };
        let block = [7; BLOCK];
        let mut done = 0;
        while done < BLOCK {
            done += medium.write(&block[done..], done as u64).unwrap();
        }
        medium.bytes == block
    }

    #[test]
    fn what_a_short_write_says_is_not_believed() {
        let lies = [(0, Ok(512))];
        assert_eq!(written(&lies), (Ok(()), true));
        assert!(!believed(&lies), "the control loses a sector");
        for calls in [
            vec![(512, Ok(512))],
            vec![(0, Ok(0)), (BLOCK, Ok(1))],
            vec![(100, Err(Errno::INTR)), (512, Ok(512)), (512, Ok(1024))],
        ] {
            assert_eq!(written(&calls), (Ok(()), true), "{calls:?}");
        }
    }

    #[cfg(feature = "plant")]
    #[test]
    fn who_believes_a_short_write_loses_what_it_did_not_take() {
        crate::plant::set("short-write-believed");
        let believed = written(&[(512, Ok(512))]);
        crate::plant::set("");
        assert_eq!(believed, (Ok(()), false));
    }

    #[test]
    fn more_than_one_call_takes_is_written_by_several() {
        // As the system does, of twice as much it takes a half.
        let taking_half = |largest: usize| {
            let mut written = vec![0; 2 * BLOCK];
            let answer = write_in_pieces(
                |bytes, offset| {
                    let taken = bytes.len().min(BLOCK);
                    written[offset as usize..][..taken].copy_from_slice(&bytes[..taken]);
                    Ok(taken)
                },
                &[7; 2 * BLOCK],
                0,
                largest,
            );
            (answer, written == [7; 2 * BLOCK])
        };
        assert_eq!(taking_half(BLOCK), (Ok(()), true));
        assert_eq!(taking_half(2 * BLOCK).0, Err(Errno::IO), "the control writes all at once");
    }

    #[test]
    fn a_write_that_stays_short_fails() {
        let short = vec![(512, Ok(512)); SHORT_WRITES + 1];
        assert_eq!(written(&short), (Err(Errno::IO), false));
        let mut full = vec![(512, Ok(512)); SHORT_WRITES];
        full.push((0, Err(Errno::NOSPC)));
        assert_eq!(written(&full).0, Err(Errno::NOSPC));
        assert_eq!(written(&[(0, Err(Errno::IO))]).0, Err(Errno::IO));
    }
}
