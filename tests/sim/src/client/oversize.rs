//! Frames that are larger than what was agreed: a message's is refused, and the connection lives; any other ends it.

use postrider_wire::openwire::Throwable;
use postrider_wire::openwire::schema::consumer_info;

use super::actions::REQUESTS;
use super::ending::Last;
use super::inbound::text_of;
use super::protocol::{self, Sending};
use super::{Asked, Client, Surroundings};
use crate::random::Random;

/// What a client sends that is too large.
#[derive(Clone, Debug)]
pub struct OversizePlan {
    /// Where its chance begins.
    pub seed: u64,
    /// Of a hundred things it could do, so many are such sends.
    pub percent: u64,
    /// Bytes of the largest frame that is taken.
    pub limit: usize,
    /// It is the client that says so, too, and not the broker alone.
    pub own: bool,
}

/// Of its present connection.
pub struct Oversize {
    chance: Random,
    /// Refusals of which it is to hear, though it does not wait for them.
    due: u64,
}

impl Oversize {
    /// Nothing was sent yet.
    pub fn new(plan: Option<&OversizePlan>) -> Oversize {
        Oversize { chance: Random::new(plan.map_or(0, |plan| plan.seed)), due: 0 }
    }

    /// Another connection.
    pub fn begin(&mut self) {
        self.due = 0;
    }

    /// Whether it has heard of every refusal.
    pub fn is_idle(&self) -> bool {
        self.due == 0
    }
}

impl Client {
    /// Sends what is too large. True: it is done for this time.
    pub(super) fn exceeds(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(OversizePlan { percent, limit, .. }) = self.plan.oversize else { return false };
        if !self.reads || !self.oversize.chance.percent(percent) {
            return false;
        }
        if self.oversize.chance.one_in(8) {
            self.send_oversize_frame(limit, around);
        } else {
            self.send_oversize_message(limit, around);
        }
        true
    }

    /// What is no message is for nobody who could be told.
    fn send_oversize_frame(&mut self, limit: usize, around: &mut Surroundings<'_>) {
        let Some(circuit) = self.circuit else { return };
        let size = limit + 1 + self.oversize.chance.index(100);
        self.say(around, || format!("sends {size} bytes that are no message, and ends by that"));
        let mut bytes = (size as u32).to_be_bytes().to_vec();
        bytes.push(consumer_info::DEFINITION.code);
        bytes.resize(4 + size, 0);
        around.network.write(circuit, &bytes);
        self.waits_for_the_end(Last::Nothing, around);
    }

    fn send_oversize_message(&mut self, limit: usize, around: &mut Surroundings<'_>) {
        let open = self.producers.iter().filter(|(_, producer)| producer.is_open);
        let open: Vec<_> = open.map(|(member, _)| *member).collect();
        if open.is_empty() || self.requests.len() >= REQUESTS {
            return;
        }
        let Oversize { chance, due } = &mut self.oversize;
        let member = *chance.pick(&open);
        let content = vec![0; limit + chance.index(1 + limit / 4)];
        let producer = self.producers.get_mut(&member).expect("one of those listed");
        let sync = producer.is_shut() || chance.percent(50);
        let address = producer.address.clone().unwrap_or_else(|| chance.pick(&self.plan.addresses).clone());
        producer.last += 1;
        if !sync {
            *due += 1;
            producer.lets_out(content.len());
        }
        let sending = Sending {
            connection: &self.connection_id,
            producer: member,
            sequence: producer.last,
            address: &address,
            persistent: chance.percent(50),
            reply_to: None,
            expiration: 0,
            content: &content,
            correlation: "too large",
            message_type: None,
        };
        let message = protocol::message(&sending);
        self.say(around, || {
            format!("sends {} bytes to {}, which are too many, sync {sync}", content.len(), address.name)
        });
        if sync {
            self.ask(message, Asked::Oversize, around);
        } else {
            self.tell(message, around);
        }
    }

    /// The broker complains. Whether that is about what was too large.
    pub(super) fn hears_of_oversize(&mut self, exception: &Throwable) -> bool {
        let says = is_oversize(exception);
        if says {
            let due = self.oversize.due.checked_sub(1);
            self.oversize.due = due.unwrap_or_else(|| panic!("client {}: nothing was too large", self.index));
        }
        says
    }
}

/// Whether a send is refused for its size.
pub fn is_oversize(exception: &Throwable) -> bool {
    text_of(exception).contains("bytes on the wire")
}
