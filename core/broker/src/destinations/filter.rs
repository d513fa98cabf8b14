//! What a consumer wants of what its destinations hold.

use crate::selector::Selector;
use postrider_model::MessageView;
use std::sync::Arc;

/// A predicate over messages: consumers that want the same share one.
#[derive(Debug)]
pub(crate) struct Filter {
    /// Tells filters from each other while they are there; never 0, which is none.
    pub number: u32,
    /// What it says of their records; none: anything.
    pub selector: Option<Arc<Selector>>,
    /// Serial of the connection whose messages are not wanted (noLocal); 0: any are.
    pub local: u32,
}

/// What is known of a message besides its record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Facts {
    /// Serial of the connection that sent it; 0: not known.
    pub publisher: u32,
    /// How often it was delivered before.
    pub redeliveries: u16,
}

impl Filter {
    /// Whether a message is wanted. Call it where the record's bytes are at hand: at an append with those of the send, no redeliveries and
    /// the serial of the sending connection; later with those that the log gives out, which it does from the turn behind the message's own
    /// on. What it costs is [`Filter::steps`], to be spent by whoever calls.
    pub(crate) fn matches(&self, view: &MessageView<'_>, facts: Facts) -> bool {
        self.is_foreign(facts.publisher)
            && self.selector.as_ref().is_none_or(|selector| selector.matches(view, facts.redeliveries.into()))
    }

    /// Whether a message of this publisher may be wanted: for who has no selector that is all.
    pub(crate) fn is_foreign(&self, publisher: u32) -> bool {
        self.local == 0 || self.local != publisher
    }

    /// Steps that it takes to say so of this message.
    pub(crate) fn steps(&self, view: &MessageView<'_>) -> usize {
        self.selector.as_ref().map_or(1, |selector| selector.steps(view))
    }

    /// Whether it may say something else when a message comes back (R60).
    pub(crate) fn rereads(&self) -> bool {
        self.selector.as_ref().is_some_and(|selector| selector.reads_delivery())
    }

    /// Whether it asks for the record at all.
    pub(crate) fn reads(&self) -> bool {
        self.selector.is_some()
    }
}
