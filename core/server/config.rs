//! Settings: the built-in ones, then the file's, then the command line's.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use postrider_model::limits;
use serde::Deserialize;

use crate::args::{Io, Listen, ServeArguments, StorageWay};
use crate::keys::{line_of, refuse_unknown_keys};

/// All settings of the broker. Every key is explained in docs/operating.md.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Config {
    /// Name of the broker, as clients see it.
    pub name: String,
    /// Where the journal lies.
    pub data_dir: PathBuf,
    /// Protocols and addresses to listen on, as URLs.
    pub listen: Vec<String>,
    /// Threads that serve connections; 0: the cores that the process may use, but one.
    pub cores: usize,
    /// Network driver.
    pub io: Io,
    /// How segments reach the disk.
    pub storage: StorageWay,
    /// Settings of the OpenWire protocol.
    pub openwire: OpenWire,
    /// Settings of the journal.
    pub journal: Journal,
    /// What becomes of messages that nobody takes.
    pub dead_letters: DeadLetters,
    /// Destinations.
    pub destinations: Destinations,
    /// Durable subscriptions.
    pub subscriptions: Subscriptions,
    /// Transactions.
    pub transactions: Transactions,
    /// What becomes of senders when there is no room.
    pub flow: Flow,
    /// What clients make the broker keep.
    pub clients: Clients,
    /// Names of files that are given up; on the command line only: it is for one start.
    #[serde(skip)]
    pub give_up: Vec<String>,
}

/// Durable subscriptions.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Subscriptions {
    /// How many there may be.
    pub max_count: usize,
    /// Seconds after which one goes that no consumer has had; 0: never.
    pub offline_timeout_seconds: u64,
}

impl Default for Subscriptions {
    fn default() -> Subscriptions {
        Subscriptions { max_count: 65_536, offline_timeout_seconds: 0 }
    }
}

/// Transactions.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Transactions {
    /// Messages that one may have, sent and received.
    pub max_messages: u64,
}

impl Default for Transactions {
    fn default() -> Transactions {
        Transactions { max_messages: 1_000_000 }
    }
}

/// What clients make the broker keep.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Clients {
    /// Memory of their sessions, producers, consumers, names and cached values, beside 64 KiB for each connection.
    pub memory_bytes: u64,
    /// Whether a client id, or a durable subscription, that is in use goes to who comes later.
    pub allow_link_stealing: bool,
}

/// What becomes of senders when there is no room.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Flow {
    /// Sends that wait for an answer and find the journal full.
    pub when_full: WhenFull,
    /// Sends kept in memory until the journal has room for them.
    pub park_bytes: u64,
    /// Messages that may wait in a queue whose consumers wait for the broker, before its senders are read no faster than it drains.
    pub backlog_messages: u64,
    /// The same in bytes.
    pub backlog_bytes: u64,
}

/// What becomes of sends that wait for an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum WhenFull {
    /// They fail.
    Refuse,
    /// They are answered when there was room.
    Wait,
}

/// Settings of the OpenWire protocol.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct OpenWire {
    /// Largest frame that is taken and sent.
    pub max_frame_bytes: u64,
    /// A connection is given up when nothing came for so long; 0: never.
    pub max_inactivity_millis: u64,
    /// Whether the tight encoding is offered: fewer bytes, more work.
    pub tight_encoding: bool,
    /// Slots of the marshalling cache in each direction; 0 switches the cache off.
    pub cache_size: u16,
}

/// Settings of the journal.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Journal {
    /// Size of a segment.
    pub segment_bytes: u64,
    /// Recent segments kept in memory.
    pub hot_bytes: u64,
    /// What the journal may take of the disk; 0: 80 % of what is free at the start.
    pub disk_budget_bytes: u64,
    /// Non-persistent messages kept in memory; beyond it they go to files.
    pub spool_bytes: u64,
    /// What those files may take of the disk budget; 0: a quarter of it.
    pub spool_disk_bytes: u64,
}

/// What becomes of messages that nobody takes.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct DeadLetters {
    /// Whether expired messages go to the dead letter queue.
    pub expired: bool,
    /// Whether non-persistent messages go there.
    pub non_persistent: bool,
}

/// What may come into being.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub(crate) struct Destinations {
    /// Destinations that may exist, temporary ones included.
    pub max_count: usize,
    /// Longest name in bytes.
    pub max_name_bytes: usize,
}

impl Default for Destinations {
    fn default() -> Destinations {
        Destinations { max_count: 1_000_000, max_name_bytes: 8 * 1024 }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            name: "postrider".into(),
            data_dir: "./postrider-data".into(),
            listen: vec!["openwire://127.0.0.1:61616".into()],
            cores: 0,
            io: Io::Auto,
            storage: StorageWay::Auto,
            openwire: OpenWire::default(),
            journal: Journal::default(),
            dead_letters: DeadLetters::default(),
            destinations: Destinations::default(),
            subscriptions: Subscriptions::default(),
            transactions: Transactions::default(),
            flow: Flow::default(),
            clients: Clients::default(),
            give_up: Vec::new(),
        }
    }
}

impl Default for OpenWire {
    fn default() -> OpenWire {
        OpenWire {
            max_frame_bytes: limits::MAX_FRAME_BYTES,
            max_inactivity_millis: 30_000,
            tight_encoding: false,
            cache_size: 1024,
        }
    }
}

impl Default for Journal {
    fn default() -> Journal {
        Journal {
            segment_bytes: 64 << 20,
            hot_bytes: 256 << 20,
            disk_budget_bytes: 0,
            spool_bytes: 512 << 20,
            spool_disk_bytes: 0,
        }
    }
}

impl Default for Flow {
    fn default() -> Flow {
        let postrider_broker::Backlog { messages, bytes } = postrider_broker::Backlog::default();
        let park_bytes = limits::PARK_BYTES;
        Flow { when_full: WhenFull::Refuse, park_bytes, backlog_messages: messages, backlog_bytes: bytes }
    }
}

impl Default for Clients {
    fn default() -> Clients {
        Clients { memory_bytes: limits::CLIENT_MEMORY_BYTES, allow_link_stealing: false }
    }
}

impl Default for DeadLetters {
    fn default() -> DeadLetters {
        DeadLetters { expired: true, non_persistent: false }
    }
}

/// Longest name of a broker: it is in ids, in advisories and in the first frames, which have limits of their own.
const NAME_BYTES: usize = 255;

/// Each client listens to advisory topics, and what cannot be delivered needs a queue.
const FEWEST_DESTINATIONS: usize = 16;

/// Most durable subscriptions that can be set: each is a queue.
const MOST_SUBSCRIPTIONS: usize = 1_000_000;

/// Longest time that can be set for which nobody has a subscription.
const LONGEST_OFFLINE_SECONDS: u64 = 100 * 366 * 86_400;

/// Most messages of a transaction that can be set: they are decided in one step.
const MOST_OF_TRANSACTION: u64 = 1_000_000;

impl Config {
    /// The settings that these arguments ask for.
    pub(crate) fn resolve(arguments: &ServeArguments) -> anyhow::Result<Config> {
        let mut config = match &arguments.config {
            Some(path) => Config::from_file(path)?,
            None => Config::default(),
        };
        config.override_by(arguments);
        config.give_up = given_up(&arguments.give_up, &config.data_dir)?;
        config.check()?;
        Ok(config)
    }

    /// Where to listen, and what is spoken there.
    pub(crate) fn listeners(&self) -> anyhow::Result<Vec<Listen>> {
        self.listen.iter().map(|url| url.parse().map_err(|error: String| anyhow!("listen: {error}"))).collect()
    }

    fn from_file(path: &Path) -> anyhow::Result<Config> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read the configuration {}", path.display()))?;
        Config::from_text(&text).with_context(|| format!("in the configuration {}", path.display()))
    }

    fn from_text(text: &str) -> anyhow::Result<Config> {
        refuse_unknown_keys(text)?;
        toml::from_str(text).map_err(|error| anyhow!("line {}: {}", line_of(text, error.span()), error.message()))
    }

    fn override_by(&mut self, arguments: &ServeArguments) {
        let ServeArguments { config: _, data_dir, listen, cores, io, storage, name, give_up: _ } = arguments;
        if let Some(directory) = data_dir {
            self.data_dir.clone_from(directory);
        }
        if !listen.is_empty() {
            self.listen = listen.iter().map(Listen::to_string).collect();
        }
        self.cores = cores.unwrap_or(self.cores);
        self.io = io.unwrap_or(self.io);
        self.storage = storage.unwrap_or(self.storage);
        if let Some(name) = name {
            self.name.clone_from(name);
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            !self.listeners()?.is_empty(),
            "listen: give at least one address, \"openwire://127.0.0.1:61616\" for example"
        );
        anyhow::ensure!(!self.data_dir.as_os_str().is_empty(), "data_dir: give the directory a name");
        anyhow::ensure!(
            (1..=NAME_BYTES).contains(&self.name.len()) && !self.name.contains(char::is_control),
            "name: give the broker a name of 1 to {NAME_BYTES} bytes without control characters, this one has {}",
            self.name.len()
        );
        anyhow::ensure!(self.cores <= 64, "cores: {} is too many, give at most 64", self.cores);
        let size = self.journal.segment_bytes;
        anyhow::ensure!(
            size.is_power_of_two() && (1 << 20..=1 << 30).contains(&size),
            "journal.segment_bytes: {size} is not a power of two from 1 MiB to 1 GiB"
        );
        let Journal { disk_budget_bytes: budget, spool_disk_bytes: spool, .. } = self.journal;
        anyhow::ensure!(
            budget == 0 || spool <= budget / 2,
            "journal.spool_disk_bytes: {spool} is more than half of journal.disk_budget_bytes, {budget}, which it is a part of"
        );
        let count = self.destinations.max_count;
        anyhow::ensure!(
            count >= FEWEST_DESTINATIONS,
            "destinations.max_count: {count} is less than {FEWEST_DESTINATIONS}, which one client and the dead letters need"
        );
        let name = self.destinations.max_name_bytes;
        anyhow::ensure!(
            (1..=limits::DESTINATION_NAME_BYTES).contains(&name),
            "destinations.max_name_bytes: {name} is not from 1 to {}",
            limits::DESTINATION_NAME_BYTES
        );
        let Subscriptions { max_count, offline_timeout_seconds: seconds } = self.subscriptions;
        anyhow::ensure!(
            max_count <= MOST_SUBSCRIPTIONS,
            "subscriptions.max_count: {max_count} is more than {MOST_SUBSCRIPTIONS}"
        );
        anyhow::ensure!(
            seconds <= LONGEST_OFFLINE_SECONDS,
            "subscriptions.offline_timeout_seconds: {seconds} is more than {LONGEST_OFFLINE_SECONDS}, a hundred years"
        );
        let messages = self.transactions.max_messages;
        anyhow::ensure!(
            (1..=MOST_OF_TRANSACTION).contains(&messages),
            "transactions.max_messages: {messages} is not from 1 to {MOST_OF_TRANSACTION}"
        );
        let frame = self.openwire.max_frame_bytes;
        anyhow::ensure!(
            (limits::MAX_FRAME_BYTES_BEFORE_CONNECT as u64..=i32::MAX as u64).contains(&frame),
            "openwire.max_frame_bytes: {frame} is not from 65536, which connecting takes, to 2147483647"
        );
        let cache = self.openwire.cache_size;
        anyhow::ensure!(
            cache == 0 || (100..=16_383).contains(&cache),
            "openwire.cache_size: {cache} is not 0 and not from 100 to 16383 (Java clients hang below 100)"
        );
        Ok(())
    }
}

/// Names in the data directory. A path into another one is somebody's mistake: its file is not the one that would be given up.
fn given_up(files: &[PathBuf], data_dir: &Path) -> anyhow::Result<Vec<String>> {
    let name = |file: &PathBuf| {
        let name =
            file.file_name().with_context(|| format!("--give-up {}: give the name of a file", file.display()))?;
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        anyhow::ensure!(
            folder.is_none_or(|folder| is_same_folder(folder, data_dir)),
            "--give-up {}: it is not in the data directory {}, give the name of a file there",
            file.display(),
            data_dir.display()
        );
        Ok(name.to_string_lossy().into_owned())
    };
    files.iter().map(name).collect()
}

fn is_same_folder(one: &Path, other: &Path) -> bool {
    one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::tables;

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_one() {
        let error = Config::from_text("name = \"a\"\n\n[journal]\nsegment_byte = 5\n").unwrap_err().to_string();
        assert_eq!(error, "line 4: unknown key `segment_byte` in [journal]; did you mean `segment_bytes`?");
        let error = Config::from_text("datadir = 'x'").unwrap_err().to_string();
        assert_eq!(error, "line 1: unknown key `datadir`; did you mean `data_dir`?");
    }

    #[test]
    fn a_bad_value_is_named_with_its_line() {
        let error = Config::from_text("cores = 2\nio = \"fast\"\n").unwrap_err().to_string();
        assert!(error.starts_with("line 2:") && error.contains("fast"), "{error}");
    }

    #[test]
    fn the_command_line_wins_over_the_file_and_the_file_over_the_defaults() {
        let mut config = Config::from_text("cores = 1\nname = \"file\"\n").unwrap();
        config.override_by(&ServeArguments { name: Some("line".into()), ..ServeArguments::default() });
        assert_eq!((config.cores, config.name.as_str(), config.io), (1, "line", Io::Auto));
    }

    #[test]
    fn every_listed_key_is_taken() {
        let text = "name='n'\ndata_dir='d'\nlisten=['openwire://127.0.0.1:1']\ncores=1\nio='epoll'\nstorage='mapped'\n\
            [openwire]\nmax_frame_bytes=1\nmax_inactivity_millis=0\ntight_encoding=true\ncache_size=0\n\
            [journal]\nsegment_bytes=1\nhot_bytes=1\ndisk_budget_bytes=1\nspool_bytes=1\nspool_disk_bytes=1\n\
            [dead_letters]\nexpired=false\nnon_persistent=true\n\
            [destinations]\nmax_count=1\nmax_name_bytes=1\n\
            [subscriptions]\nmax_count=1\noffline_timeout_seconds=1\n\
            [transactions]\nmax_messages=1\n\
            [flow]\nwhen_full='wait'\npark_bytes=1\nbacklog_messages=1\nbacklog_bytes=1\n\
            [clients]\nmemory_bytes=1\nallow_link_stealing=true\n";
        let config = Config::from_text(text).unwrap();
        assert_eq!((config.io, config.storage, config.openwire.cache_size), (Io::Epoll, StorageWay::Mapped, 0));
        assert_eq!(config.flow.when_full, WhenFull::Wait);
        let listed: usize = tables().iter().map(|(_, keys)| keys.len()).sum();
        assert_eq!(listed, text.matches('=').count() + 8, "the eight tables are keys, too");
        assert_eq!(tables()[8], ("clients", &["memory_bytes", "allow_link_stealing"][..]));
    }

    #[test]
    fn what_could_not_work_is_refused_with_the_key() {
        type Change = fn(&mut Config);
        let cases: [(&str, Change); 6] = [
            ("listen: give at least one", |config| config.listen.clear()),
            ("data_dir:", |config| config.data_dir = PathBuf::new()),
            ("name:", |config| config.name = "n".repeat(256)),
            ("name:", |config| config.name = "two\nlines".into()),
            ("name:", |config| config.name = String::new()),
            ("destinations.max_count: 15", |config| config.destinations.max_count = 15),
        ];
        for (expected, change) in cases {
            let mut config = Config::default();
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn what_is_given_up_is_a_file_of_the_data_directory() {
        let directory = tempfile::tempdir().unwrap();
        let names = |file: &Path| given_up(&[file.to_owned()], directory.path()).map_err(|error| error.to_string());
        for file in
            [PathBuf::from("segment-7"), directory.path().join("segment-7"), directory.path().join("./segment-7")]
        {
            assert_eq!(names(&file), Ok(vec!["segment-7".to_owned()]), "{}", file.display());
        }
        assert!(names(Path::new("backup/segment-7")).unwrap_err().contains("not in the data directory"));
        assert!(names(Path::new("..")).unwrap_err().contains("name of a file"));
    }

    #[test]
    fn sizes_that_would_hang_clients_are_refused() {
        let mut config = Config::default();
        config.openwire.cache_size = 50;
        assert!(config.check().unwrap_err().to_string().contains("cache_size"));
        for frame in [0, 65_535, 1 << 31, u64::MAX] {
            let mut config = Config::default();
            config.openwire.max_frame_bytes = frame;
            assert!(config.check().unwrap_err().to_string().contains("max_frame_bytes"), "{frame}");
        }
    }
}
