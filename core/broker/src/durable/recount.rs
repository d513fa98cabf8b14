//! What lives in the logs, counted anew from the items themselves: for tests.

use crate::broker::Broker;
use crate::durable::store::message_home;
use crate::log::LogKind;
use crate::messages::MessageIndex;
use crate::records::PLACE_BYTES;
use crate::records::items::{Item, ItemHome, RECORD_OVERHEAD};
use postrider_journal::SegmentNumber;

impl Broker {
    /// Whether the logs count for alive what is: each item in the table of its segment, with its bytes.
    ///
    /// # Errors
    /// What is not.
    #[doc(hidden)]
    pub fn recount(&self) -> Result<(), String> {
        for store in [LogKind::Journal, LogKind::Spool] {
            self.recount_log(store)?;
        }
        Ok(())
    }

    /// Whether the journal's record with this number lives, or is a message's place.
    #[doc(hidden)]
    #[must_use]
    pub fn lives_at(&self, segment: SegmentNumber, ordinal: u32) -> bool {
        self.journal.table(segment).is_some_and(|table| table.item(ordinal) != Item::None)
    }

    fn recount_log(&self, store: LogKind) -> Result<(), String> {
        let log = if store == LogKind::Journal { &self.journal } else { &self.spool };
        let (mut all, mut marks, mut messages) = (0, 0, 0);
        for segment in log.numbers() {
            let Some(table) = log.table(segment) else { continue };
            let (mut bytes, mut live) = (0, 0);
            for ordinal in 0..table.records() {
                let item = table.item(ordinal);
                let home = match item {
                    Item::None => continue,
                    Item::Message(head) => {
                        let (entries, places) = self.recount_places(head, (store, segment.0, ordinal))?;
                        messages += entries;
                        bytes += if store == LogKind::Journal { (places - 1) * PLACE_BYTES } else { 0 };
                        Some(message_home(self.messages.at(head)))
                    }
                    Item::Destination(index) => self.destinations.get(index).home,
                    Item::Allowance(index) => match &self.destinations.get(index).content {
                        crate::destinations::destination::Content::Queue(queue) => queue.allowance.home,
                        crate::destinations::destination::Content::Topic(_) => None,
                    },
                    Item::Reservation => self.sequences.home(),
                    Item::Branch(of) => self.prepared_home(of),
                    Item::Outcome(index) => self.outcomes.home(index),
                };
                let here = |home: &ItemHome| (home.segment, home.ordinal) == (segment, ordinal);
                let home = home.filter(here).ok_or(format!("{item:?} is not at home in {segment:?}, {ordinal}"))?;
                bytes += u64::from(home.bytes) + RECORD_OVERHEAD;
                live += 1;
            }
            if (table.live(), table.live_bytes()) != (live, bytes + table.mark_bytes()) {
                let (counted, of_marks) = (table.live_bytes(), table.mark_bytes());
                let lives = table.live();
                return Err(format!(
                    "{segment:?} counts {lives} and {counted}, has {live} and {bytes}, {of_marks} of marks"
                ));
            }
            all += table.live_bytes();
            marks += table.mark_bytes();
        }
        let counted = self.messages.iter().filter(|message| message.store == store).count() as u64;
        let of_marks = if store == LogKind::Journal { self.marks.counted() } else { 0 };
        if (all, messages, marks) != (log.live_bytes(), counted, of_marks) {
            let live = log.live_bytes();
            return Err(format!(
                "{store:?} counts {live} bytes, {counted} messages, {of_marks} of marks; has {all}, {messages}, {marks}"
            ));
        }
        Ok(())
    }

    /// How many messages stand for a record, and how many places it has; each knows it.
    fn recount_places(&self, head: MessageIndex, home: (LogKind, u64, u32)) -> Result<(u64, u64), String> {
        let (mut index, mut entries, mut places) = (head, 0, 0);
        while index != MessageIndex::NONE {
            let message = self.messages.at(index);
            if (message.store, message.segment.0, message.ordinal) != home {
                return Err(format!("{message:?} is no place of {home:?}"));
            }
            (index, entries, places) = (message.sibling, entries + 1, places + message.places());
        }
        Ok((entries, places))
    }
}
