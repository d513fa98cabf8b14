//! Rings between real threads.
#![cfg(not(loom))]
#![expect(clippy::disallowed_methods, reason = "its threads are real")]

use std::sync::Arc;
use std::thread;

use postrider_dispatcher::ring::{Recycle, ring};
use postrider_dispatcher::wake::{Alarm, Waker};

#[derive(Debug, Default, PartialEq)]
struct Batch(Vec<u64>);

impl Recycle for Batch {
    fn recycle(&mut self) {
        self.0.clear();
    }
}

#[test]
fn batches_arrive_in_order_and_a_full_ring_gives_them_back() {
    let (mut sender, mut receiver) = ring(2, Alarm::new(), Alarm::new());
    assert!(receiver.is_empty() && sender.has_room());
    sender.push(Batch(vec![1])).unwrap();
    sender.push(Batch(vec![2])).unwrap();
    assert!(!sender.has_room());
    assert_eq!(sender.push(Batch(vec![3])), Err(Batch(vec![3])));
    assert_eq!(receiver.pop(), Some(Batch(vec![1])));
    sender.push(Batch(vec![3])).unwrap();
    assert_eq!(receiver.pop(), Some(Batch(vec![2])));
    assert_eq!(receiver.pop(), Some(Batch(vec![3])));
    assert_eq!(receiver.pop(), None);
}

#[test]
fn used_batches_come_back_empty_with_their_memory() {
    let (mut sender, mut receiver) = ring(1, Alarm::new(), Alarm::new());
    let mut first: Batch = sender.blank();
    assert_eq!(first, Batch::default());
    first.0.extend(0..1000);
    let place = first.0.as_ptr();
    sender.push(first).unwrap();
    let used = receiver.pop().unwrap();
    receiver.recycle(used);
    let again = sender.blank();
    assert!(again.0.is_empty() && again.0.capacity() >= 1000);
    assert_eq!(again.0.as_ptr(), place);
}

#[test]
fn more_batches_than_the_ring_keeps_are_dropped() {
    let (sender, mut receiver) = ring(1, Alarm::new(), Alarm::new());
    (0..100).for_each(|_| receiver.recycle(Batch::default()));
    drop(sender);
}

/// A thread that parks, and its alarm.
fn parked() -> (Arc<Alarm>, Waker) {
    let thread = thread::current();
    let waker: Waker = Arc::new(move || thread.unpark());
    (Alarm::new(), waker)
}

#[test]
fn two_threads_that_sleep_whenever_they_can_pass_everything_on() {
    const BATCHES: u64 = 100_000;
    let (receiver_alarm, waker) = parked();
    receiver_alarm.attach(waker);
    let sender_alarm = Alarm::new();
    let (mut sender, mut receiver) = ring(4, sender_alarm.clone(), receiver_alarm.clone());
    let other = thread::spawn(move || {
        let this = thread::current();
        sender_alarm.attach(Arc::new(move || this.unpark()));
        for number in 0..BATCHES {
            let mut batch: Batch = sender.blank();
            batch.0.push(number);
            let mut waiting = sender.push(batch).err();
            while let Some(batch) = waiting {
                if sender_alarm.may_sleep(|| sender.has_room()) {
                    thread::park();
                    sender_alarm.awake();
                }
                waiting = sender.push(batch).err();
            }
        }
    });
    let mut next = 0;
    while next < BATCHES {
        while let Some(batch) = receiver.pop() {
            assert_eq!(batch, Batch(vec![next]));
            receiver.recycle(batch);
            next += 1;
        }
        if next < BATCHES && receiver_alarm.may_sleep(|| !receiver.is_empty()) {
            thread::park();
            receiver_alarm.awake();
        }
    }
    other.join().unwrap();
}
