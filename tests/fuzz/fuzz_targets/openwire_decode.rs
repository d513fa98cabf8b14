//! Frames of one direction of a connection, from a peer that may send anything.
//!
//! The input is a byte of settings and then frames, each with a 16-bit length before it. Whatever decodes is encoded
//! again, both as ActiveMQ and as the broker would, and must decode to the same. No frame may take more memory than its
//! size allows.

#![no_main]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use libfuzzer_sys::fuzz_target;
use postrider_model::properties::{Properties, PropertiesWriter, Value as Primitive};
use postrider_wire::openwire::schema::{base_command, message, wire_format_info};
use postrider_wire::openwire::{
    Decoder, Encoder, FIXED_ALLOCATION, Fault, Offer, RECEIVED_FACTOR, Settings, Structure, WriterPolicy,
};

/// Counts what is allocated, and the most that was at a time.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let allocated = ALLOCATED.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(allocated, Relaxed);
        // SAFETY: the caller's duty towards us is ours towards the system.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the pointer came from `System.alloc` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that a cache's table and its growth take, whatever the frame's size.
const TABLE_ALLOCATION: usize = 64 << 10;

fuzz_target!(|input: &[u8]| {
    let Some((choice, mut rest)) = input.split_first() else { return };
    let settings = settings(*choice);
    let mut decoder = Decoder::new(settings);
    // Values collide and are evicted all the time in caches this small.
    let few = settings.cache_size.map(|size| if choice & SMALL_PEERS != 0 { 3 } else { size });
    let of_peers = Settings { cache_size: few, ..settings };
    let mut peers = [WriterPolicy::JavaOrder, WriterPolicy::Cheap].map(|policy| Peer::new(of_peers, policy));
    while let Some(frame) = next_frame(&mut rest) {
        let Some(structure) = decode(&mut decoder, frame) else { return };
        peers.iter_mut().for_each(|peer| peer.check(&structure));
        check_contents(&structure);
    }
});

/// The bit of the settings that gives the peers small caches.
const SMALL_PEERS: u8 = 8;

fn settings(choice: u8) -> Settings {
    Settings {
        version: (choice >> 4) % 12 + 1,
        tight: choice & 1 != 0,
        cache_size: (choice & 2 != 0).then_some(1024),
        stack_trace: choice & 4 != 0,
        max_frame_size: usize::MAX,
    }
}

fn next_frame<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk()?;
    let (frame, tail) = tail.split_at(tail.len().min(usize::from(u16::from_be_bytes(*length))));
    *rest = tail;
    Some(frame)
}

/// The structure, unless the frame is malformed or null, with which the connection ends.
fn decode(decoder: &mut Decoder, frame: &[u8]) -> Option<Structure> {
    let before = ALLOCATED.load(Relaxed);
    PEAK.store(before, Relaxed);
    let decoded = decoder.decode(frame);
    let taken = PEAK.load(Relaxed) - before;
    let allowed = frame.len() * RECEIVED_FACTOR + FIXED_ALLOCATION + TABLE_ALLOCATION;
    assert!(taken <= allowed, "{taken} bytes for a frame of {}", frame.len());
    decoded.ok().flatten()
}

/// Who gets what was received.
struct Peer {
    encoder: Encoder,
    decoder: Decoder,
    out: Vec<u8>,
}

impl Peer {
    fn new(settings: Settings, policy: WriterPolicy) -> Peer {
        Peer { encoder: Encoder::new(settings, policy), decoder: Decoder::new(settings), out: Vec::new() }
    }

    fn check(&mut self, structure: &Structure) {
        self.out.clear();
        // Strings can be received that are too long to be sent.
        if self.encoder.encode(structure, &mut self.out).is_ok() {
            match self.decoder.decode(&self.out[4..]) {
                Ok(back) => assert!(back.as_ref() == Some(structure), "{back:?} of {structure:?}"),
                // What came as a reference to the cache may have to be sent whole, which the reader's limits count.
                Err(error) if matches!(error.fault, Fault::TooMuchMemory | Fault::CacheFull(_)) => {}
                Err(error) => panic!("{error}: {structure:?}"),
            }
        } else {
            assert!(self.out.is_empty());
        }
    }
}

fn check_contents(structure: &Structure) {
    if structure.is(&wire_format_info::DEFINITION) {
        if let Ok(offer) = Offer::read(structure) {
            let _ = offer.agree(&Offer::of_broker(1 << 20));
        }
    } else if structure.definition.is_message() {
        assert!(structure.is_command());
        structure.int(base_command::COMMAND_ID);
        for field in [message::MARSHALLED_PROPERTIES, message::CONTENT] {
            structure.bytes(field).inspect(|bytes| check_map(bytes));
        }
    }
}

/// A map that can be read to its end can be written and read again.
fn check_map(bytes: &[u8]) {
    let Ok(map) = Properties::new(bytes) else { return };
    let Ok(entries) = map.iter().collect::<Result<Vec<_>, _>>() else { return };
    let mut out = Vec::new();
    let mut writer = PropertiesWriter::new(&mut out);
    entries.iter().for_each(|entry| _ = writer.entry(entry.name, entry.value));
    let back = Properties::new(&out).and_then(|map| map.iter().collect::<Result<Vec<_>, _>>()).unwrap();
    assert_eq!(entries.len(), back.len());
    for (entry, back) in entries.iter().zip(&back) {
        assert_eq!(entry.name, back.name);
        // Not compared as values: a NaN differs from itself.
        let mut raw = Vec::new();
        entry.value.write(&mut raw);
        assert!(back.raw.ends_with(&raw));
        if let Primitive::Map(inner) = entry.value {
            assert!(inner.iter().all(|inner| inner.is_ok()), "a nested map was stepped over");
        }
    }
}
