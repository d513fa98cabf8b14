//! A message at one queue.

use super::{Address, Delivery, MessageId, dead_letters};

/// What an acknowledgement did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acknowledged {
    /// Consumed.
    Consumed,
    /// Given up: to the dead letter queue.
    Poisoned,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Stored, or on its way.
    Stored,
    /// Acknowledged; the broker may not have heard it.
    Acknowledged,
    /// Acknowledged, and the broker has it.
    Gone,
}

/// A message at one queue.
pub struct Part {
    pub address: Address,
    state: State,
    /// A client has given it up: it is in its queue or with the dead letters, and owed from there. The broker may take its
    /// time, so no answer shows that it has moved.
    poisoned: bool,
    /// It expires: the same, from the beginning on.
    mortal: bool,
    /// It was seen with the dead letters, and `state` is about there.
    moved: bool,
    /// The ledger's moments at which it was known to have moved, and to be gone.
    moved_at: u64,
    gone_at: u64,
    pub deliveries: u32,
    /// The consumer that has it in flight.
    holder: Option<u64>,
    last_counter: u32,
    /// The moment of the delivery with that.
    counted_at: u64,
    /// What of that the broker has written for sure.
    written: u32,
    /// The next delivery's counter, at least.
    required: u32,
    /// A client could have seen it.
    seen: bool,
    /// It was in memory when the process ended.
    forgiven: bool,
    overmarked: bool,
    /// Somebody has deleted its queue: it may be gone.
    deleted: bool,
    /// Sent twice, which only leaves a mark in queues that last.
    sent_again: bool,
}

impl Part {
    pub fn new(address: Address) -> Part {
        Part {
            address,
            state: State::Stored,
            poisoned: false,
            mortal: false,
            moved: false,
            moved_at: 0,
            gone_at: 0,
            deliveries: 0,
            holder: None,
            last_counter: 0,
            counted_at: 0,
            written: 0,
            required: 0,
            seen: false,
            forgiven: false,
            overmarked: false,
            deleted: false,
            sent_again: false,
        }
    }

    /// Whether it may be delivered from there.
    pub fn is_at(&self, address: &Address) -> bool {
        self.address == *address || ((self.poisoned || self.mortal) && *address == dead_letters())
    }

    pub fn may_expire(&mut self) {
        self.mortal = true;
    }

    pub fn delivered(&mut self, id: MessageId, delivery: &Delivery<'_>, moment: u64) {
        let there = *delivery.address != self.address;
        if there && !self.moved {
            assert!(
                self.poisoned || self.state != State::Gone,
                "R10: message {id} at {:?} was acknowledged and has expired",
                self.address
            );
            (self.moved, self.state, self.holder) = (true, State::Stored, None);
            self.moved_at = moment;
            (self.required, self.last_counter, self.written, self.seen) = (0, 0, 0, false);
        }
        assert!(there || !self.moved, "R10: message {id} came back to {:?} from the dead letters", self.address);
        let loose = self.sent_again && self.address.is_temporary();
        assert!(
            self.state != State::Gone || loose,
            "R10: message {id} at {:?} was acknowledged and is back",
            delivery.address
        );
        if self.state == State::Acknowledged {
            // What comes again was not settled after all, and is owed again.
            self.state = State::Stored;
        }
        self.poisoned &= there;
        assert!(!self.forgiven, "message {id} at {:?} is not persistent and outlived its time", delivery.address);
        if let Some(holder) = self.holder.filter(|_| !loose) {
            panic!(
                "message {id} at {:?} is with consumer {holder} and goes to {}",
                delivery.address, delivery.consumer
            );
        }
        assert!(
            loose || delivery.redeliveries >= self.required,
            "R15, R50: message {id} at {:?} comes with counter {}, {} at least is due",
            delivery.address,
            delivery.redeliveries,
            self.required
        );
        self.overmarked |= self.deliveries == 0 && !there && delivery.redeliveries > 0;
        self.deliveries += 1;
        self.holder = Some(delivery.consumer);
        (self.last_counter, self.counted_at) = (delivery.redeliveries, moment);
        self.required = delivery.redeliveries;
        self.seen = true;
    }

    pub fn acknowledge(&mut self, how: Acknowledged) {
        match how {
            Acknowledged::Poisoned if !self.moved => self.poisoned = true,
            _ => self.state = State::Acknowledged,
        }
    }

    /// The broker has the acknowledgement of a delivery from `address`.
    pub fn confirm(&mut self, address: &Address, moment: u64) {
        let there = *address != self.address;
        if self.state == State::Acknowledged && there == self.moved {
            (self.state, self.gone_at) = (State::Gone, moment);
        }
    }

    /// Its queue is to be deleted.
    pub fn is_to_be_deleted(&mut self) {
        self.deleted = true;
    }

    /// Its queue is deleted, as the broker says. What had expired, or was given up, may have gone elsewhere before.
    pub fn has_been_deleted(&mut self, moment: u64) {
        if self.deleted && !self.moved && !self.mortal && !self.poisoned {
            (self.state, self.gone_at) = (State::Gone, moment);
        }
    }

    /// Rot may have taken the record of that.
    pub fn rotten_deletion(&mut self) {
        if self.deleted && self.state == State::Gone {
            self.state = State::Acknowledged;
        }
    }

    /// A browser sees it that let the broker send one more message at the moment `since`, or later.
    pub fn check_shown(&self, id: MessageId, address: &Address, since: u64) {
        let gone = self.state == State::Gone && self.gone_at <= since;
        let moved = self.moved && *address == self.address && self.moved_at <= since;
        assert!(!gone && !moved, "R10: message {id} had left {address:?} before a browser is shown it: {gone} {moved}");
        assert!(!self.forgiven, "message {id} at {address:?} is not persistent and outlived its time");
    }

    /// The queue that it is in, and does not leave unless a client takes it.
    pub fn stays_at(&self) -> Option<Address> {
        let stays = self.is_owed() && !self.address.is_topic();
        match self.moved {
            true => stays.then(dead_letters),
            false => (stays && !self.poisoned && !self.mortal).then(|| self.address.clone()),
        }
    }

    /// Its consumer is closed, or its connection broke.
    pub fn returned(&mut self, consumer: u64, marked: bool) {
        if self.holder != Some(consumer) {
            return;
        }
        self.holder = None;
        self.required = self.last_counter + u32::from(marked);
    }

    /// The process ends. Its counter, which was written when it came back, is known if all is that was seen until the moment `written` (R50).
    pub fn crashed(&mut self, survives: bool, written: u64) {
        self.holder = None;
        if self.counted_at <= written {
            self.written = self.written.max(self.last_counter);
        }
        self.required = self.written.max(u32::from(self.seen));
        self.last_counter = 0;
        if !survives {
            self.forgiven = true;
        }
    }

    /// Rot may have taken the record of an acknowledgement: the message is back, as a repetition.
    pub fn rotten_acknowledgement(&mut self, address: &Address) {
        if self.state == State::Gone {
            self.state = State::Acknowledged;
        }
        self.moved &= *address != self.address;
    }

    /// Rot may have taken what tells a repeated send from a new one: this may be another than was delivered before.
    pub fn stored_again(&mut self, address: &Address) {
        self.rotten_acknowledgement(address);
        (self.holder, self.required, self.written) = (None, 0, 0);
    }

    /// A later process gets it, too.
    pub fn sent_again(&mut self) {
        self.forgiven = false;
        self.sent_again = true;
    }

    /// Whether somebody must get it still.
    pub fn is_owed(&self) -> bool {
        // A temporary queue goes with its connection, whenever the broker notices that.
        self.state == State::Stored && !self.forgiven && !self.deleted && !self.address.is_temporary()
    }

    /// Its first delivery was marked as a further one.
    pub fn was_overmarked(&self) -> bool {
        self.overmarked
    }

    /// Nobody has it, and it has not been given up.
    pub fn waits(&self) -> bool {
        self.holder.is_none() && !self.poisoned && !self.mortal
    }

    pub fn may_be_stored(&self) -> bool {
        self.state != State::Gone && !self.forgiven
    }
}
