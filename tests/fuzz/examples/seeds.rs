//! Makes seeds for `openwire_decode` of the golden vectors: `seeds VECTORS CORPUS`.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use postrider_wire::openwire::{Encoder, Nested, Settings, Structure, WriterPolicy, schema};
use serde_json::Value as Json;

/// Seeds beyond this size only slow the fuzzer down.
const LARGEST: usize = 8192;
/// One frame of each so many is enough: the vectors repeat themselves over versions and settings.
const EVERY: usize = 5;
/// The bit of the settings with which the peers that get the frames have small caches.
const SMALL_PEERS: u8 = 8;

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(vectors), Some(corpus)) = (arguments.next(), arguments.next()) else {
        panic!("usage: seeds VECTORS CORPUS");
    };
    std::fs::create_dir_all(&corpus).expect("the corpus can be made");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&vectors)
        .unwrap_or_else(|error| panic!("no vectors in {}: {error}", vectors.display()))
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.to_string_lossy().ends_with(".jsonl.gz"))
        .collect();
    files.sort();
    for path in files {
        let stem = path.file_name().expect("a file has a name").to_string_lossy().replace(".jsonl.gz", "");
        for (number, record) in records(&path).enumerate() {
            let seed = seed(&record).filter(|seed| seed.len() <= LARGEST);
            let is_chosen = record.get("frames").is_some() || number % EVERY == 0;
            if let Some(mut seed) = seed.filter(|_| is_chosen) {
                seed[0] |= SMALL_PEERS * u8::from(number % 2 == 0);
                std::fs::write(corpus.join(format!("{stem}-{number}")), seed).expect("the corpus can be written");
            }
        }
    }
    std::fs::write(corpus.join("unfolding"), unfolding()).expect("the corpus can be written");
}

/// A frame that would unfold to more than its size allows: elements of one byte and two bits.
fn unfolding() -> Vec<u8> {
    let settings =
        Settings { version: 12, tight: true, cache_size: None, stack_trace: false, max_frame_size: usize::MAX };
    let queue = Structure::new(&schema::active_mq_queue::DEFINITION).shared();
    let elements: Vec<Nested> = vec![Some(queue); 12_000];
    let response = Structure::new(&schema::data_array_response::DEFINITION);
    let response = response.with(schema::data_array_response::DATA, elements);
    let mut frame = Vec::new();
    Encoder::new(settings, WriterPolicy::Cheap).encode(&response, &mut frame).expect("the array can be sent");
    let length = u16::try_from(frame.len() - 4).expect("the frame is short");
    [&[11 << 4 | 1], &length.to_be_bytes()[..], &frame[4..]].concat()
}

fn records(path: &Path) -> impl Iterator<Item = Json> {
    let file = std::fs::File::open(path).expect("the file is there");
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    lines.map(|line| serde_json::from_str(&line.expect("the file is whole")).expect("a line is JSON"))
}

/// The settings and the frames of a record, None if it is not about frames.
fn seed(record: &Json) -> Option<Vec<u8>> {
    let flag = |name: &str, bit: u8| if record[name] == true { bit } else { 0 };
    let version = u8::try_from(record["version"].as_u64()?).ok()?;
    let mut seed = vec![(version - 1) << 4 | flag("tight", 1) | flag("cache", 2) | flag("stackTrace", 4)];
    let has_prefix = record["sizePrefix"] != false;
    let alone = std::slice::from_ref(record);
    for frame in record["frames"].as_array().map_or(alone, |frames| frames) {
        let bytes = bytes(frame["hex"].as_str()?);
        let body = if has_prefix { &bytes[4..] } else { &bytes[..] };
        seed.extend_from_slice(&u16::try_from(body.len()).ok()?.to_be_bytes());
        seed.extend_from_slice(body);
    }
    Some(seed)
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2).map(|index| &hex[index..index + 2]);
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hex digits")).collect()
}
