//! What is sent within transactions that are not decided, and how a decision takes effect: the same when it is made and when it is
//! followed (R12). Such a message is in the table of messages and in the log, and in no queue: its sequence is its number within the
//! transaction, and its publisher the transaction.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::broker::Broker;
use crate::durable::applying::{Applying, Effect};
use crate::durable::late::Late;
use crate::durable::outcomes::BranchEnd;
use crate::durable::prepared::Prepared;
use crate::durable::sent::SentToTopics;
use crate::durable::staging::small;
use crate::durable::store::Arrival;
use crate::kit::budget::Budget;
use crate::kit::slab::Slab;
use crate::log::{Log, LogKind};
use crate::messages::{DestinationIndex, Message, MessageIndex, TransactionIndex, flag};
use crate::plant::planted;
use crate::records::commit::{CommitMeta, Decided, read_commit, write_commit};
use crate::records::{self, MessageMeta, MetaError, Placement, TransactionTag, kind};
use crate::step::Step;
use postrider_journal::{Bound, Home, Position, Purpose, Record, SegmentNumber, body_crc};
use postrider_model::Sequence;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// First places of a transaction's records, with their numbers, in order.
pub(super) type Heads = std::vec::IntoIter<(u64, MessageIndex)>;

/// What one transaction has sent.
#[derive(Default)]
pub(crate) struct Staged {
    /// None: nothing of it is in the journal.
    tag: Option<TransactionTag>,
    /// First places of its records, by their numbers.
    pub(super) records: Vec<(u64, MessageIndex)>,
    /// Those that came out of their order, as reclaim had moved them, while the log is followed.
    late: BTreeMap<u64, MessageIndex>,
    /// Subscriptions that are to have what is sent to topics, by its number.
    pub(super) sharers: BTreeMap<u64, Box<[DestinationIndex]>>,
    /// What was sent to topics: subscriptions may come before it is decided.
    pub(super) topics: SentToTopics,
    /// Places, which is the number of the next one.
    places: u64,
    bytes: u64,
    /// Where its places are: nothing comes there before them, once it is committed.
    touched: BTreeSet<DestinationIndex>,
    /// It cannot be committed any more: what it has sent goes.
    lost: bool,
    /// That is still on its way.
    leaves: bool,
    /// The transaction itself is over.
    ended: bool,
    /// Where its last record is.
    last: Position,
    /// It is kept aside: it may have been decided (R48).
    kept: bool,
    /// It is a branch of a distributed transaction that is prepared.
    pub(super) prepared: Option<Box<Prepared>>,
}

impl Staged {
    /// First places of its records.
    pub(super) fn heads(&self) -> impl Iterator<Item = MessageIndex> {
        self.records.iter().map(|(_, head)| *head).chain(self.late.values().copied())
    }

    /// The same in the order of their numbers.
    pub(super) fn in_order(&self) -> Vec<MessageIndex> {
        let mut all: Vec<(u64, MessageIndex)> = self.records.clone();
        all.extend(self.late.iter().map(|(number, head)| (*number, *head)));
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, head)| head).collect()
    }

    /// The first place of the record that has a number.
    pub(super) fn head_of(&self, number: u64) -> Option<MessageIndex> {
        let behind = self.records.partition_point(|(first, _)| *first <= number);
        let in_order = behind.checked_sub(1).and_then(|before| self.records.get(before)).copied();
        let moved = self.late.range(..=number).next_back().map(|(first, head)| (*first, *head));
        in_order.into_iter().chain(moved).max_by_key(|(first, _)| *first).map(|(_, head)| head)
    }

    /// The first place of the record that begins with a number.
    pub(super) fn find(&self, number: u64) -> Option<MessageIndex> {
        let found = self.records.binary_search_by_key(&number, |(number, _)| *number);
        found.ok().map(|place| self.records[place].1).or_else(|| self.late.get(&number).copied())
    }

    fn add(&mut self, number: u64, head: MessageIndex) {
        if self.records.last().is_none_or(|(last, _)| *last < number) {
            self.records.push((number, head));
        } else {
            self.late.insert(number, head);
        }
    }

    /// All records by their numbers.
    fn take_records(&mut self) -> Heads {
        let mut records = std::mem::take(&mut self.records);
        if !self.late.is_empty() {
            records.extend(std::mem::take(&mut self.late));
            records.sort_unstable_by_key(|(number, _)| *number);
        }
        records.into_iter()
    }
}

/// What a transaction has sent, on its way out of the table and the logs (R25).
pub(crate) struct Vanishing {
    of: TransactionIndex,
    heads: Heads,
}

/// A decision that may not be durable yet: the sequences that it has given.
#[derive(Clone, Copy)]
struct Decision {
    first: u64,
    end: u64,
    position: Position,
}

/// What no transaction has decided.
#[derive(Default)]
pub(crate) struct Undecided {
    pub(super) table: Slab<Staged>,
    by_tag: BTreeMap<TransactionTag, TransactionIndex>,
    /// Places and bytes of all of them.
    places: u64,
    bytes: u64,
    /// Those of whose sequences some may not go out yet, the oldest first.
    decisions: VecDeque<Decision>,
    /// Transactions of which nothing is done, and of which the log is to say so.
    untold: Vec<TransactionTag>,
    /// Decisions that take effect.
    pub(super) applying: Applying,
    /// Bytes of the records of those that are prepared.
    pub(super) prepared_bytes: u64,
}

impl Undecided {
    /// A transaction begins to send.
    pub(crate) fn begin(&mut self) -> TransactionIndex {
        TransactionIndex(self.table.insert(Staged::default()))
    }

    /// Places of all transactions.
    pub(crate) fn all_places(&self) -> u64 {
        self.places
    }

    /// Bytes of what all transactions have sent.
    pub(crate) fn all_bytes(&self) -> u64 {
        self.bytes
    }

    /// Places of what a transaction has sent.
    pub(crate) fn places(&self, of: TransactionIndex) -> u64 {
        self.table[of.0].places
    }

    /// Whether it cannot be committed any more, as bytes of it are damaged.
    pub(crate) fn is_lost(&self, of: TransactionIndex) -> bool {
        self.table[of.0].lost
    }

    /// The subscriptions that are to have a shared message of a transaction.
    pub(super) fn sharers(&self, message: &Message) -> &[DestinationIndex] {
        let staged = self.table.get(message.publisher);
        let sharers = staged.and_then(|staged| staged.sharers.get(&message.sequence.0));
        sharers.map_or(&[], |sharers| sharers)
    }

    pub(super) fn tag(&self, of: TransactionIndex) -> Option<TransactionTag> {
        self.table[of.0].tag
    }

    fn is_durable(&self, of: TransactionIndex) -> bool {
        self.table[of.0].tag.is_some()
    }

    pub(super) fn find_or_begin(&mut self, tag: TransactionTag) -> TransactionIndex {
        if let Some(known) = self.by_tag.get(&tag) {
            return *known;
        }
        let of = self.begin();
        self.table[of.0].tag = Some(tag);
        self.by_tag.insert(tag, of);
        of
    }

    /// Bytes of the messages of a record with so many places.
    fn count(&mut self, of: TransactionIndex, places: u64, bytes: u64) {
        let staged = &mut self.table[of.0];
        (staged.bytes, self.bytes, self.places) = (staged.bytes + bytes, self.bytes + bytes, self.places + places);
    }

    /// What it has sent is not undecided any more.
    fn uncount(&mut self, of: TransactionIndex) -> Heads {
        let staged = &mut self.table[of.0];
        let (places, bytes) = (std::mem::take(&mut staged.places), std::mem::take(&mut staged.bytes));
        (self.places, self.bytes) = (self.places.saturating_sub(places), self.bytes.saturating_sub(bytes));
        staged.take_records()
    }

    pub(super) fn end(&mut self, of: TransactionIndex) {
        if let Some(tag) = self.table.remove(of.0).tag {
            self.by_tag.remove(&tag);
        }
    }

    /// It is prepared, as this says. What was said of it before.
    pub(super) fn set_prepared(&mut self, of: TransactionIndex, prepared: Prepared) -> Option<Box<Prepared>> {
        self.table[of.0].prepared.replace(Box::new(prepared))
    }

    /// It is decided: what was said of it while it was prepared.
    pub(super) fn take_prepared(&mut self, of: TransactionIndex) -> Option<Box<Prepared>> {
        self.table[of.0].prepared.take()
    }

    /// Keeps those aside that are undecided and not prepared, of which `is_doubtful` says so by tag and last record.
    pub(super) fn keep(&mut self, is_doubtful: impl Fn(TransactionTag, Position) -> bool) -> Vec<TransactionIndex> {
        let unprepared = self.table.iter().filter(|(_, staged)| staged.prepared.is_none());
        let doubtful = unprepared.filter(|(_, staged)| staged.tag.is_some_and(|tag| is_doubtful(tag, staged.last)));
        let found: Vec<TransactionIndex> = doubtful.map(|(index, _)| TransactionIndex(index)).collect();
        found.iter().for_each(|of| self.table[of.0].kept = true);
        found
    }

    /// The tag of one that is kept aside, if it is there still.
    pub(super) fn kept_tag(&self, of: TransactionIndex) -> Option<TransactionTag> {
        self.table.get(of.0).filter(|staged| staged.kept && staged.prepared.is_none())?.tag
    }

    /// Its tag, if it is there.
    pub(super) fn try_tag(&self, of: TransactionIndex) -> Option<TransactionTag> {
        self.table.get(of.0)?.tag
    }

    /// Those that are prepared.
    pub(super) fn prepared_ones(&self) -> Vec<TransactionIndex> {
        let prepared = self.table.iter().filter(|(_, staged)| staged.prepared.is_some());
        prepared.map(|(index, _)| TransactionIndex(index)).collect()
    }

    /// The same with their tags.
    #[cfg(feature = "plant")]
    pub(super) fn all_prepared(&self) -> impl Iterator<Item = (TransactionTag, &Prepared)> {
        self.table.iter().filter_map(|(_, staged)| Some((staged.tag?, staged.prepared.as_deref()?)))
    }

    /// First places of what it has sent.
    pub(super) fn heads(&self, of: TransactionIndex) -> Vec<MessageIndex> {
        self.table[of.0].heads().collect()
    }

    /// First places of what all transactions have sent.
    pub(super) fn all_heads(&self) -> impl Iterator<Item = MessageIndex> {
        self.table.iter().flat_map(|(_, staged)| staged.heads())
    }

    /// What is one destination's is another's from here on.
    pub(super) fn touch_instead(&mut self, taken_in: DestinationIndex, by: DestinationIndex) {
        let all: Vec<u32> = self.table.iter().map(|(index, _)| index).collect();
        for of in all {
            let touched = &mut self.table[of].touched;
            if touched.remove(&taken_in) {
                touched.insert(by);
            }
        }
    }

    /// Its places are in these destinations as well.
    pub(super) fn touch(&mut self, of: TransactionIndex, destination: DestinationIndex) {
        self.table[of.0].touched.insert(destination);
    }

    /// And in the subscriptions that are to have what it has sent to topics.
    pub(super) fn touch_sharers(&mut self, of: TransactionIndex) {
        let staged = &mut self.table[of.0];
        staged.touched.extend(staged.sharers.values().flatten());
    }

    /// One of its records is no more.
    fn forget_record(&mut self, of: TransactionIndex, head: MessageIndex) {
        let staged = &mut self.table[of.0];
        staged.records.retain(|(_, known)| *known != head);
        staged.late.retain(|_, known| *known != head);
    }

    /// Whether the decision that has given a sequence may not be durable yet.
    fn is_decision_pending(&mut self, sequence: Sequence, committed: Position) -> bool {
        while self.decisions.pop_front_if(|decision| decision.position < committed).is_some() {}
        let after = self.decisions.partition_point(|decision| decision.end <= sequence.0);
        self.decisions.get(after).is_some_and(|decision| decision.first <= sequence.0)
    }
}

impl Broker {
    /// What is kept until something commits: places in the list of destinations, and decisions.
    #[doc(hidden)]
    #[must_use]
    pub fn kept_for_commits(&self) -> (usize, usize) {
        (self.destinations.line.awaiting_commit(), self.undecided.decisions.len())
    }

    /// Whether what a transaction has sent may be seen: not before its decision is committed, wherever its own bytes are (R33).
    #[cold]
    pub(crate) fn is_decision_durable<L: Log>(&mut self, number: MessageIndex, step: &Step<'_, L>) -> bool {
        let sequence = self.messages.at(number).sequence;
        if self.undecided.is_decision_pending(sequence, step.log.committed()) && !planted("dispatch-before-decision") {
            return false;
        }
        self.messages.at_mut(number).flags &= !flag::DECIDED;
        true
    }

    /// Writes one record for these places of a send, which nobody is to see.
    pub(crate) fn stage_send<L: Log>(
        &mut self,
        of: TransactionIndex,
        store: LogKind,
        parts: &[DestinationIndex],
        arrival: Arrival<'_>,
        step: &mut Step<'_, L>,
    ) {
        let number = self.undecided.places(of);
        let mut placements = std::mem::take(&mut self.durable.placements);
        placements.clear();
        for (place, part) in (number..).zip(parts) {
            let destination = self.destinations.get(*part).id.unwrap_or_default();
            placements.push(Placement { destination, sequence: Sequence(place), ..Placement::default() });
        }
        self.stage_placed(of, store, arrival, (parts, &placements), step);
        self.durable.placements = placements;
    }

    /// As [`Broker::stage_send`], where it is known what each place says.
    pub(super) fn stage_placed<L: Log>(
        &mut self,
        of: TransactionIndex,
        store: LogKind,
        arrival: Arrival<'_>,
        (parts, placements): (&[DestinationIndex], &[Placement]),
        step: &mut Step<'_, L>,
    ) {
        // Nothing of it is named in the log before something is there.
        let tag = (store == LogKind::Journal).then(|| self.tag_of(of));
        let Arrival { record, crc, elsewhere, .. } = arrival;
        let about = MessageMeta { elsewhere, tag, ..MessageMeta::default() };
        let home = self.stage_message(store, about, placements, (record, crc), step);
        self.apply_undecided(of, (store, home), arrival, parts, placements);
    }

    /// The tag of a transaction, which it has from its first record on.
    pub(super) fn tag_of(&mut self, of: TransactionIndex) -> TransactionTag {
        if let Some(tag) = self.undecided.table[of.0].tag {
            return tag;
        }
        let tag = TransactionTag(self.sequences.take(1).0);
        self.undecided.table[of.0].tag = Some(tag);
        self.undecided.by_tag.insert(tag, of);
        tag
    }

    /// The transaction of a message that is undecided, as its record names it.
    pub(crate) fn tag_of_message(&self, message: &Message) -> Option<TransactionTag> {
        let staged = message.has(flag::STAGED).then(|| self.undecided.table.get(message.publisher))??;
        staged.tag
    }

    /// A message of a transaction takes effect: it is there, and in no queue.
    pub(super) fn apply_undecided(
        &mut self,
        of: TransactionIndex,
        (store, home): (LogKind, Home),
        arrival: Arrival<'_>,
        parts: &[DestinationIndex],
        placements: &[Placement],
    ) {
        let Some((first, last)) = placements.first().zip(placements.last()) else { return };
        let arrival = Arrival { publisher: of.0, ..arrival };
        let head = self.place_message(store, home, arrival, parts, placements, flag::STAGED);
        for part in parts {
            self.destinations.get_mut(*part).undecided += 1;
        }
        self.note_sharers(of, parts, placements);
        let staged = &mut self.undecided.table[of.0];
        if store == LogKind::Journal {
            staged.last = staged.last.max(home.position);
        }
        staged.add(first.sequence.0, head);
        if self.following.is_none() {
            staged.touched.extend(parts);
        }
        let places = (last.sequence.0 + 1).saturating_sub(staged.places);
        staged.places += places;
        self.undecided.count(of, places, records::live_bytes(arrival.record.len(), parts.len()));
    }

    /// A record of an undecided message that is followed: one that came, or one that has moved.
    pub(crate) fn follow_undecided(
        &mut self,
        tag: TransactionTag,
        home: Home,
        arrival: Arrival<'_>,
        parts: &[DestinationIndex],
        placements: &[Placement],
    ) -> Result<(), MetaError> {
        self.sequences.saw(Sequence(tag.0));
        let of = self.undecided.find_or_begin(tag);
        let known = placements.iter().find_map(|place| self.undecided.table[of.0].find(place.sequence.0));
        let Some(head) = known else {
            self.apply_undecided(of, (LogKind::Journal, home), arrival, parts, placements);
            return Ok(());
        };
        let message = self.messages.at(head);
        if (message.length, message.crc) != (home.len, arrival.crc) {
            return Err(MetaError::Malformed);
        }
        self.apply_move(head, placements, home);
        let staged = &mut self.undecided.table[of.0];
        staged.last = staged.last.max(home.position);
        Ok(())
    }

    /// Decides that all of a transaction is done: what it acknowledges stands in the record, and what it has sent gets its sequences. There
    /// is room for the record, if it needs one, and there are sequences. It takes effect now if that is little and nothing stands before
    /// it where it goes (R36).
    pub(crate) fn commit_staged<L: Log>(
        &mut self,
        of: TransactionIndex,
        (names, settled): (&[u8], Vec<(DestinationIndex, MessageIndex)>),
        mut late: Late,
        (publisher, branch): (u32, Option<&BranchEnd>),
        step: &mut Step<'_, L>,
    ) {
        let places = self.undecided.places(of);
        let is_said = self.undecided.is_durable(of) || !names.is_empty() || branch.is_some();
        let tag = is_said.then(|| self.tag_of(of));
        let first = self.sequences.take(places);
        let committed = step.log.committed();
        while self.undecided.decisions.pop_front_if(|decision| decision.position < committed).is_some() {}
        if let Some(tag) = tag {
            let names = if planted("commit-without-acks") { &[] } else { names };
            let (placed, untried) = self.late_places(&late, of, first);
            let decided = Decided { placed: &placed, untried: &untried, acknowledged: names };
            let position = self.write_decision(tag, (first, places), (decided, branch), step);
            if places > 0 {
                let (first, end) = (first.0, first.0 + places);
                self.undecided.decisions.push_back(Decision { first, end, position });
            }
        }
        self.forget_prepared(of);
        let bits = if tag.is_some() { flag::DECIDED } else { 0 };
        let mut touched = std::mem::take(&mut self.undecided.table[of.0].touched);
        self.hold_late(of, &mut late);
        touched.extend(late.all());
        let heads = self.undecided.uncount(of);
        let settled = settled.into_iter();
        self.take_effect(Effect { of, heads, first, publisher, bits, touched, settled, late }, step);
    }

    fn write_decision<L: Log>(
        &mut self,
        tag: TransactionTag,
        (first, places): (Sequence, u64),
        (decided, branch): (Decided<'_>, Option<&BranchEnd>),
        step: &mut Step<'_, L>,
    ) -> Position {
        self.flush_acknowledged(step);
        let mut meta = std::mem::take(&mut self.durable.meta);
        let commit = CommitMeta {
            first,
            places,
            unix_millis: step.now.unix_millis,
            branch: branch.map(|end| end.branch.clone()),
        };
        let body = write_commit(&mut meta, &commit, decided).unwrap_or_default();
        let (sequence, body_crc) = (tag.sequence().0, body_crc(&body));
        let record = Record { kind: kind::COMMIT, flags: 0, sequence, meta: &meta, body: &body, body_crc };
        let home = self.stage(LogKind::Journal, &record, step);
        self.durable.meta = meta;
        if let Some(outcome) = commit.outcome() {
            self.apply_outcome(tag, outcome, branch.and_then(|end| end.heard), home);
        }
        home.position
    }

    /// A commit that is followed.
    pub(crate) fn follow_commit(&mut self, record: &Record<'_>, home: Home) -> Result<(), MetaError> {
        let tag = TransactionTag::of(record.sequence).ok_or(MetaError::Malformed)?;
        let (commit, decided) = read_commit(record.meta, record.body)?;
        self.follow_acknowledged(decided.acknowledged).ok_or(MetaError::Malformed)?;
        let late = self.follow_late(decided, &commit)?;
        self.sequences.saw(Sequence(tag.0));
        self.sequences.saw(Sequence((commit.first.0 + commit.places).saturating_sub(1)));
        if let Some(outcome) = commit.outcome() {
            self.apply_outcome(tag, outcome, None, home);
        }
        let Some(of) = self.undecided.by_tag.get(&tag).copied() else { return Ok(()) };
        self.check_decision(of, &commit)?;
        self.forget_prepared(of);
        for (_, head) in self.undecided.uncount(of) {
            self.enter_queues((of, head), (commit.first, &late), 0, 0);
        }
        self.undecided.end(of);
        Ok(())
    }

    /// Whether the sequences of a decision that is followed are its messages' own.
    fn check_decision(&self, of: TransactionIndex, commit: &CommitMeta) -> Result<(), MetaError> {
        let staged = &self.undecided.table[of.0];
        if staged.places > commit.places {
            return Err(MetaError::Malformed);
        }
        let mut taken = std::collections::BTreeSet::new();
        for head in staged.heads() {
            let mut index = head;
            while index != MessageIndex::NONE {
                let message = self.messages.at(index);
                let sequence = Sequence(commit.first.0 + message.sequence.0);
                let mut sharers = staged.sharers.get(&message.sequence.0).into_iter().flatten();
                let is_known = self.find_in(message.destination, sequence).is_some()
                    || sharers.any(|of| self.find_in(*of, sequence).is_some());
                if is_known || !taken.insert(message.sequence) {
                    return Err(MetaError::Malformed);
                }
                index = message.sibling;
            }
        }
        Ok(())
    }

    /// A transaction that is over without effect, as the log says.
    pub(crate) fn follow_rolled_back(&mut self, sequence: u64) {
        let found = TransactionTag::of(sequence).and_then(|tag| self.undecided.by_tag.get(&tag).copied());
        if let Some(of) = found {
            self.forget_prepared(of);
            self.drop_staged(of);
        }
    }

    /// What no decision was found for is dead: none will come (R48). The log is to say so: whoever finds damage later would take it for one
    /// whose decision may have been there.
    pub(crate) fn drop_undecided(&mut self) {
        let unprepared = self.undecided.table.iter().filter(|(_, staged)| staged.prepared.is_none() && !staged.kept);
        let all: Vec<(u32, Option<TransactionTag>)> = unprepared.map(|(index, staged)| (index, staged.tag)).collect();
        for (of, tag) in all {
            self.undecided.untold.extend(tag);
            self.drop_staged(TransactionIndex(of));
        }
    }

    /// What a transaction has sent was never there: while the log is followed, where nothing of it is in the spool.
    fn drop_staged(&mut self, of: TransactionIndex) {
        for (_, head) in self.undecided.uncount(of) {
            self.drop_record(of, head, |_| {});
        }
        self.undecided.end(of);
    }

    /// The places of an undecided record go, from the table and from the log. Tells of a segment of the spool that may be empty.
    fn drop_record(&mut self, of: TransactionIndex, head: MessageIndex, mut emptied: impl FnMut(SegmentNumber)) {
        let mut index = head;
        while index != MessageIndex::NONE {
            let message = self.messages.remove(index);
            self.destinations.decide(message.destination, 1);
            self.forget_sharers(of, &message);
            if message.has(flag::STRAY) {
                self.strays.remove(&message);
            }
            if self.leave_record(index, &message) && message.store == LogKind::Spool {
                emptied(message.segment);
            }
            index = message.sibling;
        }
    }

    /// What a transaction has sent goes, though it may not be over: it cannot be committed any more.
    pub(crate) fn lose_staged<L: Log>(&mut self, of: TransactionIndex, step: &mut Step<'_, L>) {
        if std::mem::replace(&mut self.undecided.table[of.0].lost, true) {
            return;
        }
        self.undecided.table[of.0].leaves = true;
        let mut vanishing = Vanishing { of, heads: self.undecided.uncount(of) };
        if !self.at_once(|broker, budget| broker.vanish_some(&mut vanishing, budget, step)) {
            self.jobs.push(vanishing);
        }
    }

    /// Goes on with it. True: all is gone.
    pub(crate) fn vanish_some<L: Log>(
        &mut self,
        vanishing: &mut Vanishing,
        budget: &mut Budget,
        step: &mut Step<'_, L>,
    ) -> bool {
        let Vanishing { of, heads } = vanishing;
        let mut emptied = Vec::new();
        while budget.step()
            && let Some((_, head)) = heads.next()
        {
            self.drop_record(*of, head, |segment| emptied.push(segment));
        }
        emptied.into_iter().for_each(|segment| self.release_spool(segment, step));
        if !heads.as_slice().is_empty() {
            return false;
        }
        let staged = &mut self.undecided.table[of.0];
        staged.leaves = false;
        let (tag, ended) = (staged.tag.take(), staged.ended);
        if let Some(tag) = tag {
            self.undecided.by_tag.remove(&tag);
            self.undecided.untold.push(tag);
        }
        if ended {
            self.undecided.end(*of);
        }
        self.jobs.stir();
        true
    }

    /// A transaction is over without effect.
    pub(crate) fn roll_back_staged<L: Log>(&mut self, of: TransactionIndex, step: &mut Step<'_, L>) {
        self.forget_prepared(of);
        self.lose_staged(of, step);
        let staged = &mut self.undecided.table[of.0];
        staged.ended = true;
        if !staged.leaves {
            self.undecided.end(of);
        }
    }

    /// The bytes of a message are damaged whose transaction is undecided: that cannot be committed, and soon holds its segment no longer. One
    /// that is prepared can, whatever happens: without that message.
    pub(crate) fn lose_damaged(&mut self, head: MessageIndex, step: &mut Step<'_, impl Log>) {
        let of = TransactionIndex(self.messages.at(head).publisher);
        self.statistics.damaged += 1;
        if self.undecided.prepared(of).is_some() {
            self.undecided.forget_record(of, head);
            return self.drop_record(of, head, |_| {});
        }
        self.lose_staged(of, step);
    }

    /// The end of a turn: the log says of which transactions nothing is done, as far as it has room.
    pub(crate) fn tell_rolled_back<L: Log>(&mut self, step: &mut Step<'_, L>) {
        while let Some(tag) = self.undecided.untold.last().copied() {
            if !step.log.reserve(Purpose::Settle, Bound { records: 1, bytes: 0 }) {
                return;
            }
            self.undecided.untold.pop();
            self.flush_acknowledged(step);
            let record = Record { sequence: tag.sequence().0, ..small(kind::ROLLED_BACK, &[]) };
            self.stage(LogKind::Journal, &record, step);
        }
    }
}
