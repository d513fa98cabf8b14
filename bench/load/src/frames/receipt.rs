//! The Response, 14 bytes with its size.

use postrider_wire::openwire::schema::response;

const LENGTH: usize = 10;

/// The correlationId of a loose Response, given without its size; nothing if it is another frame.
#[inline]
pub(crate) fn correlation(frame: &[u8]) -> Option<i32> {
    let frame: &[u8; LENGTH] = frame.try_into().ok()?;
    if frame[0] != response::DEFINITION.code {
        return None;
    }
    frame.last_chunk().copied().map(i32::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use postrider_wire::openwire::{Settings, Structure, WireFormat, WriterPolicy, schema::data_response};

    use super::*;

    fn frame_of(structure: &Structure) -> Vec<u8> {
        let mut out = Vec::new();
        WireFormat::new(Settings::initial(1 << 20), WriterPolicy::JavaOrder).encode(structure, &mut out).unwrap();
        out.split_off(4)
    }

    #[test]
    fn agrees_with_the_codec() {
        for id in [0, 1, i32::MAX, -1] {
            let structure =
                Structure::new(&response::DEFINITION).with(response::COMMAND_ID, 77).with(response::CORRELATION_ID, id);
            assert_eq!(correlation(&frame_of(&structure)), Some(id));
        }
    }

    #[test]
    fn other_frames_are_left_to_the_codec() {
        assert_eq!(correlation(&frame_of(&Structure::new(&data_response::DEFINITION))), None);
        assert_eq!(correlation(&[30, 0, 0]), None);
    }
}
