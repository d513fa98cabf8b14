//! Transactions: TransactionInfo, and what names one. Branches of XA are in `branch.rs`.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use postrider_model::command::{Command, Request, Transact, TransactionAct};
use postrider_model::event::Failure;
use postrider_model::{TransactionNumber, Xid};

use super::conversation::{Context, Conversation, request};
use super::error::{Refusal, Trouble};
use crate::openwire::Structure;
use crate::openwire::hot::input::{Cached, TransactionName};
use crate::openwire::hot::rare;
use crate::openwire::schema::{transaction_info, xa_transaction_id};

/// Bytes that an open transaction takes, here and at the broker, besides what it has sent and acknowledged.
pub(super) const TRANSACTION_BYTES: u64 = 512;

/// Open transactions of one connection.
pub(super) const TRANSACTIONS: usize = u16::MAX as usize;

/// Types of TransactionInfo.
pub(super) mod act {
    pub(in super::super) const BEGIN: i8 = 0;
    pub(in super::super) const PREPARE: i8 = 1;
    pub(in super::super) const COMMIT_ONE_PHASE: i8 = 2;
    pub(in super::super) const COMMIT_TWO_PHASE: i8 = 3;
    pub(in super::super) const ROLLBACK: i8 = 4;
    pub(in super::super) const RECOVER: i8 = 5;
    pub(in super::super) const FORGET: i8 = 6;
    pub(in super::super) const END: i8 = 7;
}

/// A branch in which a connection works, as often as it has said so.
pub(super) struct Joined {
    pub number: TransactionNumber,
    pub times: u32,
}

/// The open transactions of a connection, by the values of their ids.
#[derive(Default)]
pub(super) struct Transactions {
    open: BTreeMap<i64, TransactionNumber>,
    pub(super) branches: BTreeMap<Xid, Joined>,
    /// It has asked which branches are prepared, and is not answered.
    pub(super) asks_for_branches: bool,
    /// Numbers that were ever given out.
    numbers: u16,
    free: Vec<TransactionNumber>,
}

impl Transactions {
    /// A number for one that begins. None: all are taken.
    pub(super) fn take_number(&mut self) -> Option<TransactionNumber> {
        self.free.pop().or_else(|| {
            self.numbers = self.numbers.checked_add(1)?;
            NonZeroU16::new(self.numbers).map(TransactionNumber)
        })
    }

    /// A number stands for nothing any more.
    pub(super) fn give_back(&mut self, number: TransactionNumber) {
        self.free.push(number);
    }

    /// None: all numbers are taken.
    fn begin(&mut self, value: i64) -> Option<TransactionNumber> {
        let number = self.take_number()?;
        self.open.insert(value, number);
        Some(number)
    }

    fn end(&mut self, value: i64) -> Option<TransactionNumber> {
        let number = self.open.remove(&value)?;
        self.free.push(number);
        Some(number)
    }

    /// The number of one that is open.
    pub(super) fn find(&self, value: i64) -> Option<TransactionNumber> {
        self.open.get(&value).copied()
    }

    /// Forgets one. False: there is none.
    pub(super) fn forget_one(&mut self) -> bool {
        self.open.pop_first().is_some() || self.branches.pop_first().is_some()
    }
}

fn text(connection: &[u8], value: i64) -> String {
    format!("TX:{}:{value}", String::from_utf8_lossy(connection))
}

fn not_started(connection: &[u8], value: i64) -> Refusal {
    Refusal::new(Failure::General, format!("Transaction '{}' has not been started.", text(connection, value)))
}

pub(super) fn unknown_type(kind: i8) -> Refusal {
    Refusal::new(Failure::General, format!("TransactionInfo of type {kind}: use 0 to 7"))
}

impl Conversation {
    /// The transaction that a message or an acknowledgement names; one that is not there is refused (R47).
    #[inline(never)]
    pub(super) fn transaction_of(
        &mut self,
        field: Cached<TransactionName<'_>>,
    ) -> Result<Option<TransactionNumber>, Trouble> {
        let tables = self.tables.as_mut().ok_or_else(Refusal::no_connection)?;
        let value = match (field, self.decoder.cache()) {
            (Cached::Inline(TransactionName::Local { connection, value }), _) if *connection == *tables.id => value,
            (Cached::Inline(TransactionName::Local { connection, value }), _) => {
                return Err(not_started(connection, value).into());
            }
            (Cached::Inline(TransactionName::Branch(id)), _) => return tables.transactions.joined(id).map(Some),
            (Cached::Slot(index), Some(cache)) => match tables.cached_transaction(cache, index) {
                Some(value) => value,
                None => {
                    let id = cache.get(index).ok().flatten().filter(|id| id.is(&xa_transaction_id::DEFINITION));
                    return tables.transactions.joined(id.ok_or(Trouble::WrongClass)?).map(Some);
                }
            },
            _ => return Ok(None),
        };
        match tables.transactions.find(value) {
            Some(number) => Ok(Some(number)),
            None => Err(not_started(&tables.id, value).into()),
        }
    }

    pub(super) fn transaction_info(&mut self, info: &Structure, context: &mut Context<'_>) -> Result<(), Trouble> {
        let tables = self.tables.as_mut().ok_or_else(Refusal::no_connection)?;
        let (kind, request) = (info.byte(transaction_info::TYPE), request(info));
        if kind == act::RECOVER {
            return self.ask_for_branches(request, context);
        }
        let (connection, value) =
            match info.object(transaction_info::TRANSACTION_ID).map(|id| rare::transaction_name(id)) {
                Some(Some(TransactionName::Branch(id))) => return self.branch_info(id, kind, request, context),
                Some(Some(TransactionName::Local { connection, value })) => (connection, value),
                Some(None) | None => {
                    let message = "the TransactionInfo has no transaction id: give it one";
                    return Err(Refusal::new(Failure::IllegalState, message).into());
                }
            };
        if *connection != *tables.id {
            return Err(not_started(connection, value).into());
        }
        match kind {
            act::BEGIN => self.begin_transaction(value, request, context),
            act::COMMIT_ONE_PHASE => self.end_transaction(value, TransactionAct::Commit, request, context),
            act::ROLLBACK => self.end_transaction(value, TransactionAct::RollBack, request, context),
            act::PREPARE | act::COMMIT_TWO_PHASE | act::FORGET | act::END => {
                let message = format!(
                    "TransactionInfo of type {kind} for {}: a local transaction begins (0), and is committed (2) or rolled back (4)",
                    text(connection, value)
                );
                Err(Refusal::new(Failure::General, message).into())
            }
            other => Err(unknown_type(other).into()),
        }
    }

    fn begin_transaction(&mut self, value: i64, request: Request, context: &mut Context<'_>) -> Result<(), Trouble> {
        let tables = self.tables.as_mut().ok_or_else(Refusal::no_connection)?;
        // A client that comes back may say it twice: with all of the transaction, and as it has waited for the answer.
        if tables.transactions.find(value).is_some() {
            self.synchronize(request, context);
            return Ok(());
        }
        if !context.handles.memory.take(&mut self.kept, TRANSACTION_BYTES) {
            return Err(Refusal::no_memory(self.kept.bytes()).into());
        }
        let Some(transaction) = tables.transactions.begin(value) else {
            context.handles.memory.give_back(&mut self.kept, TRANSACTION_BYTES);
            return Err(Refusal::too_many("open transactions", TRANSACTIONS).into());
        };
        self.transact(transaction, TransactionAct::Begin, request, context);
        Ok(())
    }

    fn end_transaction(
        &mut self,
        value: i64,
        act: TransactionAct,
        request: Request,
        context: &mut Context<'_>,
    ) -> Result<(), Trouble> {
        let tables = self.tables.as_mut().ok_or_else(Refusal::no_connection)?;
        let Some(transaction) = tables.transactions.end(value) else {
            return Err(not_started(&tables.id, value).into());
        };
        context.handles.memory.give_back(&mut self.kept, TRANSACTION_BYTES);
        self.transact(transaction, act, request, context);
        Ok(())
    }

    /// Something is refused here that belongs to a transaction: that cannot be committed then.
    #[cold]
    pub(super) fn doom(&mut self, field: Cached<TransactionName<'_>>, context: &mut Context<'_>) {
        if let Ok(Some(transaction)) = self.transaction_of(field) {
            self.transact(transaction, TransactionAct::Doom, Request::default(), context);
        }
    }

    fn transact(
        &mut self,
        transaction: TransactionNumber,
        act: TransactionAct,
        request: Request,
        context: &mut Context<'_>,
    ) {
        context.command(Command::Transact(Transact { connection: self.connection, request, transaction, act }));
    }
}
