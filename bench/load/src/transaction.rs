//! The local transactions of a session, one after another, as a JMS client does them: only the commit is answered.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Result;
use postrider_wire::openwire::Structure;
use postrider_wire::openwire::schema::{base_command, local_transaction_id, transaction_info};

use crate::link::Codec;

const BEGIN: i8 = 0;
const COMMIT_ONE_PHASE: i8 = 2;

/// What one connection has of transactions.
#[derive(Debug)]
pub(crate) struct Transactions {
    connection: Arc<Structure>,
    /// Messages of each.
    size: u32,
    /// How many there were.
    number: i64,
    /// The open one, if there is one.
    open: Option<Arc<Structure>>,
    /// Messages in it.
    messages: u32,
    /// Commits without an answer, the oldest first.
    commits: VecDeque<Commit>,
}

/// A commit that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    command: i32,
    /// When.
    pub time: u64,
    /// Messages in it.
    pub messages: u32,
}

impl Transactions {
    /// Transactions of that many messages on that connection.
    pub(crate) fn new(connection: &Arc<Structure>, size: u32) -> Transactions {
        let (number, messages) = Default::default();
        Transactions { connection: connection.clone(), size, number, open: None, messages, commits: VecDeque::new() }
    }

    /// The transaction to which the next message belongs; begins one if none is open.
    pub(crate) fn enter(&mut self, codec: &mut Codec) -> Result<Arc<Structure>> {
        if let Some(id) = &self.open {
            return Ok(id.clone());
        }
        self.number += 1;
        let id = Structure::new(&local_transaction_id::DEFINITION)
            .with(local_transaction_id::VALUE, self.number)
            .with(local_transaction_id::CONNECTION_ID, self.connection.clone())
            .shared();
        codec.push(self.info(&id, BEGIN))?;
        self.open = Some(id.clone());
        Ok(id)
    }

    /// A message went into the open transaction; whether that is full now.
    pub(crate) fn add(&mut self) -> bool {
        self.messages += 1;
        self.messages >= self.size
    }

    /// Whether there is one to commit.
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// How many there were, the open one included.
    pub(crate) fn number(&self) -> i64 {
        self.number
    }

    /// Commits the open transaction, if there is one.
    pub(crate) fn commit(&mut self, codec: &mut Codec, now: u64) -> Result<()> {
        let Some(id) = self.open.take() else { return Ok(()) };
        let info = self.info(&id, COMMIT_ONE_PHASE).with(base_command::RESPONSE_REQUIRED, true);
        let (command, messages) = (codec.push(info)?, std::mem::take(&mut self.messages));
        self.commits.push_back(Commit { command, time: now, messages });
        Ok(())
    }

    /// The broker answered a command: the commit that it was, if it is the oldest without an answer.
    pub(crate) fn committed(&mut self, command: i32) -> Option<Commit> {
        self.commits.pop_front_if(|commit| commit.command == command)
    }

    /// Commits without an answer.
    pub(crate) fn pending(&self) -> usize {
        self.commits.len()
    }

    /// Messages in commits without an answer.
    pub(crate) fn unanswered(&self) -> u64 {
        self.commits.iter().map(|commit| u64::from(commit.messages)).sum()
    }

    fn info(&self, id: &Arc<Structure>, kind: i8) -> Structure {
        Structure::new(&transaction_info::DEFINITION)
            .with(transaction_info::CONNECTION_ID, self.connection.clone())
            .with(transaction_info::TRANSACTION_ID, id.clone())
            .with(transaction_info::TYPE, kind)
    }
}

#[cfg(test)]
mod tests {
    use postrider_wire::openwire::{FrameSplitter, Settings, WireFormat, WriterPolicy};

    use super::*;
    use crate::names;

    #[test]
    fn each_is_begun_once_and_committed_with_what_it_has() {
        let format = WireFormat::new(Settings::initial(1 << 20), WriterPolicy::JavaOrder);
        let mut codec = Codec { format, out: Vec::new(), command: 0 };
        let mut transactions = Transactions::new(&names::connection("ID:c"), 2);
        transactions.commit(&mut codec, 1).unwrap();
        assert!(codec.out.is_empty(), "there is none to commit");
        let first = transactions.enter(&mut codec).unwrap();
        assert!(!transactions.add());
        assert_eq!(transactions.enter(&mut codec).unwrap(), first);
        assert!(transactions.add());
        transactions.commit(&mut codec, 5).unwrap();
        assert_ne!(transactions.enter(&mut codec).unwrap(), first);
        assert!(!transactions.add());
        transactions.commit(&mut codec, 6).unwrap();
        assert_eq!((transactions.pending(), transactions.unanswered()), (2, 3));
        assert_eq!(transactions.committed(4), None, "the older one comes first");
        assert_eq!(transactions.committed(2), Some(Commit { command: 2, time: 5, messages: 2 }));
        assert_eq!(transactions.committed(4), Some(Commit { command: 4, time: 6, messages: 1 }));
        let mut splitter = FrameSplitter::new(1 << 20);
        let (out, mut kinds) = (std::mem::take(&mut codec.out), Vec::new());
        let mut input = &out[..];
        while let Some(frame) = splitter.split(&mut input).unwrap() {
            let info = codec.format.decode(frame).unwrap().unwrap();
            kinds.push((info.byte(transaction_info::TYPE), info.bool(base_command::RESPONSE_REQUIRED)));
        }
        assert_eq!(kinds, [(BEGIN, false), (COMMIT_ONE_PHASE, true), (BEGIN, false), (COMMIT_ONE_PHASE, true)]);
    }
}
