//! What arrived, message by message, and what that says: lost, duplicated, out of order.

use serde::Serialize;

/// A counter that runs ahead of all others of its stream by more than this was not sent by us: a guard of memory.
const LEAP_LIMIT: u64 = 1 << 26;

/// What one consumer got from one destination.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By the number of the producer.
    streams: Vec<Stream>,
    /// Deliveries whose text was not what had been sent, or that belonged elsewhere.
    pub altered: u64,
}

/// The messages of one producer to one destination, as one consumer got them.
#[derive(Debug, Default)]
struct Stream {
    /// A bit for each counter.
    seen: Vec<u64>,
    /// The counter after the highest one seen.
    next: u64,
    duplicated: u64,
    out_of_order: u64,
    /// The counters of deliveries that were marked as repeated.
    redelivered: Vec<u64>,
}

impl Ledger {
    /// Notes a delivery.
    #[inline]
    pub fn record(&mut self, producer: u16, counter: u64, redelivered: bool) {
        let producer = usize::from(producer);
        if producer >= self.streams.len() {
            self.streams.resize_with(producer + 1, Stream::default);
        }
        if !self.streams[producer].record(counter, redelivered) {
            self.altered += 1;
        }
    }
}

impl Ledger {
    /// The least number of messages that each producer must have sent, by what arrived.
    pub fn highest(ledgers: &[&Ledger]) -> Vec<u64> {
        let producers = ledgers.iter().map(|ledger| ledger.streams.len()).max().unwrap_or(0);
        let next = |ledger: &&Ledger, producer: usize| ledger.streams.get(producer).map_or(0, |stream| stream.next);
        (0..producers).map(|producer| ledgers.iter().map(|ledger| next(ledger, producer)).max().unwrap_or(0)).collect()
    }
}

impl Stream {
    /// Whether the counter is a possible one.
    #[inline]
    fn record(&mut self, counter: u64, redelivered: bool) -> bool {
        if counter > self.next + LEAP_LIMIT {
            return false;
        }
        if redelivered {
            self.redelivered.push(counter);
        } else if !set(&mut self.seen, counter) {
            self.duplicated += 1;
        } else if counter < self.next {
            self.out_of_order += 1;
        }
        self.next = self.next.max(counter + 1);
        true
    }
}

/// Whether the bit was new.
#[inline]
fn set(bits: &mut Vec<u64>, index: u64) -> bool {
    let (word, mask) = ((index / 64) as usize, 1 << (index % 64));
    if word >= bits.len() {
        bits.resize(word + 1, 0);
    }
    let is_new = bits[word] & mask == 0;
    bits[word] |= mask;
    is_new
}

/// The outcome of the check. All but `redelivered` and `foreign` are faults.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Sent, and receipted where receipts were asked for, but not delivered.
    pub lost: u64,
    /// Delivered again without being marked as redelivered.
    pub duplicated: u64,
    /// Delivered after a later message of the same producer and destination to the same consumer.
    pub out_of_order: u64,
    /// Delivered with another text, or to a consumer of another destination.
    pub altered: u64,
    /// Sends that were never answered.
    pub unanswered: u64,
    /// Answers to sends that had theirs: clients pass over them.
    pub answered_again: u64,
    /// Delivered again and marked as such, which is allowed.
    pub redelivered: u64,
    /// Messages of other runs or other senders, acknowledged and otherwise ignored.
    pub foreign: u64,
}

impl Verdict {
    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        let Verdict { lost, duplicated, out_of_order, altered, unanswered, answered_again, .. } = *self;
        [lost, duplicated, out_of_order, altered, unanswered, answered_again] == [0; 6]
    }

    /// Adds what the consumers of one destination got. `sent` has the number of messages by producer. The consumers of a
    /// queue share its messages; those of a topic are judged one by one.
    pub fn add(&mut self, sent: &[u64], ledgers: &[&Ledger], topic: bool) {
        let shares: Vec<&[&Ledger]> = if topic { ledgers.chunks(1).collect() } else { vec![ledgers] };
        for share in shares.into_iter().filter(|share| !share.is_empty()) {
            self.altered += share.iter().map(|ledger| ledger.altered).sum::<u64>();
            for (producer, &sent) in sent.iter().enumerate() {
                self.add_stream(sent, share.iter().filter_map(|ledger| ledger.streams.get(producer)));
            }
        }
    }

    fn add_stream<'a>(&mut self, sent: u64, parts: impl Iterator<Item = &'a Stream>) {
        let mut seen = Vec::new();
        let mut repeated = Vec::new();
        for part in parts {
            self.duplicated += part.duplicated;
            self.out_of_order += part.out_of_order;
            seen.resize(part.seen.len().max(seen.len()), 0);
            for (all, &own) in seen.iter_mut().zip(&part.seen) {
                self.duplicated += u64::from((*all & own).count_ones());
                *all |= own;
            }
            repeated.extend(&part.redelivered);
        }
        // A message may have been marked at its only arrival here: an earlier consumer had it without using it.
        self.redelivered += repeated.into_iter().filter(|&counter| !set(&mut seen, counter)).count() as u64;
        let arrived = seen.iter().map(|word: &u64| u64::from(word.count_ones())).sum::<u64>();
        let invented = count_from(&seen, sent);
        self.altered += invented;
        self.lost += sent - (arrived - invented);
    }
}

/// How many bits at `first` and above are set.
fn count_from(bits: &[u64], first: u64) -> u64 {
    let word = (first / 64) as usize;
    let Some((head, tail)) = bits.get(word..).and_then(<[u64]>::split_first) else { return 0 };
    let ones = |word: u64| u64::from(word.count_ones());
    ones(head >> (first % 64)) + tail.iter().copied().map(ones).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(counters: impl IntoIterator<Item = u64>) -> Ledger {
        let mut ledger = Ledger::default();
        counters.into_iter().for_each(|counter| ledger.record(0, counter, false));
        ledger
    }

    fn judged(sent: u64, ledgers: &[&Ledger], topic: bool) -> Verdict {
        let mut verdict = Verdict::default();
        verdict.add(&[sent], ledgers, topic);
        verdict
    }

    #[test]
    fn all_in_order_is_clean() {
        assert_eq!(judged(200, &[&ledger(0..200)], false), Verdict::default());
        assert!(judged(0, &[&ledger([])], false).is_clean());
    }

    #[test]
    fn gaps_and_missing_ends_are_lost() {
        let gaps = ledger((0..150).filter(|counter| ![0, 64, 149].contains(counter)));
        assert_eq!(judged(151, &[&gaps], false), Verdict { lost: 4, ..Verdict::default() });
    }

    #[test]
    fn a_second_delivery_is_a_duplicate_unless_marked() {
        let twice = ledger([0, 1, 2, 1, 3]);
        assert_eq!(judged(4, &[&twice], false), Verdict { duplicated: 1, ..Verdict::default() });
        let mut marked = ledger([0, 1, 2]);
        marked.record(0, 1, true);
        let verdict = judged(3, &[&marked], false);
        assert_eq!(verdict, Verdict { redelivered: 1, ..Verdict::default() });
        assert!(verdict.is_clean());
    }

    #[test]
    fn a_marked_first_arrival_counts_as_arrived() {
        let mut marked = ledger([0, 2]);
        marked.record(0, 1, true);
        assert_eq!(judged(3, &[&marked], false), Verdict::default());
    }

    #[test]
    fn a_swap_is_out_of_order() {
        let swapped = ledger([0, 2, 1, 3]);
        assert_eq!(judged(4, &[&swapped], false), Verdict { out_of_order: 1, ..Verdict::default() });
    }

    #[test]
    fn producers_do_not_order_one_another() {
        let mut ledger = Ledger::default();
        for (producer, counter) in [(0, 0), (1, 0), (1, 1), (0, 1)] {
            ledger.record(producer, counter, false);
        }
        let mut verdict = Verdict::default();
        verdict.add(&[2, 2], &[&ledger], false);
        assert_eq!(verdict, Verdict::default());
    }

    #[test]
    fn consumers_of_a_queue_share_and_of_a_topic_do_not() {
        let (even, odd) = (ledger([0, 2, 4]), ledger([1, 3, 5]));
        assert_eq!(judged(6, &[&even, &odd], false), Verdict::default());
        assert_eq!(judged(6, &[&even, &odd], true), Verdict { lost: 6, ..Verdict::default() });
        let both = ledger(0..6);
        assert_eq!(judged(6, &[&both, &even], false), Verdict { duplicated: 3, ..Verdict::default() });
        assert_eq!(judged(6, &[&both, &both], true), Verdict::default());
    }

    #[test]
    fn what_was_never_sent_is_altered() {
        assert_eq!(judged(3, &[&ledger([0, 1, 2, 3, 64])], false), Verdict { altered: 2, ..Verdict::default() });
        let far = ledger([0, 1, 2, u64::MAX / 2]);
        assert_eq!(judged(3, &[&far], false), Verdict { altered: 1, ..Verdict::default() });
    }

    #[test]
    fn a_silent_consumer_has_lost_everything() {
        let mut verdict = Verdict::default();
        verdict.add(&[5, 7], &[&Ledger::default()], false);
        assert_eq!(verdict.lost, 12);
    }
}
