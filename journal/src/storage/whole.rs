//! Whole segments, read at a start, which has the time to ask again.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::image::ImageWriter;
use crate::storage::direct::{self, CHUNK};
use crate::storage::{Loaded, Unreadable};

/// What is asked for alone where more at a time cannot be read.
const BLOCK: usize = 4096;
/// The first pause before what cannot be read is asked for again; the next ones are twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// How often it is asked for again: over five seconds all together.
const TRIES: u32 = 9;

/// How often what cannot be read is still asked for again: so much for all that a start reads, or many files that a medium does not give
/// would take it hours. What it gives in the end makes it whole again.
pub(crate) struct Patience {
    /// Pauses made since the medium has given what it had not.
    made: AtomicU32,
    sleep: fn(Duration),
}

impl Default for Patience {
    fn default() -> Patience {
        Patience::sleeping(std::thread::sleep)
    }
}

impl Patience {
    pub(super) fn sleeping(sleep: fn(Duration)) -> Patience {
        Patience { made: AtomicU32::new(0), sleep }
    }

    /// Waits, a little longer each time. False: it is over.
    fn waits(&self) -> bool {
        let round = self.made.fetch_add(1, Ordering::Relaxed);
        if round >= TRIES {
            self.made.store(TRIES, Ordering::Relaxed);
            return false;
        }
        (self.sleep)(FIRST_PAUSE * (1 << round));
        true
    }

    fn is_rewarded(&self) {
        self.made.store(0, Ordering::Relaxed);
    }
}

/// Fills `image` from a file, and names what the medium does not give after several tries.
pub(super) fn read(file: &File, image: ImageWriter, patience: &Patience) -> io::Result<Loaded> {
    read_by(&mut |bytes, offset| direct::read_some(file, bytes, offset), patience, image)
}

/// Asks for something small, again and again where the medium does not give it. What is not there, or not for us, is not asked for again.
pub(super) fn asked_again<T>(mut ask: impl FnMut() -> io::Result<T>, patience: &Patience) -> io::Result<T> {
    let mut answer = ask();
    let fails = |answer: &io::Result<T>| answer.as_ref().is_err_and(|error| !stays(error.kind()));
    while fails(&answer) && patience.waits() {
        answer = ask();
        if !fails(&answer) {
            patience.is_rewarded();
        }
    }
    answer
}

/// Whether it is the same a moment later.
fn stays(error: io::ErrorKind) -> bool {
    matches!(error, io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory)
}

type ReadSome<'a> = dyn FnMut(&mut [u8], u64) -> io::Result<usize> + 'a;

fn read_by(read: &mut ReadSome<'_>, patience: &Patience, mut image: ImageWriter) -> io::Result<Loaded> {
    let mut missing = Vec::new();
    for start in (0..image.len()).step_by(CHUNK) {
        let end = image.len().min(start + CHUNK);
        if fill(read, &mut image, start, end).is_err() {
            missing.extend((start..end).step_by(BLOCK).map(|block| (block, end.min(block + BLOCK))));
        }
    }
    let mut unreadable = ask_again(read, &mut image, &missing);
    while !unreadable.is_empty() && patience.waits() {
        let missing: Vec<_> = unreadable.iter().map(|(start, end, _)| (*start, *end)).collect();
        unreadable = ask_again(read, &mut image, &missing);
        if unreadable.len() < missing.len() {
            patience.is_rewarded();
        }
    }
    for (start, end, error) in &unreadable {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Err(io::Error::new(error.kind(), error.to_string()));
        }
        image.bytes_mut(*start, end - start).fill(0);
    }
    Ok(Loaded { writer: image, unreadable: joined(unreadable) })
}

type Missing = (usize, usize, io::Error);

fn ask_again(read: &mut ReadSome<'_>, image: &mut ImageWriter, missing: &[(usize, usize)]) -> Vec<Missing> {
    let ask = |(start, end): &(usize, usize)| Some((*start, *end, fill(read, image, *start, *end).err()?));
    missing.iter().filter_map(ask).collect()
}

fn fill(read: &mut ReadSome<'_>, image: &mut ImageWriter, mut start: usize, end: usize) -> io::Result<()> {
    while start < end {
        start += read(image.bytes_mut(start, end - start), start as u64)?;
    }
    Ok(())
}

/// Neighbours are one.
fn joined(missing: Vec<Missing>) -> Vec<Unreadable> {
    let mut joined: Vec<Unreadable> = Vec::new();
    for (start, end, error) in missing {
        let (offset, len) = (start as u64, (end - start) as u64);
        match joined.last_mut().filter(|last| last.offset + last.len == offset) {
            Some(last) => last.len += len,
            None => joined.push(Unreadable { offset, len, error }),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: usize = 16 * BLOCK;

    thread_local!(static WAITED: std::cell::Cell<Duration> = const { std::cell::Cell::new(Duration::ZERO) });

    fn patience() -> Patience {
        WAITED.set(Duration::ZERO);
        Patience::sleeping(|pause| WAITED.set(WAITED.get() + pause))
    }

    /// A medium whose byte at `n` is `n % 251`, and which fails while `fails` says so of a range.
    fn loaded(fails: impl FnMut(u64, u64) -> Option<io::Error>) -> (io::Result<Loaded>, Duration) {
        (loaded_with(&patience(), fails), WAITED.get())
    }

    fn loaded_with(patience: &Patience, mut fails: impl FnMut(u64, u64) -> Option<io::Error>) -> io::Result<Loaded> {
        let mut read = |bytes: &mut [u8], offset: u64| {
            if let Some(error) = fails(offset, offset + bytes.len() as u64) {
                return Err(error);
            }
            // Short reads are continued.
            let some = bytes.len().min(5_000);
            (0..some).for_each(|index| bytes[index] = ((offset + index as u64) % 251) as u8);
            Ok(some)
        };
        read_by(&mut read, patience, ImageWriter::anonymous(BYTES).unwrap())
    }

    fn eio() -> Option<io::Error> {
        Some(io::Error::from_raw_os_error(5))
    }

    fn byte(loaded: &Loaded, offset: usize) -> u8 {
        loaded.writer.bytes(offset, 1)[0]
    }

    #[test]
    fn what_fails_for_a_moment_is_asked_for_again() {
        let mut tries = 0;
        let (loaded, waited) = loaded(|_, _| {
            tries += 1;
            (tries < 60).then(eio).flatten()
        });
        let loaded = loaded.unwrap();
        assert!(loaded.unreadable.is_empty() && waited > Duration::ZERO);
        assert!((0..BYTES).all(|offset| byte(&loaded, offset) == (offset % 251) as u8));
    }

    #[test]
    fn something_small_is_asked_for_again_unless_that_changes_nothing() {
        let asked = |failures: u32, kind: io::ErrorKind| {
            let (mut tries, patience) = (0, patience());
            let ask = || {
                tries += 1;
                if tries > failures { Ok(tries) } else { Err(kind.into()) }
            };
            let answer = asked_again(ask, &patience);
            (answer.map_err(|error| error.kind()), WAITED.get() > Duration::from_secs(5))
        };
        assert_eq!(asked(0, io::ErrorKind::Other), (Ok(1), false));
        assert_eq!(asked(4, io::ErrorKind::Other), (Ok(5), false));
        assert_eq!(asked(u32::MAX, io::ErrorKind::Other), (Err(io::ErrorKind::Other), true));
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied, io::ErrorKind::IsADirectory] {
            assert_eq!(asked(u32::MAX, kind), (Err(kind), false));
        }
    }

    #[test]
    fn what_stays_unreadable_is_named_and_nothing_else() {
        let bad = [(3 * BLOCK as u64, 5 * BLOCK as u64), (9 * BLOCK as u64, 9 * BLOCK as u64 + 512)];
        let (loaded, waited) = loaded(|from, to| bad.iter().find(|bad| from < bad.1 && bad.0 < to).and_then(|_| eio()));
        let loaded = loaded.unwrap();
        let named: Vec<_> = loaded.unreadable.iter().map(|bad| (bad.offset, bad.len)).collect();
        assert_eq!(named, [(3 * BLOCK as u64, 2 * BLOCK as u64), (9 * BLOCK as u64, BLOCK as u64)]);
        assert!(waited > Duration::from_secs(5), "{waited:?}");
        for offset in (0..BYTES).step_by(100) {
            let lost = matches!(offset / BLOCK, 3 | 4 | 9);
            assert_eq!(byte(&loaded, offset), if lost { 0 } else { (offset % 251) as u8 });
        }
    }

    #[test]
    fn all_files_that_the_medium_does_not_give_have_one_patience() {
        let patience = patience();
        let lost = |patience: &Patience| loaded_with(patience, |_, _| eio()).unwrap().unreadable[0].len;
        assert_eq!(lost(&patience), BYTES as u64);
        let once = WAITED.get();
        assert!(once > Duration::from_secs(5));
        (0..100).for_each(|_| assert_eq!(lost(&patience), BYTES as u64));
        assert!(asked_again(|| Err::<(), _>(io::ErrorKind::Other.into()), &patience).is_err());
        assert_eq!(WAITED.get(), once, "only the first was waited for");
    }

    #[test]
    fn a_medium_that_gives_everything_in_the_end_is_waited_for_each_time() {
        let patience = patience();
        for _ in 0..100 {
            let mut tries = 0;
            let fails = |_, _| {
                tries += 1;
                (tries < 60).then(eio).flatten()
            };
            assert!(loaded_with(&patience, fails).unwrap().unreadable.is_empty());
        }
    }

    #[test]
    fn a_file_that_is_too_short_is_an_error() {
        let end = 7 * BLOCK as u64;
        let (loaded, _) = loaded(|from, _| (from >= end).then(|| io::Error::from(io::ErrorKind::UnexpectedEof)));
        assert_eq!(loaded.err().unwrap().kind(), io::ErrorKind::UnexpectedEof);
    }
}
