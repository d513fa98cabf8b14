//! Texts of a message by the names that terms have for them: who keeps many selectors finds by these which can match at all.

use postrider_model::MessageView;
use postrider_model::properties::{Properties, Value};

use super::expression::Header;
use super::message::Message;
use super::operand::Operand;

/// Whether a term of this name is about a header.
#[must_use]
pub(crate) fn is_header(name: &[u8]) -> bool {
    Header::of_name(name).is_some()
}

/// The text that a message has for a header, with the buffer's memory; none if that is none, or no text.
#[must_use]
pub(crate) fn header_text<'b>(view: &MessageView<'_>, name: &[u8], buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
    let mut message = Message::new(view, 0);
    message.identify();
    let Operand::Text(text) = message.value_of(Header::of_name(name)?) else { return None };
    buffer.clear();
    text.write(buffer);
    Some(buffer)
}

/// Tells of each property that is a text, by its name; of several of a name the last counts, and all are told. Nothing of those that cannot
/// be read: they match no term.
pub(crate) fn property_texts(view: &MessageView<'_>, mut tell: impl FnMut(&[u8], &[u8])) {
    let Some(Ok(properties)) = view.properties().map(Properties::new) else { return };
    for property in properties.iter() {
        let Ok(property) = property else { return };
        if let Value::String(text) = property.value {
            tell(property.name, text);
        }
    }
}
