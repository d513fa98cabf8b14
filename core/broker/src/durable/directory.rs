//! Destinations in the log: where their records are, and that they go.

use crate::broker::Broker;
use crate::destinations::subscription::Subscription;
use crate::durable::staging::small;
use crate::log::{Log, LogKind};
use crate::messages::DestinationIndex;
use crate::records::items::{Item, ItemHome};
use crate::records::{self, kind};
use crate::step::Step;
use postrider_model::DestinationId;

impl Broker {
    /// Writes where the destination is to be found after a restart, or, in reclaim, once more.
    pub(crate) fn write_destination<L: Log>(&mut self, index: DestinationIndex, step: &mut Step<'_, L>) {
        self.flush_acknowledged(step);
        let state = self.destinations.get(index);
        let Some(id) = state.id else { return };
        let mut meta = std::mem::take(&mut self.durable.meta);
        let kind = match &state.subscription {
            Some(subscription) => {
                records::write_subscription(&mut meta, id, &subscription.meta, None);
                kind::SUBSCRIPTION
            }
            None => {
                records::write_destination(&mut meta, id, &state.destination);
                kind::DESTINATION
            }
        };
        let home = self.stage(LogKind::Journal, &small(kind, &meta), step);
        self.apply_destination(index, ItemHome::new(home, meta.len()));
        self.durable.meta = meta;
    }

    /// A durable subscription comes, instead of the one with another number if there is one. Its own number.
    pub(crate) fn write_subscription<L: Log>(
        &mut self,
        subscription: Subscription,
        instead: Option<DestinationIndex>,
        step: &mut Step<'_, L>,
    ) -> DestinationIndex {
        self.flush_acknowledged(step);
        let id = self.destinations.take_id();
        let old = instead.and_then(|instead| self.destinations.get(instead).id);
        let mut meta = std::mem::take(&mut self.durable.meta);
        records::write_subscription(&mut meta, id, &subscription.meta, old);
        let home = self.stage(LogKind::Journal, &small(kind::SUBSCRIPTION, &meta), step);
        if let Some(instead) = instead {
            self.apply_delete(instead);
        }
        let index = self.apply_subscription(id, subscription, ItemHome::new(home, meta.len()));
        self.durable.meta = meta;
        index
    }

    /// The same when it is followed.
    pub(crate) fn apply_subscription(
        &mut self,
        id: DestinationId,
        subscription: Subscription,
        home: ItemHome,
    ) -> DestinationIndex {
        let index = self.destinations.add_subscription(id, subscription);
        self.apply_destination(index, home);
        index
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
