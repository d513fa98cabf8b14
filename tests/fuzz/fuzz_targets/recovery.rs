//! A broker that starts on a directory in which bits, sectors, lengths and names are not what they were.
//!
//! It refuses, or it recovers: never a panic, never a start without end. What it recovered to it can serve, and a second start is not
//! refused and has no message more than the first left.

#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use postrider_fuzz::broker::Life;
use postrider_fuzz::frames;

/// Files of a directory: three lives, the last of which ended in the middle of its work.
static DIRECTORY: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let directory = tempfile::tempdir().expect("a directory");
    for round in 0..3 {
        let mut life = Life::start(directory.path()).expect("an intact directory");
        let client = life.pipes.connect();
        for (number, frame) in frames::all().iter().take(70).enumerate() {
            life.pipes.send(client, frame);
            if number % 3 == round {
                (0..30).for_each(|_| _ = life.step());
            }
        }
        (0..300).for_each(|_| _ = life.step());
    }
    let entries = std::fs::read_dir(directory.path()).expect("a directory").flatten();
    let mut files: Vec<(String, Vec<u8>)> = entries
        .map(|entry| (entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).expect("a file")))
        .filter(|(name, _)| name.starts_with("segment-") || name.starts_with("epochs-") || name.starts_with("spare-"))
        .collect();
    files.sort();
    assert!(files.len() > 4, "the directory holds some segments");
    files
});

fuzz_target!(|input: &[u8]| {
    let mut files = DIRECTORY.clone();
    for change in input.chunks_exact(8).take(16) {
        alter(&mut files, change);
    }
    let directory = tempfile::tempdir().expect("a directory");
    for (name, bytes) in &files {
        std::fs::write(directory.path().join(name), bytes).expect("room for a file");
    }
    let Some(messages) = serve(directory.path()) else { return };
    let again = serve(directory.path()).expect("what was started once starts again");
    assert!(again <= messages, "{again} messages after a start that left {messages}");
});

/// Starts, hands out what it has without acknowledgements, and ends. Gives the messages there were; none: the start was refused.
fn serve(directory: &Path) -> Option<u64> {
    let mut life = match Life::start(directory) {
        Ok(life) => life,
        Err(reason) => {
            assert!(!reason.is_empty());
            return None;
        }
    };
    let client = life.pipes.connect();
    frames::drain().iter().for_each(|frame| life.pipes.send(client, frame));
    life.rest();
    life.pipes.end(client, false);
    life.rest();
    Some(life.sizes().2)
}

/// One change: what, to which file, where (4 bytes), and with what.
fn alter(files: &mut Vec<(String, Vec<u8>)>, change: &[u8]) {
    let (what, file, value, more) =
        (change[0], usize::from(change[1]) % files.len(), change[6], usize::from(change[7]));
    let place = u32::from_be_bytes([change[2], change[3], change[4], change[5]]) as usize;
    let length = files[file].1.len();
    let other = more % files.len();
    match what % 12 {
        _ if length == 0 => {}
        0..=3 => files[file].1[place % length] ^= value.max(1),
        4 => {
            let from = place % length / 512 * 512;
            let end = (from + 512 * (1 + more % 16)).min(length);
            files[file].1[from..end].fill(if value & 1 != 0 { value } else { 0 });
        }
        5 => {
            // A sector of another place: an old one, or one that was written elsewhere.
            let (from, to) = (place % length / 512 * 512, more * 512 % length / 512 * 512);
            let sector = files[file].1[from..(from + 512).min(length)].to_vec();
            let end = (to + sector.len()).min(length);
            let count = end - to;
            files[file].1[to..end].copy_from_slice(&sector[..count]);
        }
        6 => files[file].1.truncate(place % (length + 1)),
        7 => files[file].1.resize(length + place % 70_000, value),
        8 if other != file => {
            let one = std::mem::take(&mut files[file].1);
            let two = std::mem::replace(&mut files[other].1, one);
            files[file].1 = two;
        }
        9 if files.len() > 1 => drop(files.remove(file)),
        10 => {
            let name = format!("segment-{:016x}", place % 64);
            let bytes = files[file].1.clone();
            files.retain(|(known, _)| *known != name);
            files.push((name, bytes));
        }
        _ => {
            let bytes = files[other].1.clone();
            files[file].1 = bytes;
        }
    }
    if files.is_empty() {
        files.push(("epochs-0".into(), Vec::new()));
    }
}
