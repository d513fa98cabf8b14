//! Clients that say valid things in any order, and almost valid ones, to a whole broker.
//!
//! The input is a list of steps: a frame on one of three connections, as it is or with bytes altered or cut; a client that breaks, says
//! goodbye, stalls; time that passes. When all clients are gone the broker comes to rest and has no connection and no consumer left.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use postrider_fuzz::broker::Life;
use postrider_fuzz::frames;

static FRAMES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(frames::all);

/// Connections at a time.
const CLIENTS: usize = 3;

/// Steps of one input at most.
const STEPS: usize = 400;

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn pair(&mut self) -> usize {
        usize::from(self.next().unwrap_or(0)) << 8 | usize::from(self.next().unwrap_or(0))
    }
}

fuzz_target!(|input: &[u8]| {
    let directory = tempfile::tempdir().expect("a directory");
    let mut life = Life::start(directory.path()).expect("an empty directory");
    let mut clients = [0; CLIENTS].map(|_| open(&life));
    let mut input = Bytes(input);
    for _ in 0..STEPS {
        let Some(step) = input.next() else { break };
        let number = usize::from(input.next().unwrap_or(0));
        let client = clients[number % CLIENTS];
        match step {
            0..16 => life.sleep((number * number) as u64),
            16..20 => life.pipes.stall(client, number & 4 != 0),
            20..24 => {
                life.pipes.end(client, number & 4 != 0);
                clients[number % CLIENTS] = open(&life);
            }
            24..30 => {
                let length = usize::from(step - 24) * 7 + 1;
                let raw: Vec<u8> = (0..length).map_while(|_| input.next()).collect();
                life.pipes.send(client, &raw);
            }
            30..36 => (0..20).for_each(|_| _ = life.step()),
            _ => {
                let frame = &FRAMES[(usize::from(step - 36) << 2 | number >> 6) % FRAMES.len()];
                life.pipes.send(client, &altered(frame, number / CLIENTS % 16, &mut input));
            }
        }
        if number & 1 != 0 {
            life.step();
        }
    }
    for client in clients {
        life.pipes.stall(client, false);
        life.pipes.end(client, true);
    }
    life.rest();
    life.sleep(120_000);
    life.rest();
    assert!(life.pipes.are_gone(), "a connection is left open");
    let (connections, consumers, _) = life.sizes();
    assert_eq!((connections, consumers), (0, 0), "left in the tables");
});

fn open(life: &Life) -> usize {
    let client = life.pipes.connect();
    life.pipes.send(client, &FRAMES[0]);
    client
}

/// Mostly as it is; else with a byte altered, some cut, or an other length.
fn altered(frame: &[u8], how: usize, input: &mut Bytes<'_>) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    match how {
        0 => {
            let at = 4 + input.pair() % (bytes.len() - 4);
            bytes[at] ^= input.next().unwrap_or(1);
        }
        1 => {
            let at = input.pair() % bytes.len();
            bytes[at] = input.next().unwrap_or(255);
        }
        2 => bytes.truncate(input.pair() % bytes.len()),
        3 => {
            let at = 5 + input.pair() % (bytes.len() - 5);
            for offset in 0..8.min(bytes.len() - at) {
                bytes[at + offset] = input.next().unwrap_or(0x7F);
            }
        }
        _ => {}
    }
    bytes
}
