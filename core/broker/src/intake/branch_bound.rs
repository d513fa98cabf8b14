//! What decisions of branches stage at most, and how many sequences they take (R6, R9).

use crate::broker::Broker;
use crate::clients::branch::Standing;
use crate::clients::transaction::Transaction;
use crate::intake::bound::Defined;
use crate::records::branch::{OUTCOME_BYTES, PREPARED_BYTES};
use crate::records::commit::commit_bound;
use postrider_journal::Bound;
use postrider_model::PortIndex;
use postrider_model::command::{Branch, BranchAct};

impl Broker {
    /// Both, of what is said of a branch. One that is not there may come by the same batch.
    pub(super) fn branch_bound(&self, port: PortIndex, said: &Branch, defined: &Defined<'_>) -> (Bound, u64) {
        let known = self.clients.find_branch(&said.xid).map(|index| self.clients.branches.at(index));
        let is_open = known.is_none_or(|known| matches!(known.standing, Standing::Open(_)));
        let transaction = known.map(|known| &known.transaction);
        let staged = transaction.and_then(|transaction| transaction.staged);
        let places = staged.map_or(0, |staged| self.undecided.places(staged));
        let decision = commit_bound(transaction.map_or(0, Transaction::claimed));
        match said.act {
            // If it is prepared in the same batch, its record says whose it is.
            BranchAct::Begin => {
                (Bound { records: 0, bytes: self.client_bytes(port, said.connection, defined) as u64 }, 0)
            }
            BranchAct::End => (Bound::default(), 0),
            // And the room of its decision (R46).
            BranchAct::Prepare if is_open => {
                let client = known.map_or(0, |known| known.client.len() as u64);
                (decision.and(decision).and(Bound { records: 0, bytes: client + PREPARED_BYTES as u64 }), 1)
            }
            BranchAct::CommitOnePhase if is_open => {
                let decision = known.map(|known| self.commit_bound(&known.transaction, &known.client));
                (decision.unwrap_or(commit_bound(0)), places + 1)
            }
            // Another one may have its name by then.
            BranchAct::Prepare | BranchAct::CommitOnePhase => (commit_bound(0).and(commit_bound(0)), places + 1),
            // One that is prepared has its room.
            BranchAct::CommitTwoPhase => (Bound::default(), places + 1),
            BranchAct::RollBack => (Bound { records: 1, bytes: OUTCOME_BYTES }, 0),
        }
    }
}
