//! Destinations in the log: where their records are, and that they go.

use crate::broker::Broker;
use crate::durable::staging::small;
use crate::log::{Log, LogKind};
use crate::messages::DestinationIndex;
use crate::records::items::{Item, ItemHome};
use crate::records::{self, kind};
use crate::step::Step;

impl Broker {
    /// Writes where the destination is to be found after a restart, or, in reclaim, once more.
    pub(crate) fn write_destination<L: Log>(&mut self, index: DestinationIndex, step: &mut Step<'_, L>) {
        self.flush_acknowledged(step);
        let state = self.destinations.get(index);
        let Some(id) = state.id else { return };
        let mut meta = std::mem::take(&mut self.durable.meta);
        records::write_destination(&mut meta, id, &state.destination);
        let home = self.stage(LogKind::Journal, &small(kind::DESTINATION, &meta), step);
        self.apply_destination(index, ItemHome::new(home, meta.len()));
        self.durable.meta = meta;
    }

    pub(crate) fn apply_destination(&mut self, index: DestinationIndex, home: ItemHome) {
        self.journal.place(home, Item::Destination(index));
        if let Some(old) = self.destinations.get_mut(index).home.replace(home) {
            self.journal.clear(old);
        }
    }

    /// The deletion takes effect; messages that are still there are dead.
    pub(crate) fn apply_delete(&mut self, index: DestinationIndex) {
        self.destinations.hide(index);
        self.leave_log(index);
        for taken_in in self.destinations.forget_aliases(index) {
            self.leave_log(taken_in);
            self.destinations.free(taken_in);
        }
    }

    /// The log need not say anything of it any more.
    fn leave_log(&mut self, index: DestinationIndex) {
        let home = self.destinations.get_mut(index).home.take();
        if let Some(home) = home {
            self.journal.clear(home);
        }
        self.forget_allowance(index);
    }
}
