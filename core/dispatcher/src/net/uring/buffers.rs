//! The memory that the kernel receives into: one small pool for all connections, lent buffer by buffer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::BufRingEntry;
use memmap2::{MmapMut, MmapRaw};

use super::kernel::Kernel;

/// The only buffer group of a driver.
pub(super) const GROUP: u16 = 0;

/// All of it fits a core's second-level cache: measured, a larger pool costs more than it spares.
const COUNT: u16 = 32;
pub(super) const BYTES: usize = 32 << 10;

/// The pool and the ring in which its free buffers are offered to the kernel.
pub(super) struct Buffers {
    offered: MmapRaw,
    memory: Arc<MmapRaw>,
    tail: u16,
}

impl Buffers {
    /// Makes the pool and offers all of it. It must outlive the kernel's ring.
    pub(super) fn register(kernel: &Kernel) -> io::Result<Self> {
        let offered = MmapRaw::from(MmapMut::map_anon(usize::from(COUNT) * size_of::<BufRingEntry>())?);
        let memory = Arc::new(MmapRaw::from(MmapMut::map_anon(usize::from(COUNT) * BYTES)?));
        // SAFETY: the mapping is page-aligned, zeroed, of the size said, and its owner keeps it until the ring is gone.
        let registered = unsafe {
            kernel.submitter().register_buf_ring_with_flags(
                offered.as_ptr().expose_provenance() as u64,
                COUNT,
                GROUP,
                0,
            )
        };
        registered?;
        let mut buffers = Self { offered, memory, tail: 0 };
        (0..COUNT).for_each(|id| buffers.give_back(id, BYTES));
        Ok(buffers)
    }

    /// What the kernel put into a buffer that it gave to us by a completion.
    pub(super) fn bytes(&self, id: u16, length: usize) -> &[u8] {
        assert!(id < COUNT && length <= BYTES, "the kernel names a buffer that it was not offered");
        let start = usize::from(id) * BYTES;
        // SAFETY: within the mapping by the assertion. The kernel does not write to a buffer between its completion and
        // `give_back`, which takes `&mut self`, so that no such slice is left by then.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().add(start), length) }
    }

    /// Offers so many bytes of a buffer to the kernel again.
    #[allow(clippy::cast_possible_truncation, reason = "no more than a constant")]
    pub(super) fn give_back(&mut self, id: u16, bytes: usize) {
        assert!(bytes <= BYTES, "a buffer has no more");
        let entries = self.offered.as_mut_ptr().cast::<BufRingEntry>();
        let place = usize::from(self.tail % COUNT);
        // SAFETY: within both mappings, since `id` and `place` are below COUNT. The kernel reads an entry only once the tail,
        // stored after it with Release, is past it; at most COUNT buffers exist, so this one was consumed before. The tail
        // lies in the first entry's reserved field, which the setters leave alone, and is written by this thread only.
        unsafe {
            let entry = &mut *entries.add(place);
            entry.set_addr(self.memory.as_ptr().add(usize::from(id) * BYTES).expose_provenance() as u64);
            entry.set_len(bytes as u32);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(entries).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }

    /// Leaves the pool mapped for as long as the process lives.
    pub(super) fn leak(&self) {
        std::mem::forget(self.memory.clone());
    }
}
