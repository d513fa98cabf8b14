//! Opens the data directory and lets the broker recover from it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use postrider_broker::{Broker, KeptTransaction, Mended};
use postrider_dispatcher::wake::{Alarm, Waker};
use postrider_journal::storage::file::OpenOptions;
use postrider_journal::storage::spill::FileSpill;
use postrider_journal::{Damage, FileStorage, GivenUp, Journal, Medium, Recovery, Spool, SpoolConfig};
use postrider_model::Now;

use crate::args::StorageWay;
use crate::config::{Config, WhenFull};
use crate::exit::{Exit, Fatal};
use crate::identity::{self, Identity};

/// The broker as it was when the journal's last commit was made, its logs, and the threads below them.
pub(crate) struct Stores {
    /// The state machine.
    pub broker: Broker,
    /// The journal, ready to append.
    pub journal: Journal<FileStorage>,
    /// Where non-persistent messages go.
    pub spool: Spool<FileSpill>,
    /// Flusher, helper, readers and spiller; they end with the journal.
    pub workers: Vec<JoinHandle<()>>,
}

/// Bytes that must be free for a new data directory at least; what it needs exactly, the journal says.
const MIN_FREE: u64 = 4 << 20;

/// Starts in the epoch table from which on each says so.
const MANY_LIVES: usize = 65_536;

/// Opens the data directory, makes it if it is not there.
pub(crate) fn open(config: &Config, identity: &Identity, alarm: &Arc<Alarm>, now: Now) -> Result<Stores, Fatal> {
    let waker: Waker = {
        let alarm = alarm.clone();
        Arc::new(move || {
            alarm.notify();
        })
    };
    let options = OpenOptions {
        directory: config.data_dir.clone(),
        medium: match config.storage {
            StorageWay::Mapped => Medium::Mapped,
            StorageWay::Direct | StorageWay::Auto => Medium::Direct,
        },
        waker: waker.clone(),
        min_free: MIN_FREE,
    };
    warn_of_readers(&config.data_dir);
    let (storage, workers) = FileStorage::open(options).map_err(Fatal::with(Exit::DataDirectory))?;
    let (spill, spillers) = FileSpill::beside(&storage, waker);
    let mut workers = workers.spawn().map_err(Fatal::with(Exit::Failure))?;
    workers.extend(spillers.spawn().map_err(Fatal::with(Exit::Failure))?);

    let mut broker = Broker::new(broker_settings(config, identity));
    let journal = recover(storage, config, &mut broker)?;
    broker.note_damages(&journal.recovery().damage, journal.recovery().has_unlisted());
    let mended = broker.recovered(now, journal.recovery().losses(), journal.epoch().0);
    report(journal.recovery(), &broker);
    report_kept(&broker);
    report_given_up(journal.recovery(), config);
    report_mended(&mended);
    let spool = Spool::new(spill, spool_settings(config, journal.spool_budget()));
    Ok(Stores { broker, journal, spool, workers })
}

fn recover(storage: FileStorage, config: &Config, broker: &mut Broker) -> Result<Journal<FileStorage>, Fatal> {
    Journal::recover(storage, journal_settings(config), &mut |record, home| broker.follow(record, home))
        .map_err(Fatal::with(Exit::DataDirectory))
}

/// A directory that was made by somebody else keeps its mode.
fn warn_of_readers(directory: &Path) {
    let mode = std::fs::metadata(directory).map_or(0, |metadata| metadata.permissions().mode());
    if mode & 0o077 != 0 {
        let mode = format!("{:03o}", mode & 0o777);
        tracing::warn!(mode, "others may look into {}: chmod 700 keeps messages to this user", directory.display());
    }
}

/// What follows from a damage that may have cost something.
const LOSSES: &str = "records that were hit may be lost, and what they did with them; messages may come again, and are marked redelivered";

/// What recovery found that is not as it should be: loudly, nothing is lost in silence.
fn report(recovery: &Recovery, broker: &Broker) {
    for damage in &recovery.damage {
        let Damage { file, offset, len: bytes, sequence, kind, .. } = damage;
        let lost = broker.lost(damage);
        let lost = lost.map(|message| format!(": {message} is lost, unless it was acknowledged or moved"));
        tracing::error!(file, offset, bytes, sequence, "damaged in the journal: {kind:?}{}", lost.unwrap_or_default());
    }
    if recovery.damages > 0 {
        let not_listed = recovery.damages - recovery.damage.len() as u64;
        tracing::error!(
            damages = recovery.damages,
            not_listed,
            "the journal is damaged: {}",
            if recovery.losses() == 0 { "nothing is lost" } else { LOSSES }
        );
    }
    if recovery.earlier_losses > 0 && !recovery.table_rebuilt {
        let losses = recovery.earlier_losses;
        tracing::error!(
            losses,
            "an earlier start found the journal damaged, or gave some of it up, and ended early: {LOSSES}"
        );
    }
    if let Some(cut) = &recovery.cut {
        tracing::warn!(bytes = cut.bytes, saved = ?cut.names, "the log's end was torn; it is cut and kept aside");
    }
    if recovery.records > 0 {
        tracing::info!(records = recovery.records, bytes = recovery.bytes, "recovered");
    }
}

/// What was given up on purpose, and what the directory has in another way than the settings.
fn report_given_up(recovery: &Recovery, config: &Config) {
    if recovery.table_rebuilt {
        tracing::error!(
            "the epoch table (epochs-0, epochs-1) is given up, and made anew from the segments; only it knew whether an earlier start had lost something, so messages are marked redelivered"
        );
    } else if recovery.table_repaired {
        tracing::error!(
            "a copy of the epoch table (epochs-0, epochs-1) was missing, damaged or not readable, and is written again from the other one"
        );
    }
    for GivenUp { file, kept_as } in &recovery.given_up {
        if file.starts_with("epochs-") {
            tracing::warn!(kept_as, "what {file} held is kept");
            continue;
        }
        let kept =
            kept_as.as_ref().map_or("it was not there".to_owned(), |name| format!("what it held is kept as {name}"));
        tracing::error!("{file} is given up, with all messages that only it held; {kept}");
    }
    let named = |name: &str| {
        recovery.given_up.iter().any(|given_up| given_up.file == name)
            || (recovery.table_rebuilt && name.starts_with("epochs-"))
    };
    for name in config.give_up.iter().filter(|name| !named(name)) {
        tracing::warn!("--give-up {name}: it is as it should be but for what is listed above, and stays");
    }
    if recovery.lives >= MANY_LIVES {
        let lives = recovery.lives;
        tracing::warn!(
            lives,
            "the epoch table grows with each start: take or delete the oldest messages, they hold it"
        );
    }
    let (here, set) = (recovery.segment_bytes, config.journal.segment_bytes);
    if here != set {
        tracing::warn!("journal.segment_bytes is {set}; this directory was made with {here}, which counts");
    }
}

/// Destinations with lost records of which each has a line of the log.
const MOST_MENDED: usize = 20;

/// Transactions whose decision may be what was hit.
fn report_kept(broker: &Broker) {
    for KeptTransaction { tag, places } in broker.kept_transactions() {
        tracing::error!(
            tag,
            messages = places,
            "what transaction {tag} has sent is kept aside, unseen: its commit may be in what is damaged; commit it or roll it back as an \
             XA branch, see docs/operating.md"
        );
    }
}

/// Destinations whose own record was hit.
fn report_mended(mended: &[Mended]) {
    for Mended { id, destination, messages } in mended.iter().take(MOST_MENDED) {
        tracing::error!(
            messages,
            "the record that names destination {} is lost: its messages are in {destination}",
            id.0
        );
    }
    if let Some(more) = mended.get(MOST_MENDED..).filter(|more| !more.is_empty()) {
        let messages: u64 = more.iter().map(|mended| mended.messages).sum();
        tracing::error!(messages, "records that name {} more destinations are lost", more.len());
    }
}

fn broker_settings(config: &Config, identity: &Identity) -> postrider_broker::Config {
    postrider_broker::Config {
        broker_name: config.name.as_str().into(),
        advisory_connection: identity.advisory_connection.clone(),
        advisory_properties: identity.advisory_properties.clone(),
        hash_seed: identity::random_number(),
        dead_letter_expired: config.dead_letters.expired,
        dead_letter_non_persistent: config.dead_letters.non_persistent,
        destinations: config.destinations.max_count,
        name_bytes: config.destinations.max_name_bytes,
        subscriptions: config.subscriptions.max_count,
        offline_millis: config.subscriptions.offline_timeout_seconds * 1_000,
        allow_link_stealing: config.clients.allow_link_stealing,
        transaction_messages: config.transactions.max_messages,
        pair_bytes: config.clients.memory_bytes,
        when_full: match config.flow.when_full {
            WhenFull::Refuse => postrider_broker::WhenFull::Refuse,
            WhenFull::Wait => postrider_broker::WhenFull::Wait,
        },
        backlog: postrider_broker::Backlog { messages: config.flow.backlog_messages, bytes: config.flow.backlog_bytes },
        ..postrider_broker::Config::default()
    }
}

fn spool_settings(config: &Config, disk_bytes: u64) -> SpoolConfig {
    let asked = config.journal.spool_disk_bytes;
    if disk_bytes < asked {
        tracing::warn!(
            asked,
            disk_bytes,
            "journal.spool_disk_bytes is more than half of the disk budget, and is cut to that"
        );
    }
    SpoolConfig {
        memory_bytes: config.journal.spool_bytes,
        disk_bytes,
        keys: identity::random_number(),
        ..SpoolConfig::default()
    }
}

fn journal_settings(config: &Config) -> postrider_journal::Config {
    let journal = &config.journal;
    postrider_journal::Config {
        segment_bytes: journal.segment_bytes,
        hot_bytes: journal.hot_bytes,
        disk_budget: (journal.disk_budget_bytes > 0).then_some(journal.disk_budget_bytes),
        spool_budget: (journal.spool_disk_bytes > 0).then_some(journal.spool_disk_bytes),
        keys: identity::random_number(),
        give_up: config.give_up.clone(),
        node: postrider_journal::body_crc(config.name.as_bytes()),
        ..postrider_journal::Config::default()
    }
}
