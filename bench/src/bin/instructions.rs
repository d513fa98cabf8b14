//! What `bench/instructions.sh` counts under callgrind: one routine, named by the argument, in its steady state.
//!
//! Only [`counted_section`] is counted. Without an argument the routines are listed, each with the messages that it does, by
//! which the script divides.

use postrider_bench::client::{Client, Format};
use postrider_bench::turns::{Delivery, ROUND, Turns};

/// Messages that one receive of a busy socket brings.
const BATCH: usize = 64;

/// Runs before the counted one: all memory is there then, and all caches are filled.
const WARM_UP: usize = 3;

/// Rounds of the ring that are counted: some of their turns find segments and blocks filled.
const ROUNDS: usize = 8;

const ROUTINES: [(&str, usize, fn()); 11] = [
    ("decode", BATCH, decode),
    ("decode acknowledgement", BATCH, decode_acknowledgement),
    ("decode transacted", BATCH, decode_transacted),
    ("turn of 64", BATCH * ROUND * ROUNDS, || turn(BATCH, Delivery::Persistent)),
    ("turn of 1", ROUND * ROUNDS, || turn(1, Delivery::Persistent)),
    ("turn of 64 non-persistent", BATCH * ROUND * ROUNDS, || turn(BATCH, Delivery::NonPersistent)),
    ("turn of 64 transacted", BATCH * ROUND * ROUNDS, || turn(BATCH, Delivery::Transacted)),
    ("turn of 64 durable", BATCH * ROUND * ROUNDS, || turn(BATCH, Delivery::Durable)),
    ("open and close", BATCH, open_and_close),
    ("encode", BATCH, encode),
    ("encode receipt", BATCH, encode_receipt),
];

fn main() {
    let Some(name) = std::env::args().nth(1) else {
        ROUTINES.iter().for_each(|(name, messages, _)| println!("{messages} {name}"));
        return;
    };
    let routine = ROUTINES.iter().find(|(known, ..)| *known == name);
    routine.unwrap_or_else(|| panic!("there is no routine {name}: without an argument they are listed")).2();
}

/// Callgrind collects from the entry of this function to its end.
#[inline(never)]
fn counted_section(routine: &mut dyn FnMut()) {
    routine();
}

fn count(mut routine: impl FnMut()) {
    (0..WARM_UP).for_each(|_| routine());
    counted_section(&mut routine);
}

fn decode() {
    let mut client = Client::connected(Format::LooseCached);
    let frames = client.messages(BATCH);
    count(|| assert_eq!(client.receive(&frames).commands.len(), BATCH));
}

fn decode_acknowledgement() {
    let mut client = Client::connected(Format::LooseCached);
    let frames = client.acknowledgements(BATCH);
    count(|| assert_eq!(client.receive(&frames).commands.len(), BATCH));
}

fn decode_transacted() {
    let mut client = Client::connected(Format::LooseCached);
    let frames = client.transaction(BATCH);
    // With the beginning and the end.
    count(|| assert_eq!(client.receive(&frames).commands.len(), BATCH + 2));
}

/// A session with a producer and a consumer comes and goes, while nobody listens to what the broker tells of them.
fn open_and_close() {
    let mut client = Client::connected(Format::LooseCached);
    let frames = client.openings(BATCH);
    let mut turns = Turns::new(Delivery::NonPersistent);
    count(|| {
        turns.handle(client.receive(&frames));
        turns.drain();
    });
}

fn encode() {
    let mut client = Client::connected(Format::LooseCached);
    let records = client.records(BATCH);
    count(|| assert!(!client.dispatch(&records).is_empty()));
}

fn encode_receipt() {
    let mut client = Client::connected(Format::LooseCached);
    count(|| assert!(!client.reply(BATCH).is_empty()));
}

fn turn(messages: usize, delivery: Delivery) {
    let mut turns = Turns::new(delivery);
    for round in 0..WARM_UP + ROUNDS {
        turns.fill(messages);
        if round < WARM_UP {
            turns.run();
        } else {
            counted_section(&mut || turns.run());
        }
        assert_eq!(turns.drain().dispatches, ROUND * messages);
    }
}
