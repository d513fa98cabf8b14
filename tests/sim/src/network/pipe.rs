//! One direction of a connection.

use std::collections::VecDeque;

use super::NetworkPlan;
use crate::random::Random;

/// Bytes on their way: written, travelling, arrived.
#[derive(Default)]
pub struct Pipe {
    written: VecDeque<u8>,
    travelling: VecDeque<(u64, Segment)>,
    travelling_bytes: usize,
    arrived: VecDeque<u8>,
    ended: bool,
    end_sent: bool,
    end_arrived: bool,
}

enum Segment {
    Bytes(Vec<u8>),
    End,
}

impl Pipe {
    /// Takes bytes to send.
    pub fn write(&mut self, bytes: &[u8]) {
        if !self.ended {
            self.written.extend(bytes);
        }
    }

    /// Nothing more will be written.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// Cuts what was written into segments and lets them travel, in order, as far as the receiver's window reaches. When they
    /// arrive is answered.
    pub fn send(&mut self, plan: &NetworkPlan, window: usize, random: &mut Random, now: u64) -> Vec<u64> {
        let mut times = Vec::new();
        let mut earliest = self.travelling.back().map_or(now, |(at, _)| *at);
        while !self.written.is_empty() && self.travelling_bytes + self.arrived.len() < window {
            let longest = if random.one_in(20) { 8 } else { plan.segment_bytes };
            let length = self.written.len().min(1 + random.below(longest) as usize);
            let bytes: Vec<u8> = self.written.drain(..length).collect();
            self.travelling_bytes += bytes.len();
            earliest = earliest.max(now + 1 + random.delay(plan.delay_nanos));
            self.travelling.push_back((earliest, Segment::Bytes(bytes)));
            times.push(earliest);
        }
        if self.ended && !self.end_sent && self.written.is_empty() {
            self.end_sent = true;
            earliest = earliest.max(now + 1 + random.delay(plan.delay_nanos));
            self.travelling.push_back((earliest, Segment::End));
            times.push(earliest);
        }
        times
    }

    /// What was due by now has arrived.
    pub fn arrive(&mut self, now: u64) {
        while self.travelling.front().is_some_and(|(at, _)| *at <= now) {
            match self.travelling.pop_front() {
                Some((_, Segment::Bytes(bytes))) => {
                    self.travelling_bytes -= bytes.len();
                    self.arrived.extend(bytes);
                }
                Some((_, Segment::End)) => self.end_arrived = true,
                None => {}
            }
        }
    }

    /// Bytes that have arrived, at most so many.
    pub fn take(&mut self, most: usize) -> Option<Vec<u8>> {
        let length = self.arrived.len().min(most);
        (length > 0).then(|| self.arrived.drain(..length).collect())
    }

    /// Bytes that have arrived, and are not read.
    pub fn arrived(&self) -> usize {
        self.arrived.len()
    }

    /// Whether bytes wait for the reader.
    pub fn has_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// Whether the reader has had all, and the writer has ended.
    pub fn is_over(&self) -> bool {
        self.end_arrived && self.arrived.is_empty()
    }

    /// Whether the writer has ended.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Bytes written and not read.
    pub fn pending(&self) -> usize {
        self.written.len() + self.travelling_bytes + self.arrived.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_in_order_and_then_the_end() {
        let plan = NetworkPlan { delay_nanos: 1_000, segment_bytes: 10, buffer_bytes: 64, most_pending: 1_000 };
        let mut random = Random::new(3);
        let mut pipe = Pipe::default();
        let sent: Vec<u8> = (0..=255).collect();
        pipe.write(&sent);
        pipe.end();
        let (mut now, mut got) = (0, Vec::new());
        while !pipe.is_over() {
            let times = pipe.send(&plan, 64, &mut random, now);
            assert!(times.is_sorted());
            now += 1_000;
            pipe.arrive(now);
            assert!(pipe.travelling_bytes + pipe.arrived.len() < 64 + 10);
            got.extend(pipe.take(7).unwrap_or_default());
        }
        assert_eq!(got, sent);
    }
}
