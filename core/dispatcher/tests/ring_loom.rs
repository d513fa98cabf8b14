//! Rings and wake flags under the model checker: no interleaving and no reordering loses a wake-up (R26), and planted bugs do.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p postrider-dispatcher --release --test ring_loom`
#![cfg(loom)]

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};
use loom::thread;
use postrider_dispatcher::ring::{Receiver, Recycle, Sender, ring};
use postrider_dispatcher::wake::{Alarm, WakeFlag, Waker};

#[derive(Debug, Default, PartialEq)]
struct Batch(Vec<u32>);

impl Recycle for Batch {
    fn recycle(&mut self) {
        self.0.clear();
    }
}

fn batch(number: u32) -> Batch {
    Batch(vec![number])
}

/// What an eventfd is to a driver's poll: remembers a wake until it is waited for. A wake that is lost is a deadlock, which
/// the model checker reports.
#[derive(Default)]
struct Event {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    fn waker(self: &Arc<Self>) -> Waker {
        let event = self.clone();
        Arc::new(move || {
            *event.set.lock().unwrap() = true;
            event.changed.notify_one();
        })
    }

    fn wait(&self) {
        let mut set = self.set.lock().unwrap();
        while !*set {
            set = self.changed.wait(set).unwrap();
        }
        *set = false;
    }
}

/// A thread's alarm and what it blocks on.
fn sleeper() -> (Arc<Alarm>, Arc<Event>) {
    let event = Arc::new(Event::default());
    (Alarm::with_waker(event.waker()), event)
}

fn model(preemptions: usize, run: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

/// Sleeps until the condition holds, as a turn does.
fn sleep_until(alarm: &Alarm, event: &Event, mut done: impl FnMut() -> bool) {
    while !done() {
        if alarm.may_sleep(&mut done) {
            event.wait();
            alarm.awake();
        }
    }
}

fn take(receiver: &mut Receiver<Batch>, alarm: &Alarm, event: &Event) -> Batch {
    sleep_until(alarm, event, || !receiver.is_empty());
    receiver.pop().expect("it is not empty, and nobody else pops")
}

fn put(sender: &mut Sender<Batch>, batch: Batch, alarm: &Alarm, event: &Event) {
    let mut waiting = Some(batch);
    while let Some(batch) = waiting.take() {
        waiting = sender.push(batch).err();
        if waiting.is_some() {
            sleep_until(alarm, event, || sender.has_room());
        }
    }
}

#[test]
fn a_sleeping_receiver_is_woken() {
    model(7, || {
        let (alarm, event) = sleeper();
        let (mut sender, mut receiver) = ring(2, Alarm::new(), alarm.clone());
        let other = thread::spawn(move || {
            sender.push(batch(1)).unwrap();
            sender.push(batch(2)).unwrap();
        });
        assert_eq!(take(&mut receiver, &alarm, &event), batch(1));
        assert_eq!(take(&mut receiver, &alarm, &event), batch(2));
        other.join().unwrap();
    });
}

/// Both sides sleep: the receiver when the ring is empty, the sender when it is full.
fn through_a_full_ring(told_of_room: bool) {
    let (sender_alarm, sender_event) = sleeper();
    let (receiver_alarm, receiver_event) = sleeper();
    let rings_on_pop = if told_of_room { sender_alarm.clone() } else { Alarm::new() };
    let (mut sender, mut receiver) = ring(1, rings_on_pop, receiver_alarm.clone());
    let other = thread::spawn(move || {
        for number in 0..3 {
            put(&mut sender, batch(number), &sender_alarm, &sender_event);
        }
    });
    for number in 0..3 {
        assert_eq!(take(&mut receiver, &receiver_alarm, &receiver_event), batch(number));
    }
    other.join().unwrap();
}

#[test]
fn a_sender_that_found_the_ring_full_is_woken() {
    model(5, || through_a_full_ring(true));
}

#[test]
#[should_panic(expected = "deadlock")]
fn planted_who_frees_a_slot_tells_nobody() {
    model(5, || through_a_full_ring(false));
}

/// A shard and the broker, each with a ring to the other: what one sends while the other falls asleep arrives.
#[test]
fn two_sides_that_wait_for_each_other_go_on() {
    model(5, || {
        let (shard_alarm, shard_event) = sleeper();
        let (broker_alarm, broker_event) = sleeper();
        let (mut up, mut from_shard) = ring(1, shard_alarm.clone(), broker_alarm.clone());
        let (mut down, mut from_broker) = ring(1, broker_alarm.clone(), shard_alarm.clone());
        let broker = thread::spawn(move || {
            let command = take(&mut from_shard, &broker_alarm, &broker_event);
            put(&mut down, command, &broker_alarm, &broker_event);
        });
        put(&mut up, batch(7), &shard_alarm, &shard_event);
        assert_eq!(take(&mut from_broker, &shard_alarm, &shard_event), batch(7));
        broker.join().unwrap();
    });
}

/// One thread with two rings to read from; `looks_at` of them are looked at once more before it sleeps.
fn two_sources(looks_at: usize) {
    let (alarm, event) = sleeper();
    let (mut one, from_one) = ring(1, Alarm::new(), alarm.clone());
    let (mut two, from_two) = ring(1, Alarm::new(), alarm.clone());
    let other = thread::spawn(move || {
        one.push(batch(1)).unwrap();
        two.push(batch(2)).unwrap();
    });
    let mut sources = [from_one, from_two];
    let mut taken = 0;
    while taken < 2 {
        taken += sources.iter_mut().filter_map(Receiver::pop).count();
        if taken < 2 && alarm.may_sleep(|| sources.iter().take(looks_at).any(|source| !source.is_empty())) {
            event.wait();
            alarm.awake();
        }
    }
    other.join().unwrap();
}

#[test]
fn a_sleeper_looks_at_all_its_sources() {
    model(5, || two_sources(2));
}

#[test]
#[should_panic(expected = "deadlock")]
fn planted_a_sleeper_forgets_a_source() {
    model(5, || two_sources(1));
}

/// How a sleeper with a bare flag goes to sleep: says whether it may block.
type Sleep = fn(&WakeFlag, &dyn Fn() -> bool) -> bool;

/// One push, one sleeper, the bare flag.
fn bare_flag(sleep: Sleep) {
    let (flag, event) = (Arc::new(WakeFlag::new()), Arc::new(Event::default()));
    let (mut sender, mut receiver) = ring(1, Alarm::new(), Alarm::new());
    let (wakes, wake) = (flag.clone(), event.waker());
    let other = thread::spawn(move || {
        sender.push(batch(1)).unwrap();
        if wakes.take() {
            wake();
        }
    });
    while receiver.pop().is_none() {
        if sleep(&flag, &|| !receiver.is_empty()) {
            event.wait();
            flag.lower();
        }
    }
    other.join().unwrap();
}

#[test]
fn the_flag_goes_up_before_the_second_look() {
    model(7, || {
        bare_flag(|flag, work| {
            flag.raise();
            !work()
        })
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn planted_the_flag_goes_up_after_the_second_look() {
    model(7, || {
        bare_flag(|flag, work| {
            let idle = !work();
            flag.raise();
            idle
        })
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn planted_there_is_no_second_look() {
    model(7, || {
        bare_flag(|flag, _| {
            flag.raise();
            true
        })
    });
}

#[test]
fn used_batches_come_back_empty() {
    model(5, || {
        let (alarm, event) = sleeper();
        let (mut sender, mut receiver) = ring(1, Alarm::new(), alarm.clone());
        let other = thread::spawn(move || {
            sender.push(batch(1)).unwrap();
            let blank: Batch = sender.blank();
            assert_eq!(blank, Batch::default());
        });
        let used = take(&mut receiver, &alarm, &event);
        receiver.recycle(used);
        other.join().unwrap();
    });
}
