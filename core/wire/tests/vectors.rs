//! The codec against the golden vectors of ActiveMQ 5.17.2: every frame decodes to the recorded fields and is encoded
//! again to the same bytes. `POSTRIDER_VECTORS` names another folder of the same layout; any of its files may be missing.

mod support;

use std::collections::HashMap;

use postrider_wire::openwire::schema::{self, Definition, Field, Kind, Of};
use postrider_wire::openwire::{Decoder, Encoder, Offer, Settings, Structure, WireFormat, WriterPolicy};
use serde_json::{Value as Json, json};
use support::{body, bytes, describe, files, folder, records, settings, title};

#[test]
fn vectors_are_there() {
    let folder = folder();
    let found = ["frames-", "messages-", "streams-"].iter().any(|prefix| !files(&folder, prefix, ".gz").is_empty());
    let sessions = !files(&folder.join("sessions"), "", ".jsonl").is_empty();
    assert!(found || sessions, "no vectors in {}", folder.display());
}

#[test]
fn frames_vectors() {
    single_frames("frames-", |_, _| {});
}

#[test]
fn messages_vectors() {
    single_frames("messages-", |structure, record| {
        let described = body::properties(structure);
        support::assert_same(&described, &body::without_text(record["properties"].clone()), &title(record));
        let plain = structure.is(&schema::active_mq_message::DEFINITION);
        assert_eq!(record.get("body").is_none(), plain, "{}", title(record));
        if let Some(expected) = record.get("body").filter(|expected| !is_empty_body(structure, expected)) {
            support::assert_same(&body::body(structure), &body::without_text(expected.clone()), &title(record));
        }
    });
}

/// An empty body may be written as no content.
fn is_empty_body(structure: &Structure, expected: &Json) -> bool {
    structure.bytes(schema::message::CONTENT).is_none() && [json!(null), json!(""), json!([])].contains(expected)
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

#[test]
fn sessions_vectors() {
    for path in files(&folder().join("sessions"), "", ".jsonl") {
        let lines = records(&path);
        let frames = lines.iter().filter(|line| line["dir"] == "c2s" || line["dir"] == "s2c");
        let mut connections: HashMap<u64, Vec<(bool, Vec<u8>)>> = HashMap::new();
        for line in frames {
            let connection = connections.entry(line["conn"].as_u64().unwrap()).or_default();
            connection.push((line["dir"] == "c2s", bytes(&line["hex"])));
        }
        for (connection, frames) in connections {
            conversation(&format!("{} connection {connection}", path.display()), &frames);
        }
    }
}

/// Decodes both directions of a connection with the format that its first frames agree on, and encodes them again.
fn conversation(title: &str, frames: &[(bool, Vec<u8>)]) {
    let offers = [true, false].map(|direction| {
        let first = frames.iter().find(|(is_from_client, _)| *is_from_client == direction);
        let (_, frame) = first.unwrap_or_else(|| panic!("{title}: only one direction"));
        let mut format = WireFormat::new(Settings::initial(usize::MAX), WriterPolicy::JavaOrder);
        Offer::read(&format.decode(without_prefix(frame)).unwrap().unwrap()).unwrap()
    });
    let settings = offers[0].agree(&offers[1]).unwrap().settings();
    let mut formats = [0; 2].map(|_| WireFormat::new(settings, WriterPolicy::JavaOrder));
    for (is_from_client, frame) in frames {
        let format = &mut formats[usize::from(*is_from_client)];
        let decoded = format.decode(without_prefix(frame));
        let structure = decoded.unwrap_or_else(|error| panic!("{title}: {error}")).unwrap();
        let mut out = Vec::new();
        format.encode(&structure, &mut out).unwrap();
        assert_eq!(support::hex(&out), support::hex(frame), "{title}: {structure:?}");
    }
}

#[test]
fn schema_vectors() {
    let path = folder().join("schema.json");
    if !path.exists() {
        return;
    }
    let expected: Vec<Json> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(schema::definitions().count(), expected.len());
    for structure in expected {
        let code = u8::try_from(structure["code"].as_u64().unwrap()).unwrap();
        let definition = schema::definition(code, 12).unwrap_or_else(|| panic!("no {}", structure["name"]));
        assert_eq!(table(definition), structure);
    }
}

/// A definition as the vectors write it. Fields are there as long as their structure.
fn table(definition: &Definition) -> Json {
    let field = |field: &Field| {
        let (kind, of) = kind(field.kind);
        let mut row = json!({"name": field.name, "kind": kind, "since": field.since.max(definition.since)});
        of.inspect(|of| row["of"] = json!(of.name));
        if field.until < u8::MAX {
            row["until"] = json!(field.until);
        }
        row
    };
    let fields: Vec<Json> = definition.fields.iter().map(field).collect();
    json!({"name": definition.name, "code": definition.code, "since": definition.since, "fields": fields})
}

fn kind(kind: Kind) -> (&'static str, Option<Of>) {
    match kind {
        Kind::Bool => ("bool", None),
        Kind::Byte => ("byte", None),
        Kind::Int => ("int", None),
        Kind::Long => ("long", None),
        Kind::String => ("string", None),
        Kind::Bytes => ("bytes", None),
        Kind::Bytes8 => ("bytes8", None),
        Kind::Throwable => ("throwable", None),
        Kind::Object(of) => ("object", Some(of)),
        Kind::Cached(of) => ("cached", Some(of)),
        Kind::Array(of) => ("array", Some(of)),
    }
}

/// Checks all files of one frame a record, each with a format of its own.
fn single_frames(prefix: &str, check: impl Fn(&Structure, &Json)) {
    for path in files(&folder(), prefix, ".jsonl.gz") {
        for record in records(&path) {
            let mut codec = Codec::new(settings(&record), true, title(&record));
            let structure = codec.check(&bytes(&record["hex"]), &record["fields"]);
            check(&structure.expect("a record holds a structure"), &record);
        }
    }
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
        support::assert_same(&described, fields, &self.title);
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
        support::assert_same(&json!(support::hex(out)), &json!(support::hex(frame)), &self.title);

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
