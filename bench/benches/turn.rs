//! The broker's turn with its syncs stubbed: publish, receipt, dispatch, acknowledgement. Times are per message.

mod cpu_time;

use std::time::Duration;

use cpu_time::{CpuTime, share};
use criterion::{Criterion, criterion_group, criterion_main};
use postrider_bench::turns::{Delivery, ROUND, Turns};

const BATCHES: [usize; 4] = [1, 8, 64, 256];

fn turn(criterion: &mut Criterion) {
    let deliveries = [
        ("persistent", Delivery::Persistent),
        ("non-persistent", Delivery::NonPersistent),
        ("transacted", Delivery::Transacted),
        ("durable", Delivery::Durable),
    ];
    for (name, delivery) in deliveries {
        for messages in BATCHES {
            let mut turns = Turns::new(delivery);
            criterion.bench_function(&format!("turn/{name}/batches of {messages}"), |bencher| {
                bencher.iter_custom(|iterations| {
                    let in_round = (ROUND * messages) as u64;
                    let rounds = iterations.div_ceil(in_round);
                    let spent: Duration = (0..rounds).map(|_| round(&mut turns, messages)).sum();
                    share(spent, iterations, rounds * in_round)
                });
            });
        }
    }
}

/// The time of the turns alone.
fn round(turns: &mut Turns, messages: usize) -> Duration {
    turns.fill(messages);
    let clock = CpuTime::start();
    turns.run();
    let spent = clock.elapsed();
    assert_eq!(turns.drain().dispatches, ROUND * messages);
    spent
}

criterion_group!(benches, turn);
criterion_main!(benches);
