//! Directories of tests/vectors/journal: each file compressed, as most of a segment is zeros.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// Files by name.
pub type Files = BTreeMap<String, Vec<u8>>;

fn folder(vector: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().find(|folder| folder.join("Cargo.lock").exists());
    root.expect("the workspace").join("tests/vectors/journal").join(vector)
}

/// The files of a directory that is kept.
pub fn kept(vector: &str) -> Files {
    let entries = fs::read_dir(folder(vector)).unwrap().map(|entry| entry.unwrap().path());
    let unpacked = entries.map(|path| {
        let mut bytes = Vec::new();
        GzDecoder::new(File::open(&path).unwrap()).read_to_end(&mut bytes).unwrap();
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), bytes)
    });
    unpacked.collect()
}

/// Keeps the files of a directory.
pub fn keep(vector: &str, files: &Files) {
    let folder = folder(vector);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    for (name, bytes) in files {
        let mut packed = GzEncoder::new(File::create(folder.join(format!("{name}.gz"))).unwrap(), Default::default());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap();
    }
}

/// All files of a directory but its lock.
pub fn read(directory: &Path) -> Files {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let named = paths.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()));
    named.filter(|(name, _)| name != "lock").collect()
}

/// A directory with these files.
pub fn directory(files: &Files) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(directory.path().join(name), bytes).unwrap());
    directory
}
