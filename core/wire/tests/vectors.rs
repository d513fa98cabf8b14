//! The codec against the golden vectors of ActiveMQ 5.17.2: every frame decodes to the recorded fields and is encoded
//! again to the same bytes. `POSTRIDER_VECTORS` names another folder of the same layout; any of its files may be missing.

mod support;

use postrider_wire::openwire::{Decoder, Encoder, Settings, Structure, WriterPolicy};
use serde_json::Value as Json;
use support::{bytes, describe, files, folder, records, settings, title};

#[test]
fn vectors_are_there() {
    let folder = folder();
    let found = ["frames-", "messages-", "streams-"].iter().any(|prefix| !files(&folder, prefix, ".gz").is_empty());
    let sessions = !files(&folder.join("sessions"), "", ".jsonl").is_empty();
    assert!(found || sessions, "no vectors in {}", folder.display());
}

#[test]
fn frames_vectors() {
    let count = single_frames("frames-", |_, _| {});
    println!("{count} frames");
}

#[test]
fn streams_vectors() {
    for path in files(&folder(), "streams-", ".jsonl.gz") {
        for record in records(&path) {
            let settings = settings(&record);
            let mut codec = Codec::new(settings, record["sizePrefix"] == true, title(&record));
            for frame in record["frames"].as_array().unwrap() {
                codec.check(&bytes(&frame["hex"]), &frame["fields"]);
            }
        }
    }
}

/// Checks all files of one frame a record, each with a format of its own.
fn single_frames(prefix: &str, check: impl Fn(&Structure, &Json)) -> usize {
    let mut count = 0;
    for path in files(&folder(), prefix, ".jsonl.gz") {
        for record in records(&path) {
            let mut codec = Codec::new(settings(&record), true, title(&record));
            let structure = codec.check(&bytes(&record["hex"]), &record["fields"]);
            check(&structure.expect("a record holds a structure"), &record);
            count += 1;
        }
    }
    count
}

/// One direction of a connection: what is decoded is encoded again.
struct Codec {
    decoder: Decoder,
    /// As ActiveMQ writes, for the same bytes.
    java: Encoder,
    /// As the broker writes; `back` reads it.
    cheap: Encoder,
    back: Decoder,
    settings: Settings,
    has_prefix: bool,
    title: String,
}

impl Codec {
    fn new(settings: Settings, has_prefix: bool, title: String) -> Codec {
        Codec {
            decoder: Decoder::new(settings),
            java: Encoder::new(settings, WriterPolicy::JavaOrder),
            cheap: Encoder::new(settings, WriterPolicy::Cheap),
            back: Decoder::new(settings),
            settings,
            has_prefix,
            title,
        }
    }

    fn check(&mut self, frame: &[u8], fields: &Json) -> Option<Structure> {
        let structure = self.decode(frame);
        let described = structure.as_ref().map_or(Json::Null, |structure| describe(structure, &self.settings));
        assert!(described == *fields, "{}\n got {described}\nwant {fields}", self.title);
        structure.inspect(|structure| self.encode(structure, frame))
    }

    fn decode(&mut self, frame: &[u8]) -> Option<Structure> {
        let body = if self.has_prefix { without_prefix(frame) } else { frame };
        self.decoder.decode(body).unwrap_or_else(|error| panic!("{}: {error}", self.title))
    }

    fn encode(&mut self, structure: &Structure, frame: &[u8]) {
        let mut out = Vec::new();
        self.java.encode(structure, &mut out).unwrap();
        let out = if self.has_prefix { &out[..] } else { without_prefix(&out) };
        assert!(out == frame, "{}\n got {}\nwant {}", self.title, support::hex(out), support::hex(frame));

        let mut out = Vec::new();
        self.cheap.encode(structure, &mut out).unwrap();
        let back = self.back.decode(without_prefix(&out)).unwrap_or_else(|error| panic!("{}: {error}", self.title));
        assert!(back.as_ref() == Some(structure), "{}: the broker's own encoding differs", self.title);
    }
}

fn without_prefix(frame: &[u8]) -> &[u8] {
    let (prefix, body) = frame.split_first_chunk().unwrap();
    assert_eq!(u32::from_be_bytes(*prefix) as usize, body.len(), "the size is that of the body");
    body
}
