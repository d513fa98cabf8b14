//! Queues and a topic to which one client alone sends, and which it deletes: with the next send they are there again.

use super::actions::REQUESTS;
use super::protocol;
use super::{Asked, Client, Surroundings};
use crate::ledger::Address;
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
    /// Of a hundred messages without a producer's address so many go where it deletes.
    pub sends: u64,
}

/// Its chance.
pub struct Deleting(Random);

impl Deleting {
    /// Nothing was deleted yet.
    pub fn new(plan: Option<&DeletingPlan>) -> Deleting {
        Deleting(Random::new(plan.map_or(0, |plan| plan.seed)))
    }

    /// One of its addresses, now and then.
    pub fn one_of_its_own(&mut self, plan: Option<&DeletingPlan>, client: usize) -> Option<Address> {
        self.0.percent(plan?.sends).then(|| self.any(client))
    }

    fn any(&mut self, client: usize) -> Address {
        let addresses = deleted_places(client);
        self.0.pick(&addresses).clone()
    }
}

/// What a client deletes again and again.
pub fn deleted_places(client: usize) -> Vec<Address> {
    let queues = (0..QUEUES).map(|number| Address::queue(&format!("gone.{client}.{number}")));
    queues.chain([Address::topic(&format!("gone.{client}.topic"))]).collect()
}

impl Client {
    /// Deletes a queue of its own with all that is in it, or the topic. True: it is done for this time.
    pub(super) fn deletes(&mut self, around: &mut Surroundings<'_>) -> bool {
        let Some(DeletingPlan { percent, .. }) = self.plan.deleting else { return false };
        let waits = self.requests.values().any(|request| matches!(request.asked, Asked::Removal(_)));
        let may = self.reads && self.requests.len() < REQUESTS && !waits;
        if !may || !self.deleting.0.percent(percent) {
            return false;
        }
        let address = self.deleting.any(self.index);
        self.say(around, || format!("deletes {}", address.name));
        around.ledger.deletes(&address);
        self.ask(protocol::temporary(&self.connection_id, &address, 1), Asked::Removal(address), around);
        true
    }
}
