//! Seeds on two threads, reported in their order.
//!
//! A failure is a panic, of the oracle or of the broker's own code. The release profile aborts on a panic, so the failing thread
//! is stopped in the panic hook, and the process ends when all seeds before the failing one are through.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::plants;
use crate::theme::Theme;
use crate::world::{self, Summary};

const THREADS: usize = 2;

/// Time of its thread after which a seed hangs, however busy the machine is with others.
const HANGS_AFTER: Duration = Duration::from_secs(120);

/// What the kernel counts a thread's time in.
const TICK: Duration = Duration::from_millis(10);

thread_local!(static SEED: Cell<Option<u64>> = const { Cell::new(None) });

struct Board {
    next: u64,
    end: u64,
    running: BTreeMap<u64, Running>,
    failure: Option<(u64, String)>,
    total: Summary,
    done: u64,
}

/// A seed that is being run.
struct Running {
    /// Of its thread, below `/proc`.
    stat: PathBuf,
    /// The thread's time when the seed began.
    since: Duration,
}

type Shared = Arc<(Mutex<Board>, Condvar)>;

/// Runs the seeds, all with one theme if that is given. The first that fails is named, and the exit code is 1.
pub fn run(seeds: Range<u64>, plant: Option<&str>, theme: Option<Theme>, verbose: bool) -> ExitCode {
    let begin = Instant::now();
    let board = Board {
        next: seeds.start,
        end: seeds.end,
        running: BTreeMap::new(),
        failure: None,
        total: Summary::default(),
        done: 0,
    };
    let shared: Shared = Arc::new((Mutex::new(board), Condvar::new()));
    stop_in_panics(shared.clone());
    for _ in 0..if verbose { 1 } else { THREADS } {
        let (shared, plant) = (shared.clone(), plant.map(str::to_owned));
        thread::spawn(move || {
            if let Some(plant) = plant {
                plants::plant(&plant);
            }
            work(&shared, theme, verbose);
        });
    }
    let (failure, total, done) = wait(&shared);
    match failure {
        Some((seed, reason)) => {
            println!("seed {seed}");
            println!("{reason}");
            ExitCode::from(1)
        }
        None => {
            println!("{done} seeds passed in {:.1} s: {total:?}", begin.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
    }
}

fn work(shared: &Shared, theme: Option<Theme>, verbose: bool) {
    let (board, changed) = &**shared;
    loop {
        let running = Running::here();
        let Some(seed) = board.lock().expect("the board").take(running) else { break };
        SEED.set(Some(seed));
        let summary = world::run(seed, theme, verbose);
        let mut board = board.lock().expect("the board");
        board.running.remove(&seed);
        board.done += 1;
        board.total.add(&summary);
        changed.notify_all();
    }
    changed.notify_all();
}

/// Waits until all seeds are through, or the first failing one is known.
fn wait(shared: &Shared) -> (Option<(u64, String)>, Summary, u64) {
    let (board, changed) = &**shared;
    let mut board = board.lock().expect("the board");
    loop {
        let hanging = board.running.iter().find(|(_, running)| running.elapsed() > HANGS_AFTER).map(|(seed, _)| *seed);
        if let Some(seed) = hanging {
            board.running.remove(&seed);
            board.fail(seed, "a step does not come to an end".into());
        }
        let failed = board.failure.as_ref().map(|(seed, _)| *seed);
        let earlier = board.running.keys().any(|seed| failed.is_none_or(|failed| *seed < failed));
        if !earlier && (failed.is_some() || board.next == board.end) {
            return (board.failure.clone(), board.total, board.done);
        }
        board = changed.wait_timeout(board, Duration::from_secs(1)).expect("the board").0;
    }
}

impl Running {
    /// A seed that begins on this thread.
    fn here() -> Running {
        let thread = std::fs::read_link("/proc/thread-self").expect("a thread knows its number");
        let stat = Path::new("/proc").join(thread).join("stat");
        Running { since: time_of(&stat), stat }
    }

    /// How long its thread has worked at it.
    fn elapsed(&self) -> Duration {
        time_of(&self.stat).saturating_sub(self.since)
    }
}

/// What a thread has used of the processor, in user and in system mode: the 14th and the 15th field.
fn time_of(stat: &Path) -> Duration {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    // The name of the program, the second field, may have any characters.
    let behind_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = behind_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u32>().ok());
    TICK * ticks.sum()
}

impl Board {
    fn take(&mut self, running: Running) -> Option<u64> {
        if self.next == self.end || self.failure.is_some() {
            return None;
        }
        let seed = self.next;
        self.next += 1;
        self.running.insert(seed, running);
        Some(seed)
    }

    fn fail(&mut self, seed: u64, reason: String) {
        if self.failure.as_ref().is_none_or(|(failed, _)| seed < *failed) {
            self.failure = Some((seed, reason));
        }
    }
}

fn stop_in_panics(shared: Shared) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let Some(seed) = SEED.get() else { return usual(info) };
        let (board, changed) = &*shared;
        if let Ok(mut board) = board.lock() {
            board.running.remove(&seed);
            board.fail(seed, info.to_string());
        }
        changed.notify_all();
        loop {
            thread::park();
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_sleeps_does_not_hang_and_one_that_works_may() {
        let running = Running::here();
        thread::sleep(Duration::from_millis(100));
        assert!(running.elapsed() < Duration::from_millis(50));
        let begin = Instant::now();
        while running.elapsed() < Duration::from_millis(50) {
            assert!(begin.elapsed() < Duration::from_secs(60), "its time does not pass");
        }
    }
}
