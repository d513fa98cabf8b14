//! Who waits for whom on the way to the broker, seen from outside (R24): when the last byte of something was handed to its shard, what the
//! broker had done by then, and what it did until it came to that. Followed in seeds with an open loop, which alone sends and acknowledges there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use postrider_broker::Statistics;
use postrider_model::limits;

use crate::ledger::MessageId;
use crate::network::CircuitId;

/// A batch that the broker has begun, and has not done with: its log had no room for it, say.
const BEGUN: u64 = limits::BATCH_COMMANDS as u64;

/// What is on its way of connections that send: a batch's worth, and besides that a little of those who may pass the line as they have said no
/// more, 16 KiB in all.
const ON_ITS_WAY: u64 = limits::BATCH_COMMANDS as u64 + 16 * 1024 / SHORTEST_FRAME + TURN_FRAMES;
const SHORTEST_FRAME: u64 = 200;

/// Frames of a connection that are heard in its turn.
const TURN_FRAMES: u64 = 8;

/// Sends that are handled before an acknowledgement whose last byte a shard has: who only acknowledges is heard at once.
const BEFORE_ACKNOWLEDGEMENT: u64 = BEGUN + ON_ITS_WAY;

/// Something that a client has said, to be followed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mark {
    /// So many messages are done with, says a connection that sends none.
    Acknowledged(u64),
    /// A message of one who says little.
    Quiet(MessageId),
}

/// What was handed over, and what the broker had done by then.
#[derive(Default)]
pub struct Fairness {
    /// Connections that send, if anything is followed.
    senders: Option<u64>,
    /// Messages that the broker had taken before the present step.
    published: u64,
    /// Acknowledgements that were handed over, in messages.
    handed: u64,
    /// Of those that are not handled: how many there were with each, and the messages that the broker had taken by then.
    waiting: VecDeque<(u64, u64)>,
    /// Connections that are known to acknowledge, and those of which that becomes known as all that was handed over is handled.
    known: BTreeSet<CircuitId>,
    newcomers: BTreeSet<CircuitId>,
    /// Messages of the quiet, and how many the broker had taken when they were handed over.
    quiet: BTreeMap<MessageId, u64>,
    /// Of those that have come to a consumer the sequences.
    quiet_places: BTreeSet<u64>,
    /// By how much the sequence of such a message is above what had been taken, at least.
    least: Option<u64>,
}

impl Fairness {
    /// Follows what is said beside so many connections that send, from the next life of the process on.
    pub fn follow(&mut self, senders: u64) {
        self.senders = Some(senders);
    }

    /// Follows nothing more.
    pub fn stop(&mut self) {
        self.senders = None;
    }

    /// Another process: what the one before had is gone.
    pub fn begin_life(&mut self) {
        *self = Fairness { senders: self.senders, ..Fairness::default() };
    }

    /// The broker has done so much before a shard looks at its sockets.
    pub fn looks(&mut self, statistics: &Statistics) {
        self.published = statistics.published;
    }

    /// The last byte of something is handed to its shard.
    pub fn handed(&mut self, circuit: CircuitId, mark: Mark) {
        match mark {
            Mark::Acknowledged(messages) => {
                self.handed += messages;
                if !self.known.contains(&circuit) {
                    self.newcomers.insert(circuit);
                    self.waiting.clear();
                } else if self.newcomers.is_empty() {
                    self.waiting.push_back((self.handed, self.published));
                }
            }
            Mark::Quiet(id) => {
                self.quiet.insert(id, self.published);
            }
        }
    }

    /// The broker has had a turn.
    pub fn turned(&mut self, statistics: &Statistics) {
        if self.senders.is_none() {
            return;
        }
        assert!(statistics.acknowledged <= self.handed, "more is acknowledged than clients have");
        while self.waiting.pop_front_if(|(handed, _)| *handed <= statistics.acknowledged).is_some() {}
        if let Some((_, published)) = self.waiting.front() {
            let sends = statistics.published - published;
            assert!(
                sends <= BEFORE_ACKNOWLEDGEMENT,
                "R24: {sends} sends of others were handled before an acknowledgement, {BEFORE_ACKNOWLEDGEMENT} may be"
            );
        }
        if statistics.acknowledged == self.handed {
            self.known.append(&mut self.newcomers);
        }
    }

    /// A message of the quiet has come to a consumer. In a life each message that is taken has the next sequence, so the sequences tell how many
    /// were taken between it and what had been taken when it was handed over, but for where they begin; one that is said before all floods
    /// tells that. It waits for one turn of each other connection, and for another one with each turn's worth of the quiet before it.
    pub fn delivered(&mut self, id: MessageId, sequence: u64) {
        let (Some(senders), Some(published)) = (self.senders, self.quiet.get(&id)) else { return };
        let place = sequence - published;
        let least = self.least.map_or(place, |least| least.min(place));
        self.least = Some(least);
        let before = self.quiet_places.range(published + least..sequence).count() as u64;
        self.quiet_places.insert(sequence);
        let waited = place - least - before;
        let may = BEGUN + ON_ITS_WAY + (1 + before / TURN_FRAMES) * senders * TURN_FRAMES;
        assert!(waited <= may, "R24: {waited} sends were handled before that of one who says little, {may} may be");
    }
}
