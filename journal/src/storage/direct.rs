//! Segment files past the page cache, where the file system allows it.

use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::{Errno, ReadWriteFlags, pread, pwritev2};

use crate::image::ImageWriter;
use crate::storage::files::FILE_MODE;

/// Bytes of one read or one write of zeros.
pub(super) const CHUNK: usize = 4 << 20;

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
pub(crate) fn write_durable(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match pwritev2(file, &[IoSlice::new(bytes)], offset, ReadWriteFlags::DSYNC) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                write_all(file, bytes, offset)?;
                return file.sync_data();
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes zeros over the whole of a file of `bytes` bytes.
pub(crate) fn zero(file: &File, bytes: u64) -> io::Result<()> {
    let zeros = ImageWriter::anonymous(CHUNK.min(bytes as usize))?;
    let mut offset = 0;
    while offset < bytes {
        let len = (bytes - offset).min(zeros.len() as u64);
        write_all(file, zeros.bytes(0, len as usize), offset)?;
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
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}
