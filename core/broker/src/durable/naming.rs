//! Recovery: destinations whose own record is lost. Their messages say what they are called; what nothing names any more gets a queue
//! of its own. No message goes because of a record that is not its own.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)]

use crate::broker::Broker;
use crate::durable::recovery::Recovery;
use crate::messages::DestinationIndex;
use crate::plant::planted;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use postrider_model::record::Tag;
use postrider_model::{Destination, DestinationId, DestinationKind, MessageView};

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
pub(crate) struct Names {
    /// As messages say.
    said: HashMap<DestinationIndex, Destination, FixedState>,
    /// Destinations whose messages belong to another of the same name.
    merged: HashMap<DestinationIndex, DestinationIndex, FixedState>,
}

impl Names {
    pub fn new(hasher: &FixedState) -> Names {
        Names { said: HashMap::with_hasher(hasher.clone()), merged: HashMap::with_hasher(hasher.clone()) }
    }

    /// Where a message of this destination belongs.
    pub fn target(&self, index: DestinationIndex) -> Option<DestinationIndex> {
        self.merged.get(&index).copied()
    }

    /// Destinations that another one of the same name took in.
    pub fn merged(&self) -> impl Iterator<Item = DestinationIndex> {
        self.merged.keys().copied()
    }
}

impl Broker {
    /// A message that was sent to this destination alone says its name, should its own record not come.
    pub(crate) fn note_name(&mut self, index: DestinationIndex, view: &MessageView<'_>) {
        let Some(Recovery { names, .. }) = self.recovery.as_deref_mut() else { return };
        let named = !self.destinations.get(index).destination.name.is_empty();
        if named || names.said.contains_key(&index) || planted("names-unheeded") {
            return;
        }
        if let Some((DestinationKind::Queue, name)) = view.destination_field(Tag::Destination)
            && !name.is_empty()
        {
            names.said.insert(index, Destination::new(DestinationKind::Queue, name));
        }
    }

    /// Gives names to all that have none, and finds those that bear a name twice: the record that deleted the older one is lost.
    pub(crate) fn mend_names(&mut self, names: &mut Names) -> Vec<Mended> {
        let mut mended = Vec::new();
        let unnamed: Vec<DestinationIndex> = self.destinations.unnamed().collect();
        for index in unnamed {
            let state = self.destinations.get(index);
            let id = state.id.unwrap_or_default();
            if !state.holds_messages() {
                continue;
            }
            let destination = names.said.get(&index).cloned().unwrap_or_else(|| recovered_queue(id));
            self.destinations.name(index, destination.clone());
            mended.push(Mended { id, destination, messages: self.destinations.get_mut(index).queue().size });
        }
        let shadowed = |(index, of): (DestinationIndex, &Destination)| {
            self.destinations.find(of).filter(|found| *found != index).map(|found| (index, found))
        };
        let all = self.destinations.iter().filter(|(_, state)| !state.destination.name.is_empty());
        let merged: Vec<_> = all.map(|(index, state)| (index, &state.destination)).filter_map(shadowed).collect();
        names.merged.extend(merged);
        mended
    }
}

fn recovered_queue(id: DestinationId) -> Destination {
    Destination::new(DestinationKind::Queue, format!("{RECOVERED_PREFIX}{}", id.0).as_bytes())
}
