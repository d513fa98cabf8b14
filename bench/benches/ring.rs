//! Hand-over of batches between threads, and within one. Times are per item of 64 bytes; between threads they are wall time.

mod cpu_time;

use std::hint::black_box;
use std::time::Instant;

use cpu_time::{per_item, share};
use criterion::{Criterion, criterion_group, criterion_main};
use postrider_dispatcher::ring::{Receiver, Recycle, Sender, ring};
use postrider_dispatcher::wake::Alarm;
use postrider_model::limits;

const SIZES: [usize; 4] = [1, 8, 64, 256];

#[derive(Default)]
struct Batch(Vec<[u64; 8]>);

impl Recycle for Batch {
    fn recycle(&mut self) {
        self.0.clear();
    }
}

/// Both threads are awake all the time: nothing is woken.
fn both_ends() -> (Sender<Batch>, Receiver<Batch>) {
    ring(limits::RING_BATCHES, Alarm::new(), Alarm::new())
}

fn fill(sender: &mut Sender<Batch>, size: usize, first: u64) -> Batch {
    let mut batch = sender.blank();
    batch.0.extend((0..size as u64).map(|number| [first + number; 8]));
    batch
}

fn empty(receiver: &mut Receiver<Batch>) -> usize {
    let Some(batch) = receiver.pop() else { return 0 };
    let items = batch.0.len();
    black_box(batch.0.iter().map(|item| item[7]).sum::<u64>());
    receiver.recycle(batch);
    items
}

fn within_a_thread(criterion: &mut Criterion) {
    for size in SIZES {
        let (mut sender, mut receiver) = both_ends();
        criterion.bench_function(&format!("ring/within a thread/{size}"), |bencher| {
            per_item(bencher, size, || {
                let batch = fill(&mut sender, size, 0);
                assert!(sender.push(batch).is_ok());
                assert_eq!(empty(&mut receiver), size);
            });
        });
    }
}

fn between_threads(criterion: &mut Criterion) {
    for size in SIZES {
        criterion.bench_function(&format!("ring/between threads/{size}"), |bencher| {
            bencher.iter_custom(|items| {
                let batches = items.div_ceil(size as u64);
                let (sender, receiver) = both_ends();
                let start = Instant::now();
                std::thread::scope(|scope| {
                    scope.spawn(move || produce(sender, size, batches));
                    consume(receiver, batches * size as u64);
                });
                share(start.elapsed(), items, batches * size as u64)
            });
        });
    }
}

fn produce(mut sender: Sender<Batch>, size: usize, batches: u64) {
    for number in 0..batches {
        let mut batch = fill(&mut sender, size, number);
        while let Err(refused) = sender.push(batch) {
            batch = refused;
            // The other thread may wait for this very core.
            std::thread::yield_now();
        }
    }
}

fn consume(mut receiver: Receiver<Batch>, items: u64) {
    let mut left = items;
    while left > 0 {
        match empty(&mut receiver) {
            0 => std::thread::yield_now(),
            taken => left -= taken as u64,
        }
    }
}

criterion_group!(benches, within_a_thread, between_threads);
criterion_main!(benches);
