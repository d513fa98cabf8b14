//! Rings between real threads.
#![cfg(not(loom))]

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
    let (mut producer, mut consumer) = ring(2, Alarm::new(), Alarm::new());
    assert!(consumer.is_empty() && producer.has_room());
    producer.push(Batch(vec![1])).unwrap();
    producer.push(Batch(vec![2])).unwrap();
    assert!(!producer.has_room());
    assert_eq!(producer.push(Batch(vec![3])), Err(Batch(vec![3])));
    assert_eq!(consumer.pop(), Some(Batch(vec![1])));
    producer.push(Batch(vec![3])).unwrap();
    assert_eq!(consumer.pop(), Some(Batch(vec![2])));
    assert_eq!(consumer.pop(), Some(Batch(vec![3])));
    assert_eq!(consumer.pop(), None);
}

#[test]
fn used_batches_come_back_empty_with_their_memory() {
    let (mut producer, mut consumer) = ring(1, Alarm::new(), Alarm::new());
    let mut first: Batch = producer.blank();
    assert_eq!(first, Batch::default());
    first.0.extend(0..1000);
    let place = first.0.as_ptr();
    producer.push(first).unwrap();
    let used = consumer.pop().unwrap();
    consumer.recycle(used);
    let again = producer.blank();
    assert!(again.0.is_empty() && again.0.capacity() >= 1000);
    assert_eq!(again.0.as_ptr(), place);
}

#[test]
fn more_batches_than_the_ring_keeps_are_dropped() {
    let (producer, mut consumer) = ring(1, Alarm::new(), Alarm::new());
    (0..100).for_each(|_| consumer.recycle(Batch::default()));
    drop(producer);
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
    let (consumer_alarm, waker) = parked();
    consumer_alarm.attach(waker);
    let producer_alarm = Alarm::new();
    let (mut producer, mut consumer) = ring(4, producer_alarm.clone(), consumer_alarm.clone());
    let other = thread::spawn(move || {
        let this = thread::current();
        producer_alarm.attach(Arc::new(move || this.unpark()));
        for number in 0..BATCHES {
            let mut batch: Batch = producer.blank();
            batch.0.push(number);
            let mut waiting = producer.push(batch).err();
            while let Some(batch) = waiting {
                if producer_alarm.may_sleep(|| producer.has_room()) {
                    thread::park();
                    producer_alarm.awake();
                }
                waiting = producer.push(batch).err();
            }
        }
    });
    let mut next = 0;
    while next < BATCHES {
        while let Some(batch) = consumer.pop() {
            assert_eq!(batch, Batch(vec![next]));
            consumer.recycle(batch);
            next += 1;
        }
        if next < BATCHES && consumer_alarm.may_sleep(|| !consumer.is_empty()) {
            thread::park();
            consumer_alarm.awake();
        }
    }
    other.join().unwrap();
}
