//! Destinations: how they come, are found and go.
#![expect(
    clippy::indexing_slicing,
    reason = "numbers in the broker's own tables: one that is not there is our mistake"
)]

use crate::destinations::advisories::{Heard, is_told_on};
use crate::destinations::line::Line;
use crate::destinations::ordered::{NameCursor, Ordered, text};
use crate::destinations::queue::Queue;
use crate::destinations::subscription::{Subscription, Subscriptions};
use crate::destinations::topic::Topic;
use crate::kit::slab::Slab;
use crate::kit::table;
use crate::messages::{ConnectionIndex, DestinationIndex, MessageIndex};
use crate::records::items::ItemHome;
use crate::records::{self};
use foldhash::fast::FixedState;
use postrider_model::event::Failure;
use postrider_model::{Destination, DestinationId, DestinationKind, Sequence, limits};
use std::collections::BTreeMap;
use std::hash::BuildHasher;
use std::sync::Arc;

/// What a destination holds.
#[expect(clippy::large_enum_variant, reason = "most destinations are queues, and each message meets one")]
pub(crate) enum Content {
    /// Each message for one.
    Queue(Queue),
    /// Each message for all.
    Topic(Topic),
}

/// A destination.
pub(crate) struct DestinationState {
    pub destination: Destination,
    /// Kind and name, as events carry them.
    pub text: Arc<[u8]>,
    /// None: it is not stored.
    pub id: Option<DestinationId>,
    pub home: Option<ItemHome>,
    /// Never the same for two destinations of a life.
    pub serial: u64,
    /// The connection that a temporary destination lives with.
    pub owner: Option<ConnectionIndex>,
    pub content: Content,
    /// The durable subscription that it is.
    pub subscription: Option<Box<Subscription>>,
    /// Messages of it that transactions have sent or acknowledged which are not decided: it is in use (R44).
    pub undecided: u32,
    /// Messages that have come, and enter when a decision has taken effect.
    pub behind: u32,
    /// It goes, and waits for nothing but those.
    pub(super) awaits_decisions: bool,
    /// It is a topic, and stands among those that wait for a commit.
    pub(super) awaits_commit: bool,
    /// Sequences acknowledged in this turn.
    pub(super) acknowledged: Vec<u64>,
    /// It stands in the line of those with something to send.
    pub(super) in_line: bool,
    /// It stands in the list of those that wait for cold bytes.
    pub(super) awaits_bytes: bool,
    /// It goes; nobody finds it any more.
    pub(super) dying: bool,
    /// The broker tells on it what happens: it is served before others (R57), and is there while somebody listens (R63).
    pub(super) told: bool,
    /// Producers that have named it.
    pub producers: u32,
}

/// A destination that was found, and can be told from another that has its number later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Reference {
    pub index: DestinationIndex,
    pub serial: u64,
}

/// A number of a destination besides its own: it has taken another one in.
struct Alias {
    id: DestinationId,
    of: DestinationIndex,
    /// What is left of the one that had it.
    taken_in: DestinationIndex,
}

/// The table of destinations.
pub(crate) struct Destinations {
    table: Slab<DestinationState>,
    by_name: table::Table<DestinationIndex>,
    ordered: Ordered,
    hasher: FixedState,
    /// Bytes of all names.
    name_bytes: u64,
    by_id: table::Map<DestinationId, DestinationIndex>,
    aliases: Vec<Alias>,
    next_id: u32,
    next_serial: u64,
    /// Temporary ones, in the order in which they came.
    temporaries: BTreeMap<u64, DestinationIndex>,
    pub line: Line,
    pub subscriptions: Subscriptions,
    /// Who listens to what the broker tells.
    pub heard: Heard,
}

impl Destinations {
    pub(crate) fn new(hasher: &FixedState) -> Destinations {
        Destinations {
            table: Slab::default(),
            by_name: table::Table::new(),
            ordered: Ordered::default(),
            hasher: hasher.clone(),
            name_bytes: 0,
            by_id: table::Map::with_hasher(hasher.clone()),
            aliases: Vec::new(),
            next_id: 1,
            next_serial: 1,
            temporaries: BTreeMap::new(),
            line: Line::default(),
            subscriptions: Subscriptions::default(),
            heard: Heard::default(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn get(&self, index: DestinationIndex) -> &DestinationState {
        &self.table[index.0]
    }

    pub(crate) fn get_mut(&mut self, index: DestinationIndex) -> &mut DestinationState {
        &mut self.table[index.0]
    }

    /// The destination, if the number is taken.
    pub(crate) fn try_get(&self, index: DestinationIndex) -> Option<&DestinationState> {
        self.table.get(index.0)
    }

    pub(crate) fn find(&self, destination: &Destination) -> Option<DestinationIndex> {
        let table = &self.table;
        let is_it = |index: &DestinationIndex| table[index.0].destination == *destination;
        self.by_name.find(self.hasher.hash_one(destination), is_it).copied()
    }

    pub(crate) fn by_id(&self, id: DestinationId) -> Option<DestinationIndex> {
        self.by_id.get(&id).copied()
    }

    /// Whether the reference still means what it meant.
    pub(crate) fn is_valid(&self, reference: Reference) -> bool {
        self.table.get(reference.index.0).is_some_and(|state| state.serial == reference.serial && !state.dying)
    }

    /// As [`Ordered::page`].
    pub(crate) fn page(&self, pattern: &Destination, cursor: &mut NameCursor, most: usize, page: &mut Vec<Reference>) {
        self.ordered.page(pattern, cursor, most, page);
    }

    /// All that can be found, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (DestinationIndex, &DestinationState)> {
        self.table.iter().filter(|(_, state)| !state.dying).map(|(index, state)| (DestinationIndex(index), state))
    }

    /// The first with this number or a higher one.
    pub(crate) fn next_from(&self, index: DestinationIndex) -> Option<DestinationIndex> {
        self.table.next_taken(index.0).map(DestinationIndex)
    }

    /// A reference to a destination that is there.
    pub(crate) fn reference(&self, index: DestinationIndex) -> Reference {
        Reference { index, serial: self.table[index.0].serial }
    }

    pub(crate) fn next_serial(&self) -> u64 {
        self.next_serial
    }

    /// The number of the next one that the log is to know: none that is there has it, or a higher one.
    pub(crate) fn next_id(&self) -> DestinationId {
        DestinationId(self.next_id)
    }

    pub(crate) fn add(&mut self, destination: Destination, id: Option<DestinationId>) -> DestinationIndex {
        let content = match destination.kind.is_topic() {
            true => Content::Topic(Topic::default()),
            false => Content::Queue(Queue::default()),
        };
        let told = is_told_on(&destination);
        let state = DestinationState {
            text: text(&destination),
            destination,
            id,
            home: None,
            serial: self.next_serial,
            owner: None,
            content,
            subscription: None,
            undecided: 0,
            behind: 0,
            awaits_decisions: false,
            awaits_commit: false,
            acknowledged: Vec::new(),
            in_line: false,
            awaits_bytes: false,
            dying: false,
            told,
            producers: 0,
        };
        self.next_serial += 1;
        let index = DestinationIndex(self.table.insert(state));
        self.list(index);
        if let Some(id) = id {
            self.next_id = self.next_id.max(id.0.saturating_add(1));
            self.by_id.insert(id, index);
        }
        index
    }

    /// What a pattern of consumers is told lies in a topic of its own, which nobody finds by a name.
    pub(crate) fn add_told(&mut self, pattern: &Destination) -> DestinationIndex {
        let index = self.add(pattern.clone(), None);
        self.unlist(index);
        self.table[index.0].told = true;
        index
    }

    /// A temporary destination comes, which lives with a connection.
    pub(crate) fn add_temporary(&mut self, destination: Destination, owner: ConnectionIndex) -> DestinationIndex {
        let index = self.add(destination, None);
        let state = &mut self.table[index.0];
        state.owner = Some(owner);
        self.temporaries.insert(state.serial, index);
        index
    }

    /// A temporary destination goes.
    pub(crate) fn unlist_temporary(&mut self, index: DestinationIndex) {
        self.temporaries.remove(&self.table[index.0].serial);
    }

    /// How many temporary destinations there are.
    pub(crate) fn temporaries(&self) -> usize {
        self.temporaries.len()
    }

    /// The first of the temporary destinations with serials from `next` to before `end`.
    pub(crate) fn next_temporary(&self, next: u64, end: u64) -> Option<(u64, DestinationIndex)> {
        self.temporaries.range(next..end).next().map(|(serial, index)| (*serial, *index))
    }

    /// Recovery: a destination whose own record has not come yet. It holds messages, so it is a queue.
    pub(crate) fn add_unnamed(&mut self, id: DestinationId) -> DestinationIndex {
        let nameless = Destination::new(DestinationKind::Queue, b"");
        let index = self.add(nameless, Some(id));
        self.unlist(index);
        index
    }

    /// The same for one that subscriptions share messages of, so it is a topic.
    pub(crate) fn add_unnamed_topic(&mut self, id: DestinationId) -> DestinationIndex {
        let index = self.add(Destination::new(DestinationKind::Topic, b""), Some(id));
        self.unlist(index);
        index
    }

    /// It is found by its name, unless another is.
    fn list(&mut self, index: DestinationIndex) {
        let (table, hasher) = (&self.table, &self.hasher);
        let name = &table[index.0].destination;
        if self.find(name).is_none() {
            self.name_bytes += name.name.len() as u64;
            let hash = |index: &DestinationIndex| hasher.hash_one(&table[index.0].destination);
            self.by_name.insert(hasher.hash_one(name), index, hash);
            self.ordered.add(table[index.0].text.clone(), self.reference(index));
        }
    }

    /// Nobody finds it by its name any more.
    fn unlist(&mut self, index: DestinationIndex) {
        let name = &self.table[index.0].destination;
        if self.by_name.remove(self.hasher.hash_one(name), |known| *known == index).is_some() {
            self.ordered.remove(&self.table[index.0].text);
            self.name_bytes -= name.name.len() as u64;
        }
    }

    /// Bytes of all names.
    pub(crate) fn name_bytes(&self) -> u64 {
        self.name_bytes
    }

    /// Recovery: the name of a destination that was met before. If another has it, that one is found.
    pub(crate) fn name(&mut self, index: DestinationIndex, destination: Destination) {
        self.unlist(index);
        let state = &mut self.table[index.0];
        if state.destination != destination {
            state.text = text(&destination);
            state.destination = destination;
        }
        self.list(index);
    }

    /// Recovery: those that are not found by their names, and which are instead. One whose name nobody is found by any more is so from here
    /// on: the one that was is deleted.
    pub(crate) fn shadowed(&mut self) -> Vec<(DestinationIndex, DestinationIndex)> {
        let is_named = |state: &DestinationState| !state.destination.name.is_empty() && state.subscription.is_none();
        let named = self.iter().filter(|(_, state)| is_named(state));
        let behind = named.filter(|(index, state)| self.find(&state.destination) != Some(*index));
        let behind: Vec<DestinationIndex> = behind.map(|(index, _)| index).collect();
        let found_instead = |index: DestinationIndex| {
            self.list(index);
            let found = self.find(&self.table[index.0].destination)?;
            (found != index).then_some((index, found))
        };
        behind.into_iter().filter_map(found_instead).collect()
    }

    /// Recovery: destinations whose record never came.
    pub(crate) fn unnamed(&self) -> impl Iterator<Item = DestinationIndex> {
        self.iter().filter(|(_, state)| state.destination.name.is_empty()).map(|(index, _)| index)
    }

    /// Recovery: so many more numbers may have been used.
    pub(crate) fn skip_ids(&mut self, count: u32) {
        self.next_id = self.next_id.saturating_add(count);
    }

    /// Recovery: a number that was used.
    pub(crate) fn skip_id(&mut self, id: DestinationId) {
        self.next_id = self.next_id.max(id.0.saturating_add(1));
    }

    /// Nobody finds it any more; its number stays taken until [`Destinations::free`].
    pub(crate) fn hide(&mut self, index: DestinationIndex) {
        self.unlist(index);
        self.unfile_subscription(index);
        let state = &mut self.table[index.0];
        state.dying = true;
        if let Some(id) = state.id {
            self.by_id.remove(&id);
        }
    }

    /// Recovery: messages and acknowledgements that say the number of one that is hidden belong to another. Its record stays, so that each
    /// start finds it so, for as long as the other is there.
    pub(crate) fn know_as(&mut self, id: DestinationId, taken_in: DestinationIndex, of: DestinationIndex) {
        self.by_id.insert(id, of);
        self.aliases.push(Alias { id, of, taken_in });
    }

    /// What is left of the destination that had this number, if the one that is found by it is another.
    pub(crate) fn taken_in(&self, id: DestinationId, found: DestinationIndex) -> Option<DestinationIndex> {
        if self.table[found.0].id == Some(id) {
            return None;
        }
        self.aliases.iter().find(|alias| alias.id == id).map(|alias| alias.taken_in)
    }

    /// All numbers of a destination.
    pub(crate) fn ids(&self, index: DestinationIndex) -> impl Iterator<Item = DestinationId> {
        let aliases = self.aliases.iter().filter(move |alias| alias.of == index).map(|alias| alias.id);
        self.table[index.0].id.into_iter().chain(aliases)
    }

    /// It goes, and has no number but its own any more. What is left of those that it has taken in.
    pub(crate) fn forget_aliases(&mut self, index: DestinationIndex) -> impl Iterator<Item = DestinationIndex> + use<> {
        let (gone, kept) = std::mem::take(&mut self.aliases).into_iter().partition(|alias| alias.of == index);
        self.aliases = kept;
        let gone: Vec<Alias> = gone;
        gone.iter().for_each(|alias| _ = self.by_id.remove(&alias.id));
        gone.into_iter().map(|alias| alias.taken_in)
    }

    pub(crate) fn free(&mut self, index: DestinationIndex) {
        self.table.remove(index.0);
    }

    /// Whether there is a number for one more: none is used twice in a directory's life.
    pub(crate) fn has_ids(&self) -> bool {
        self.next_id < LAST_IDS
    }

    /// A number for a new one.
    pub(crate) fn take_id(&mut self) -> DestinationId {
        let id = DestinationId(self.next_id);
        self.next_id = self.next_id.saturating_add(1);
        id
    }
}

/// From here on numbers are given to the broker's own destinations only, such as the dead letter queue.
const LAST_IDS: u32 = records::DESTINATION_IDS - (1 << 16);

impl DestinationState {
    /// Whether a connection may consume from it, or delete it: any, but of a temporary one only the connection that it lives with.
    pub(crate) fn is_open_to(&self, connection: ConnectionIndex) -> bool {
        self.owner.is_none_or(|owner| owner == connection)
    }

    /// As [`DestinationState::is_open_to`], with what to say if not.
    pub(crate) fn check_owner(&self, connection: ConnectionIndex) -> Result<(), Refusal> {
        if self.is_open_to(connection) {
            return Ok(());
        }
        let text = format!(
            "{} belongs to another connection, which alone may consume from it or delete it: create a temporary destination of \
             your own",
            self.destination
        );
        Err((Failure::InvalidDestination, text.into()))
    }

    /// What it holds, which is what its kind says.
    pub(crate) fn is_topic(&self) -> bool {
        matches!(self.content, Content::Topic(_))
    }

    /// The queue that it is. Panics on topics.
    pub(crate) fn queue(&mut self) -> &mut Queue {
        match &mut self.content {
            Content::Queue(queue) => queue,
            Content::Topic(_) => panic!("{} is no queue", self.destination),
        }
    }

    /// The topic that it is. Panics on queues.
    pub(crate) fn topic(&mut self) -> &mut Topic {
        match &mut self.content {
            Content::Topic(topic) => topic,
            Content::Queue(_) => panic!("{} is no topic", self.destination),
        }
    }

    /// Takes any message out; none if there is none.
    pub(crate) fn take_any(&mut self) -> Option<MessageIndex> {
        match &mut self.content {
            Content::Topic(topic) => topic.take_any(),
            Content::Queue(queue) => {
                let Queue { ready, returned, moved, .. } = queue;
                ready.pop_front().or_else(|| returned.take_any()).or_else(|| moved.take_any())
            }
        }
    }

    /// Whether messages are here, on their way to be settled, or undecided.
    pub(crate) fn holds_messages(&self) -> bool {
        let holds = match &self.content {
            Content::Queue(queue) => queue.size > 0,
            Content::Topic(topic) => topic.shared > 0,
        };
        holds || self.undecided > 0
    }

    /// Whether messages of it may be with consumers.
    pub(crate) fn has_in_flight(&self) -> bool {
        matches!(&self.content, Content::Queue(queue) if queue.size > queue.waiting() as u64)
    }

    /// Whether it goes; nobody finds it any more.
    #[inline]
    pub(crate) fn is_dying(&self) -> bool {
        self.dying
    }

    /// Whether the broker tells on it what happens.
    #[inline]
    pub(crate) fn is_told(&self) -> bool {
        self.told
    }

    /// Whether it has something for its consumers that is only on its way.
    pub(crate) fn may_still_send(&self) -> bool {
        let waits = match &self.content {
            Content::Queue(queue) => queue.is_held() || (queue.awaits_commit && queue.waiting() > 0),
            Content::Topic(_) => false,
        };
        !self.dying && (waits || self.in_line || self.awaits_bytes || self.behind > 0)
    }

    /// It is new, and not all who are to get it do: nothing goes out so far.
    pub(crate) fn begin_joining(&mut self) {
        match &mut self.content {
            Content::Queue(queue) => queue.hold(),
            Content::Topic(topic) => topic.joining = true,
        }
    }

    /// All who were to get it do.
    pub(crate) fn end_joining(&mut self) {
        match &mut self.content {
            Content::Queue(queue) => queue.release(),
            Content::Topic(topic) => topic.joining = false,
        }
    }

    /// A sequence is acknowledged, as its record says at the end of the turn. True: it is the first in this turn.
    #[inline]
    pub(crate) fn note_acknowledged(&mut self, sequence: Sequence) -> bool {
        let is_first = self.acknowledged.is_empty();
        self.acknowledged.push(sequence.0);
        is_first
    }

    /// Sequences acknowledged in this turn, to be written.
    pub(crate) fn take_acknowledged(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.acknowledged)
    }

    /// They are written; the buffer is used again.
    pub(crate) fn acknowledged_written(&mut self, mut buffer: Vec<u64>) {
        buffer.clear();
        buffer.shrink_to(limits::HANDLE_STEPS);
        self.acknowledged = buffer;
    }

    /// Whether it is a subscription whose consumer is away: nothing of it goes out.
    pub(crate) fn is_left(&self) -> bool {
        self.subscription.as_ref().is_some_and(|subscription| subscription.consumer.is_none())
    }

    /// Whether what is sent to it may be stored durably.
    pub(crate) fn is_durable_queue(&self) -> bool {
        self.destination.kind == DestinationKind::Queue
    }

    /// Whether durable subscriptions may share what is sent to it: a topic that the log knows.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_topic() && self.id.is_some()
    }
}

/// Characters of a name that a refusal repeats.
const BRIEF: usize = 100;

/// A destination, for people: the beginning of a long name is enough.
pub(crate) fn brief(destination: &Destination) -> String {
    let text = destination.to_string();
    match text.char_indices().nth(BRIEF) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// What a client is told when something cannot be done.
pub(crate) type Refusal = (Failure, Box<str>);
