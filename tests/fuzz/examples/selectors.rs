//! Makes seeds for `selector` of the golden expressions: `selectors FILE CORPUS`.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use serde_json::Value as Json;

/// One of so many is enough: they repeat themselves.
const EVERY: usize = 7;

fn main() {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(file), Some(corpus)) = (arguments.next(), arguments.next()) else {
        panic!("usage: selectors FILE CORPUS");
    };
    std::fs::create_dir_all(&corpus).expect("the corpus can be made");
    let file = std::fs::File::open(file).expect("the file is there");
    let lines = BufReader::new(flate2::read::GzDecoder::new(file)).lines();
    for (number, line) in lines.enumerate().filter(|(number, _)| number % EVERY == 0) {
        let record: Json = serde_json::from_str(&line.expect("the file is whole")).expect("a line is JSON");
        let Some(text) = record.get("selector").and_then(Json::as_str) else { continue };
        let Ok(length) = u16::try_from(text.len()) else { continue };
        // A property `n` that is 5, behind it.
        let seed = [&length.to_le_bytes(), text.as_bytes(), b"\0\0\0\x01\0\x01n\x05\0\0\0\x05"].concat();
        std::fs::write(corpus.join(format!("text-{number}")), seed).expect("the corpus can be written");
    }
}
