//! Opens a log: its table, the headers of its segments, and where it ends. Changes nothing.

use crate::config::Config;
use crate::epoch::EpochTable;
use crate::error::OpenError;
use crate::journal::Journal;
use crate::position::{Epoch, Position, SegmentNumber};
use crate::prepare::mixed;
use crate::recovery::directory::Directory;
use crate::recovery::tail::Tail;
use crate::recovery::{OldLog, Opened, Recovery, directory, rebuild, tail};
use crate::storage::{SegmentFile, Storage};
use crate::version::LEVEL;

/// An epoch table to go by.
pub(crate) struct FoundTable {
    pub table: EpochTable,
    /// Both copies are good.
    pub intact: bool,
    /// The latest life of which anything is known.
    pub latest: Epoch,
    /// It was made anew from the segments.
    pub rebuilt: bool,
}

impl<S: Storage> Journal<S> {
    /// Reads table and headers, finds the log's end, and changes nothing.
    ///
    /// # Errors
    /// The directory cannot be used.
    pub fn open(mut storage: S, mut config: Config) -> Result<Opened<S>, OpenError> {
        config.check();
        let files = storage.segments().map_err(OpenError::io(format!("listed ({})", storage.place())))?;
        directory::refuse_other_versions(&storage, &files)?;
        let mut found = open_table(&mut storage, &mut config, &files)?;
        let (directory, tail) = match read_ends(&mut storage, &config, &found, &files) {
            Err(OpenError::OlderTable { .. }) if config.gives_up_table() && !found.rebuilt => {
                found = rebuild::rebuild(&mut storage, &config, &files)?;
                read_ends(&mut storage, &config, &found, &files)?
            }
            answer => answer?,
        };
        let FoundTable { table, intact, rebuilt, .. } = found;
        config.segment_bytes = table.segment_bytes;
        let report = Recovery {
            table_repaired: !intact,
            table_rebuilt: rebuilt,
            earlier_losses: table.losses,
            segment_bytes: table.segment_bytes,
            ..Recovery::default()
        };
        Ok(Opened(OldLog { storage, config, table, directory, report, tail }))
    }
}

/// The table there is, or that of a new directory, or one that is made anew.
fn open_table<S: Storage>(
    storage: &mut S,
    config: &mut Config,
    files: &[SegmentFile],
) -> Result<FoundTable, OpenError> {
    let given_up = config.gives_up_table();
    let (table, intact) = match directory::read_table(storage) {
        Ok(Some(found)) => found,
        Ok(None) if files.is_empty() => new_table(storage, config)?,
        Err(OpenError::NoTable | OpenError::UnreadableTable { .. }) if files.is_empty() && given_up => {
            new_table(storage, config)?
        }
        Ok(None) | Err(OpenError::NoTable | OpenError::UnreadableTable { .. }) if given_up => {
            return rebuild::rebuild(storage, config, files);
        }
        Ok(None) => return Err(OpenError::NoTable),
        Err(error) => return Err(error),
    };
    let latest = table.newest().map_or(Epoch(0), |life| life.epoch);
    Ok(FoundTable { table, intact, latest, rebuilt: false })
}

/// What the names and headers of the segments say, and the newest ones.
fn read_ends<S: Storage>(
    storage: &mut S,
    config: &Config,
    found: &FoundTable,
    files: &[SegmentFile],
) -> Result<(Directory, Tail), OpenError> {
    let table = &found.table;
    let mut directory = Directory::read(storage, table, files, found.latest)?;
    directory.find_keys(storage, config, table)?;
    directory.give_up(config, table);
    directory.check(config, table)?;
    let tail = if table.lives.is_empty() {
        let none = Position(0);
        Tail { end: none, head: SegmentNumber(0), last_valid: none, is_cut: false, loaded: Default::default() }
    } else {
        tail::find(storage, config, &directory, table)?
    };
    Ok((directory, tail))
}

fn new_table<S: Storage>(storage: &S, config: &mut Config) -> Result<(EpochTable, bool), OpenError> {
    config.segment_bytes = config.fitting_segment(storage.room())?;
    let log_id = [1, 2].map(|part| u128::from(mixed(!config.keys.wrapping_add(part))));
    let table = EpochTable {
        block: config.block,
        segment_bytes: config.segment_bytes,
        head: SegmentNumber(0),
        log_id: log_id[0] | log_id[1] << 64,
        node: config.node,
        accepted: None,
        level: LEVEL,
        ended: None,
        stated: None,
        losses: 0,
        lives: Vec::new(),
    };
    Ok((table, true))
}
