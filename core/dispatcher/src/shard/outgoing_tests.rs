use postrider_model::command::{CreateTemporary, Described, OpenConsumer, OpenProducer, Request};
use postrider_model::{Command, ConnectionHandle, ConsumerHandle, Destination, DestinationKind};

use super::*;
use crate::ring::{Receiver, ring};
use crate::wake::Alarm;

/// Over a ring that is long enough for its bytes to count.
fn outgoing() -> (Outgoing, Receiver<CommandBatch>) {
    let alarm = Alarm::new();
    let (shard, broker) = ring(limits::RING_BATCHES, alarm.clone(), alarm);
    let mut outgoing = Outgoing::new(shard, Portion::default());
    // A quick broker.
    (0..3).for_each(|_| outgoing.pace.look(0, true, 0));
    (outgoing, broker)
}

/// So many bytes for the broker, in one command.
fn say(outgoing: &mut Outgoing, bytes: usize) {
    let batch = outgoing.batch();
    batch.arena.resize(batch.arena.len() + bytes, 0);
    batch.commands.push(Command::Written { connection: ConnectionHandle::default(), bytes: 1 });
}

/// What the broker finds, oldest first.
fn bytes_in(broker: &mut Receiver<CommandBatch>) -> Vec<usize> {
    std::iter::from_fn(|| broker.pop()).map(|batch| batch.arena.len()).collect()
}

#[test]
fn the_ring_takes_bytes_and_not_batches_of_any_length() {
    const LARGE: usize = RING_BYTES / 4;
    let (mut outgoing, mut broker) = outgoing();
    for _ in 0..6 {
        say(&mut outgoing, LARGE);
    }
    assert!(!outgoing.push() && outgoing.is_blocked());
    assert!(!outgoing.can_go_on(), "nothing was taken");
    assert_eq!(broker.pop().map(|batch| batch.arena.len()), Some(LARGE));
    assert!(outgoing.can_go_on(), "there is room for one more");
    assert!(!outgoing.push() && !outgoing.can_go_on());
    assert_eq!(bytes_in(&mut broker), [LARGE; 4]);
    assert!(outgoing.push() && !outgoing.is_blocked());
    assert_eq!(bytes_in(&mut broker), [LARGE]);
}

#[test]
fn so_many_bytes_wait_and_not_batches_of_any_length() {
    const LARGE: usize = RING_BYTES / 2;
    let (mut outgoing, _broker) = outgoing();
    for waiting in 0..2 {
        while outgoing.hand_over_full() {
            say(&mut outgoing, LARGE);
        }
        assert_eq!(outgoing.full_bytes, (waiting + 1) * LARGE);
        assert_eq!(outgoing.is_far_behind(), waiting == 1);
        say(&mut outgoing, LARGE);
        outgoing.close();
    }
    let (mut outgoing, _broker) = self::outgoing();
    outgoing.set_strained(true);
    for _ in 0..4 {
        assert!(!outgoing.is_far_behind());
        say(&mut outgoing, limits::BATCH_BYTES);
    }
    assert!(outgoing.is_far_behind(), "two are on their way, two wait");
}

#[test]
fn what_is_larger_than_the_ring_takes_goes_alone() {
    let (mut outgoing, mut broker) = outgoing();
    for bytes in [10, 2 * RING_BYTES, 3 * RING_BYTES] {
        say(&mut outgoing, limits::BATCH_BYTES + bytes);
    }
    for bytes in [10, 2 * RING_BYTES, 3 * RING_BYTES] {
        assert_eq!(outgoing.push(), bytes == 3 * RING_BYTES);
        assert_eq!(bytes_in(&mut broker), [limits::BATCH_BYTES + bytes]);
    }
}

#[test]
fn while_sends_are_parked_little_is_on_its_way_up() {
    let (mut outgoing, mut broker) = outgoing();
    let mut waiting = 0;
    for _ in 0..limits::RING_BATCHES {
        say(&mut outgoing, limits::BATCH_BYTES);
    }
    assert!(outgoing.push(), "a ring full");
    outgoing.set_strained(true);
    for taken in 0..limits::RING_BATCHES {
        say(&mut outgoing, limits::BATCH_BYTES);
        waiting += usize::from(!outgoing.push());
        assert_eq!(broker.pop().map(|batch| batch.arena.len()), Some(limits::BATCH_BYTES), "{taken}");
    }
    assert_eq!(waiting, limits::RING_BATCHES, "what is new waits until the ring is nearly empty");
    assert!(!outgoing.push());
    let mut most = 0;
    while outgoing.is_blocked() {
        let taken = bytes_in(&mut broker);
        most = most.max(taken.iter().sum());
        outgoing.push();
    }
    assert_eq!(most, STRAINED_RING_BYTES);
    bytes_in(&mut broker);
    outgoing.set_strained(false);
    for _ in 0..limits::RING_BATCHES {
        say(&mut outgoing, limits::BATCH_BYTES);
    }
    assert!(outgoing.push(), "a ring full again");
}

#[test]
fn of_long_sends_a_portion_is_on_its_way_up() {
    let (mut outgoing, mut broker) = outgoing();
    assert_eq!(outgoing.takes_sent(), limits::BATCH_COMMANDS as u64);
    outgoing.portion.turned(2, false);
    assert_eq!(outgoing.takes_sent(), 2);
    for left in [1, 0] {
        say(&mut outgoing, 10);
        outgoing.has_sent(Sent { frames: 1, bytes: 10 });
        assert!(outgoing.push());
        assert_eq!(outgoing.takes_sent(), left);
    }
    assert!(!outgoing.may_take_sent());
    outgoing.portion.turned(1, false);
    assert!(broker.pop().is_some() && outgoing.takes_sent() == 0, "one is left, and no more may be");
    assert!(broker.pop().is_some() && outgoing.may_take_sent());
    assert_eq!(outgoing.takes_sent(), 1);
}

#[test]
fn empty_batches_are_kept_until_they_are_let_go() {
    for trims in [false, true] {
        let (mut outgoing, mut broker) = outgoing();
        for _ in 0..10 {
            say(&mut outgoing, limits::BATCH_BYTES);
        }
        assert!(outgoing.push());
        while let Some(batch) = broker.pop() {
            broker.recycle(batch);
        }
        if trims {
            outgoing.trim();
        }
        assert_eq!(outgoing.ring.returned().is_some(), !trims);
    }
}

fn names(bytes: usize) -> Box<[Destination]> {
    let name = vec![b'x'; bytes / 2];
    vec![Destination::new(DestinationKind::Queue, &name); 2].into()
}

fn consumer_of(destinations: Box<[Destination]>) -> OpenConsumer {
    OpenConsumer {
        connection: ConnectionHandle::default(),
        request: Request::default(),
        consumer: ConsumerHandle::default(),
        destinations,
        prefetch: 1,
        browser: false,
        no_local: false,
        exclusive: false,
        priority: 0,
        selector: None,
        subscription: None,
        session: 0,
        value: 0,
        pending_limit: 0,
        described: Described::default(),
    }
}

/// The broker looks through a batch as a whole, and through all the names in it.
#[test]
fn a_command_with_long_names_is_the_last_of_its_batch_and_counts_with_them() {
    let consumer = |bytes: usize| Command::OpenConsumer(Box::new(consumer_of(names(bytes))));
    let (mut outgoing, mut broker) = outgoing();
    for bytes in [LONG_BYTES, 1 << 20, LONG_BYTES, LONG_BYTES] {
        outgoing.batch().commands.push(consumer(bytes));
    }
    assert!(outgoing.push());
    let counts: Vec<usize> = std::iter::from_fn(|| broker.pop()).map(|batch| batch.commands.len()).collect();
    assert_eq!((counts, outgoing.ring_bytes), (vec![2, 2], (1 << 20) + LONG_BYTES));
    while outgoing.hand_over_full() {
        outgoing.batch().commands.push(consumer(1 << 20));
    }
    let on_their_way = std::iter::from_fn(|| broker.pop()).count();
    assert!((15..=17).contains(&on_their_way), "{on_their_way} MiB");
}

/// Also what the broker refuses when it sees it.
#[test]
fn whatever_clients_make_long_of_commands_counts() {
    const LONG: usize = 2 * LONG_BYTES;
    let (connection, request) = (ConnectionHandle::default(), Request::default());
    let consumer = || consumer_of(names(0));
    let text = || vec![b'x'; LONG].into_boxed_slice();
    let (producer, session, value, window) = (0, 0, 0, 0);
    let described = Described { marks: 0, rest: text() };
    let destinations = names(LONG);
    let open = OpenProducer {
        connection,
        request,
        producer,
        session,
        value,
        destinations,
        window,
        described: Described::default(),
    };
    let destination = Box::new(Destination::new(DestinationKind::Queue, &text()));
    let commands = [
        Command::OpenConsumer(Box::new(OpenConsumer { selector: Some(text()), ..consumer() })),
        Command::OpenConsumer(Box::new(OpenConsumer { subscription: Some(text()), ..consumer() })),
        Command::OpenConsumer(Box::new(OpenConsumer { described: described.clone(), ..consumer() })),
        Command::OpenProducer(Box::new(OpenProducer { described, destinations: names(0), ..open.clone() })),
        Command::OpenProducer(Box::new(open)),
        Command::DefineDestination { connection, number: 0, destinations: names(LONG) },
        Command::CreateTemporary(Box::new(CreateTemporary { connection, request, destination: *destination.clone() })),
        Command::DeleteDestination { connection, destination, request },
    ];
    for command in commands {
        let (mut outgoing, mut broker) = outgoing();
        outgoing.batch().commands.push(command.clone());
        say(&mut outgoing, 1);
        assert!(outgoing.push());
        let batches = std::iter::from_fn(|| broker.pop()).count();
        assert_eq!((batches, outgoing.ring_bytes), (2, LONG + 1), "{command:?}");
    }
}
