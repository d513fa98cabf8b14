//! How it starts, and what it says when it cannot.

use std::io::{BufRead, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::process::{ANY_PORT, Broker, greeting};

#[test]
fn it_serves_without_configuration_and_ends_with_0() {
    let directory = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(directory.path(), &ANY_PORT);
    let address = broker.address();
    assert_eq!(greeting(address), b"\x01ActiveMQ");
    assert!(directory.path().join("postrider-data").is_dir());
    broker.signal("TERM");
    assert_eq!(broker.end().0, Some(0));
}

#[test]
fn every_driver_and_every_storage_serves() {
    for io in ["auto", "uring", "epoll", "tokio-uring"] {
        for storage in ["direct", "mapped"] {
            let directory = tempfile::tempdir().unwrap();
            let arguments = [&ANY_PORT[..], &["--io", io, "--storage", storage, "--cores", "2"]].concat();
            let mut broker = Broker::start(directory.path(), &arguments);
            let address = broker.address();
            assert_eq!(greeting(address), b"\x01ActiveMQ", "{io} {storage}");
            broker.signal("INT");
            assert_eq!(broker.end().0, Some(0), "{io} {storage}");
        }
    }
}

/// Refuses io_uring_setup to the process and its children, as a container's seccomp profile does.
pub fn refuse_io_uring() -> std::io::Result<()> {
    refuse(libc::SYS_io_uring_setup)
}

/// Refuses a system call to the process and its children.
pub fn refuse(call: libc::c_long) -> std::io::Result<()> {
    const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const JUMP_IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        step(LOAD_NUMBER, 0, 0, 0),
        step(JUMP_IF_EQUAL, 0, 1, call as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: both calls take plain numbers and a pointer to the program, which lives until they return.
    let outcome = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            | libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program, 0, 0)
    };
    if outcome == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

#[test]
fn where_io_uring_is_refused_auto_takes_epoll_and_says_so_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(ANY_PORT).args(["--cores", "2"]).current_dir(directory.path()).stderr(Stdio::piped());
    // SAFETY: the function makes two system calls and touches no memory of others.
    unsafe { command.pre_exec(refuse_io_uring) };
    let mut broker = Broker::of(command.spawn().expect("the binary starts"));
    let mut before = String::new();
    broker.log.read_line(&mut before).unwrap();
    assert!(before.contains("io_uring is refused") && before.contains("epoll"), "{before}");
    assert_eq!(greeting(broker.address()), b"\x01ActiveMQ");
    broker.signal("TERM");
    let (code, log) = broker.end();
    assert_eq!(code, Some(0));
    assert!(!log.contains("io_uring"), "said once: {log}");
}

#[test]
fn a_locked_data_directory_is_one_sentence_and_code_3() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = Broker::start(directory.path(), &ANY_PORT);
    let address = first.address();
    let (code, log) = Broker::start(directory.path(), &ANY_PORT).end();
    assert_eq!(code, Some(3));
    assert!(log.contains("locked by another process"), "{log}");
    assert_eq!(greeting(address), b"\x01ActiveMQ", "the first goes on");
}

#[test]
fn a_data_directory_that_cannot_be_is_one_sentence_and_code_3() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("file"), "in the way").unwrap();
    let arguments = [&ANY_PORT[..], &["--data-dir", "file"]].concat();
    let (code, log) = Broker::start(directory.path(), &arguments).end();
    assert_eq!(code, Some(3), "{log}");
    assert_eq!(std::fs::read_to_string(directory.path().join("file")).unwrap(), "in the way");
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_code_2() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("postrider.toml"), "cores = 1\nlisten_on = []\n").unwrap();
    let (code, log) = Broker::start(directory.path(), &["serve", "--config", "postrider.toml"]).end();
    assert_eq!(code, Some(2));
    assert!(log.contains("line 2: unknown key `listen_on`; did you mean `listen`?"), "{log}");
    assert!(!directory.path().join("postrider-data").exists(), "nothing was touched");
}

#[test]
fn an_address_in_use_is_named_and_code_4() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("openwire://{}", taken.local_addr().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let (code, log) = Broker::start(directory.path(), &["--listen", &url]).end();
    assert_eq!(code, Some(4), "{log}");
    assert!(log.contains("cannot listen on"), "{log}");
    assert!(!directory.path().join("postrider-data").exists(), "nothing was touched");
}

#[test]
fn a_client_that_speaks_nonsense_is_closed_with_a_line_and_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(directory.path(), &ANY_PORT);
    let address = broker.address();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    assert!(socket.read_to_end(&mut rest).is_ok() || !rest.is_empty(), "the broker closes the connection");
    assert_eq!(greeting(address), b"\x01ActiveMQ");
    broker.signal("TERM");
    let (code, log) = broker.end();
    assert_eq!(code, Some(0));
    assert!(log.contains("connection closed") && log.contains("127.0.0.1"), "{log}");
}

/// Lowers the limit of descriptors: the soft one, and the hard one.
fn limit_descriptors(soft: u64, hard: u64) -> std::io::Result<()> {
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: a system call that reads a structure which lives until it returns.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

#[test]
fn connections_end_before_the_descriptors_of_the_journal_do() {
    // 160 less 40 for the journal and 64 others; one driver has two descriptors a connection.
    for (io, most) in [("epoll", 56), ("uring", 56), ("tokio-uring", 28)] {
        let (served, log) = served_of_200(io);
        assert_eq!(served, most, "{io}");
        assert!(log.contains(&format!("{most} connections are open")), "{io}: {log}");
        assert!(log.lines().filter(|line| line.contains("connections are open")).count() <= 25, "{io}: {log}");
    }
}

/// How many of 200 connections are served with 160 descriptors, and the log.
fn served_of_200(io: &str) -> (usize, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_postrider"));
    command.args(ANY_PORT).args(["--io", io, "--cores", "1"]).current_dir(directory.path()).stderr(Stdio::piped());
    // SAFETY: the closure makes one system call between fork and exec.
    unsafe { command.pre_exec(|| limit_descriptors(100, 160)) };
    let mut broker = Broker::of(command.spawn().expect("the binary starts"));
    let address = broker.address();
    let files = |broker: &Broker| {
        std::fs::read_dir(format!("/proc/{}/fd", broker.process.id())).expect("its descriptors").count()
    };
    let mut sockets: Vec<TcpStream> =
        (0..200).map(|_| TcpStream::connect(address).expect("the backlog takes it")).collect();
    let mut served = 0;
    for socket in &mut sockets {
        socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
        served += usize::from(socket.read_exact(&mut [0; 13]).is_ok());
    }
    assert!(files(&broker) < 160 - 40, "{io}: {} descriptors", files(&broker));
    drop(sockets);
    let again = (0..100).find(|_| {
        std::thread::sleep(Duration::from_millis(50));
        let mut socket = TcpStream::connect(address).expect("it listens");
        socket.read_exact(&mut [0; 13]).is_ok()
    });
    assert!(again.is_some(), "{io}: those that went make room");
    broker.signal("TERM");
    let (code, log) = broker.end();
    assert_eq!(code, Some(0), "{io}");
    (served, log)
}

#[test]
fn the_shipped_binary_has_no_planted_bug() {
    let binary = std::fs::read(env!("CARGO_BIN_EXE_postrider")).unwrap();
    let has = |name: &[u8]| binary.windows(name.len()).any(|window| window == name);
    assert!(has(b"postrider_broker"), "the search works");
    for name in [&b"skip-epoch-check"[..], b"dispatch-before-commit", b"under-marked"] {
        assert!(!has(name), "{} is in the binary", String::from_utf8_lossy(name));
    }
}
