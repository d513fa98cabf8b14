//! What consumers and browsers of a client want of what their destinations hold: selectors, and which messages match them.

use postrider_wire::openwire::Structure;
use postrider_wire::openwire::schema::consumer_info;

use super::Client;
use crate::ledger::{Address, MessageId, type_of};
use crate::random::Random;

/// How many of a client's consumers and browsers have selectors.
#[derive(Clone, Debug)]
pub struct WishingPlan {
    /// Where their chance begins.
    pub seed: u64,
    /// Percent of them.
    pub percent: u64,
}

/// A selector, and its meaning.
#[derive(Clone, Debug)]
pub struct Wish {
    text: String,
    /// The types of messages that match, as bits; and the last digits of their numbers.
    types: u32,
    digits: u32,
}

/// All.
const ALL: u32 = u32::MAX;

impl Wish {
    /// One of several kinds: such as are found by their text, such as are asked about each message, such as read deliveries.
    pub fn draw(random: &mut Random) -> Wish {
        let (kind, digit) = (random.index(4) as u32, random.index(10) as u32);
        let of_type = format!("JMSType = 'type-{kind}'");
        let of_digit = format!("JMSCorrelationID LIKE '%{digit}'");
        let (text, types, digits) = match random.index(8) {
            0 | 1 => (of_type, 1 << kind, ALL),
            2 => (format!("{of_digit} AND {of_type}"), 1 << kind, 1 << digit),
            3 => (of_digit, ALL, 1 << digit),
            4 => (format!("JMSType <> 'type-{kind}' OR FALSE"), !(1 << kind), ALL),
            5 => (format!("JMSXDeliveryCount > 100000 OR {of_type}"), 1 << kind, ALL),
            6 => (format!("JMSXDeliveryCount >= 1 AND NOT (JMSType = 'type-{kind}')"), !(1 << kind), ALL),
            _ => ("JMSPriority = 4".to_owned(), ALL, ALL),
        };
        Wish { text, types, digits }
    }

    /// Whether a message matches.
    pub fn takes(&self, id: MessageId) -> bool {
        self.types >> type_of(id) & 1 == 1 && self.digits >> (id % 10) & 1 == 1
    }
}

impl Client {
    /// What a new consumer or browser wants; none: all.
    pub(super) fn wish(&mut self, address: &Address) -> Option<Wish> {
        let percent = self.plan.wishing.as_ref().filter(|_| !self.plan.drain && !address.is_temporary())?.percent;
        let is_watched = self.plan.unheard.as_ref().is_some_and(|(queue, _)| address.takes(queue));
        (!is_watched && self.wishes.percent(percent)).then(|| Wish::draw(&mut self.wishes))
    }

    /// The type that its messages have, where some ask for it.
    pub(super) fn message_type(&self, id: MessageId) -> Option<String> {
        self.plan.wishing.as_ref().map(|_| format!("type-{}", type_of(id)))
    }
}

/// A consumer's info with its selector, if it has one.
pub fn with_wish(info: Structure, wish: Option<&Wish>) -> Structure {
    match wish {
        Some(wish) => info.with(consumer_info::SELECTOR, wish.text.as_str()),
        None => info,
    }
}

/// Whether a message is for somebody who wants this.
pub fn is_wanted(wish: Option<&Wish>, id: MessageId) -> bool {
    wish.is_none_or(|wish| wish.takes(id))
}
