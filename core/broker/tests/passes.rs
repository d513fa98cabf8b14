//! Passes over a queue by views that have not tried what is there: who waits for whom, and what is tried how often.

use crate::selecting::{got, send, send_many, world};
use crate::world::{World, handle, queue};
use postrider_broker::Config;
use postrider_model::command::{LastDelivered, OpenConsumer};
use postrider_model::{Command, CommandBatch};

const MESSAGES: usize = 3_000;
const DEAR: u32 = 100;

/// What many evaluations are needed for.
fn dear(number: u32) -> String {
    format!("color LIKE '%{number}%' OR color LIKE '%e%' AND JMSPriority + {number} < 0")
}

/// Consumers come, and it is not waited for what follows.
fn come(world: &mut World, consumers: impl IntoIterator<Item = (u32, String)>) {
    let mut batch = CommandBatch::default();
    for (consumer, selector) in consumers {
        let open = world.open(1, consumer, &[queue("q")], 1);
        world.connections_of.insert((0, handle(consumer)), handle(1));
        let open = OpenConsumer { selector: Some(selector.as_bytes().into()), ..open };
        batch.commands.push(Command::OpenConsumer(Box::new(open)));
    }
    world.handle(0, &batch);
    world.go_on();
}

/// Evaluations until a consumer has got something.
fn evaluations_until(world: &mut World, consumer: u32) -> u64 {
    let before = world.broker.statistics().evaluations;
    for _ in 0..1_000_000 {
        let more = world.go_on() | world.broker.wants_sync();
        world.log.commit();
        world.release_replies();
        if got(world).iter().any(|(to, ..)| *to == consumer) {
            return world.broker.statistics().evaluations - before;
        }
        assert!(more, "{consumer} gets nothing");
    }
    panic!("{consumer} gets nothing for very long")
}

/// Whoever comes, whatever stands before it, and whether it stands under a text: what it wants is at the end of all that is there.
pub fn who_comes_waits_for_nobodys_dear_selectors() {
    let (mut world, q) = (world(), queue("q"));
    send_many(&mut world, &q, MESSAGES, "blue");
    for color in ["red", "green", "white", "black"] {
        send(&mut world, 1, &q, (color, color));
    }
    world.settle();
    // It costs nothing as it stands, and is met by every message.
    let hidden = |number: u32| format!("color = 'blue' AND ({})", dear(number));
    let all = u64::from(DEAR) * MESSAGES as u64;
    for (number, hides) in [(0, false), (1, true), (2, false)] {
        let text = |dears: u32| if hides { hidden(dears) } else { dear(number * 1_000 + dears) };
        come(&mut world, (0..DEAR).map(|dears| (1_000 * (number + 1) + dears, text(dears))));
        let (light, plain) = (["red", "green", "white"][number as usize], "color LIKE 'bla%'");
        come(&mut world, [(5 + number, format!("color = '{light}'"))]);
        let taken = evaluations_until(&mut world, 5 + number);
        assert!(taken < all / 4, "{number}: {taken} of {all} evaluations for one that stands under a text");
        if number == 2 {
            come(&mut world, [(9, plain.to_owned())]);
            let taken = evaluations_until(&mut world, 9);
            assert!(taken < all / 4, "{number}: {taken} of {all} evaluations for one that is asked about each message");
        }
    }
    // Nobody is forgotten, and nothing tried twice.
    world.settle();
    let hidden_and_not = 3 * all + 2 * 4 * u64::from(DEAR);
    let evaluations = world.broker.statistics().evaluations;
    assert!(evaluations <= hidden_and_not + MESSAGES as u64 + 100, "{evaluations} of {hidden_and_not}");
    assert!(evaluations + 10_000 >= hidden_and_not, "{evaluations} of {hidden_and_not}");
}

#[test]
fn newcomers_do_not_wait() {
    who_comes_waits_for_nobodys_dear_selectors();
}

/// A light pass overtakes a heavy one, and takes what that wants, too.
pub fn what_has_gone_out_past_a_slow_pass_is_tried_by_it_once_when_it_is_back() {
    let (mut world, q) = (world(), queue("q"));
    send_many(&mut world, &q, MESSAGES, "blue");
    send(&mut world, 1, &q, ("last", "red"));
    world.settle();
    let red = format!("{} OR color LIKE 're%'", dear(DEAR));
    come(&mut world, (0..DEAR).map(|number| (1_000 + number, dear(number))).chain([(6, red)]));
    come(&mut world, [(5, "color = 'red'".to_owned())]);
    evaluations_until(&mut world, 5);
    world.settle();
    let all = (u64::from(DEAR) + 1) * (MESSAGES as u64 + 1) + 1;
    let before = world.broker.statistics().evaluations;
    assert!(before + DEAR as u64 / 2 < all, "what is away is tried by nobody else: {before} of {all}");
    world.close_consumer(0, 1, 5, LastDelivered::None);
    world.settle();
    assert_eq!(got(&mut world), [(6, "last".to_owned(), 0)]);
    assert_eq!(world.broker.statistics().evaluations, all, "once for each");
    world.close_consumer(0, 1, 6, LastDelivered::None);
    world.settle();
    assert_eq!(world.broker.statistics().evaluations, all, "now all know it");
}

/// R25.
pub fn beside_other_work_trials_rest() {
    const REST: u64 = 500_000;
    let (mut world, q) = (World::with(Config { trial_rest_nanos: REST, ..Config::default() }, 1 << 30), queue("q"));
    world.connect(0, 1, "a");
    send_many(&mut world, &q, 20_000, "blue");
    come(&mut world, [(5, "color LIKE 'r%' OR color LIKE 'g%'".to_owned())]);
    let tried = |world: &mut World, nanos: u64| {
        world.now.nanos += nanos;
        let before = world.broker.statistics().evaluations;
        (0..20).for_each(|_| _ = world.go_on());
        world.broker.statistics().evaluations - before
    };
    for nanos in [REST, REST] {
        let evaluations = tried(&mut world, nanos);
        assert!(evaluations > 0 && evaluations < 1_000, "a slice: {evaluations}");
        assert_eq!(world.broker.deadline(), Some(world.now.nanos + REST), "which goes on by itself");
    }
    assert_eq!(tried(&mut world, REST / 2), 0, "it rests");
    assert!(tried(&mut world, 100 * REST) > 3_000, "nobody else is there");
}

#[test]
fn trials_rest() {
    beside_other_work_trials_rest();
}

#[test]
fn slow_passes_miss_nothing() {
    what_has_gone_out_past_a_slow_pass_is_tried_by_it_once_when_it_is_back();
}
