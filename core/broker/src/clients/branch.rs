//! Branches of distributed transactions that are not decided. They are known by the names that their coordinators gave them, whichever
//! connection says those; one that is not prepared lives with the connection that began it (R47).

use crate::clients::connection::Connection;
use crate::clients::transaction::Transaction;
use crate::kit::slab::Slab;
use crate::messages::{BranchIndex, ConnectionIndex};
use crate::records::branch;
use postrider_journal::body_crc;
use postrider_model::{ConnectionHandle, PortIndex, TransactionNumber, Xid};
use std::collections::BTreeMap;

/// How far it has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// Things are done in it. The connection with which it goes.
    Open(ConnectionIndex),
    /// It can be committed, whatever happens.
    Prepared,
    /// It is, and is to be committed as soon as there is room.
    Deciding,
}

/// A branch that is not decided.
pub(crate) struct Branch {
    pub about: branch::Branch,
    /// Never another's.
    pub serial: u64,
    /// The connection that began it.
    pub heard: Option<(PortIndex, ConnectionHandle)>,
    /// Serial of that, for what it has sent.
    pub publisher: u32,
    /// And its client's id.
    pub client: Box<[u8]>,
    pub transaction: Transaction,
    pub standing: Standing,
    /// How many wait for a decision that waits for room.
    pub askers: u8,
}

/// What a connection's number for a branch stands for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Joined {
    /// This one, and its serial.
    Branch(BranchIndex, u64),
    /// What was said before and is said again, of one that is prepared or decided: there is nothing to be done (R43).
    Again,
}

/// All of them.
#[derive(Default)]
pub(crate) struct Branches {
    table: Slab<Branch>,
    by_name: BTreeMap<Xid, BranchIndex>,
    serials: u64,
    /// A life has begun, and what is prepared has not claimed what it has acknowledged: who only follows the log leaves that where it is.
    claims_later: bool,
}

#[expect(clippy::indexing_slicing, reason = "numbers in the broker's own tables: one that is not there is our mistake")]
impl Branches {
    /// A life begins.
    pub(crate) fn claim_later(&mut self) {
        *self = Branches { claims_later: true, ..Branches::default() };
    }

    /// Its first turn: yes is said once.
    pub(crate) fn claims_now(&mut self) -> bool {
        std::mem::take(&mut self.claims_later)
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    pub(crate) fn at(&self, index: BranchIndex) -> &Branch {
        &self.table[index.0]
    }

    pub(crate) fn at_mut(&mut self, index: BranchIndex) -> &mut Branch {
        &mut self.table[index.0]
    }

    /// One comes, which is found by its name from here on.
    pub(crate) fn add(&mut self, branch: Branch) -> BranchIndex {
        self.serials += 1;
        let xid = branch.about.xid.clone();
        let index = BranchIndex(self.table.insert(Branch { serial: self.serials, ..branch }));
        self.by_name.insert(xid, index);
        index
    }

    /// One goes.
    pub(crate) fn remove(&mut self, index: BranchIndex) -> Branch {
        let branch = self.table.remove(index.0);
        if self.by_name.get(&branch.about.xid) == Some(&index) {
            self.by_name.remove(&branch.about.xid);
        }
        branch
    }

    /// Those that can be decided, by their names.
    pub(crate) fn prepared(&self) -> impl Iterator<Item = &Xid> {
        let all = self.by_name.iter();
        all.filter(|(_, index)| self.at(**index).standing == Standing::Prepared).map(|(xid, _)| xid)
    }

    /// The same branch, if it is there still.
    pub(crate) fn again(&self, index: BranchIndex, serial: u64) -> Option<&Branch> {
        self.table.get(index.0).filter(|branch| branch.serial == serial)
    }
}

/// Whether a branch is there: one that is not prepared has gone with its connection, though that may be on its way out for longer.
fn is_there(branch: &Branch, connections: &Slab<Connection>) -> bool {
    match branch.standing {
        Standing::Open(owner) => {
            let owner = connections.get(owner.0).filter(|owner| !owner.is_leaving());
            owner.is_some_and(|owner| Some((owner.port, owner.handle)) == branch.heard)
        }
        Standing::Prepared | Standing::Deciding => true,
    }
}

impl Connection {
    /// What its branches are known by when it has come back.
    pub(crate) fn checksum(&self) -> u32 {
        body_crc(&self.id)
    }

    /// Branches that it has begun and that are not prepared.
    pub(crate) fn begun(&self) -> usize {
        self.branches.len()
    }

    /// Its number stands for a branch that it works in no more, or that is to be decided.
    pub(crate) fn part_from(&mut self, number: TransactionNumber) {
        self.joined.remove(&number);
    }
}

impl super::Clients {
    /// The branch of this name.
    pub(crate) fn find_branch(&self, xid: &Xid) -> Option<BranchIndex> {
        let index = self.branches.by_name.get(xid).copied()?;
        is_there(self.branches.at(index), &self.connections).then_some(index)
    }

    /// A connection begins a branch.
    pub(crate) fn begin_branch(&mut self, owner: ConnectionIndex, xid: Xid) -> BranchIndex {
        let connection = self.connection(owner);
        let branch = Branch {
            about: branch::Branch { xid, owner: connection.checksum() },
            serial: 0,
            heard: Some((connection.port, connection.handle)),
            publisher: connection.serial,
            client: connection.client_id.clone(),
            transaction: Transaction::default(),
            standing: Standing::Open(owner),
            askers: 0,
        };
        let index = self.branches.add(branch);
        self.connection_mut(owner).branches.insert(index);
        index
    }

    /// A connection works in a branch under this number; in none: what it says is said again.
    pub(crate) fn join_branch(
        &mut self,
        connection: ConnectionIndex,
        number: TransactionNumber,
        branch: Option<BranchIndex>,
    ) {
        let joined = branch.map(|index| Joined::Branch(index, self.branches.at(index).serial));
        self.connection_mut(connection).joined.insert(number, joined.unwrap_or(Joined::Again));
    }

    /// Whether a connection says again what it has said before.
    pub(crate) fn says_again(&self, connection: ConnectionIndex, number: TransactionNumber) -> bool {
        matches!(self.connection(connection).joined.get(&number), Some(Joined::Again))
    }

    /// The open branch that a connection's number stands for.
    pub(super) fn joined(&self, connection: ConnectionIndex, number: TransactionNumber) -> Option<BranchIndex> {
        let Joined::Branch(index, serial) = *self.connection(connection).joined.get(&number)? else { return None };
        let branch = self.branches.again(index, serial)?;
        let is_open = matches!(branch.standing, Standing::Open(_)) && is_there(branch, &self.connections);
        is_open.then_some(index)
    }

    /// A branch is prepared: it is no connection's any more.
    pub(crate) fn keep_branch(&mut self, index: BranchIndex) {
        let standing = std::mem::replace(&mut self.branches.at_mut(index).standing, Standing::Prepared);
        self.leave_owner(index, standing);
    }

    /// A branch is decided, or over.
    pub(crate) fn take_branch(&mut self, index: BranchIndex) -> Branch {
        let branch = self.branches.remove(index);
        self.leave_owner(index, branch.standing);
        branch
    }

    fn leave_owner(&mut self, index: BranchIndex, standing: Standing) {
        if let Standing::Open(owner) = standing
            && let Some(owner) = self.connections.get_mut(owner.0)
        {
            owner.branches.remove(&index);
        }
    }

    /// A connection goes, and a branch with it that is not prepared.
    pub(super) fn pop_branch(&mut self, connection: ConnectionIndex) -> Option<Transaction> {
        let index = self.connection_mut(connection).branches.pop_first()?;
        Some(self.branches.remove(index).transaction)
    }
}
