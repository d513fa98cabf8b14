//! Names that cannot be: whoever sends there, or wants to listen or look there, hears so.

use postrider_wire::openwire::Throwable;
use postrider_wire::openwire::schema::consumer_info;

use super::actions::REQUESTS;
use super::inbound::text_of;
use super::protocol::{self, Member, Sending};
use super::{Asked, Client, Surroundings};
use crate::ledger::Address;
use crate::random::Random;

/// The session of those that are never opened.
const SESSION: i64 = 3_000_000;

/// Queues with names like one another.
const MANY: u64 = 300;

/// What strange names a client uses.
#[derive(Clone, Debug)]
pub struct NamingPlan {
    /// Where its chance begins.
    pub seed: u64,
    /// Of a hundred things it could do it so often names what cannot be.
    pub percent: u64,
    /// Of a hundred messages without a producer's address so many go to one of hundreds of queues.
    pub many: u64,
    /// Bytes of the longest name.
    pub limit: usize,
    /// Bytes of the largest frame.
    pub frame_limit: usize,
}

/// Of its present connection.
pub struct Naming {
    chance: Random,
    /// Refusals of which it is to hear, though it does not wait for them.
    due: u64,
    next: i64,
}

impl Naming {
    /// Nothing was named yet.
    pub fn new(plan: Option<&NamingPlan>) -> Naming {
        Naming { chance: Random::new(plan.map_or(0, |plan| plan.seed)), due: 0, next: 0 }
    }

    /// Another connection.
    pub fn begin(&mut self) {
        (self.due, self.next) = (0, 0);
    }

    /// Whether it has heard of every refusal.
    pub fn is_idle(&self) -> bool {
        self.due == 0
    }

    /// One of hundreds of queues, now and then.
    pub fn one_of_many(&mut self, plan: Option<&NamingPlan>) -> Option<Address> {
        let many = self.chance.percent(plan?.many);
        many.then(|| Address::queue(&format!("odd.many.{}", self.chance.below(MANY))))
    }
}

/// Takes from all of the hundreds of queues.
pub fn all_of_many() -> Address {
    Address::queue("odd.many.*")
}

/// Names that can be, some just so, where none may have more bytes than this.
pub fn odd_addresses(limit: usize) -> Vec<Address> {
    let longest = |begin: &str, with: &str| {
        let rest = limit - begin.len();
        let bytes = postrider_model::modified_utf8::encode(with).len();
        format!("{begin}{}{}", "x".repeat(rest % bytes), with.repeat(rest / bytes))
    };
    let queues = [
        "odd with spaces in it",
        "odd.star.*.in.the.middle",
        "odd.*",
        "odd.>.early",
        "odd*star",
        "odd..empty.",
        "..",
        "ODD..empty.",
        "odd\\\"%s'{};--",
        "odd.\u{1}\u{7f}\u{b}control",
        "odd.ünïcödé.日本",
        "odd.😀.four",
        "odd.\0.nul",
        "ActiveMQ.Advisory.Odd",
        "ActiveMQ.DLQ.odd",
        "postrider.recovered.4000000",
        "temp-queue:odd",
    ];
    let queues = queues.iter().map(|name| Address::queue(name));
    let long = ["q", "é", "日", "😀", "\0"].map(|with| Address::queue(&longest("odd.long.", with)));
    let topics = [longest("odd.topic.", "t"), "ActiveMQ.Advisory.Odd.Topic".into(), "odd.😀.topic".into()];
    queues.chain(long).chain(topics.iter().map(|name| Address::topic(name))).collect()
}

impl Client {
    /// Names what cannot be. True: it is done for this time.
    pub(super) fn misnames(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(NamingPlan { percent, limit, frame_limit, .. }) = self.plan.naming else { return false };
        if !self.reads || self.requests.len() >= REQUESTS || !self.naming.chance.percent(percent) {
            return false;
        }
        let kind = *self.naming.chance.pick(&[100, 100, 101]);
        let name = self.impossible_name(limit, frame_limit);
        let address = Address { kind, name };
        let open = self.producers.iter().filter(|(_, producer)| producer.is_open);
        let open: Vec<_> = open.map(|(member, _)| *member).collect();
        match open.first().copied().filter(|_| self.naming.chance.percent(60)) {
            Some(member) => self.send_nowhere(member, &address, around),
            None => self.listen_nowhere(&address, around),
        }
        true
    }

    fn impossible_name(&mut self, limit: usize, frame_limit: usize) -> String {
        let chance = &mut self.naming.chance;
        match chance.below(6) {
            0 => String::new(),
            1 => (*chance.pick(&[" ", ",", " , ,\t", "queue://", "topic:// "])).to_owned(),
            2 => "x".repeat(limit + 1),
            3 => format!("{}\0", "x".repeat(limit - 1)),
            4 => format!("{}😀", "x".repeat(limit - 5)),
            // A frame beyond the limit, here or on its way to a consumer, is another fault.
            _ if frame_limit > 64 * 1024 => "y".repeat(16 * 1024 + 1),
            _ => "y".repeat(limit + 2),
        }
    }

    fn send_nowhere(&mut self, member: Member, address: &Address, around: &mut Surroundings<'_>) {
        let content = b"to nowhere";
        let producer = self.producers.get_mut(&member).expect("one of those listed");
        let sync = self.naming.chance.percent(50) || producer.is_shut();
        producer.last += 1;
        if !sync {
            self.naming.due += 1;
            producer.lets_out(content.len());
        }
        let sending = Sending {
            connection: &self.connection_id,
            producer: member,
            sequence: producer.last,
            address,
            persistent: self.naming.chance.percent(50),
            reply_to: None,
            expiration: 0,
            content,
            correlation: "nowhere",
            message_type: None,
        };
        let message = protocol::message(&sending);
        let (bytes, brief) = (address.name.len(), address.name.chars().take(10).collect::<String>());
        self.say(around, || format!("sends to {brief:?} of {bytes} bytes, sync {sync}"));
        if sync {
            self.ask(message, Asked::Nowhere, around);
        } else {
            self.tell(message, around);
        }
    }

    fn listen_nowhere(&mut self, address: &Address, around: &mut Surroundings<'_>) {
        self.naming.next += 1;
        let member = (SESSION, self.naming.next);
        if self.naming.next == 1 {
            self.tell(protocol::open_session(&self.connection_id, SESSION), around);
        }
        let info = protocol::open_consumer(&self.connection_id, member, address, 10);
        let info = info.with(consumer_info::BROWSER, self.naming.chance.one_in(3));
        self.ask(info, Asked::Nowhere, around);
    }

    /// The broker complains. Whether that is about a name that cannot be.
    pub(super) fn hears_of_name(&mut self, exception: &Throwable) -> bool {
        let says = is_impossible(exception) && self.naming.due > 0;
        self.naming.due -= u64::from(says);
        says
    }
}

/// Whether something is refused for its name.
pub fn is_impossible(exception: &Throwable) -> bool {
    let text = text_of(exception);
    let says = ["name is empty", "name is longer than", "is the limit: give it a shorter one"]
        .iter()
        .any(|part| text.contains(part));
    says && exception.class.as_deref().is_some_and(|class| class.ends_with(b"InvalidDestinationException"))
}
