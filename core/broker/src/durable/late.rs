//! Subscriptions that come between what a transaction sends to their topics and its decision: they are to have it, by the decision's record
//! (R52).
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::bounds::STEP_BYTES;
use crate::broker::Broker;
use crate::destinations::subscription::Subscription;
use crate::messages::{DestinationIndex, TransactionIndex};
use crate::plant::planted;
use crate::records::commit::{CommitMeta, Decided};
use crate::records::{self, MetaError};
use postrider_model::{DestinationId, Sequence, limits};
use std::collections::BTreeMap;

/// Subscriptions, and kinds of what was sent, that are looked at in the time of a step.
const LOOKS_OF_STEP: usize = 4;

/// Kinds of what a transaction has sent, alone and in its records, that are looked at for one decision, and as many subscriptions of topics,
/// and those of one topic more. *Without: somebody subscribes and unsubscribes between the sends of a transaction a million times, or has
/// ten thousand patterns which fit none of its thousand topics, and its COMMIT takes a second from everybody.*
const MOST_LOOKS: usize = 65_536;

/// A subscription that came since something was sent, and is to have it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateSharer {
    pub of: DestinationIndex,
    id: DestinationId,
    /// What its selector says is to be found out.
    pub is_untried: bool,
}

/// Who is to have one kind of what was sent.
#[derive(Default)]
struct Sharers {
    /// Of these, in [`Late::lists`],
    list: usize,
    /// from there on,
    from: usize,
    /// but those that have it already.
    placed: Box<[DestinationIndex]>,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Late {
    /// Those of a topic, as they came.
    lists: Vec<Vec<LateSharer>>,
    kinds: Vec<Sharers>,
    /// Which kind it is that has this number within the transaction, and those that follow.
    by_number: Vec<(u64, Option<usize>)>,
    /// All places of those that came later.
    places: u64,
    /// What these take in the decision's record.
    bytes: u64,
}

impl Late {
    /// Those that are to have what has this number.
    pub(super) fn of(&self, number: u64) -> impl Iterator<Item = LateSharer> {
        let behind = self.by_number.partition_point(|(from, _)| *from <= number);
        let found = behind.checked_sub(1).and_then(|before| self.by_number.get(before));
        let kind = found.and_then(|(_, kind)| self.kinds.get((*kind)?));
        kind.into_iter().flat_map(|kind| self.sharers(kind))
    }

    fn sharers<'a>(&'a self, kind: &'a Sharers) -> impl Iterator<Item = LateSharer> {
        let list = self.lists.get(kind.list).and_then(|list| list.get(kind.from..)).unwrap_or_default();
        list.iter().copied().filter(|sharer| kind.placed.binary_search(&sharer.of).is_err())
    }

    /// How many these are.
    fn count(&self, kind: &Sharers) -> u64 {
        if !kind.placed.is_empty() {
            return self.sharers(kind).count() as u64;
        }
        self.lists.get(kind.list).map_or(0, |list| list.len().saturating_sub(kind.from)) as u64
    }

    /// What they take in the decision's record.
    pub(crate) fn bytes(&self) -> u64 {
        if self.places > 0 { self.bytes } else { 0 }
    }

    /// All of them, some more than once.
    pub(super) fn all(&self) -> impl Iterator<Item = DestinationIndex> {
        self.lists.iter().flatten().map(|sharer| sharer.of)
    }

    /// One that is in use until the decision has taken effect, and is not any more.
    pub(super) fn release(&mut self) -> Option<DestinationIndex> {
        while let Some(list) = self.lists.last_mut() {
            if let Some(sharer) = list.pop() {
                return Some(sharer.of);
            }
            self.lists.pop();
        }
        None
    }

    /// Whether none of them is in use any more.
    pub(super) fn is_released(&self) -> bool {
        self.lists.iter().all(Vec::is_empty)
    }

    /// The next number is for these.
    fn add(&mut self, number: u64, sharers: Vec<LateSharer>) {
        let end = self.by_number.last().map(|(from, _)| *from);
        if end.is_some_and(|end| end < number) || self.lists.last() != Some(&sharers) {
            self.by_number.pop_if(|(end, _)| *end == number);
            self.by_number.push((number, Some(self.kinds.len())));
            self.kinds.push(Sharers { list: self.lists.len(), ..Sharers::default() });
            self.lists.push(sharers);
        } else {
            self.by_number.pop();
        }
        self.by_number.push((number + 1, None));
    }
}

/// Why they cannot have it.
pub(crate) enum TooMany {
    /// So many places, of all that was sent together, or more.
    OfAll(u64),
    /// One message would have so many, and a record says [`limits::PLACES`] at most.
    OfOne(u64),
    /// It is too much to look at, whoever would have it.
    ToLookAt,
}

impl Broker {
    /// The subscriptions that came since something was sent to their topics: they are to have it, too, at most so many places. What has a
    /// selector is placed, and tried when it is looked at.
    pub(crate) fn late_sharers(&mut self, of: TransactionIndex, client: &[u8], most: u64) -> Result<Late, TooMany> {
        let mut looked = 0;
        let late = self.find_late(of, (client, most), &mut looked);
        self.work.spend(looked / LOOKS_OF_STEP);
        late
    }

    /// What they would take in the record of a decision, unless they are too many for one. It is looked for once: a batch may say a
    /// hundred times that something is to be committed.
    pub(crate) fn late_bytes(&self, of: TransactionIndex, client: &[u8]) -> u64 {
        let Some(staged) = self.undecided.table.get(of.0) else { return 0 };
        let now = (self.destinations.subscriptions.changes(), self.undecided.places(of));
        let known = &staged.topics.late_bytes;
        if let Some((_, bytes)) = known.get().filter(|(then, _)| *then == now) {
            return bytes;
        }
        let late = self.find_late(of, (client, self.config.transaction_messages), &mut 0);
        let bytes = late.map_or(0, |late| late.bytes());
        known.set(Some((now, bytes)));
        bytes
    }

    /// Whether what it has sent to topics is of more kinds than are looked at for a decision.
    pub(crate) fn is_much_to_look_at(&self, of: TransactionIndex) -> bool {
        self.undecided.table.get(of.0).is_some_and(|staged| staged.topics.looks > MOST_LOOKS)
    }

    fn find_late(
        &self,
        of: TransactionIndex,
        (client, most): (&[u8], u64),
        looked: &mut usize,
    ) -> Result<Late, TooMany> {
        let staged = self.undecided.table.get(of.0);
        let Some(sent) = staged.map(|staged| &staged.topics) else { return Ok(Late::default()) };
        let has_come = sent.since().is_some_and(|since| self.destinations.has_subscribed_since(since));
        if !has_come || planted("subscribed-at-send") {
            return Ok(Late::default());
        }
        // One that is prepared was asked before it was.
        if staged.is_some_and(|staged| staged.prepared.is_none()) && self.is_much_to_look_at(of) {
            return Err(TooMany::ToLookAt);
        }
        let (mut late, mut lists, mut listed) = (Late::default(), BTreeMap::new(), 0);
        *looked += sent.looks;
        for kind in &sent.kinds {
            if listed > MOST_LOOKS {
                *looked += listed;
                return Err(TooMany::ToLookAt);
            }
            // Later kinds of a topic go to no others.
            let list = *lists.entry(kind.topic).or_insert_with(|| {
                let found = self.destinations.subscribed_since(kind.topic, kind.since, &mut listed);
                let foreign = found.filter(|(_, subscription)| subscription.is_foreign_to(client));
                let sharer = |(of, subscription): (DestinationIndex, &Subscription)| {
                    let id = self.destinations.get(of).id?;
                    Some(LateSharer { of, id, is_untried: subscription.has_selector() })
                };
                let mut list: Vec<LateSharer> = foreign.filter_map(sharer).collect();
                list.sort_unstable_by_key(|sharer| sharer.id);
                late.lists.push(list);
                late.lists.len() - 1
            });
            let known = late.lists.get(list).map_or(&[][..], Vec::as_slice);
            let from = known.partition_point(|sharer| sharer.id < kind.since);
            let sharers = Sharers { list, from, placed: kind.placed.clone() };
            let count = late.count(&sharers);
            late.kinds.push(sharers);
            late.places += count * kind.numbers.len();
            late.bytes += if kind.is_stored { count * kind.numbers.bytes() } else { 0 };
            if late.places > most {
                break;
            }
        }
        *looked += listed;
        let largest = sent.records.iter().map(|(kinds, places)| {
            let more = kinds.iter().filter_map(|kind| late.kinds.get(*kind)).map(|kind| late.count(kind)).sum::<u64>();
            if more > 0 { places + more } else { 0 }
        });
        let largest = largest.max().unwrap_or_default();
        match () {
            () if late.places > most => Err(TooMany::OfAll(late.places)),
            () if largest > limits::PLACES as u64 => Err(TooMany::OfOne(largest)),
            () if late.places == 0 => Ok(Late::default()),
            () => Ok(late),
        }
    }

    /// They are in use until the decision has taken effect (R44).
    pub(super) fn hold_late(&mut self, of: TransactionIndex, late: &mut Late) {
        if late.places == 0 {
            return;
        }
        if let Some(staged) = self.undecided.table.get_mut(of.0) {
            late.by_number = staged.topics.take_numbers();
        }
        for sharer in late.all() {
            self.destinations.get_mut(sharer).undecided += 1;
        }
    }

    /// What the decision says of them: the runs of each, of what is in the journal. Those with a selector are apart.
    pub(super) fn late_places(&mut self, late: &Late, of: TransactionIndex, first: Sequence) -> (Vec<u8>, Vec<u8>) {
        let (mut placed, mut untried) = (Vec::new(), Vec::new());
        let kinds = self.undecided.table.get(of.0).map_or(&[][..], |staged| &staged.topics.kinds);
        for (sent, sharers) in kinds.iter().zip(&late.kinds).filter(|(sent, _)| sent.is_stored) {
            for sharer in late.sharers(sharers) {
                let bytes = if sharer.is_untried { &mut untried } else { &mut placed };
                sent.numbers.write(bytes, sharer.id, first.0);
            }
        }
        self.work.spend((placed.len() + untried.len()) / STEP_BYTES);
        (placed, untried)
    }

    /// The same out of a decision that is followed.
    pub(super) fn follow_late(&mut self, decided: Decided<'_>, commit: &CommitMeta) -> Result<Late, MetaError> {
        let mut placed = BTreeMap::new();
        self.follow_placed_late(decided.placed, (false, commit), &mut placed)?;
        self.follow_placed_late(decided.untried, (true, commit), &mut placed)?;
        let mut late = Late::default();
        placed.into_iter().for_each(|(number, sharers)| late.add(number, sharers));
        Ok(late)
    }

    fn follow_placed_late(
        &mut self,
        runs: &[u8],
        (is_untried, commit): (bool, &CommitMeta),
        placed: &mut BTreeMap<u64, Vec<LateSharer>>,
    ) -> Result<(), MetaError> {
        let mut is_wrong = false;
        let read = records::read_acknowledged(runs, |id, sequence| {
            let number = sequence.0.checked_sub(commit.first.0).filter(|number| *number < commit.places);
            match number.zip(self.queue_by_id(id)) {
                Some((number, of)) => placed.entry(number).or_default().push(LateSharer { of, id, is_untried }),
                None => is_wrong = true,
            }
        });
        if is_wrong { Err(MetaError::Malformed) } else { read.ok_or(MetaError::Malformed) }
    }
}
