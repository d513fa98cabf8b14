//! How it ends, with which code, and what it leaves.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::process::{ANY_PORT, Broker, greeting};
use crate::start::{refuse, refuse_io_uring};

/// Where each code of docs/operating.md is shown.
const CODES: &[(i32, &str)] = &[
    (0, "a_signal_ends_it_with_0_and_what_was_receipted_is_there"),
    (1, "what_is_unforeseen_is_code_1"),
    (2, "an_unknown_key_is_named_with_its_line_and_code_2"),
    (3, "a_contradiction_is_code_3_and_nothing_is_touched"),
    (4, "an_address_in_use_is_named_and_code_4"),
    (5, "a_disk_that_fails_to_write_is_code_5"),
    (6, "a_disk_that_does_not_answer_is_code_6"),
];

#[test]
fn every_exit_code_of_the_page_has_a_test() {
    let page = include_str!("../../docs/operating.md");
    let (_, section) = page.split_once("## Exit codes").expect("the section");
    let section = section.split("\n## ").next().unwrap_or_default();
    let listed: Vec<i32> =
        section.lines().filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok()).collect();
    assert_eq!(listed, CODES.iter().map(|(code, _)| *code).collect::<Vec<i32>>());
    let tests = [include_str!("ends.rs"), include_str!("start.rs")].concat();
    for (code, name) in CODES {
        assert!(tests.contains(&format!("#[test]\nfn {name}()")), "no test {name} for {code}");
    }
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry"));
    entries.map(|entry| (name(&entry), fs::read(entry.path()).expect("a file"))).collect()
}

/// One life in which a message was stored; its code at the end.
fn one_life(directory: &Path, sequence: i64) -> Option<i32> {
    let mut broker = Broker::start(directory, &ANY_PORT);
    let mut client = Client::connect(broker.address(), "ID:life");
    let message = client.message("Q", sequence, b"stored");
    assert!(client.ask(&message).is_some(), "it is stored");
    broker.signal("TERM");
    broker.end().0
}

#[test]
fn a_signal_ends_it_with_0_and_what_was_receipted_is_there() {
    let directory = tempfile::tempdir().unwrap();
    for life in 0..3 {
        let mut broker = Broker::start(directory.path(), &ANY_PORT);
        let mut client = Client::connect(broker.address(), "ID:a");
        for sequence in 1..=10 {
            let message = client.message("Q", sequence, format!("life {life} message {sequence}").as_bytes());
            assert!(client.ask(&message).is_some(), "it is stored");
        }
        broker.signal(["TERM", "INT", "TERM"][life]);
        assert_eq!(broker.end().0, Some(0));
    }
    let log: Vec<u8> = files(&directory.path().join("postrider-data")).into_values().flatten().collect();
    for text in ["life 0 message 1", "life 1 message 10", "life 2 message 10"] {
        assert!(log.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
}

#[test]
fn signals_that_are_not_for_it_do_not_end_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(directory.path(), &ANY_PORT);
    let address = broker.address();
    let ignored = ["HUP", "USR2", "ALRM", "VTALRM", "PROF", "IO", "PWR", "STKFLT", "XCPU", "XFSZ", "40", "64"];
    for signal in ignored.iter().chain(&["QUIT", "PIPE", "USR1"]) {
        broker.signal(signal);
    }
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(greeting(address), b"\x01ActiveMQ");
    broker.signal("TERM");
    let (code, log) = broker.end();
    assert_eq!(code, Some(0));
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("signal ignored"), ignored.len(), "a line each: {log}");
    assert_eq!(lines("counters: accepted"), 3, "on SIGQUIT, on SIGUSR1, at the end: {log}");
    for number in [1, 12, 14] {
        assert!(log.lines().any(|line| line.ends_with(&format!("signal={number}"))), "{number}: {log}");
    }
}

#[test]
fn what_is_unforeseen_is_code_1() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(ANY_PORT).args(["--io", "uring"]).current_dir(directory.path()).stderr(Stdio::piped());
    // SAFETY: the function makes two system calls and touches no memory of others.
    unsafe { command.pre_exec(refuse_io_uring) };
    let (code, log) = Broker::of(command.spawn().expect("the binary starts")).end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("io_uring is refused") && log.contains("use --io epoll"), "{log}");
    assert!(!directory.path().join("postrider-data").exists(), "it is known before the directory is opened: {log}");
}

/// The broker's turn has a thread of its own here, and waits for all shards at the end.
#[cfg(target_arch = "x86_64")]
#[test]
fn a_network_driver_that_fails_ends_it_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(ANY_PORT).args(["--io", "epoll", "--cores", "4"]).current_dir(directory.path()).stderr(Stdio::piped());
    // SAFETY: the closure makes two system calls and touches no memory of others.
    unsafe { command.pre_exec(|| refuse(libc::SYS_epoll_wait)) };
    let (code, log) = Broker::of(command.spawn().expect("the binary starts")).end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("Operation not permitted"), "{log}");
}

#[test]
fn a_contradiction_is_code_3_and_nothing_is_touched() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(one_life(directory.path(), 1), Some(0));
    let data = directory.path().join("postrider-data");
    let segment = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
    let segment = segment.filter(|path| path.to_string_lossy().contains("segment-")).min().expect("a segment");
    let file = fs::OpenOptions::new().write(true).open(&segment).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    for others in ["spill-0000000000000007", "new-3", "new-file", "spare-9"] {
        fs::write(data.join(others), "of an earlier life").unwrap();
    }
    let before = files(&data);
    let (code, log) = Broker::start(directory.path(), &ANY_PORT).end();
    assert_eq!(code, Some(3), "{log}");
    let name = segment.file_name().unwrap().to_string_lossy();
    assert!(log.contains(&*name), "the file is named: {log}");
    assert!(files(&data) == before, "nothing is touched");
}

/// Writes beyond these bytes of a file fail from here on.
fn limit_file_bytes(process: u32, bytes: u64) {
    let limit = libc::rlimit64 { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: a system call that reads a structure which lives until it returns.
    let outcome =
        unsafe { libc::prlimit64(process as i32, libc::RLIMIT_FSIZE, &raw const limit, std::ptr::null_mut()) };
    assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn a_disk_that_fails_to_write_is_code_5() {
    let directory = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(directory.path(), &[&ANY_PORT[..], &["--storage", "direct"]].concat());
    let mut client = Client::connect(broker.address(), "ID:a");
    let message = client.message("Q", 1, b"stored");
    assert!(client.ask(&message).is_some(), "it is stored");
    limit_file_bytes(broker.process.id(), 4096);
    let message = client.message("Q", 2, b"not stored");
    assert!(client.ask(&message).is_none(), "nobody is told that it is stored (R7)");
    let (code, log) = broker.end();
    assert_eq!(code, Some(5), "{log}");
    assert!(log.contains("File too large"), "{log}");
    drop(broker);
    assert_eq!(one_life(directory.path(), 3), Some(0), "it recovers from what is on the disk");
}

/// Stops one thread of a process of ours, until the process ends.
struct StoppedThread(libc::pid_t);

impl StoppedThread {
    /// None: this machine does not let us.
    fn stop(process: u32, name: &str) -> Option<StoppedThread> {
        let mut tasks =
            fs::read_dir(format!("/proc/{process}/task")).expect("its threads").map(|task| task.expect("one").path());
        let is_it =
            |path: &std::path::PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
        let task = tasks.find(is_it).unwrap_or_else(|| panic!("no thread {name}"));
        let thread: libc::pid_t = task.file_name()?.to_str()?.parse().ok()?;
        // SAFETY: system calls about a thread of a process that is our child; they touch no memory of ours but `status`.
        unsafe {
            let mut status = 0;
            let seized = libc::ptrace(libc::PTRACE_SEIZE, thread, 0, 0) == 0;
            let stopped = seized
                && libc::ptrace(libc::PTRACE_INTERRUPT, thread, 0, 0) == 0
                && libc::waitpid(thread, &raw mut status, libc::__WALL) == thread;
            stopped.then_some(StoppedThread(thread))
        }
    }

    /// Takes notice of its end, without which the process does not end either.
    fn ended(self) {
        let mut status = 0;
        // SAFETY: as above.
        while unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL) } == self.0 && !libc::WIFSIGNALED(status) {
            if libc::WIFEXITED(status) {
                return;
            }
        }
    }
}

#[test]
fn a_disk_that_does_not_answer_is_code_6() {
    let directory = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(directory.path(), &ANY_PORT);
    let mut client = Client::connect(broker.address(), "ID:a");
    let Some(flusher) = StoppedThread::stop(broker.process.id(), "flusher") else {
        eprintln!("not tested, the machine does not let a process be traced");
        return;
    };
    let message = client.message("Q", 1, b"not stored");
    client.send(&message);
    std::thread::sleep(Duration::from_millis(200));
    let begin = Instant::now();
    broker.signal("TERM");
    flusher.ended();
    let (code, log) = broker.end();
    assert_eq!(code, Some(6), "{log}");
    assert!(log.contains("not everything was synced within 10s"), "{log}");
    assert!((Duration::from_secs(9)..Duration::from_secs(20)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
}

#[test]
fn who_removes_the_lock_does_not_let_a_second_broker_in() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Broker::start(directory.path(), &ANY_PORT);
    let address = first.address();
    fs::remove_file(directory.path().join("postrider-data/lock")).unwrap();
    let (code, log) = Broker::start(directory.path(), &ANY_PORT).end();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("locked by another process"), "{log}");
    assert_eq!(greeting(address), b"\x01ActiveMQ", "the first goes on");
}

#[test]
fn what_it_makes_is_for_its_user_alone_and_others_directories_keep_their_mode() {
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(one_life(directory.path(), 1), Some(0));
    let data = directory.path().join("postrider-data");
    assert_eq!(mode(&data), 0o700);
    let made: Vec<_> = fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(made.len() >= 4, "{made:?}");
    for path in made {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let other = directory.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    let mut broker = Broker::start(directory.path(), &[&ANY_PORT[..], &["--data-dir", "other"]].concat());
    let mut warning = String::new();
    std::io::BufRead::read_line(&mut broker.log, &mut warning).unwrap();
    assert!(warning.contains("others may look into other") && warning.contains("chmod 700"), "{warning}");
    broker.address();
    assert_eq!(mode(&other), 0o755);
    broker.signal("TERM");
    let (code, log) = broker.end();
    assert_eq!((code, log.contains("others may look")), (Some(0), false), "once: {log}");
}

/// Lives in the epoch table.
fn lives(data: &Path) -> u32 {
    let table = files(data).into_iter().find(|(name, _)| name.starts_with("epochs")).expect("a table").1;
    u32::from_le_bytes(table[32..36].try_into().unwrap())
}

#[test]
fn a_start_that_fails_uses_no_life() {
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(one_life(directory.path(), 1), Some(0));
    let data = directory.path().join("postrider-data");
    let before = lives(&data);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("openwire://{}", taken.local_addr().unwrap());
    for _ in 0..5 {
        let (code, log) = Broker::start(directory.path(), &["--listen", &url]).end();
        assert_eq!(code, Some(4), "{log}");
    }
    assert_eq!(one_life(directory.path(), 2), Some(0));
    assert!(lives(&data) <= before + 1, "{} lives after {before} and one more", lives(&data));
}
