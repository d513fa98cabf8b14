//! The throng of a failover client: hundreds of producers, one after the other in one session, each of which sends little and is remembered for
//! it (R17). The connection's id is long, so that what they are remembered by would fill a small disk. What becomes of it is drawn from chance
//! of its own.

use super::actions::REQUESTS;
use super::protocol::{self, Member, Sending};
use super::{Asked, Certainty, Client, Surroundings};
use crate::ledger::{Address, MessageId, correlation};
use crate::random::Random;
use postrider_wire::openwire::Structure;

/// The session of a client's throng.
const SESSION: i64 = 4_000_000;

/// Producers of its earlier connection that it opens again at most.
const REOPENED: usize = 30;

/// What a client's throng is like.
#[derive(Clone, Debug)]
pub struct ThrongPlan {
    /// Where its chance begins.
    pub seed: u64,
    /// Bytes of its connection's id.
    pub id_bytes: usize,
    /// Producers that it has in all.
    pub producers: usize,
    /// Those that send at a time.
    pub burst: usize,
    /// Percent of its messages before which a number is left out.
    pub gaps: u64,
}

/// A throng, and how far it has come.
pub struct Throng {
    chance: Random,
    /// Of each producer of this connection's id its number, and that of its last message.
    producers: Vec<(u64, i64)>,
    /// Of them, those that are open, while there is a session for them.
    open: Option<Vec<usize>>,
    left: usize,
}

impl Throng {
    /// None has come yet.
    pub fn new(plan: Option<&ThrongPlan>) -> Throng {
        let chance = Random::new(plan.map_or(0, |plan| plan.seed));
        Throng { chance, producers: Vec::new(), open: None, left: plan.map_or(0, |plan| plan.producers) }
    }

    /// Another connection of the same client.
    pub fn begin(&mut self) {
        self.open = None;
    }

    /// Another client.
    pub fn forget(&mut self) {
        (self.producers, self.open) = (Vec::new(), None);
    }

    /// Whether it goes with its connection without a word, when all is done: then its producers are remembered.
    pub fn runs_off(&mut self) -> bool {
        !self.producers.is_empty() && self.chance.percent(75)
    }
}

/// Where a throng sends.
fn target() -> Address {
    Address::queue("queue.a")
}

impl Client {
    /// The next of its throng send. True: it is done for this time. None of them waits for an answer, and repeats anything.
    pub(super) fn throngs(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(ThrongPlan { burst, gaps, .. }) = self.plan.throng else { return false };
        let waits = self.requests.len() >= REQUESTS || self.certainties.len() > 4 * burst;
        if !self.reads || self.throng.left == 0 || waits || !self.throng.chance.percent(60) {
            return false;
        }
        self.open_throng(around);
        for _ in 0..burst.min(self.throng.left) {
            let index = self.next_of_throng(around);
            for _ in 0..*self.throng.chance.pick(&[1, 1, 1, 2, 3]) {
                let left_out = i64::from(self.throng.chance.percent(gaps));
                self.throng.producers[index].1 += 1 + left_out;
                self.send_of_throng(index, around);
            }
        }
        // Its answer shows that the broker has all of it.
        self.prove(around);
        (0..2 * burst).for_each(|_| self.consume(around));
        true
    }

    /// There is a session for it. Some that had sent on an earlier connection go on.
    fn open_throng(&mut self, around: &mut Surroundings<'_>) {
        if self.throng.open.is_some() {
            return;
        }
        self.tell(protocol::open_session(&self.connection_id, SESSION), around);
        let known = self.throng.producers.len();
        let reopened = if known == 0 { 0 } else { self.throng.chance.index(REOPENED) };
        let mut open: Vec<usize> = (0..reopened).map(|_| self.throng.chance.index(known)).collect();
        open.sort_unstable();
        open.dedup();
        for index in &open {
            self.tell(protocol::open_producer(&self.connection_id, member(*index), None, 0), around);
        }
        self.throng.open = Some(open);
    }

    /// One that has sent before, now and then, or one more.
    fn next_of_throng(&mut self, around: &mut Surroundings<'_>) -> usize {
        let Throng { chance, producers, open, left } = &mut self.throng;
        let open = open.as_mut().expect("a session");
        if !open.is_empty() && chance.percent(5) {
            return *chance.pick(open);
        }
        *left -= 1;
        let (index, number) = (producers.len(), around.number());
        producers.push((number, 0));
        open.push(index);
        let (session, value) = member(index);
        around.ledger.names_producer((self.connection_id.clone(), session, value), number);
        self.tell(protocol::open_producer(&self.connection_id, (session, value), None, 0), around);
        index
    }

    fn send_of_throng(&mut self, index: usize, around: &mut Surroundings<'_>) {
        let (number, sequence) = self.throng.producers[index];
        let id = around.ledger.send(number, sequence, &target(), true);
        self.say(around, || format!("sends message {id} of {:?} of its throng, {sequence}", member(index)));
        let message = self.message_of(member(index), sequence, id, around);
        self.certainties.push_back(Certainty::Sent(id));
        self.tell(message, around);
    }

    /// Where nothing is alive it sends a message, of which it is to hear that it is stored.
    pub fn send_last(&mut self, around: &mut Surroundings<'_>) -> Option<MessageId> {
        if self.stage != super::Stage::Up {
            return None;
        }
        let member = (-1, 98);
        self.tell(protocol::open_producer(&self.connection_id, member, None, 0), around);
        let sequence = i64::from(self.next_command);
        let number = around.number();
        let id = around.ledger.send(number, sequence, &target(), true);
        self.say(around, || format!("sends message {id}, the last"));
        let message = self.message_of(member, sequence, id, around);
        self.ask(message.clone(), Asked::Send(id, Box::new(message)), around);
        Some(id)
    }

    /// A persistent message to the throng's queue.
    fn message_of(&self, producer: Member, sequence: i64, id: MessageId, around: &Surroundings<'_>) -> Structure {
        protocol::message(&Sending {
            connection: &self.connection_id,
            producer,
            sequence,
            address: &target(),
            persistent: true,
            reply_to: None,
            expiration: 0,
            content: &around.ledger.body(id),
            correlation: &correlation(id),
            message_type: self.message_type(id).as_deref(),
        })
    }
}

fn member(index: usize) -> Member {
    (SESSION, index as i64)
}
