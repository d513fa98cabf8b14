//! Segment files as shared mappings.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use crate::image::ImageWriter;

/// Opens a segment file through the page cache, as its mapping is.
pub(crate) fn open(path: &Path, create: bool, write: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(write).create_new(create).open(path)
}

/// The whole file as memory.
pub(crate) fn map(file: &File) -> io::Result<ImageWriter> {
    let bytes = file.metadata()?.len();
    ImageWriter::mapped(file, bytes as usize)
}
