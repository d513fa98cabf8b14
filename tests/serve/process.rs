//! A broker of this build as a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A broker of this build, killed when it goes out of scope.
pub struct Broker {
    pub process: Child,
    pub log: BufReader<std::process::ChildStderr>,
}

impl Broker {
    pub fn start(directory: &Path, arguments: &[&str]) -> Broker {
        let process = Command::new(env!("CARGO_BIN_EXE_postrider"))
            .args(arguments)
            .current_dir(directory)
            .env_remove("POSTRIDER_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        Broker::of(process)
    }

    pub fn of(mut process: Child) -> Broker {
        let log = BufReader::new(process.stderr.take().expect("piped"));
        Broker { process, log }
    }

    /// Reads the log up to the line that says where it serves.
    pub fn address(&mut self) -> SocketAddr {
        let mut seen = String::new();
        loop {
            let start = seen.len();
            assert!(self.log.read_line(&mut seen).expect("readable log") > 0, "it ended: {seen}");
            if let Some((_, rest)) = seen[start..].split_once("openwire://") {
                let address = rest.split([' ', ',']).next().unwrap_or_default();
                return address.trim().parse().unwrap_or_else(|_| panic!("no address in {seen}"));
            }
        }
    }

    /// Waits for its end; its code and the rest of its log. It is killed when it does not end within a minute.
    pub fn end(&mut self) -> (Option<i32>, String) {
        let (ended, watch) = std::sync::mpsc::channel::<()>();
        let process = self.process.id() as libc::pid_t;
        let watcher = std::thread::spawn(move || {
            if watch.recv_timeout(Duration::from_secs(60)) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                // SAFETY: a system call about our own child, which nobody has waited for yet.
                unsafe { libc::kill(process, libc::SIGKILL) };
            }
        });
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).expect("readable log");
        drop(ended);
        watcher.join().expect("it only waits");
        let status: ExitStatus = self.process.wait().expect("waited for");
        (status.code(), rest)
    }

    /// The numbers that its line of counters says, by their names.
    pub fn counters(&mut self) -> impl Fn(&str) -> u64 + use<> {
        self.signal("USR1");
        let mut line = String::new();
        while !line.contains("counters:") {
            line.clear();
            assert!(self.log.read_line(&mut line).expect("readable log") > 0, "it ended");
        }
        move |name: &str| {
            let (_, rest) = line.split_once(&format!(" {name}=")).expect("the counter is there");
            rest.split(' ').next().and_then(|number| number.trim().parse().ok()).expect("a number")
        }
    }

    /// What its threads have had of processors.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it runs");
        let (_, rest) = stat.rsplit_once(')').expect("its name");
        // User and system time, in hundredths of a second.
        let ticks = rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number"));
        Duration::from_millis(10 * ticks.sum::<u64>())
    }

    pub fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1_024
    }

    /// Waits until the log is no longer than three times what lives in it, and so many bytes; then both.
    pub fn log_settles(&mut self, beside: u64) -> (u64, u64) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let known = self.counters();
            let (log, live) = (known("log_bytes"), known("live_bytes"));
            if log <= 3 * live + beside {
                return (log, live);
            }
            assert!(Instant::now() < end, "the log has {log} bytes, of which {live} live");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

pub const ANY_PORT: [&str; 2] = ["--listen", "openwire://127.0.0.1:0"];

/// The first frame of the broker's: a WireFormatInfo.
pub fn greeting(address: SocketAddr) -> Vec<u8> {
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let mut head = [0; 13];
    socket.read_exact(&mut head).expect("a greeting");
    head[4..].to_vec()
}
