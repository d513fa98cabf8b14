//! What the owner of a journal decides.

use crate::error::OpenError;

/// How a segment reaches the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Medium {
    /// Aligned writes from an anonymous image, past the page cache where the file system allows it.
    #[default]
    Direct,
    /// A shared mapping of the file, and msync.
    Mapped,
}

/// Segments that a disk budget should have room for: eight are kept for acknowledgements and reclaim, a quarter of all is the spool's.
const SEGMENTS_IN_BUDGET: u64 = 32;

/// With less nothing could be taken.
const LEAST_SEGMENTS: u64 = 16;

/// A new directory's segments are made smaller down to it.
const SMALLEST_FITTED: u64 = 1 << 20;

/// Settings of a journal.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of a segment, a multiple of `block`. Counts when the directory is created; later the directory's own value does.
    pub segment_bytes: u64,
    /// Groups are padded to it: the device's physical block, at least 4096. Counts when the directory is created.
    pub block: u32,
    /// Segments that stay in memory, in bytes.
    pub hot_bytes: u64,
    /// Windows of cold segments that stay in memory, in bytes.
    pub cold_bytes: u64,
    /// Bytes a cold read brings in at least, in bytes.
    pub read_ahead: u32,
    /// Bytes of all files together, those of a spool included; 80 % of what was free, and what the log has, if none is set.
    pub disk_budget: Option<u64>,
    /// Bytes of the disk budget that are left to a spool beside the journal; a quarter of it, if none are set.
    pub spool_budget: Option<u64>,
    /// Segments kept ready ahead of the active one, at least one.
    pub prepared: usize,
    /// Where segment keys come from: must be random for every start, and unknown to clients.
    pub keys: u64,
    /// CRC-32 of the node's name.
    pub node: u32,
    /// Names of files whose records are given up, should they not be what they should.
    pub give_up: Vec<String>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            segment_bytes: 64 << 20,
            block: 4096,
            hot_bytes: 256 << 20,
            cold_bytes: 64 << 20,
            read_ahead: 2 << 20,
            disk_budget: None,
            spool_budget: Some(0),
            prepared: 1,
            keys: 0,
            node: 0,
            give_up: Vec::new(),
        }
    }
}

impl Config {
    /// Segments that a new directory can have on this budget: smaller ones than wished, rather than too few to work with.
    pub(crate) fn fitting_segment(&self, free: u64) -> Result<u64, OpenError> {
        let budget = self.disk_budget.unwrap_or(free / 10 * 8);
        let mut bytes = self.segment_bytes;
        while bytes / 2 >= SMALLEST_FITTED && budget / bytes < SEGMENTS_IN_BUDGET {
            bytes /= 2;
        }
        let needed = LEAST_SEGMENTS * bytes;
        if self.segment_bytes >= SMALLEST_FITTED && budget < needed {
            return Err(OpenError::SmallBudget { needed, budget });
        }
        Ok(bytes)
    }

    pub(crate) fn gives_up(&self, file: &str) -> bool {
        self.give_up.iter().any(|given_up| given_up == file)
    }

    /// The epoch table is to be made anew, should it not be what it should.
    pub(crate) fn gives_up_table(&self) -> bool {
        self.gives_up("epochs-0") || self.gives_up("epochs-1")
    }

    /// Panics on sizes that cannot work: they are our own mistake, the server checks what an operator wrote.
    pub(crate) fn check(&self) {
        assert!(self.block >= 4096 && self.block.is_power_of_two(), "block {}", self.block);
        assert!(self.segment_bytes.is_multiple_of(u64::from(self.block)), "segment_bytes {}", self.segment_bytes);
        assert!(self.segment_bytes >= 4 * u64::from(self.block), "segment_bytes {}", self.segment_bytes);
        assert!(self.prepared >= 1, "at least one segment is prepared ahead");
        assert!(self.read_ahead >= self.block, "read_ahead {}", self.read_ahead);
    }
}
