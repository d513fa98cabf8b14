//! Queues and a topic to which one client alone sends, and which it deletes: with the next send they are there again.

use super::protocol;
use super::{Asked, Client, Surroundings};
use crate::client::actions::REQUESTS;
use crate::ledger::Place;
use crate::random::Random;

/// Queues of one client.
const QUEUES: u64 = 3;

/// How a client deletes.
#[derive(Clone, Debug)]
pub struct DeletingPlan {
    /// Where its chance begins.
    pub seed: u64,
    /// Of a hundred things it could do, so often it deletes.
    pub percent: u64,
    /// Of a hundred messages without a producer's place so many go where it deletes.
    pub sends: u64,
}

/// Its chance.
pub struct Deleting {
    chance: Random,
    /// It waits for the answer to a deletion.
    waits: bool,
}

impl Deleting {
    /// Nothing was deleted yet.
    pub fn new(plan: Option<&DeletingPlan>) -> Deleting {
        Deleting { chance: Random::new(plan.map_or(0, |plan| plan.seed)), waits: false }
    }

    /// Another connection.
    pub fn begin(&mut self) {
        self.waits = false;
    }

    /// A deletion is answered.
    pub fn is_answered(&mut self) {
        self.waits = false;
    }

    /// One of its places, now and then.
    pub fn one_of_its_own(&mut self, plan: Option<&DeletingPlan>, client: usize) -> Option<Place> {
        self.chance.percent(plan?.sends).then(|| self.any(client))
    }

    fn any(&mut self, client: usize) -> Place {
        let places = deleted_places(client);
        self.chance.pick(&places).clone()
    }
}

/// What a client deletes again and again.
pub fn deleted_places(client: usize) -> Vec<Place> {
    let queues = (0..QUEUES).map(|number| Place::queue(&format!("gone.{client}.{number}")));
    queues.chain([Place::topic(&format!("gone.{client}.topic"))]).collect()
}

impl Client {
    /// Deletes a queue of its own with all that is in it, or the topic. True: it is done for this time.
    pub(super) fn deletes(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(DeletingPlan { percent, .. }) = self.plan.deleting else { return false };
        let may = self.reads && self.requests.len() < REQUESTS && !self.deleting.waits;
        if !may || !self.deleting.chance.percent(percent) {
            return false;
        }
        let place = self.deleting.any(self.index);
        self.say(around, || format!("deletes {}", place.name));
        around.ledger.deletes(&place);
        self.deleting.waits = true;
        self.ask(protocol::temporary(&self.connection_id, &place, 1), Asked::Removal(place), around);
        true
    }
}
