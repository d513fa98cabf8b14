//! Reading the vectors, and comparing structures with the JSON that describes them.

pub mod body;

use std::io::Read;
use std::path::{Path, PathBuf};

use postrider_model::modified_utf8;
use postrider_wire::openwire::schema::{Field, Kind};
use postrider_wire::openwire::{Settings, StackFrame, Structure, Throwable, Value};
use serde_json::{Value as Json, json};

/// The folder of the vectors: `POSTRIDER_VECTORS`, or the repository's own.
pub fn folder() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/openwire");
    std::env::var_os("POSTRIDER_VECTORS").map_or(own, PathBuf::from)
}

/// The files of a folder whose names begin and end so, in order. None if the folder is not there.
pub fn files(folder: &Path, prefix: &str, suffix: &str) -> Vec<PathBuf> {
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(prefix) && name.ends_with(suffix)
    };
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).filter(is_one).collect();
    files.sort();
    files
}

/// The records of a file of JSON Lines, compressed or not.
pub fn records(path: &Path) -> Vec<Json> {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(bytes).unwrap();
    }
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The format that a record names.
pub fn settings(record: &Json) -> Settings {
    let cache_size = match record["cacheSize"].as_u64().unwrap_or(1024) {
        0 => 16_383,
        size => u16::try_from(size).unwrap(),
    };
    Settings {
        version: u8::try_from(record["version"].as_u64().unwrap()).unwrap(),
        tight: record["tight"].as_bool().unwrap(),
        cache_size: record["cache"].as_bool().unwrap().then_some(cache_size),
        stack_trace: record["stackTrace"].as_bool().unwrap(),
        max_frame_size: usize::MAX,
    }
}

/// What a record is called in a failure.
pub fn title(record: &Json) -> String {
    let text = |key: &str| record.get(key).map(|value| format!(" {key}={value}")).unwrap_or_default();
    ["type", "variant", "name", "version", "tight", "cache", "stackTrace", "cacheSize"].map(text).concat()
}

pub fn bytes(hex: &Json) -> Vec<u8> {
    let digits = hex.as_str().unwrap().as_bytes();
    let pairs = digits.chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A structure as the vectors describe it: the fields of the version, in the order of the wire.
pub fn describe(structure: &Structure, settings: &Settings) -> Json {
    let mut object = serde_json::Map::new();
    object.insert("@type".into(), json!(structure.definition.name));
    let fields = structure.definition.fields.iter().zip(structure.fields());
    for (field, value) in fields.filter(|(field, _)| field.exists_in(settings.version)) {
        object.insert(field.name.into(), describe_value(field, value, settings));
    }
    Json::Object(object)
}

fn describe_value(field: &Field, value: &Value, settings: &Settings) -> Json {
    match value {
        Value::Bool(value) => json!(value),
        Value::Byte(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Long(value) => json!(value),
        Value::String(value) => describe_string(value.as_deref()),
        Value::Bytes(value) => value.as_deref().map_or(Json::Null, |bytes| json!(hex(bytes))),
        Value::Bytes8(value) => json!(hex(value)),
        Value::Throwable(value) => value.as_deref().map_or(Json::Null, |value| describe_throwable(value, settings)),
        Value::Object(value) => value.as_deref().map_or(Json::Null, |value| {
            assert!(matches!(field.kind, Kind::Object(_) | Kind::Cached(_)));
            describe(value, settings)
        }),
        Value::Array(value) => value.as_deref().map_or(Json::Null, |elements| {
            let element = |element: &Option<_>| {
                element.as_deref().map_or(Json::Null, |structure: &Structure| describe(structure, settings))
            };
            Json::Array(elements.iter().map(element).collect())
        }),
    }
}

pub fn describe_string(bytes: Option<&[u8]>) -> Json {
    bytes.map_or(Json::Null, |bytes| json!(modified_utf8::decode(bytes).expect("text of the vectors is whole")))
}

fn describe_throwable(throwable: &Throwable, settings: &Settings) -> Json {
    let mut object = json!({
        "class": describe_string(throwable.class.as_deref()),
        "message": describe_string(throwable.message.as_deref()),
    });
    if settings.stack_trace {
        object["stackTrace"] = throwable.stack_trace.iter().map(describe_frame).collect();
        let cause = throwable.cause.as_deref();
        object["cause"] = cause.map_or(Json::Null, |cause| describe_throwable(cause, settings));
    }
    object
}

fn describe_frame(frame: &StackFrame) -> Json {
    json!({
        "class": describe_string(frame.class.as_deref()),
        "method": describe_string(frame.method.as_deref()),
        "file": describe_string(frame.file.as_deref()),
        "line": frame.line,
    })
}

/// Two descriptions are the same. A failure shows where they part, as they can be very long.
pub fn assert_same(got: &Json, want: &Json, title: &str) {
    if got == want {
        return;
    }
    let (got, want) = (got.to_string(), want.to_string());
    let same = got.bytes().zip(want.bytes()).take_while(|(got, want)| got == want).count();
    let part = |text: &str| {
        let bytes = text.as_bytes();
        String::from_utf8_lossy(&bytes[same.saturating_sub(200)..(same + 200).min(bytes.len())]).into_owned()
    };
    panic!("{title} differs after {same} characters\n got ..{}..\nwant ..{}..", part(&got), part(&want));
}
