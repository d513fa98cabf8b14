//! What comes in: sends, what they may take, and what waits for room.

pub(crate) mod admission;
pub(crate) mod bound;
mod branch_bound;
pub(crate) mod duplicates;
pub(crate) mod lines;
pub(crate) mod pacing;
pub(crate) mod parking;
pub(crate) mod publish;

use self::lines::{Lines, Ticket};
use self::pacing::Pacing;
use self::parking::Parked;
use crate::durable::sharing::Shared;
use crate::messages::{ConnectionIndex, DestinationIndex};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What waits for room, and what went beyond it.
#[derive(Default)]
pub(crate) struct Intake {
    /// What connections have parked.
    waiting: BTreeMap<ConnectionIndex, Waiting>,
    /// Where they stand.
    lines: Lines,
    /// Those of them that have parked what is refused where nothing makes room.
    answerable: BTreeSet<ConnectionIndex>,
    /// Bytes of all that is parked.
    parked_bytes: u64,
    /// The send that goes on may go beyond what may live.
    goes_beyond: bool,
    /// Bytes of names that came with consumers though the log was full, since it was last not.
    created_beyond: u64,
    /// Who is not read because of a queue that holds much.
    pacing: Pacing,
    /// What is left of a batch is to be bounded again.
    pub has_outgrown_bounds: bool,
    /// How often durable subscriptions had changed when that was asked last.
    subscriptions_changed: u64,
    /// The places of a send: a buffer that is used again.
    pub parts: Vec<DestinationIndex>,
    /// Who shares it: likewise.
    pub shared: Shared,
}

/// What a connection has parked.
#[derive(Default)]
struct Waiting {
    commands: VecDeque<Parked>,
    /// Where it stands in its line, unless what it has parked goes on just then.
    ticket: Option<Ticket>,
}

/// Of a connection that has parked nothing.
static NOTHING: VecDeque<Parked> = VecDeque::new();

impl Intake {
    /// The journal takes so much of one that never waits, while others do.
    pub(crate) fn pass(&mut self, bytes: u64) {
        self.lines.pass(bytes);
    }

    /// Bytes of all that is parked.
    pub(crate) fn parked_bytes(&self) -> u64 {
        self.parked_bytes
    }

    /// Whether a send waits for room in the spool.
    pub(crate) fn waits_for_spool(&self) -> bool {
        self.lines.waits_for(crate::log::LogKind::Spool)
    }

    /// When those who are not read because of a queue are looked at, in nanoseconds.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.pacing.deadline()
    }

    /// The turn ends: who has to wait until the next one has done so.
    pub(crate) fn end_turn(&mut self) {
        self.lines.set_waits(false);
    }

    fn parked_of(&self, index: ConnectionIndex) -> &VecDeque<Parked> {
        self.waiting.get(&index).map_or(&NOTHING, |waiting| &waiting.commands)
    }

    /// A connection leaves its line. False: it stood in none.
    fn leave_line(&mut self, index: ConnectionIndex) -> bool {
        let ticket = self.waiting.get_mut(&index).and_then(|waiting| waiting.ticket.take());
        if let Some(ticket) = ticket {
            self.lines.leave(ticket);
        }
        ticket.is_some()
    }
}
