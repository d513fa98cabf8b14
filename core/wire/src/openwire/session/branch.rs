//! Branches of XA: they are the broker's, and any connection may decide them. One that works in a branch has a number for it, as for a
//! transaction of its own, from its BEGIN to as many ENDs, or to the decision.

use postrider_model::command::{Branch, BranchAct, Command, Request};
use postrider_model::event::{BranchFailure, Failure};
use postrider_model::{TransactionNumber, Xid, limits};

use super::conversation::{Context, Conversation};
use super::error::{Refusal, Trouble};
use super::transaction::{Joined, TRANSACTION_BYTES, TRANSACTIONS, Transactions, act, unknown_type};
use crate::openwire::Structure;
use crate::openwire::schema::xa_transaction_id;

fn name(id: &Structure) -> Result<Xid, Refusal> {
    let invalid =
        |why: &str| Refusal::new(Failure::Branch(BranchFailure::Invalid), format!("the XATransactionId: {why}"));
    let part = |field| id.bytes(field).ok_or_else(|| invalid("a part of it is null: give it both"));
    let (global, qualifier) =
        (part(xa_transaction_id::GLOBAL_TRANSACTION_ID)?, part(xa_transaction_id::BRANCH_QUALIFIER)?);
    Xid::new(id.int(xa_transaction_id::FORMAT_ID), global, qualifier).map_err(|error| invalid(&error.to_string()))
}

fn not_started(xid: &Xid) -> Refusal {
    let message = format!("Transaction '{xid}' has not been started.");
    Refusal::new(Failure::Branch(BranchFailure::Unknown), message)
}

impl Transactions {
    /// The number of a branch in which the connection works; under one that it does not nothing is done (R47).
    pub(super) fn joined(&self, id: &Structure) -> Result<TransactionNumber, Trouble> {
        let xid = name(id)?;
        self.branches.get(&xid).map(|joined| joined.number).ok_or_else(|| not_started(&xid).into())
    }
}

impl Conversation {
    pub(super) fn branch_info(
        &mut self,
        id: &Structure,
        kind: i8,
        request: Request,
        context: &mut Context<'_>,
    ) -> Result<(), Trouble> {
        let xid = name(id)?;
        let (act, number) = match kind {
            act::BEGIN => (BranchAct::Begin, Some(self.join(&xid, context)?)),
            act::END => (BranchAct::End, self.part_from(&xid, context, false)),
            act::PREPARE => (BranchAct::Prepare, self.part_from(&xid, context, true)),
            act::COMMIT_ONE_PHASE => (BranchAct::CommitOnePhase, self.part_from(&xid, context, true)),
            act::COMMIT_TWO_PHASE => (BranchAct::CommitTwoPhase, self.part_from(&xid, context, true)),
            act::ROLLBACK | act::FORGET => (BranchAct::RollBack, self.part_from(&xid, context, true)),
            other => return Err(unknown_type(other).into()),
        };
        let connection = self.connection;
        context.command(Command::Branch(Box::new(Branch { connection, request, xid, number, act })));
        Ok(())
    }

    /// Which branches are prepared? The answer may be long: who leaves it unread gets no other one (R25).
    pub(super) fn ask_for_branches(&mut self, request: Request, context: &mut Context<'_>) -> Result<(), Trouble> {
        let tables = self.tables.as_mut().ok_or_else(Refusal::no_connection)?;
        if !request.is_wanted() {
            return Ok(());
        }
        if tables.transactions.asks_for_branches || context.output.len() > limits::UNSENT_BYTES {
            let message = "the connection has asked which branches are prepared and has not read the answer: ask again when it has";
            return Err(Refusal::new(Failure::Branch(BranchFailure::Resource), message).into());
        }
        tables.transactions.asks_for_branches = true;
        context.command(Command::Recover { connection: self.connection, request });
        Ok(())
    }

    /// The connection works in a branch: its number for that.
    fn join(&mut self, xid: &Xid, context: &mut Context<'_>) -> Result<TransactionNumber, Trouble> {
        let tables = self.tables.as_mut().ok_or_else(Refusal::no_connection)?;
        if let Some(joined) = tables.transactions.branches.get_mut(xid) {
            joined.times = joined.times.saturating_add(1);
            return Ok(joined.number);
        }
        if !context.handles.memory.take(&mut self.kept, TRANSACTION_BYTES) {
            return Err(Refusal::no_memory(self.kept.bytes()).into());
        }
        let Some(number) = tables.transactions.take_number() else {
            context.handles.memory.give_back(&mut self.kept, TRANSACTION_BYTES);
            return Err(Refusal::too_many("open transactions", TRANSACTIONS).into());
        };
        tables.transactions.branches.insert(xid.clone(), Joined { number, times: 1 });
        Ok(number)
    }

    /// It does so once less, or, where the branch is decided, not at all: the number that is free.
    fn part_from(&mut self, xid: &Xid, context: &mut Context<'_>, is_decided: bool) -> Option<TransactionNumber> {
        let transactions = &mut self.tables.as_mut()?.transactions;
        let joined = transactions.branches.get_mut(xid)?;
        joined.times -= 1;
        if joined.times > 0 && !is_decided {
            return None;
        }
        let number = transactions.branches.remove(xid)?.number;
        transactions.give_back(number);
        context.handles.memory.give_back(&mut self.kept, TRANSACTION_BYTES);
        Some(number)
    }
}
