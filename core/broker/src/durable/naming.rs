//! Recovery: destinations whose own record is lost. Their messages say what they are called; what nothing names any more gets a queue
//! of its own. No message goes because of a record that is not its own.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::destinations::queue::until;
use crate::durable::follow::Following;
use crate::kit::deque::Deque;
use crate::messages::{DestinationIndex, Message, MessageIndex, flag};
use crate::plant::planted;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use postrider_model::record::Tag;
use postrider_model::{Destination, DestinationId, DestinationKind, MessageView, Sequence};
use std::collections::BTreeMap;

/// What queues that nothing names are called, before their number.
const RECOVERED_PREFIX: &str = "postrider.recovered.";

/// Where the messages of a destination are whose own record is lost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mended {
    /// Its number.
    pub id: DestinationId,
    /// What holds its messages.
    pub destination: Destination,
    /// How many.
    pub messages: u64,
}

/// What is known of the names.
pub(crate) struct Naming {
    /// As messages say.
    said: HashMap<DestinationIndex, Destination, FixedState>,
    /// Destinations whose messages belong to another of the same name.
    merged: Vec<(DestinationIndex, DestinationIndex)>,
}

impl Naming {
    pub(crate) fn new(hasher: &FixedState) -> Naming {
        Naming { said: HashMap::with_hasher(hasher.clone()), merged: Vec::new() }
    }

    /// The destination is deleted.
    pub(crate) fn forget(&mut self, index: DestinationIndex) {
        self.said.remove(&index);
    }

    /// Destinations whose messages belong to another of the same name, and which that is.
    pub(crate) fn merged(&self) -> impl Iterator<Item = (DestinationIndex, DestinationIndex)> {
        self.merged.iter().copied()
    }
}

/// Messages whose records name another destination than the one that holds them: it was taken in by that one. The log goes on to know them
/// by what their records say, so that each start finds the same.
#[derive(Default)]
pub(crate) struct Strays {
    ids: BTreeMap<Sequence, DestinationId>,
    /// Those that are undecided, by their transaction and their number within it.
    undecided: BTreeMap<(u32, u64), DestinationId>,
}

impl Strays {
    fn id(&self, message: &Message) -> Option<DestinationId> {
        match message.has(flag::STAGED) {
            true => self.undecided.get(&(message.publisher, message.sequence.0)).copied(),
            false => self.ids.get(&message.sequence).copied(),
        }
    }

    /// The message is no more.
    pub(crate) fn remove(&mut self, message: &Message) {
        match message.has(flag::STAGED) {
            true => self.undecided.remove(&(message.publisher, message.sequence.0)),
            false => self.ids.remove(&message.sequence),
        };
    }

    /// The message is decided, and has this sequence from here on.
    pub(crate) fn decide(&mut self, message: &Message, sequence: Sequence) {
        let id = self.undecided.remove(&(message.publisher, message.sequence.0));
        self.ids.extend(id.map(|id| (sequence, id)));
    }
}

impl Broker {
    /// The number of its destination, or of the subscription that shares it, as the message's record has it.
    pub(crate) fn recorded_id(&self, of: DestinationIndex, message: &Message) -> Option<DestinationId> {
        if message.has(flag::STRAY) {
            return self.strays.id(message);
        }
        self.destinations.get(of).id
    }

    /// What is stored under a destination's number is another's of the same name from here on. So is the number of one that holds nothing:
    /// its record may be in the log for longer than the other's, and would name a destination after that was deleted.
    pub(crate) fn take_in(&mut self, index: DestinationIndex, target: DestinationIndex) {
        let state = self.destinations.get(index);
        let Some(id) = state.id else { return };
        match &state.content {
            Content::Queue(_) if state.holds_messages() => self.merge_queues(index, id, target),
            Content::Topic(_) if state.holds_messages() => self.merge_topics(index, target),
            Content::Queue(_) | Content::Topic(_) => {}
        }
        self.forget_allowance(index);
        self.destinations.hide(index);
        self.destinations.know_as(id, index, target);
    }

    /// What subscriptions share stays in them, and is the other topic's: it is acknowledged by their numbers. So is what is undecided.
    fn merge_topics(&mut self, index: DestinationIndex, target: DestinationIndex) {
        self.messages.rename(index, target);
        let state = self.destinations.get_mut(index);
        let undecided = std::mem::take(&mut state.undecided);
        let shared = match &mut state.content {
            Content::Topic(topic) => std::mem::take(&mut topic.shared),
            Content::Queue(_) => 0,
        };
        self.undecided.touch_instead(index, target);
        let state = self.destinations.get_mut(target);
        state.undecided += undecided;
        if let Content::Topic(topic) = &mut state.content {
            topic.shared += shared;
        }
    }

    fn merge_queues(&mut self, index: DestinationIndex, id: DestinationId, target: DestinationIndex) {
        let queue = self.destinations.get_mut(index).queue();
        let (mut list, last) = queue.hand_over();
        let allowance = std::mem::take(&mut queue.allowance);
        let mut strays = Deque::<MessageIndex>::default();
        while let Some(number) = list.pop_front() {
            let Some(message) = self.messages.get_mut(number) else { continue };
            message.destination = target;
            message.flags |= flag::STRAY;
            let (sequence, expiration) = (message.sequence, message.expiration);
            self.strays.ids.insert(sequence, id);
            let queue = self.destinations.get_mut(target).queue();
            queue.come();
            // No log says a sequence of two queues, unless somebody has made it up.
            match queue.find(sequence, &self.messages) {
                Some(_) => drop(self.remove_message(number)),
                None => strays.push_back_until(number, until(expiration)),
            }
        }
        let taker = self.destinations.get_mut(target).queue();
        taker.take_in(strays, last, &self.messages);
        taker.allowance.take_in(&allowance);
        self.destinations.get_mut(index).queue().allowance = allowance;
        self.merge_undecided(index, id, target);
    }

    /// What is sent to a queue within transactions that are undecided comes to the one that has taken it in.
    fn merge_undecided(&mut self, index: DestinationIndex, id: DestinationId, target: DestinationIndex) {
        if self.destinations.get(index).undecided == 0 {
            return;
        }
        let heads: Vec<MessageIndex> = self.undecided.all_heads().collect();
        let mut moved = 0;
        for head in heads {
            let mut number = head;
            while let Some(message) = self.messages.get_mut(number) {
                if message.destination == index {
                    message.destination = target;
                    message.flags |= flag::STRAY;
                    self.strays.undecided.insert((message.publisher, message.sequence.0), id);
                    moved += 1;
                }
                number = message.sibling;
            }
        }
        self.destinations.get_mut(target).undecided += moved;
        self.destinations.decide(index, moved);
        self.undecided.touch_instead(index, target);
    }

    /// A message that was sent to this destination alone says its name, should its own record not come.
    pub(crate) fn note_name(&mut self, index: DestinationIndex, view: &MessageView<'_>) {
        let Some(Following { names, .. }) = self.following.as_deref_mut() else { return };
        let named = !self.destinations.get(index).destination.name.is_empty();
        if named || names.said.contains_key(&index) || planted("names-unheeded") {
            return;
        }
        let kind =
            if self.destinations.get(index).is_topic() { DestinationKind::Topic } else { DestinationKind::Queue };
        if let Some((said, name)) = view.destination_field(Tag::Destination)
            && said == kind
            && !name.is_empty()
        {
            names.said.insert(index, Destination::new(kind, name));
        }
    }

    /// Whether nothing says any more what a destination was called: its subscriptions are not found by its name.
    pub(crate) fn is_name_lost(&self, index: DestinationIndex) -> bool {
        self.destinations.get(index).destination.name.starts_with(RECOVERED_PREFIX.as_bytes())
    }

    /// Whether a topic has messages that subscriptions may hold which are not found by its name: their record is lost, or its own.
    pub(crate) fn is_held_unnamed(&self, topic: DestinationIndex) -> bool {
        let subscriptions = &self.destinations.subscriptions;
        let holds = matches!(&self.destinations.get(topic).content, Content::Topic(topic) if topic.shared > 0);
        holds && (!subscriptions.nameless.is_empty() || (!subscriptions.is_empty() && self.is_name_lost(topic)))
    }

    /// Whether a queue without a name is what is left of a subscription: it holds what it shares.
    fn is_shared_by(&self, index: DestinationIndex) -> bool {
        let Content::Queue(queue) = &self.destinations.get(index).content else { return false };
        queue.first_of_all().is_some_and(|number| self.messages.at(number).has(flag::SHARED))
    }

    /// Gives names to all that have none, and finds those that bear a name twice: the record that deleted the older one is lost.
    pub(crate) fn mend_names(&mut self, names: &mut Naming) -> Vec<Mended> {
        let mut mended = Vec::new();
        let unnamed: Vec<DestinationIndex> = self.destinations.unnamed().collect();
        for index in unnamed {
            let state = self.destinations.get(index);
            let id = state.id.unwrap_or_default();
            if !state.holds_messages() {
                continue;
            }
            let (kind, messages) = match &state.content {
                Content::Queue(queue) => (DestinationKind::Queue, queue.size()),
                Content::Topic(topic) => (DestinationKind::Topic, topic.shared),
            };
            let shares = kind == DestinationKind::Queue && self.is_shared_by(index);
            let said = names.said.get(&index).filter(|_| !shares).cloned();
            let mut destination = said.unwrap_or_else(|| recovered(kind, id));
            // What is shared is nobody else's: it is found by a name that nobody has.
            while shares && self.destinations.find(&destination).is_some() {
                destination = Destination::new(kind, &[&destination.name, b".".as_slice()].concat());
            }
            if shares {
                self.destinations.note_nameless(index);
            }
            self.destinations.name(index, destination.clone());
            mended.push(Mended { id, destination, messages });
        }
        names.merged.extend(self.destinations.shadowed());
        mended
    }
}

fn recovered(kind: DestinationKind, id: DestinationId) -> Destination {
    Destination::new(kind, format!("{RECOVERED_PREFIX}{}", id.0).as_bytes())
}
