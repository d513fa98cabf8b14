//! What others are told of a connection, a producer or a consumer that only OpenWire understands: booleans of the command as bits,
//! and structures that bridges set.

use postrider_model::command::Described;

use super::error::Refusal;
use crate::openwire::hot::advisory::{CONNECTION_MARKS, CONSUMER_MARKS, CONSUMER_REST, PRODUCER_MARKS, PRODUCER_REST};
use crate::openwire::hot::rare;
use crate::openwire::schema::{consumer_info, producer_info};
use crate::openwire::{Structure, Value};
use postrider_model::event::Failure;

/// Bytes of such structures that are kept: a path has an id for each broker that it leads through.
const REST_BYTES: usize = 64 << 10;

/// Of a ConsumerInfo.
pub(super) fn consumer(info: &Structure) -> Result<Described, Refusal> {
    let rest = rest(info, Structure::new(&consumer_info::DEFINITION), &CONSUMER_REST)?;
    Ok(Described { marks: marks(info, &CONSUMER_MARKS), rest })
}

/// Of a ProducerInfo.
pub(super) fn producer(info: &Structure) -> Result<Described, Refusal> {
    let rest = rest(info, Structure::new(&producer_info::DEFINITION), &PRODUCER_REST)?;
    Ok(Described { marks: marks(info, &PRODUCER_MARKS), rest })
}

/// Of a ConnectionInfo.
pub(super) fn connection_marks(info: &Structure) -> u16 {
    marks(info, &CONNECTION_MARKS)
}

fn marks(info: &Structure, fields: &[usize]) -> u16 {
    fields.iter().enumerate().map(|(bit, field)| u16::from(info.bool(*field)) << bit).sum()
}

fn rest(info: &Structure, mut kept: Structure, fields: &[usize]) -> Result<Box<[u8]>, Refusal> {
    let set = |field: &&usize| match info.fields().get(**field) {
        Some(Value::Object(object)) => object.is_some(),
        Some(Value::Array(array)) => array.as_ref().is_some_and(|array| !array.is_empty()),
        _ => false,
    };
    let mut is_empty = true;
    for field in fields.iter().filter(set) {
        if let Some(value) = info.fields().get(*field) {
            kept.set(*field, value.clone());
            is_empty = false;
        }
    }
    if is_empty {
        return Ok(Box::default());
    }
    rare::stored(&kept, REST_BYTES).map(Into::into).map_err(|error| {
        let text = format!("what a {} says of its way through a network cannot be kept: {error}", info.definition.name);
        Refusal::new(Failure::General, text)
    })
}
