//! Consumers before producers: while it is the broker that a queue's consumers wait for, and much waits in the queue already, who sends to
//! it is read as fast as it drains (R24, decision 0018).

use crate::broker::Broker;
use crate::destinations::destination::Content;
use crate::log::Log;
use crate::messages::{ConnectionIndex, DestinationIndex};
use crate::plant::planted;
use crate::step::Step;
use postrider_model::{ConnectionHandle, Event, Now, PortIndex};
use std::collections::{BTreeMap, VecDeque};

/// How long those who wait do so before it is looked at anew, in nanoseconds.
const LOOK_NANOS: u64 = 5_000_000;

/// Nobody waits longer than this: others, who are not held back, may send as much as leaves, and who comes and goes stands in the line.
const LONGEST_NANOS: u64 = 100_000_000;

/// Queues that are looked at in one turn.
const LOOKED_AT: usize = 64;

/// Connections that go on in one turn, of one queue.
const GOING_ON: usize = 64;

/// Of how many consumers it is looked whether a connection has one whose acknowledgements would wait with its sends. Who has more is taken for one.
const CONSUMERS_LOOKED_AT: usize = 8;

/// A connection that is not read because of a queue.
struct Waiting {
    port: PortIndex,
    connection: ConnectionHandle,
    /// Messages that waited in the queue then.
    messages: usize,
    /// When it goes on, whatever leaves the queue, in nanoseconds.
    latest: u64,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Pacing {
    waiting: BTreeMap<DestinationIndex, VecDeque<Waiting>>,
    /// The queue that was looked at last.
    last: Option<DestinationIndex>,
    /// When they are looked at if nothing else happens.
    look: Option<u64>,
}

impl Pacing {
    /// When those who wait are looked at.
    pub(super) fn deadline(&self) -> Option<u64> {
        self.look
    }

    /// The first that waits because of a queue, if it is to go on.
    fn take_if(&mut self, queue: DestinationIndex, goes_on: impl FnOnce(&Waiting) -> bool) -> Option<Waiting> {
        let line = self.waiting.get_mut(&queue)?;
        let first = line.pop_front_if(|first| goes_on(first));
        if line.is_empty() {
            self.waiting.remove(&queue);
        }
        first
    }

    fn next(&mut self) -> Option<DestinationIndex> {
        let after = self.last.and_then(|last| self.waiting.range(last..).find(|(index, _)| **index != last));
        let next = after.or_else(|| self.waiting.iter().next()).map(|(index, _)| *index);
        self.last = next;
        next
    }
}

impl Broker {
    /// A connection has sent a message of so many bytes to these: it is held back if one of them holds much.
    #[inline]
    pub(crate) fn pace<L: Log>(
        &mut self,
        connection: ConnectionIndex,
        parts: &[DestinationIndex],
        bytes: usize,
        step: &mut Step<'_, L>,
    ) {
        for part in parts {
            if self.is_crowded(*part, bytes, step.now) {
                return self.hold_back(connection, *part, step);
            }
        }
    }

    /// Whether a queue holds more than it should, by the length of what has come last, while its consumers wait for the broker.
    #[inline]
    fn is_crowded(&self, index: DestinationIndex, bytes: usize, now: Now) -> bool {
        let Content::Queue(queue) = &self.destinations.get(index).content else { return false };
        let waiting = queue.waiting() as u64;
        let much = waiting > self.config.backlog.messages || waiting * bytes as u64 > self.config.backlog.bytes;
        much && (queue.pace.is_to_wait(now) || planted("slow-consumer-slows"))
    }

    #[cold]
    fn hold_back<L: Log>(&mut self, index: ConnectionIndex, queue: DestinationIndex, step: &mut Step<'_, L>) {
        let mut consumers = self.clients.connection(index).consumers.iter();
        let acknowledges = consumers.by_ref().take(CONSUMERS_LOOKED_AT).any(|consumer| {
            let consumer = self.clients.consumer(*consumer);
            !consumer.watches && consumer.is_of_queues()
        });
        if acknowledges || consumers.next().is_some() {
            return;
        }
        let connection = self.clients.connection_mut(index);
        if !connection.hold_back() {
            return;
        }
        let (port, connection) = (connection.port, connection.handle);
        let messages = self.destinations.get_mut(queue).queue().waiting();
        self.intake.pacing.waiting.entry(queue).or_default().push_back(Waiting {
            port,
            connection,
            messages,
            latest: step.now.nanos + LONGEST_NANOS,
        });
        self.intake.pacing.look.get_or_insert(step.now.nanos + LOOK_NANOS);
        self.statistics.held_back += 1;
        step.out.tell(port, Event::HeldBack { connection });
    }

    /// Those go on for whom there is room now, or whose queue has no consumers any more that wait for the broker. True: more of them may.
    pub(crate) fn let_go_on<L: Log>(&mut self, step: &mut Step<'_, L>) -> bool {
        if self.intake.pacing.waiting.is_empty() || planted("held-back-forgotten") {
            return false;
        }
        let mut more = false;
        for _ in 0..self.intake.pacing.waiting.len().min(LOOKED_AT) {
            let Some(queue) = self.intake.pacing.next() else { break };
            let (going_on, less) = match self.destinations.try_get(queue).map(|state| &state.content) {
                Some(Content::Queue(state)) if state.pace.is_eager(step.now) => {
                    (state.pace.going_on(), state.waiting())
                }
                _ => (GOING_ON, 0),
            };
            let mut gone_on = 0;
            while gone_on < GOING_ON
                && let Some(Waiting { port, connection, .. }) = self.intake.pacing.take_if(queue, |first| {
                    gone_on < going_on || less <= first.messages / 2 || step.now.nanos >= first.latest
                })
            {
                gone_on += 1;
                // Of one that has said goodbye its shard has not found the end.
                let index = self.peek_connection(port, connection);
                if index.is_none_or(|index| self.clients.connection_mut(index).go_on()) {
                    step.out.tell(port, Event::GoesOn { connection });
                }
            }
            more |= gone_on == GOING_ON;
        }
        let waits = !self.intake.pacing.waiting.is_empty();
        self.intake.pacing.look = waits.then_some(step.now.nanos + LOOK_NANOS);
        more
    }
}
