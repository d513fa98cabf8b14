//! Advisories: messages by which the broker itself tells what has happened.
//!
//! Their records say it in the broker's own words, in one field; each protocol puts that into what its clients expect. What only
//! that protocol understands the broker hands on as it got it: [`marks`](Told::Consumer::marks) and
//! [`rest`](Told::Consumer::rest).
//!
//! ```text
//! u8 what is told   u8 flags   text id of the connection   then what belongs to it, in the order of its fields
//! ```
//!
//! Numbers are little endian; a text is its length in 32 bits and its bytes, or a length of all ones where there is none.

use crate::destination::DestinationKind;
use crate::record::{BodyKind, Header, MessageView, MessageWriter, Tag};

/// What an advisory tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Advisory<'a> {
    /// It has come; or else it has gone.
    pub came: bool,
    /// It is told to one consumer alone, which came later.
    pub told_again: bool,
    /// The id of the connection that it is, lives with, or belongs to.
    pub connection: &'a [u8],
    /// What it is.
    pub told: Told<'a>,
}

/// A destination by kind and name. Of several it is a composite.
pub type Named<'a> = (DestinationKind, &'a [u8]);

/// What has come or gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Told<'a> {
    /// A connection.
    Connection {
        /// Its client id.
        client_id: &'a [u8],
        /// Its user's name.
        user: Option<&'a [u8]>,
        /// Where it comes from.
        peer: &'a [u8],
        /// Bits of its protocol.
        marks: u16,
    },
    /// A destination.
    Destination(Named<'a>),
    /// A producer.
    Producer {
        /// Session and number of its id.
        member: (i64, i64),
        /// Where it sends.
        destination: Named<'a>,
        /// Bytes that it lets out before it waits for credit.
        window: u32,
        /// Bits of its protocol.
        marks: u16,
        /// Bytes of its protocol.
        rest: &'a [u8],
    },
    /// A consumer.
    Consumer {
        /// Session and number of its id.
        member: (i64, i64),
        /// What it listens to.
        destination: Named<'a>,
        /// The client id of its connection.
        client_id: &'a [u8],
        /// Messages in flight that it takes.
        prefetch: u32,
        /// Messages that it wants kept when it is slow.
        pending_limit: i32,
        /// Higher ones are served first.
        priority: i8,
        /// Bits of its protocol.
        marks: u16,
        /// Its selector.
        selector: Option<&'a [u8]>,
        /// Name of its durable subscription.
        subscription: Option<&'a [u8]>,
        /// Bytes of its protocol.
        rest: &'a [u8],
    },
    /// A durable subscription, which can only have gone.
    Subscription {
        /// The client id of those who have it.
        client_id: &'a [u8],
        /// Its name.
        name: &'a [u8],
    },
}

/// Bits of an advisory's flags.
const TOLD_AGAIN: u8 = 1;
const CAME: u8 = 2;

/// A text that is not there.
const NO_TEXT: u32 = u32::MAX;

impl Told<'_> {
    /// The number that stands for it.
    fn number(&self) -> u8 {
        match self {
            Told::Connection { .. } => 1,
            Told::Destination(_) => 2,
            Told::Producer { .. } => 3,
            Told::Consumer { .. } => 4,
            Told::Subscription { .. } => 5,
        }
    }
}

impl<'a> Advisory<'a> {
    /// What a record tells, if it is an advisory that this version understands.
    #[must_use]
    pub fn of(view: &MessageView<'a>) -> Option<Advisory<'a>> {
        let mut reader = Reader(view.field(Tag::Advisory)?);
        let ([number, flags], connection) = (reader.take::<2>()?, reader.text()??);
        let told = match number {
            1 => Told::Connection {
                client_id: reader.text()??,
                user: reader.text()?,
                peer: reader.text()??,
                marks: u16::from_le_bytes(reader.take()?),
            },
            2 => Told::Destination(reader.named()?),
            3 => Told::Producer {
                member: reader.member()?,
                destination: reader.named()?,
                window: u32::from_le_bytes(reader.take()?),
                marks: u16::from_le_bytes(reader.take()?),
                rest: reader.text()??,
            },
            4 => Told::Consumer {
                member: reader.member()?,
                destination: reader.named()?,
                client_id: reader.text()??,
                prefetch: u32::from_le_bytes(reader.take()?),
                pending_limit: i32::from_le_bytes(reader.take()?),
                priority: i8::from_le_bytes(reader.take()?),
                marks: u16::from_le_bytes(reader.take()?),
                selector: reader.text()?,
                subscription: reader.text()?,
                rest: reader.text()??,
            },
            5 => Told::Subscription { client_id: reader.text()??, name: reader.text()?? },
            _ => return None,
        };
        let advisory = Advisory { came: flags & CAME != 0, told_again: flags & TOLD_AGAIN != 0, connection, told };
        reader.0.is_empty().then_some(advisory)
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
    pub fn write(&self, writer: &mut MessageWriter<'_>) {
        let flags = if self.told_again { TOLD_AGAIN } else { 0 } | if self.came { CAME } else { 0 };
        let mut out = Pieces(vec![self.told.number(), flags]);
        out.text(Some(self.connection));
        match self.told {
            Told::Connection { client_id, user, peer, marks } => {
                [Some(client_id), user, Some(peer)].into_iter().for_each(|text| out.text(text));
                out.put(&marks.to_le_bytes());
            }
            Told::Destination(named) => out.named(named),
            Told::Producer { member, destination, window, marks, rest } => {
                out.member(member);
                out.named(destination);
                out.put(&window.to_le_bytes());
                out.put(&marks.to_le_bytes());
                out.text(Some(rest));
            }
            Told::Consumer {
                member,
                destination,
                client_id,
                prefetch,
                pending_limit,
                priority,
                marks,
                selector,
                subscription,
                rest,
            } => {
                out.member(member);
                out.named(destination);
                out.text(Some(client_id));
                out.put(&prefetch.to_le_bytes());
                out.put(&pending_limit.to_le_bytes());
                out.put(&priority.to_le_bytes());
                out.put(&marks.to_le_bytes());
                [selector, subscription, Some(rest)].into_iter().for_each(|text| out.text(text));
            }
            Told::Subscription { client_id, name } => {
                out.text(Some(client_id));
                out.text(Some(name));
            }
        }
        writer.field(Tag::Advisory, &[&out.0]);
    }
}

struct Pieces(Vec<u8>);

impl Pieces {
    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    #[expect(clippy::cast_possible_truncation, reason = "it was part of a frame, whose length has 31 bits")]
    fn text(&mut self, text: Option<&[u8]>) {
        self.put(&text.map_or(NO_TEXT, |text| text.len() as u32).to_le_bytes());
        self.put(text.unwrap_or_default());
    }

    fn named(&mut self, (kind, name): Named<'_>) {
        self.put(&[kind as u8]);
        self.text(Some(name));
    }

    fn member(&mut self, (session, value): (i64, i64)) {
        self.put(&session.to_le_bytes());
        self.put(&value.to_le_bytes());
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    /// A text that may not be there.
    fn text(&mut self) -> Option<Option<&'a [u8]>> {
        let length = u32::from_le_bytes(self.take()?);
        if length == NO_TEXT {
            return Some(None);
        }
        let (text, rest) = self.0.split_at_checked(length as usize)?;
        self.0 = rest;
        Some(Some(text))
    }

    fn named(&mut self) -> Option<Named<'a>> {
        let [kind] = self.take()?;
        Some((DestinationKind::from_number(kind)?, self.text()??))
    }

    fn member(&mut self) -> Option<(i64, i64)> {
        Some((i64::from_le_bytes(self.take()?), i64::from_le_bytes(self.take()?)))
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

    fn all() -> [Told<'static>; 5] {
        let destination: Named<'_> = (DestinationKind::Queue, b"a,b");
        let member = (-1, i64::MAX);
        [
            Told::Connection { client_id: b"c", user: None, peer: b"tcp://x", marks: 3 },
            Told::Destination((DestinationKind::TemporaryTopic, b"t")),
            Told::Producer { member, destination, window: 7, marks: 1, rest: b"" },
            Told::Consumer {
                member,
                destination,
                client_id: b"c",
                prefetch: 1_000,
                pending_limit: -1,
                priority: -5,
                marks: 0xffff,
                selector: Some(b"x = 1"),
                subscription: None,
                rest: b"rest",
            },
            Told::Subscription { client_id: b"c", name: b"s" },
        ]
    }

    #[test]
    fn what_is_told_is_read_as_it_was_written() {
        for told in all() {
            for (came, told_again) in [(true, true), (true, false), (false, false)] {
                let advisory = Advisory { came, told_again, connection: b"ID:c", told };
                let bytes = record(|writer| advisory.write(writer));
                let view = MessageView::parse(&bytes).unwrap();
                assert_eq!(Advisory::of(&view), Some(advisory));
                let field = view.field(Tag::Advisory).unwrap();
                for length in 0..field.len() {
                    let cut = record(|writer| writer.field(Tag::Advisory, &[&field[..length]]));
                    assert_eq!(Advisory::of(&MessageView::parse(&cut).unwrap()), None, "{told:?} cut at {length}");
                }
                let longer = record(|writer| writer.field(Tag::Advisory, &[field, b"x"]));
                assert_eq!(Advisory::of(&MessageView::parse(&longer).unwrap()), None);
            }
        }
        assert_eq!(Advisory::of(&MessageView::parse(&record(|_| ())).unwrap()), None);
    }

    #[test]
    fn what_is_told_is_held_by_its_bytes() {
        let told = Told::Destination((DestinationKind::TemporaryTopic, b"t"));
        let advisory = Advisory { came: false, told_again: true, connection: b"ID:c", told };
        let bytes = record(|writer| advisory.write(writer));
        let field = MessageView::parse(&bytes).unwrap().field(Tag::Advisory).unwrap().to_vec();
        assert_eq!(field, b"\x02\x01\x04\0\0\0ID:c\x03\x01\0\0\0t");
        for (place, byte) in [(0, 0), (0, 6), (2, 200), (10, 4)] {
            let mut wrong = field.clone();
            wrong[place] = byte;
            let wrong = record(|writer| writer.field(Tag::Advisory, &[&wrong]));
            assert_eq!(Advisory::of(&MessageView::parse(&wrong).unwrap()), None);
        }
    }
}
