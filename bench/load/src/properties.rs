//! Properties of messages: what selectors ask about.

/// Tags of values in a map of primitives.
const INTEGER: u8 = 5;
const STRING: u8 = 9;

/// `NAME=VALUE`, an integer where it reads as one.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Property {
    name: String,
    value: String,
}

/// Reads one from the command line.
pub(crate) fn parse(text: &str) -> Result<Property, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && text.is_ascii() && text.len() < 1 << 15 => {
            Ok(Property { name: name.to_owned(), value: value.to_owned() })
        }
        _ => Err("NAME=VALUE is expected, in ASCII".to_owned()),
    }
}

/// The properties as they stand in a message; none without any.
pub(crate) fn marshalled(properties: &[Property]) -> Option<Vec<u8>> {
    if properties.is_empty() {
        return None;
    }
    let mut out = (properties.len() as u32).to_be_bytes().to_vec();
    let string = |out: &mut Vec<u8>, text: &str| {
        out.extend_from_slice(&(text.len() as u16).to_be_bytes());
        out.extend_from_slice(text.as_bytes());
    };
    for Property { name, value } in properties {
        string(&mut out, name);
        if let Ok(number) = value.parse::<i32>() {
            out.push(INTEGER);
            out.extend_from_slice(&number.to_be_bytes());
        } else {
            out.push(STRING);
            string(&mut out, value);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_stand_in_the_message_as_a_map_of_primitives() {
        let properties = [parse("n=-2").unwrap(), parse("color=a=b").unwrap()];
        let expected = b"\0\0\0\x02\0\x01n\x05\xff\xff\xff\xfe\0\x05color\x09\0\x03a=b";
        assert_eq!(marshalled(&properties).unwrap(), expected);
        assert_eq!(marshalled(&[]), None);
        for wrong in ["", "n", "=5", "n=ä"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
