//! The hand-written code against the tables, over all messages, acknowledgements and responses of the vectors.

mod reading;
mod writing;

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::openwire::{Decoder, ReaderCache, Settings, Structure, WireFormat, WriterPolicy};

const FORMATS: [(bool, Option<u16>); 4] = [(false, None), (false, Some(1024)), (true, None), (true, Some(1024))];

fn settings(version: u8, tight: bool, cache_size: Option<u16>) -> Settings {
    Settings { version, tight, cache_size, stack_trace: true, max_frame_size: i32::MAX as usize }
}

/// All structures of the vectors that `wanted` takes, each with the version that it was written in.
fn vectors(wanted: impl Fn(&str) -> bool) -> Vec<(u8, Structure)> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/openwire");
    let folder = std::env::var_os("POSTRIDER_VECTORS").map_or(own, PathBuf::from);
    let mut found = Vec::new();
    for version in [1, 3, 6, 9, 10, 11, 12] {
        for kind in ["frames", "messages"] {
            let lines = lines(&folder.join(format!("{kind}-v{version}.jsonl.gz")));
            // The same values in all four formats: one is enough.
            let plain = lines.iter().filter(|record| record["tight"] == false && record["cache"] == false);
            for record in plain.filter(|record| wanted(record["type"].as_str().unwrap())) {
                let settings = Settings { stack_trace: record["stackTrace"] == true, ..settings(version, false, None) };
                let frame = bytes(record["hex"].as_str().unwrap());
                found.push((version, Decoder::new(settings).decode(&frame[4..]).unwrap().unwrap()));
            }
        }
    }
    assert!(found.len() > 20, "vectors in {}", folder.display());
    found
}

fn lines(path: &Path) -> Vec<Json> {
    let mut text = String::new();
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn is_message(name: &str) -> bool {
    name.starts_with("ActiveMQ") && name.ends_with("Message")
}

/// A structure as a frame without its prefix, and a decoder that knows all its cached values.
fn known(structure: &Structure, settings: Settings) -> (Vec<u8>, Decoder) {
    let mut format = WireFormat::new(settings, WriterPolicy::JavaOrder);
    let mut decoder = Decoder::new(settings);
    let mut frame = Vec::new();
    format.encode(structure, &mut frame).unwrap();
    decoder.decode(&frame[4..]).unwrap();
    frame.clear();
    format.encode(structure, &mut frame).unwrap();
    (frame.split_off(4), decoder)
}

fn cache_of(decoder: &mut Decoder) -> Option<&ReaderCache> {
    decoder.cache().map(|cache| &*cache)
}
