//! Advisories: messages by which the broker itself tells what has happened.
//!
//! Their records say it in the broker's own words, in one field; each protocol puts that into what its clients expect.
//!
//! ```text
//! u8 what happened   u8 flags   u32 length of the connection's id   the id   u8 kind of the destination   its name
//! ```

use crate::destination::DestinationKind;
use crate::record::{BodyKind, Header, MessageView, MessageWriter, Tag};

/// What has happened; the numbers are stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Happening {
    /// A temporary destination has come.
    TemporaryCame = 1,
    /// A temporary destination has gone.
    TemporaryWent = 2,
}

/// What an advisory tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Advisory<'a> {
    /// What has happened.
    pub happening: Happening,
    /// It is told to one consumer alone, which came later.
    pub told_again: bool,
    /// The id of the connection with which the destination lives.
    pub connection: &'a [u8],
    /// The destination.
    pub destination: (DestinationKind, &'a [u8]),
}

/// Bit of an advisory's flags.
const TOLD_AGAIN: u8 = 1;

impl<'a> Advisory<'a> {
    /// What a record tells, if it is an advisory that this version understands.
    #[must_use]
    pub fn of(view: &MessageView<'a>) -> Option<Advisory<'a>> {
        let ([happening, flags, length @ ..], rest) = view.field(Tag::Advisory)?.split_first_chunk::<6>()?;
        let (connection, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let (kind, name) = rest.split_first()?;
        let happening = match happening {
            1 => Happening::TemporaryCame,
            2 => Happening::TemporaryWent,
            _ => return None,
        };
        let destination = (DestinationKind::from_number(*kind)?, name);
        Some(Advisory { happening, told_again: flags & TOLD_AGAIN != 0, connection, destination })
    }

    /// The fixed part of an advisory's record, the producer's with this number.
    #[must_use]
    pub fn header(number: i64) -> Header {
        Header {
            body: BodyKind::Message,
            priority: 0,
            flags: 0,
            expiration: 0,
            timestamp: 0,
            broker_in_time: 0,
            producer_sequence: number,
            producer_session: 0,
            producer_value: 0,
            group_sequence: 0,
            redelivery_counter: 0,
        }
    }

    /// Adds the field.
    #[expect(clippy::cast_possible_truncation, reason = "an id was part of a frame, whose length has 31 bits")]
    pub fn write(&self, writer: &mut MessageWriter<'_>) {
        let flags = if self.told_again { TOLD_AGAIN } else { 0 };
        let length = (self.connection.len() as u32).to_le_bytes();
        let (kind, name) = self.destination;
        let head = [self.happening as u8, flags];
        writer.field(Tag::Advisory, &[&head, &length, self.connection, &[kind as u8], name]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(field: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
        let mut record = Vec::new();
        let mut writer = MessageWriter::new(&mut record);
        field(&mut writer);
        writer.finish(&Advisory::header(1));
        record
    }

    #[test]
    fn what_is_told_is_held_by_its_bytes() {
        let advisory = Advisory {
            happening: Happening::TemporaryWent,
            told_again: true,
            connection: b"ID:c",
            destination: (DestinationKind::TemporaryTopic, b"t"),
        };
        let bytes = record(|writer| advisory.write(writer));
        let view = MessageView::parse(&bytes).unwrap();
        let field = view.field(Tag::Advisory).unwrap();
        assert_eq!(field, b"\x02\x01\x04\0\0\0ID:c\x03t");
        assert_eq!(Advisory::of(&view), Some(advisory));
        for length in 0..field.len() {
            let cut = record(|writer| writer.field(Tag::Advisory, &[&field[..length]]));
            let read = Advisory::of(&MessageView::parse(&cut).unwrap());
            assert_eq!(read.is_some(), length == field.len() - 1, "{length}: only the name may be shorter");
        }
        for (place, byte) in [(0, 0), (0, 3), (2, 200), (10, 4)] {
            let mut wrong = field.to_vec();
            wrong[place] = byte;
            let wrong = record(|writer| writer.field(Tag::Advisory, &[&wrong]));
            assert_eq!(Advisory::of(&MessageView::parse(&wrong).unwrap()), None);
        }
        assert_eq!(Advisory::of(&MessageView::parse(&record(|_| ())).unwrap()), None);
    }
}
