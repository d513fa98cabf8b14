//! Message properties and bodies as the vectors describe them.

use std::io::Read;

use postrider_model::properties::{self, Properties, PropertiesWriter, Value};
use postrider_wire::openwire::Structure;
use postrider_wire::openwire::schema::{self, message};
use serde_json::{Value as Json, json};

use super::{describe_string, hex};

/// The properties in the order of the wire. Written again they give the same bytes.
pub fn properties(structure: &Structure) -> Json {
    structure.bytes(message::MARSHALLED_PROPERTIES).map_or(Json::Null, whole_map)
}

/// The body, uncompressed.
pub fn body(structure: &Structure) -> Json {
    let Some(content) = structure.bytes(message::CONTENT) else { return Json::Null };
    let is_bytes = structure.is(&schema::active_mq_bytes_message::DEFINITION);
    let content = match (structure.bool(message::COMPRESSED), is_bytes) {
        (false, _) => content.to_vec(),
        (true, false) => inflate(content),
        (true, true) => {
            let (length, stream) = content.split_first_chunk().unwrap();
            let mut bytes = inflate(stream);
            bytes.truncate(u32::from_be_bytes(*length) as usize);
            bytes
        }
    };
    match structure.definition.name {
        "ActiveMQTextMessage" => {
            let (length, text) = content.split_first_chunk().unwrap();
            assert_eq!(u32::from_be_bytes(*length) as usize, text.len());
            describe_string(Some(text))
        }
        "ActiveMQMapMessage" => whole_map(&content),
        "ActiveMQStreamMessage" => stream(&content),
        _ => json!(hex(&content)),
    }
}

/// The description without what only people read.
pub fn without_text(mut value: Json) -> Json {
    match &mut value {
        Json::Object(object) => {
            object.remove("text");
            object.values_mut().for_each(|member| *member = without_text(member.take()));
        }
        Json::Array(array) => array.iter_mut().for_each(|element| *element = without_text(element.take())),
        _ => {}
    }
    value
}

fn inflate(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

fn whole_map(bytes: &[u8]) -> Json {
    let map = Properties::new(bytes).unwrap();
    let mut out = Vec::new();
    let mut writer = PropertiesWriter::new(&mut out);
    map.iter().map(Result::unwrap).for_each(|entry| _ = writer.entry(entry.name, entry.value));
    assert_eq!(hex(&out), hex(bytes), "the map is written again as it was");
    entries(map)
}

fn entries(map: Properties<'_>) -> Json {
    let entries = map.iter().map(Result::unwrap);
    entries.map(|entry| json!([describe_string(Some(entry.name)), value(entry.value)])).collect()
}

fn stream(body: &[u8]) -> Json {
    let values: Vec<Value<'_>> = properties::stream(body).map(Result::unwrap).collect();
    let mut out = Vec::new();
    values.iter().for_each(|value| value.write(&mut out));
    assert_eq!(hex(&out), hex(body), "the stream is written again as it was");
    values.into_iter().map(value).collect()
}

fn value(value: Value<'_>) -> Json {
    match value {
        Value::Null => json!({"t": "null"}),
        Value::Boolean(value) => json!({"t": "boolean", "v": value}),
        Value::Byte(value) => json!({"t": "byte", "v": value}),
        Value::Char(value) => json!({"t": "char", "v": value}),
        Value::Short(value) => json!({"t": "short", "v": value}),
        Value::Int(value) => json!({"t": "int", "v": value}),
        Value::Long(value) => json!({"t": "long", "v": value}),
        Value::Double(value) => json!({"t": "double", "bits": format!("{:016x}", value.to_bits())}),
        Value::Float(value) => json!({"t": "float", "bits": format!("{:08x}", value.to_bits())}),
        Value::String(value) => json!({"t": "string", "v": describe_string(Some(value))}),
        Value::Bytes(value) => json!({"t": "bytes", "v": hex(value)}),
        Value::Map(map) => json!({"t": "map", "v": entries(map)}),
        Value::List(list) => {
            json!({"t": "list", "v": list.iter().map(|element| self::value(element.unwrap())).collect::<Vec<_>>()})
        }
    }
}
