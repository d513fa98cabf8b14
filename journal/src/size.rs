//! Numbers of bytes, in the width that is needed.

const _: () = assert!(usize::BITS == 64, "files of more than 4 GiB are addressed in memory");

/// Bytes of a file or of the log as a size in memory.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "usize has 64 bits, which is asserted")]
pub(crate) const fn size(bytes: u64) -> usize {
    bytes as usize
}

/// A length within a frame or a window, which has 32 bits. A longer one is our own mistake, and becomes the longest.
#[inline(always)]
pub(crate) fn len32(len: u64) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
