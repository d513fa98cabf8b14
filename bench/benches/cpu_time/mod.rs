//! Time that the thread had a processor: on a shared machine wall time counts what others did meanwhile.

use std::time::Duration;

use criterion::Bencher;
use rustix::time::{ClockId, clock_gettime};

/// A running clock.
pub struct CpuTime(Duration);

impl CpuTime {
    /// Starts one.
    pub fn start() -> CpuTime {
        CpuTime(now())
    }

    /// What it shows.
    pub fn elapsed(&self) -> Duration {
        now() - self.0
    }
}

/// The time of one item, of a routine that does `items` of them at a time.
#[allow(dead_code, reason = "not every bench that has this module times a whole routine")]
pub fn per_item(bencher: &mut Bencher<'_>, items: usize, mut routine: impl FnMut()) {
    bencher.iter_custom(|iterations| {
        let calls = iterations.div_ceil(items as u64);
        let clock = CpuTime::start();
        (0..calls).for_each(|_| routine());
        share(clock.elapsed(), iterations, calls * items as u64)
    });
}

/// What `iterations` items would have taken, where `done` took `spent`.
pub fn share(spent: Duration, iterations: u64, done: u64) -> Duration {
    spent.mul_f64(iterations as f64 / done as f64)
}

fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
