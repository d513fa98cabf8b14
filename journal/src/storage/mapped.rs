//! Segment files as shared mappings.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::image::ImageWriter;
use crate::size::size;
use crate::storage::files::FILE_MODE;

/// Opens a segment file through the page cache, as its mapping is.
pub(crate) fn open(path: &Path, create: bool, write: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(write).create_new(create).mode(FILE_MODE).open(path)
}

/// The whole file as memory.
pub(crate) fn map(file: &File) -> io::Result<ImageWriter> {
    let bytes = file.metadata()?.len();
    ImageWriter::mapped(file, size(bytes))
}
