//! Cutting the received bytes into frames.

use super::Fault;

const PREFIX: usize = 4;
/// Bytes of memory that an idle connection keeps for its next half frame.
const KEPT_CAPACITY: usize = 64 << 10;

/// Cuts a stream of bytes into frames. A frame that comes whole is not copied; of a half one the part that came is kept,
/// and no more memory than twice that is taken, whatever size it announces.
#[derive(Debug)]
pub struct FrameSplitter {
    /// The beginning of a frame that has not come whole yet, with its prefix.
    partial: Vec<u8>,
    /// The frame that was handed out last, if it came in parts.
    complete: Vec<u8>,
    limit: usize,
}

impl FrameSplitter {
    /// A splitter that takes frames of up to `limit` bytes, the prefix not counted.
    pub fn new(limit: usize) -> FrameSplitter {
        FrameSplitter { partial: Vec::new(), complete: Vec::new(), limit }
    }

    /// Changes the limit for frames whose size has not been looked at yet: a small one is right until the peer has
    /// said who it is.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes the next frame off the front of `input`, without its prefix. None: `input` is used up, its rest is kept.
    /// After an error the prefix is taken off, too, and what follows is the refused frame's: who does not skip it closes the
    /// connection.
    pub fn split<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Result<Option<&'s [u8]>, Fault> {
        if self.partial.is_empty()
            && let Some((prefix, behind)) = input.split_first_chunk::<PREFIX>()
        {
            let size = self.checked_size(*prefix).inspect_err(|_| *input = behind)?;
            if let Some((frame, rest)) = behind.split_at_checked(size) {
                *input = rest;
                return Ok(Some(frame));
            }
        }
        self.join(input)
    }

    /// Gives back the memory of frames that came in parts and are over.
    pub fn trim(&mut self) {
        self.partial.shrink_to_fit();
        self.complete = Vec::new();
    }

    /// Gives back the memory of a large frame that came in parts and is over. The next one has its own.
    #[inline]
    pub fn let_go(&mut self) {
        if self.complete.capacity() > KEPT_CAPACITY {
            self.complete = Vec::new();
        }
    }

    /// Bytes kept of a half frame.
    pub fn pending(&self) -> usize {
        self.partial.len()
    }

    /// Bytes that the half frame still needs, 0 if there is none. Before its prefix is complete that is the prefix's.
    pub fn missing(&self) -> usize {
        match self.partial.first_chunk::<PREFIX>() {
            Some(prefix) => PREFIX + u32::from_be_bytes(*prefix) as usize - self.partial.len(),
            None if self.partial.is_empty() => 0,
            None => PREFIX - self.partial.len(),
        }
    }

    fn join(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, Fault> {
        self.fill(PREFIX, input);
        let Some(prefix) = self.partial.first_chunk::<PREFIX>() else { return Ok(None) };
        let size = self.checked_size(*prefix).inspect_err(|_| self.partial.clear())?;
        self.fill(PREFIX + size, input);
        if self.partial.len() < PREFIX + size {
            return Ok(None);
        }
        std::mem::swap(&mut self.partial, &mut self.complete);
        self.partial.clear();
        self.partial.shrink_to(KEPT_CAPACITY);
        Ok(self.complete.get(PREFIX..))
    }

    fn fill(&mut self, length: usize, input: &mut &[u8]) {
        let missing = length.saturating_sub(self.partial.len()).min(input.len());
        let (part, rest) = input.split_at(missing);
        self.partial.extend_from_slice(part);
        *input = rest;
    }

    fn checked_size(&self, prefix: [u8; PREFIX]) -> Result<usize, Fault> {
        let size = i32::from_be_bytes(prefix);
        let checked = usize::try_from(size).ok().filter(|size| (1..=self.limit).contains(size));
        checked.ok_or(Fault::FrameSize { size, limit: self.limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32).to_be_bytes(), body].concat()
    }

    #[test]
    fn frames_come_out_whole_however_they_are_cut() {
        let bodies: Vec<Vec<u8>> = [1, 2, 3, 4, 5, 9, 100].iter().map(|length| vec![*length as u8; *length]).collect();
        let stream: Vec<u8> = bodies.iter().flat_map(|body| frame(body)).collect();
        for step in 1..stream.len() {
            let mut splitter = FrameSplitter::new(100);
            let mut frames = Vec::new();
            for mut input in stream.chunks(step) {
                while let Some(frame) = splitter.split(&mut input).unwrap() {
                    frames.push(frame.to_vec());
                }
                assert!(input.is_empty());
            }
            assert_eq!(frames, bodies, "in steps of {step}");
            assert_eq!((splitter.pending(), splitter.missing()), (0, 0));
        }
    }

    #[test]
    fn a_whole_frame_is_not_copied() {
        let stream = frame(b"body");
        let mut splitter = FrameSplitter::new(100);
        let mut input = &stream[..];
        let body = splitter.split(&mut input).unwrap().unwrap();
        assert_eq!(body.as_ptr(), stream[4..].as_ptr());
    }

    #[test]
    fn an_announced_size_is_not_believed() {
        let mut splitter = FrameSplitter::new(100 << 20);
        let mut input = &[6, 0, 0, 0, 1, 2, 3][..];
        assert_eq!(splitter.split(&mut input), Ok(None));
        assert_eq!((splitter.pending(), splitter.missing()), (7, (6 << 24) - 3));
        assert!(splitter.partial.capacity() < 100);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for size in [0, -1, i32::MIN, 101, i32::MAX] {
            for length in [4, 6] {
                let mut bytes = size.to_be_bytes().to_vec();
                bytes.resize(length, 0);
                let mut splitter = FrameSplitter::new(100);
                assert_eq!(splitter.split(&mut &bytes[..]), Err(Fault::FrameSize { size, limit: 100 }));
            }
        }
    }

    #[test]
    fn memory_of_a_large_frame_is_given_back() {
        let large = frame(&vec![7; 1 << 20]);
        let mut splitter = FrameSplitter::new(1 << 20);
        for _ in 0..3 {
            let (mut head, mut tail) = large.split_at(1_000);
            assert_eq!(splitter.split(&mut head), Ok(None));
            assert_eq!(splitter.split(&mut tail).unwrap().unwrap().len(), 1 << 20);
        }
        splitter.let_go();
        assert!(
            splitter.partial.capacity() + splitter.complete.capacity() <= KEPT_CAPACITY,
            "at once, if it is told so"
        );
        let small = frame(b"small");
        for _ in 0..2 {
            let (mut head, mut tail) = small.split_at(6);
            assert_eq!(splitter.split(&mut head), Ok(None));
            assert_eq!(splitter.split(&mut tail), Ok(Some(&b"small"[..])));
        }
        assert!(splitter.partial.capacity() + splitter.complete.capacity() <= 2 * KEPT_CAPACITY);
    }
}
