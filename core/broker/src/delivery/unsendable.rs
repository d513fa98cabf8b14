//! Messages that a consumer's connection cannot carry: its frames are too small for them, above all.

use crate::broker::Broker;
use crate::clients::consumer::ConsumerKind;
use crate::kit::deque::Deque;
use crate::messages::ConsumerIndex;
use crate::settle::settling::{Fate, Settling};
use postrider_model::{ConnectionHandle, ConsumerHandle, Now, PortIndex, Sequence};

impl Broker {
    /// A queue's message goes to the dead letters, or every consumer like this one would fail at it for ever. A topic's is lost for
    /// this consumer, and a browser goes on behind it.
    pub(crate) fn unsendable(
        &mut self,
        port: PortIndex,
        connection: ConnectionHandle,
        consumer: ConsumerHandle,
        (sequence, cause): (Sequence, &[u8]),
        now: Now,
    ) {
        let Some(owner) = self.connection(port, connection) else { return };
        let Some(index) = self.consumer_of(port, owner, consumer) else { return };
        self.statistics.unsendable += 1;
        if self.clients.consumer(index).kind == ConsumerKind::Queue {
            self.put_aside(index, sequence, cause);
        } else {
            self.clients.consumer_mut(index).settle_outstanding(1);
        }
        self.grant_again(index, now);
        self.wake(index);
    }

    /// A dead letter has nowhere else to go: it stays aside until this consumer is gone.
    fn put_aside(&mut self, index: ConsumerIndex, sequence: Sequence, cause: &[u8]) {
        let consumer = self.clients.consumer_mut(index);
        let Some(place) = consumer.find(sequence) else { return };
        let entry = consumer.take_entry(place);
        consumer.contract(1);
        if self.is_dead_letter(entry.index) {
            return self.clients.consumer_mut(index).put_aside(entry);
        }
        let mut entries = Deque::default();
        entries.push_back(entry);
        self.jobs.push(Settling::new(entries, Fate::DeadLetter(cause.into())));
    }
}
