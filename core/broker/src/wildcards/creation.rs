//! Destinations that come into being, and the consumers whose patterns they fit.

use crate::bounds::STEP_BYTES;
use crate::broker::Broker;
use crate::destinations::advisories::{Class, is_advisory};
use crate::log::Log;
use crate::messages::DestinationIndex;
use crate::step::Step;
use postrider_model::{Destination, DestinationId};

/// Steps that a new destination takes, besides what its name does.
const CREATION_STEPS: usize = 8;

impl Broker {
    /// A new destination, whatever the limits say.
    pub(crate) fn create<L: Log>(&mut self, destination: &Destination, step: &mut Step<'_, L>) -> DestinationIndex {
        self.work.spend(CREATION_STEPS + destination.name.len() / STEP_BYTES);
        if is_advisory(destination) {
            return self.add_destination(destination.clone(), None);
        }
        let id = self.destinations.take_id();
        let index = self.add_destination(destination.clone(), Some(id));
        self.write_destination(index, step);
        if self.destinations.heard.is_heard(Class::of_destination(destination.kind)) {
            let serial = self.destinations.reference(index).serial;
            self.destinations.heard.news.push((index, serial));
        }
        index
    }

    /// Adds a destination, and the consumers whose patterns it fits.
    fn add_destination(&mut self, destination: Destination, id: Option<DestinationId>) -> DestinationIndex {
        let index = self.destinations.add(destination, id);
        self.join_patterns(index);
        index
    }
}
