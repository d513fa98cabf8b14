//! Plain counters, read by whoever publishes them.

/// What a journal has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Writes that were synced.
    pub syncs: u64,
    /// Bytes of these writes, padding included.
    pub written_bytes: u64,
    /// Bytes of padding among them.
    pub pad_bytes: u64,
    /// Frames sealed.
    pub frames: u64,
    /// Records staged.
    pub records: u64,
    /// Bytes of their bodies.
    pub body_bytes: u64,
    /// Segments prepared.
    pub prepared: u64,
    /// Preparations that failed; each is tried again.
    pub preparation_failures: u64,
    /// Segments given back.
    pub recycled: u64,
    /// Segments given back that were damaged: their files are kept.
    pub set_aside: u64,
    /// Windows read from cold segments.
    pub windows: u64,
    /// Bytes of these windows.
    pub window_bytes: u64,
    /// Reads that failed; each is tried again.
    pub read_failures: u64,
    /// Windows that could not be read so far: now.
    pub reads_waiting: u64,
    /// Files of segments that are open: now.
    pub open_files: u64,
    /// Bodies from cold segments whose check failed.
    pub damaged: u64,
}
