//! A client that moves tokens from one queue to another and back, each time some within a transaction: a message is consumed and another
//! one that stands for the same token is sent. Each token is one message, wherever the process ends: what was committed shows whole, and
//! what was rolled back, or never was committed, is never seen (R32, R33, R37). Some do so in branches of XA, each with a coordinator of its
//! own that forgets what it has not written down: that is in `branches.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use postrider_wire::openwire::Structure;
use postrider_wire::openwire::schema::*;

use super::branches::Coordinator;
use super::protocol::{self, Member, Sending, acknowledge};
use super::{Asked, Client, Surroundings};
use crate::ledger::{Address, MOVED};
use crate::random::Random;

/// The session of those who move, with its consumers, one for each queue, and its producer.
const SESSION: i64 = 9_000_000;
const PRODUCER: Member = (SESSION, 2);

/// Types of TransactionInfo.
const BEGIN: i8 = 0;
const COMMIT: i8 = 2;
pub(super) const ROLL_BACK: i8 = 4;

/// Tokens that move at once where a decision takes effect at once.
pub const FEW: usize = 4;

/// A prefetch for all tokens.
const ALL: i32 = 10_000;

/// Bytes that a message and its acknowledgement take in the log, about, beside what it carries.
const OVERHEAD: u64 = 400;

/// What a client moves.
#[derive(Clone, Debug)]
pub struct MovingPlan {
    /// Where its chance begins.
    pub seed: u64,
    /// Percent of the times when it could go on and does.
    pub percent: u64,
    /// Tokens that it has.
    pub tokens: u64,
    /// How many of them move at once, at most.
    pub most: usize,
    /// Bytes of a message, at most.
    pub bytes: u64,
    /// In branches of XA.
    pub branches: bool,
}

/// One token that one transaction moves: which, what it was if it was anything, and what it is then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Move {
    token: u64,
    from: Option<u64>,
    to: u64,
}

/// A message that its consumers have.
struct Held {
    queue: usize,
    token: u64,
    serial: u64,
    message_id: Arc<Structure>,
}

/// The present transaction.
pub(super) struct Attempt {
    pub(super) value: i64,
    pub(super) moves: Vec<Move>,
    /// What it takes, which comes again if it is rolled back.
    taken: Vec<Held>,
    /// How it is to end, and whether that was said.
    pub(super) commits: bool,
    is_said: bool,
    /// It was seen to be done before the answer came.
    pub(super) is_seen: bool,
}

/// What it knows of its tokens.
pub struct Moving {
    pub(super) chance: Random,
    /// The message that each of them is.
    tokens: BTreeMap<u64, u64>,
    /// Messages and tokens that there were.
    serials: u64,
    born: u64,
    value: i64,
    /// Transactions that may be done or not: their connection broke before they were answered.
    unknown: Vec<Vec<Move>>,
    pub(super) attempt: Option<Attempt>,
    /// Its coordinator's log, if it has one.
    pub(super) coordinator: Option<Coordinator>,
    held: Vec<Held>,
    /// Its session is open on the present connection.
    stands: bool,
    takes_all: bool,
}

impl Moving {
    /// There are no tokens yet.
    pub fn new(plan: Option<&MovingPlan>) -> Moving {
        Moving {
            chance: Random::new(plan.map_or(0, |plan| plan.seed)),
            tokens: BTreeMap::new(),
            serials: 0,
            born: 0,
            value: 0,
            unknown: Vec::new(),
            attempt: None,
            coordinator: plan.filter(|plan| plan.branches).map(|_| Coordinator::default()),
            held: Vec::new(),
            stands: false,
            takes_all: false,
        }
    }

    /// Whether it has all its tokens, and nothing is undecided.
    fn has_all(&self) -> bool {
        let is_decided = self.coordinator.as_ref().is_none_or(Coordinator::has_decided_all);
        self.attempt.is_none() && self.tokens.len() == self.held.len() && is_decided
    }

    /// All of it is done.
    pub(super) fn apply(&mut self, moves: &[Move]) {
        for Move { token, from, to } in moves {
            assert_eq!(self.tokens.get(token).copied(), *from, "R32: token {token} has moved by another transaction");
            self.tokens.insert(*token, *to);
        }
    }

    /// A message has come: what it tells of transactions whose end was not known.
    fn learn(&mut self, token: u64, serial: u64) {
        let is_made = |step: &Move| (step.token, step.to) == (token, serial);
        let is_taken = |step: &Move| (step.token, step.from) == (token, Some(serial));
        if let Some(done) = self.unknown.iter().position(|moves| moves.iter().any(is_made)) {
            let moves = self.unknown.remove(done);
            self.apply(&moves);
        }
        self.unknown.retain(|moves| !moves.iter().any(is_taken));
        // What is to be seen of a branch its coordinator has written down before.
        let is_local = self.coordinator.is_none();
        let unseen = |attempt: &&mut Attempt| is_local && attempt.is_said && attempt.commits && !attempt.is_seen;
        let moves = self.attempt.as_mut().filter(unseen);
        if let Some(attempt) = moves.filter(|attempt| attempt.moves.iter().any(is_made)) {
            attempt.is_seen = true;
            let moves = attempt.moves.clone();
            self.apply(&moves);
        }
    }
}

impl Client {
    fn moving_queue(&self, queue: usize) -> Address {
        Address::queue(&format!("{MOVED}{}.{queue}", self.index))
    }

    /// Goes on with its transaction, or with the next one. True: that was what it did.
    pub(super) fn moves(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(MovingPlan { percent, tokens, most, bytes, .. }) = self.plan.moving else { return false };
        if !self.reads || !self.moving.chance.percent(percent) {
            return false;
        }
        if !self.moving.stands {
            let prefetch = if most > FEW { ALL } else { *self.moving.chance.pick(&[1, 3, 100]) };
            self.stand(prefetch, around);
            return true;
        }
        match &self.moving.attempt {
            Some(attempt) if attempt.is_said => return false,
            Some(_) if self.moving.chance.percent(50) => self.end_attempt(around),
            Some(_) => self.move_some((most, bytes), around),
            None => {
                self.moving.value += 1;
                let (value, commits) = (self.moving.value, self.moving.chance.percent(75));
                let (moves, taken) = (Vec::new(), Vec::new());
                self.moving.attempt = Some(Attempt { value, moves, taken, commits, is_said: false, is_seen: false });
                self.tell(self.transaction_info(value, BEGIN), around);
                if self.moving.born < tokens {
                    for _ in 0..(most / FEW).max(1) {
                        self.bear(bytes, around);
                    }
                } else {
                    self.move_some((most, bytes), around);
                }
            }
        }
        true
    }

    /// At rest: what it has begun ends, and all tokens come to it.
    pub(super) fn finish_moving(&mut self, around: &mut Surroundings<'_>) {
        if self.plan.moving.is_none() {
            return;
        }
        if !self.moving.stands {
            return self.stand(ALL, around);
        }
        if !std::mem::replace(&mut self.moving.takes_all, true) {
            for queue in 0..2 {
                let address = self.moving_queue(queue);
                let member = (SESSION, queue as i64);
                self.tell(protocol::set_prefetch(&self.connection_id, member, &address, ALL), around);
            }
        }
        if self.moving.attempt.as_ref().is_some_and(|attempt| !attempt.is_said) {
            self.end_attempt(around);
        }
        if !self.moving.has_all() {
            self.ask_for_prepared(around);
        }
    }

    /// Whether all its tokens are there.
    pub fn has_moved(&self) -> bool {
        self.plan.moving.is_none() || self.moving.has_all()
    }

    /// Bytes in the log of the messages that its tokens are, about.
    pub fn token_bytes(&self) -> u64 {
        let most = self.plan.moving.as_ref().map_or(0, |plan| plan.bytes);
        self.moving.tokens.len() as u64 * (OVERHEAD + most)
    }

    /// What is missing, for people.
    pub(super) fn misses(&self) -> Vec<u64> {
        let is_held = |token: &u64| self.moving.held.iter().any(|held| held.token == *token);
        self.moving.tokens.keys().copied().filter(|token| !is_held(token)).collect()
    }

    /// Whether a dispatch is for one of those who move.
    pub(super) fn is_of_moving(member: Member) -> bool {
        member.0 == SESSION
    }

    /// The connection is gone: what was not said to be committed is rolled back, of what was nobody knows.
    pub(super) fn forget_moving(&mut self) {
        let moving = &mut self.moving;
        (moving.stands, moving.takes_all) = (false, false);
        moving.held.clear();
        if let Some(attempt) = moving.attempt.take().filter(|attempt| attempt.is_said && !attempt.is_seen)
            && attempt.commits
            && moving.coordinator.is_none()
        {
            moving.unknown.push(attempt.moves);
        }
    }

    /// The answer to the end of a transaction.
    pub(super) fn is_decided(&mut self, around: &mut Surroundings<'_>) {
        let Some(attempt) = self.moving.attempt.take() else { return };
        self.say(around, || format!("hears the end of transaction {} ({})", attempt.value, attempt.commits));
        self.is_cleared(attempt.value);
        if !attempt.commits {
            // The client gives them out again by itself, before all else.
            self.moving.held.splice(0..0, attempt.taken);
        } else if !attempt.is_seen {
            self.moving.apply(&attempt.moves);
        }
    }

    /// The disk has no room for it: it is rolled back (R35).
    pub(super) fn is_refused(&mut self, why: &str, around: &mut Surroundings<'_>) {
        let Some(attempt) = self.moving.attempt.take() else { return };
        self.say(around, || format!("hears that transaction {} is rolled back", attempt.value));
        let due =
            around.scarce && attempt.commits && !attempt.is_seen && why.contains("the transaction is rolled back");
        assert!(due, "client {}: a decision is refused: {why}", self.index);
        self.moving.held.splice(0..0, attempt.taken);
    }

    /// A message for one of those who move.
    pub(super) fn gets_token(
        &mut self,
        (_, queue): Member,
        message: &Structure,
        message_id: Arc<Structure>,
        around: &mut Surroundings<'_>,
    ) {
        let content = message.bytes(message::CONTENT).unwrap_or_default();
        let number = |at: usize| u64::from_le_bytes(content[at..at + 8].try_into().expect("eight bytes"));
        let (token, serial) = (number(0), number(8));
        around.ledger.counts.delivered += 1;
        self.say(around, || format!("gets token {token} as {serial} of queue {queue}"));
        self.moving.learn(token, serial);
        let known = self.moving.tokens.get(&token).copied();
        assert_eq!(known, Some(serial), "R33: client {}: token {token} is another message", self.index);
        // Who has said goodbye has nothing of it.
        if !self.moving.stands {
            return;
        }
        let taken = self.moving.attempt.iter().flat_map(|attempt| &attempt.taken);
        let twice = self.moving.held.iter().chain(taken).any(|held| held.serial == serial);
        assert!(!twice, "R37: client {}: token {token} comes twice", self.index);
        self.moving.held.push(Held { queue: queue as usize, token, serial, message_id });
    }

    fn stand(&mut self, prefetch: i32, around: &mut Surroundings<'_>) {
        self.moving.stands = true;
        self.moving.takes_all = prefetch == ALL;
        let id = self.connection_id.clone();
        self.tell(protocol::open_session(&id, SESSION), around);
        self.tell(protocol::open_producer(&id, PRODUCER, None, 0), around);
        for queue in 0..2 {
            let address = self.moving_queue(queue);
            self.tell(protocol::open_consumer(&id, (SESSION, queue as i64), &address, prefetch), around);
        }
        self.decide_again(around);
    }

    /// A token comes into being.
    fn bear(&mut self, bytes: u64, around: &mut Surroundings<'_>) {
        self.moving.born += 1;
        let (token, queue) = (self.moving.born, self.moving.chance.index(2));
        self.send_token(queue, (token, None), bytes, around);
    }

    /// Takes some messages of one queue and sends others to the other one.
    fn move_some(&mut self, (most, bytes): (usize, u64), around: &mut Surroundings<'_>) {
        let queue = self.moving.chance.index(2);
        let most = 1 + self.moving.chance.index(most);
        let mut taken: Vec<Held> = self.moving.held.extract_if(.., |held| held.queue == queue).collect();
        let rest = taken.split_off(most.min(taken.len()));
        self.moving.held.splice(0..0, rest);
        let (Some(first), Some(last)) = (taken.first(), taken.last()) else { return };
        let Some(attempt) = &self.moving.attempt else { return };
        let range = (Some(first.message_id.clone()), Some(last.message_id.clone()));
        let consumer = protocol::consumer(&self.connection_id, (SESSION, queue as i64));
        let address = self.moving_queue(queue);
        let count = taken.len() as i32;
        let acknowledgement = protocol::acknowledge(consumer, &address, acknowledge::STANDARD, range.0, range.1, count)
            .with(message_ack::TRANSACTION_ID, self.transaction_id(attempt.value));
        around.ledger.counts.acknowledged += taken.len() as u64;
        let before = self.moving.chance.percent(50);
        if before {
            self.tell(acknowledgement.clone(), around);
        }
        for held in &taken {
            self.send_token(1 - queue, (held.token, Some(held.serial)), bytes, around);
        }
        if !before {
            self.tell(acknowledgement, around);
        }
        if let Some(attempt) = &mut self.moving.attempt {
            attempt.taken.extend(taken);
        }
    }

    fn send_token(
        &mut self,
        queue: usize,
        (token, from): (u64, Option<u64>),
        bytes: u64,
        around: &mut Surroundings<'_>,
    ) {
        self.moving.serials += 1;
        let serial = self.moving.serials;
        let mut content = [token.to_le_bytes(), serial.to_le_bytes()].concat();
        content.resize(16 + self.moving.chance.below(bytes) as usize, b'x');
        let address = self.moving_queue(queue);
        let sending = Sending {
            connection: &self.connection_id,
            producer: PRODUCER,
            sequence: serial as i64,
            address: &address,
            persistent: true,
            reply_to: None,
            expiration: 0,
            content: &content,
            correlation: "",
            message_type: None,
        };
        around.ledger.counts.sent += 1;
        // It is written as it comes, and its end is, too.
        around.ledger.counts.bytes += content.len() as u64 + OVERHEAD;
        let Some(attempt) = &mut self.moving.attempt else { return };
        attempt.moves.push(Move { token, from, to: serial });
        let value = attempt.value;
        let message = protocol::message(&sending).with(message::TRANSACTION_ID, self.transaction_id(value));
        self.say(around, || format!("sends token {token} as {serial} to queue {queue} in transaction {value}"));
        self.tell(message, around);
    }

    fn end_attempt(&mut self, around: &mut Surroundings<'_>) {
        let Some(attempt) = &mut self.moving.attempt else { return };
        attempt.is_said = true;
        let (value, commits) = (attempt.value, attempt.commits);
        self.say(around, || format!("ends transaction {value} ({commits})"));
        if self.moving.coordinator.is_some() && self.prepares(value, commits, around) {
            return;
        }
        self.ask(self.transaction_info(value, if commits { COMMIT } else { ROLL_BACK }), Asked::Decision, around);
    }

    fn transaction_id(&self, value: i64) -> Arc<Structure> {
        if self.moving.coordinator.is_some() {
            return self.branch_id(value);
        }
        Structure::new(&local_transaction_id::DEFINITION)
            .with(local_transaction_id::CONNECTION_ID, protocol::connection(&self.connection_id))
            .with(local_transaction_id::VALUE, value)
            .shared()
    }

    pub(super) fn transaction_info(&self, value: i64, kind: i8) -> Structure {
        Structure::new(&transaction_info::DEFINITION)
            .with(transaction_info::CONNECTION_ID, protocol::connection(&self.connection_id))
            .with(transaction_info::TRANSACTION_ID, self.transaction_id(value))
            .with(transaction_info::TYPE, kind)
    }
}
