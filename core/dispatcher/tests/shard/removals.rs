//! Who has thousands of consumers and producers and lets them go keeps nobody waiting (R25).

use crate::node::{LEAVE, Node, numbered, says};
use postrider_model::Command;

/// Consumers of a session, and as many producers.
const EACH: i64 = 3_000;

/// Commands that one look at the network may bring, and consumers that may be forgotten meanwhile: a few hundred.
const A_TURN: usize = 800;

/// Who removes, and who has nothing to do with it.
const CROWDED: u32 = 0;
const QUIET: u32 = 1;

/// What a command is, of whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Heard {
    Opened(u32),
    Closed(u32),
    Answer(u32, i32),
    End(u32),
    Begin(u32),
}

fn heard(commands: &[Command]) -> Vec<Heard> {
    let heard = |command: &Command| match command {
        Command::OpenConsumer(open) => Heard::Opened(open.connection.slot),
        Command::OpenProducer(open) => Heard::Opened(open.connection.slot),
        Command::CloseConsumer { connection, .. } | Command::CloseProducer { connection, .. } => {
            Heard::Closed(connection.slot)
        }
        Command::Synchronize { connection, request } => Heard::Answer(connection.slot, request.token().0 as i32),
        Command::CloseConnection { connection, .. } => Heard::End(connection.slot),
        Command::OpenConnection(open) => Heard::Begin(open.connection.slot),
        other => panic!("{other:?}"),
    };
    commands.iter().map(heard).collect()
}

/// Connections of which the first so many have a session full of members.
fn node(crowded: u32) -> Node {
    let mut node = Node::new(crowded + 1);
    for connection in 0..crowded {
        node.comes(connection, says().open_session(connection));
        for value in 0..EACH {
            node.comes(
                connection,
                [says().open_consumer(connection, value), says().open_producer(connection, value)].concat(),
            );
        }
        let mut opened = 0;
        while opened < 2 * EACH as usize {
            node.look(false);
            opened += node.take_all().len();
        }
    }
    assert_eq!(node.shard.statistics().consumers, u64::from(crowded) * EACH as u64);
    node
}

/// Looks at the network until there is nothing to do, while a quiet connection asks again and again: it is heard at once, and nobody is
/// heard, or forgotten, much at a time. What came besides.
fn all_heard(node: &mut Node, quiet: u32) -> Vec<Heard> {
    let (mut all, mut rested) = (Vec::new(), false);
    for request in 1..1_000 {
        node.comes(quiet, numbered(request..=request));
        let before = node.shard.statistics().consumers;
        node.look(false);
        let commands = heard(&node.take_all());
        let forgotten = before.saturating_sub(node.shard.statistics().consumers);
        assert!(commands.len() <= A_TURN, "{} commands in turn {request}", commands.len());
        assert!(forgotten <= A_TURN as u64, "{forgotten} consumers are forgotten in turn {request}");
        assert!(commands.contains(&Heard::Answer(quiet, request)), "the quiet one is heard in turn {request}");
        let others = commands.into_iter().filter(|command| *command != Heard::Answer(quiet, request));
        all.extend(others);
        let rests = !node.shard.has_work() && node.paused().is_empty();
        // What the network brings is sent for, or closed, in the next turn.
        if std::mem::replace(&mut rested, rests) && rests {
            return all;
        }
    }
    panic!("it does not come to an end")
}

fn closed(connection: u32) -> Vec<Heard> {
    vec![Heard::Closed(connection); 2 * EACH as usize]
}

#[test]
fn a_session_full_of_members_goes_in_slices_and_is_answered_once_behind_them() {
    let mut node = node(1);
    node.comes(CROWDED, [says().remove_session(CROWDED, 7), numbered(8..=8)].concat());
    node.comes(CROWDED, numbered(9..=9));
    let all = all_heard(&mut node, QUIET);
    let answers = [7, 8, 9].map(|number| Heard::Answer(CROWDED, number));
    assert_eq!(all, [closed(CROWDED), answers.to_vec()].concat());
    assert_eq!(node.shard.statistics().consumers, 0);
}

#[test]
fn nothing_follows_a_removal_and_it_goes_on_all_the_same() {
    let mut node = node(1);
    node.comes(CROWDED, says().remove_session(CROWDED, 7));
    assert_eq!(all_heard(&mut node, QUIET), [closed(CROWDED), vec![Heard::Answer(CROWDED, 7)]].concat());
}

#[test]
fn ids_that_are_used_again_at_once_are_new_ones() {
    let mut node = node(1);
    let again = [
        says().open_session(CROWDED),
        says().open_consumer(CROWDED, EACH - 1),
        says().open_producer(CROWDED, EACH - 1),
    ];
    node.comes(CROWDED, [says().remove_session(CROWDED, 7), again.concat(), numbered(8..=8)].concat());
    let all = all_heard(&mut node, QUIET);
    let answer = |number| vec![Heard::Answer(CROWDED, number)];
    assert_eq!(all, [closed(CROWDED), answer(7), vec![Heard::Opened(CROWDED); 2], answer(8)].concat());
    node.comes(CROWDED, says().remove_consumer(CROWDED, EACH - 1, 9));
    assert_eq!(all_heard(&mut node, QUIET), [vec![Heard::Closed(CROWDED)], answer(9)].concat());
}

#[test]
fn who_breaks_off_in_the_middle_is_heard_to_the_end() {
    for turns in 0..3 {
        let mut node = node(1);
        node.comes(CROWDED, [says().remove_session(CROWDED, 7), numbered(8..=8)].concat());
        let mut all: Vec<Heard> = Vec::new();
        for _ in 0..turns {
            node.look(false);
            all.extend(heard(&node.take_all()));
        }
        node.world.borrow_mut().broken.push(CROWDED);
        all.extend(all_heard(&mut node, QUIET));
        let rest = [Heard::Answer(CROWDED, 7), Heard::Answer(CROWDED, 8), Heard::End(CROWDED)];
        assert_eq!(all, [closed(CROWDED), rest.to_vec()].concat(), "after {turns} turns");
        assert_eq!((node.shard.statistics().open, node.shard.statistics().consumers), (1, 0));
    }
}

#[test]
fn five_connections_full_of_members_end_at_once() {
    const CROWDS: u32 = 5;
    let ends: [fn(&mut Node, u32); 3] = [
        |node, connection| node.world.borrow_mut().broken.push(connection),
        |node, connection| node.world.borrow_mut().ended.push(connection),
        |node, connection| {
            node.comes(connection, says().remove_connection(connection, 7));
        },
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let mut node = node(CROWDS);
        (0..CROWDS).for_each(|connection| end(&mut node, connection));
        let mut all = all_heard(&mut node, CROWDS);
        if number == 1 {
            (0..CROWDS).for_each(|connection| node.answer(connection, LEAVE));
            all.extend(all_heard(&mut node, CROWDS));
            assert_eq!(node.world.borrow().closed.len(), CROWDS as usize);
            let closed = std::mem::take(&mut node.world.borrow_mut().closed);
            node.world.borrow_mut().broken.extend(closed);
            all.extend(all_heard(&mut node, CROWDS));
        }
        assert_eq!(all.len(), CROWDS as usize, "way {number}: {all:?}");
        assert!((0..CROWDS).all(|connection| all.contains(&Heard::End(connection))), "way {number}: {all:?}");
        assert_eq!(node.shard.statistics().consumers, 0, "all are forgotten");
    }
}

#[test]
fn who_comes_does_not_wait_for_one_that_is_not_heard_to_the_end_and_has_another_slot() {
    let mut node = node(1);
    node.comes(CROWDED, says().remove_session(CROWDED, 7));
    node.world.borrow_mut().broken.push(CROWDED);
    node.look(false);
    let mut all = heard(&node.take_all());
    assert!(!all.contains(&Heard::End(CROWDED)), "it is not over");
    node.arrives();
    node.look(false);
    all.extend(heard(&node.take_all()));
    assert!(!all.contains(&Heard::End(CROWDED)), "it is not over");
    assert_eq!((node.shard.statistics().open, node.world.borrow().free.len()), (2, 0), "it is let in");
    all.extend(all_heard(&mut node, QUIET));
    assert_eq!(all.last(), Some(&Heard::End(CROWDED)));
    node.look(false);
    assert_eq!(node.world.borrow().free, [CROWDED], "the slot may be used again");
}

/// What they had takes memory until it is forgotten: a client cannot have the next ones made faster than that. Nobody who comes waits for
/// all of them.
#[test]
fn one_is_let_in_for_each_that_is_forgotten_of_very_many() {
    const CROWD: u32 = 200;
    const CONSUMERS: i64 = 60;
    /// Connections that may be left.
    const FEW: u64 = 64;
    let mut node = Node::new(CROWD + 1);
    for connection in 0..CROWD {
        node.comes(connection, says().open_session(connection));
        (0..CONSUMERS).for_each(|value| node.comes(connection, says().open_consumer(connection, value)));
        node.look(false);
        node.take_all();
    }
    all_heard(&mut node, CROWD);
    assert_eq!(node.shard.statistics().consumers, u64::from(CROWD) * CONSUMERS as u64);
    node.world.borrow_mut().broken.extend(0..CROWD);
    node.look(false);
    node.take_all();
    (0..2 * CROWD).for_each(|_| node.arrives());
    let (mut came_at, mut looks) = (u64::MAX, 0);
    while node.shard.statistics().consumers > 0 {
        assert!(node.shard.has_work());
        node.look(false);
        node.take_all();
        looks += 1;
        let (open, left) = (node.shard.statistics().open, node.shard.statistics().consumers);
        let left = left.div_ceil(CONSUMERS as u64);
        if open > 1 {
            came_at = came_at.min(u64::from(CROWD) - left);
        }
        let most = if left < FEW { u64::from(2 * CROWD) } else { u64::from(CROWD) - left + 1 };
        assert!(open - 1 <= most, "{open} are there and {left} not forgotten after {looks} looks");
    }
    assert!(came_at < 16, "the first was let in when {came_at} were forgotten");
    all_heard(&mut node, CROWD);
    assert_eq!(node.shard.statistics().open, 1 + u64::from(2 * CROWD));
}

/// What is parked of it stays with the broker until that is told, whenever nothing is parked any more.
#[test]
fn what_is_parked_of_one_that_is_gone_takes_room_until_the_broker_knows() {
    const OTHER: u32 = 1;
    for is_unparked_before in [false, true] {
        let mut node = node(2);
        // The producers of one would have room, those of two have not.
        node.shard.set_park_bytes(1_000_000);
        node.park(CROWDED);
        node.look(false);
        node.comes(CROWDED, says().remove_session(CROWDED, 7));
        node.world.borrow_mut().broken.push(CROWDED);
        node.look(false);
        node.park(OTHER);
        node.look(false);
        let mut all = heard(&node.take_all());
        assert!(!all.contains(&Heard::End(CROWDED)), "it is not over");
        assert_eq!(node.paused(), [OTHER]);
        if is_unparked_before {
            node.unpark(CROWDED);
        }
        while !all.contains(&Heard::End(CROWDED)) {
            assert!(node.shard.has_work());
            node.look(false);
            all.extend(heard(&node.take_all()));
        }
        if !is_unparked_before {
            node.unpark(CROWDED);
        }
        node.look(false);
        assert_eq!(node.paused(), [0; 0], "before: {is_unparked_before}");
    }
}

/// A broker that has more to do than it can takes one batch at a time: what goes with those that are gone is not all of it, and neither is
/// what those say that wait for their turns.
#[test]
fn those_who_are_gone_and_those_who_wait_for_their_turns_are_heard_by_turns() {
    const CROWDS: u32 = 4;
    const NOISY: u32 = CROWDS;
    const MANY: i32 = 40_000;
    let mut node = node(CROWDS);
    (0..CROWDS).for_each(|connection| node.comes(connection, says().remove_session(connection, 7)));
    node.world.borrow_mut().broken.extend(0..CROWDS);
    node.comes(NOISY, numbered(1..=MANY));
    let (mut last, mut answered, mut ended) = ([0; 2], 0, 0);
    for turn in 1.. {
        node.clock.0 += 100_000;
        node.look(false);
        for heard in heard(&node.take_one().unwrap_or_default()) {
            let whose = match heard {
                Heard::Answer(NOISY, number) => {
                    answered = number;
                    0
                }
                Heard::End(_) => {
                    ended += 1;
                    1
                }
                _ => 1,
            };
            last[whose] = turn;
        }
        if (answered, ended) == (MANY, CROWDS) {
            break;
        }
        for (whose, waits) in [answered < MANY, ended < CROWDS].into_iter().enumerate() {
            assert!(!waits || turn - last[whose] < 10, "nothing of {whose} from turn {} to {turn}", last[whose]);
        }
    }
}
