//! Branches of distributed transactions: how they begin, are prepared and are decided. Whoever says so, by their names (decision 0024).

use crate::bounds::{BRANCHES, PREPARED_OF_WHAT_LIVES, live_limit};
use crate::broker::Broker;
use crate::clients::branch::{Branch, Standing};
use crate::clients::consumer::InFlight;
use crate::clients::transaction::Transaction;
use crate::destinations::destination::Refusal;
use crate::durable::doubtful::is_kept_name;
use crate::durable::late::{Late, TooMany};
use crate::durable::outcomes::BranchEnd;
use crate::jobs::Slice;
use crate::log::Log;
use crate::messages::{BranchIndex, ConnectionIndex};
use crate::plant::planted;
use crate::records::acknowledged::Runs;
use crate::records::commit::{HEAD_BYTES, late_bound};
use crate::step::Step;
use crate::transaction::commit::{TOO_MUCH_TO_LOOK_AT, too_many_places};
use crate::transaction::local::without_room;
use postrider_journal::{Bound, Purpose};
use postrider_model::command::{self, BranchAct, Request};
use postrider_model::event::{BranchFailure, Failure, Vote};
use postrider_model::{ConnectionHandle, Event, PortIndex, TransactionNumber, Xid, limits};

/// A prepared branch that is to be committed as soon as there is room.
pub(crate) struct Deciding {
    branch: BranchIndex,
    serial: u64,
}

fn failed(failure: BranchFailure, text: String) -> Refusal {
    (Failure::Branch(failure), text.into())
}

fn unknown(xid: &Xid) -> Refusal {
    failed(BranchFailure::Unknown, format!("Transaction '{xid}' has not been started."))
}

/// So many wait for a decision of one branch that waits for room: a client comes back now and then, and its coordinator, too.
const MOST_ASKERS: u8 = 16;

/// Messages that subscriptions get by a decision that came since a prepared branch has sent them, at most.
const MOST_LATE: u64 = 1_000_000;

fn protocol(xid: &Xid, why: &str) -> Refusal {
    failed(BranchFailure::Protocol, format!("Transaction '{xid}' {why}"))
}

/// Too many subscriptions have come since for one decision.
fn stays_prepared(xid: &Xid, too_many: &TooMany) -> Refusal {
    let why = match too_many {
        TooMany::OfAll(late) => format!(
            "subscriptions that came since it has sent to their topics would have {late} messages of it or more, and may have {MOST_LATE}"
        ),
        TooMany::OfOne(places) => too_many_places(*places),
        TooMany::ToLookAt => TOO_MUCH_TO_LOOK_AT.into(),
    };
    let text = format!("Transaction '{xid}' stays prepared: {why}: delete some of them, and commit it again");
    (Failure::ResourceAllocation, text.into())
}

/// As its coordinator knows it: it need not do anything more about it.
fn rolled_back((_, why): Refusal) -> Refusal {
    (Failure::Branch(BranchFailure::RolledBack), why)
}

impl Broker {
    pub(crate) fn act_on_branch<L: Log>(&mut self, port: PortIndex, said: &command::Branch, step: &mut Step<'_, L>) {
        let Some(connection) = self.connection(port, said.connection) else { return };
        let jobs_before = self.jobs.pushed();
        if let Some(number) = said.number.filter(|_| said.act != BranchAct::Begin) {
            self.clients.connection_mut(connection).part_from(number);
        }
        let outcome = match said.act {
            BranchAct::Begin => self.begin_branch(connection, said.number, &said.xid),
            // Whoever has worked in it and is done waits for all that to have come here.
            BranchAct::End => Ok(()),
            BranchAct::Prepare => match self.prepare(&said.xid, step) {
                Ok(vote) => return vote_on(port, said.connection, said.request, vote, step),
                Err(refusal) => Err(refusal),
            },
            BranchAct::CommitOnePhase => self.commit_branch(&said.xid, true, step),
            BranchAct::CommitTwoPhase => self.commit_branch(&said.xid, false, step),
            BranchAct::RollBack => self.roll_back_branch(&said.xid, step),
        };
        match outcome {
            Ok(()) => self.reply_after_jobs(port, said.connection, said.request, jobs_before, step),
            Err(refusal) => self.refuse(port, said.connection, said.request, refusal, step),
        }
    }

    /// Which branches are prepared.
    pub(crate) fn recover_branches<L: Log>(
        &mut self,
        port: PortIndex,
        handle: ConnectionHandle,
        request: Request,
        step: &mut Step<'_, L>,
    ) {
        if self.connection(port, handle).is_none() || !request.is_wanted() {
            return;
        }
        let names: Box<[Xid]> = self.clients.branches.prepared().cloned().collect();
        self.work.spend(self.clients.branches.len());
        step.out.reply(port, Event::Branches { connection: handle, token: request.token(), names });
    }

    /// A connection works in a branch from here on, which begins unless another one has begun it.
    fn begin_branch(
        &mut self,
        connection: ConnectionIndex,
        number: Option<TransactionNumber>,
        xid: &Xid,
    ) -> Result<(), Refusal> {
        let Some(number) = number else { return Ok(()) };
        let found = self.clients.find_branch(xid);
        let branch = match found.map(|index| (index, self.clients.branches.at(index))) {
            Some((index, Branch { standing: Standing::Open(_), .. })) => Some(index),
            Some((_, branch)) if self.comes_back(connection, branch.about.owner, branch.heard) => None,
            Some(_) => return Err(protocol(xid, "is prepared: commit it or roll it back, nothing more is done in it")),
            None => {
                let outcome = self.outcomes.find(xid);
                if outcome.is_some_and(|it| self.comes_back(connection, it.about.branch.owner, it.heard)) {
                    None
                } else {
                    self.check_branches(connection, xid)?;
                    Some(self.clients.begin_branch(connection, xid.clone()))
                }
            }
        };
        self.clients.join_branch(connection, number, branch);
        Ok(())
    }

    /// Whether a connection is the one again that began a branch: what it says of that it has said before (R43).
    fn comes_back(
        &self,
        connection: ConnectionIndex,
        owner: u32,
        heard: Option<(PortIndex, ConnectionHandle)>,
    ) -> bool {
        let connection = self.clients.connection(connection);
        connection.checksum() == owner && heard != Some((connection.port, connection.handle))
    }

    /// Whether a connection may begin one more: what it has begun, and has not prepared, is no more than is left for all others.
    fn check_branches(&self, connection: ConnectionIndex, xid: &Xid) -> Result<(), Refusal> {
        if is_kept_name(xid) {
            return Err(protocol(
                xid,
                "has a name that the broker gives itself to what it keeps aside: choose another one",
            ));
        }
        let (all, own) = (self.clients.branches.len(), self.clients.connection(connection).begun());
        if limits::is_fair_share(own as u64 + 1, all as u64 + 1, BRANCHES as u64) {
            return Ok(());
        }
        let text = format!(
            "there are {all} branches of distributed transactions that nobody has decided, {own} of them begun by the connection, and \
             {BRANCHES} are the limit, of which nobody has more than are left for others: commit some or roll them back"
        );
        Err(failed(BranchFailure::Resource, text))
    }

    /// It can be committed from here on, whatever happens, or it is over.
    fn prepare<L: Log>(&mut self, xid: &Xid, step: &mut Step<'_, L>) -> Result<Vote, Refusal> {
        let Some(index) = self.clients.find_branch(xid) else {
            return match self.outcomes.find(xid).map(|outcome| outcome.about.committed) {
                Some(true) => Ok(Vote::Prepared),
                Some(false) => Err(failed(BranchFailure::RolledBack, format!("Transaction '{xid}' is rolled back."))),
                None => Err(unknown(xid)),
            };
        };
        if !matches!(self.clients.branches.at(index).standing, Standing::Open(_)) {
            return Ok(Vote::Prepared);
        }
        let transaction = &self.clients.branches.at(index).transaction;
        // Who subscribes before the decision has it from that.
        if let Err(refusal) = self.check_decidable(transaction) {
            return Err(self.fail_branch(index, refusal, step));
        }
        if transaction.staged.is_some_and(|of| self.is_much_to_look_at(of)) {
            let refusal = (Failure::ResourceAllocation, format!("{TOO_MUCH_TO_LOOK_AT}: prepare it sooner").into());
            return Err(self.fail_branch(index, refusal, step));
        }
        if transaction.staged.is_none() && !transaction.has_messages() {
            let transaction = self.clients.take_branch(index).transaction;
            self.decide(transaction, (&[], Vec::new()), Late::default(), (0, None), step);
            return Ok(Vote::ReadOnly);
        }
        let acknowledged = transaction.named.put_together();
        // Who subscribes may want nothing of it.
        let is_sent_to_topics = transaction.staged.is_some_and(|of| self.undecided.since(of).is_some());
        let client = is_sent_to_topics.then(|| self.clients.branches.at(index).client.clone());
        let client_bytes = client.as_ref().map_or(0, |client| client.len());
        if let Err(refusal) = self.admit_prepared(client_bytes + acknowledged.len(), step) {
            return Err(self.fail_branch(index, refusal, step));
        }
        let branch = self.clients.branches.at_mut(index);
        // Its record says it from here on.
        branch.transaction.named = Runs::default();
        let of = *branch.transaction.staged.get_or_insert_with(|| self.undecided.begin());
        let about = branch.about.clone();
        self.clients.keep_branch(index);
        self.write_prepared(of, (about, client), &acknowledged, step);
        Ok(Vote::Prepared)
    }

    fn fail_branch<L: Log>(&mut self, index: BranchIndex, refusal: Refusal, step: &mut Step<'_, L>) -> Refusal {
        let transaction = self.clients.take_branch(index).transaction;
        self.roll_back(transaction, step);
        rolled_back(refusal)
    }

    /// The journal has no room for what is to be prepared or committed, and gets none: it is rolled back (R46).
    pub(crate) fn refuse_branch<L: Log>(&mut self, port: PortIndex, said: &command::Branch, step: &mut Step<'_, L>) {
        let Some(connection) = self.connection(port, said.connection) else { return };
        if let Some(number) = said.number {
            self.clients.connection_mut(connection).part_from(number);
        }
        let open = |branch: &Branch| matches!(branch.standing, Standing::Open(_));
        let refusal = match self.clients.find_branch(&said.xid).filter(|index| open(self.clients.branches.at(*index))) {
            None => unknown(&said.xid),
            Some(index) => self.fail_branch(index, without_room(), step),
        };
        self.refuse(port, said.connection, said.request, refusal, step);
    }

    /// Whether what is prepared may take so many bytes more, and as many for the decision.
    fn admit_prepared<L: Log>(&self, more: usize, step: &Step<'_, L>) -> Result<(), Refusal> {
        let all = self.undecided.prepared_bytes() + more as u64;
        let most = live_limit(step.log) / PREPARED_OF_WHAT_LIVES;
        if all <= most {
            return Ok(());
        }
        let text = format!(
            "branches that are prepared take {all} of {most} bytes: decide those that nobody has decided, or raise the setting \
             `journal.disk_budget_bytes`, of which they may use a thirty-second"
        );
        Err((Failure::ResourceAllocation, text.into()))
    }

    fn commit_branch<L: Log>(&mut self, xid: &Xid, one_phase: bool, step: &mut Step<'_, L>) -> Result<(), Refusal> {
        let Some(index) = self.clients.find_branch(xid) else { return self.is_decided(xid, true) };
        match self.clients.branches.at(index).standing {
            Standing::Open(_) if !one_phase => {
                Err(protocol(xid, "cannot be committed in two phases: it is not prepared"))
            }
            Standing::Open(_) => {
                let Branch { about, heard, publisher, client, transaction, .. } = self.clients.take_branch(index);
                let decided = BranchEnd { branch: about, heard };
                self.commit_taken(transaction, (publisher, &client), Some(&decided), step).map_err(rolled_back)
            }
            Standing::Deciding if self.clients.branches.at(index).askers >= MOST_ASKERS => {
                Err(protocol(xid, "is committed as soon as there is room: wait for the answer to that"))
            }
            Standing::Deciding => {
                self.await_decision(index);
                Ok(())
            }
            Standing::Prepared => {
                if !self.commit_prepared(index, step).map_err(|too_many| stays_prepared(xid, &too_many))? {
                    self.await_decision(index);
                }
                Ok(())
            }
        }
    }

    /// It is committed as soon as there is room, and whoever says so hears of that then: also a client that has come back meanwhile (R43).
    fn await_decision(&mut self, index: BranchIndex) {
        let branch = self.clients.branches.at_mut(index);
        branch.standing = Standing::Deciding;
        branch.askers += 1;
        let serial = branch.serial;
        self.jobs.push(Deciding { branch: index, serial });
    }

    /// The same decision again is answered as done; the other one is of a branch that is not there (R43).
    fn is_decided(&self, xid: &Xid, commits: bool) -> Result<(), Refusal> {
        let outcome = self.outcomes.find(xid).filter(|outcome| outcome.about.committed == commits);
        outcome.map(|_| ()).ok_or_else(|| unknown(xid))
    }

    /// A prepared branch is done, in the room of what moves, as it takes the place of its own record (R46). False: there is none now.
    fn commit_prepared<L: Log>(&mut self, index: BranchIndex, step: &mut Step<'_, L>) -> Result<bool, TooMany> {
        let Some(of) = self.clients.branches.at(index).transaction.staged else { return Ok(true) };
        let client = self.clients.branches.at(index).client.clone();
        let late = self.late_sharers(of, &client, MOST_LATE)?;
        let places = self.undecided.places(of);
        if !self.sequences.has(places + 1) {
            self.want_sequences(places + 1);
            return Ok(false);
        }
        let acknowledged = self.undecided.prepared(of).map_or(0, |prepared| prepared.acknowledged.len() as u64);
        let bound = Bound { records: 1, bytes: HEAD_BYTES as u64 + acknowledged }.and(late_bound(late.bytes()));
        let purpose = if planted("commit-without-room") { Purpose::Create } else { Purpose::Move };
        // And what was acknowledged before it.
        if !step.log.reserve(purpose, bound.and(Bound { records: 1, bytes: 0 })) {
            return Ok(false);
        }
        let acknowledged =
            self.undecided.prepared(of).map(|prepared| prepared.acknowledged.clone()).unwrap_or_default();
        let Branch { about, heard, publisher, transaction, .. } = self.clients.take_branch(index);
        let settled = transaction.settled();
        let decided = BranchEnd { branch: about, heard };
        self.decide(transaction, (&acknowledged, settled), late, (publisher, Some(&decided)), step);
        Ok(true)
    }

    /// Goes on with a decision that waits for room.
    pub(crate) fn decide_waiting<L: Log>(&mut self, deciding: &Deciding, step: &mut Step<'_, L>) -> Slice {
        let Deciding { branch, serial } = *deciding;
        let is_there = self.clients.branches.again(branch, serial).is_some();
        // Too many subscriptions may have come since: some may go.
        if is_there && !self.commit_prepared(branch, step).unwrap_or(false) { Slice::Waits } else { Slice::Done }
    }

    fn roll_back_branch<L: Log>(&mut self, xid: &Xid, step: &mut Step<'_, L>) -> Result<(), Refusal> {
        let Some(index) = self.clients.find_branch(xid) else { return self.is_decided(xid, false) };
        if self.clients.branches.at(index).standing == Standing::Deciding {
            return Err(protocol(xid, "is committed as soon as there is room"));
        }
        let Branch { about, heard, transaction, .. } = self.clients.take_branch(index);
        if let Some(of) = transaction.staged
            && let Some(tag) = self.undecided.prepared_tag(of)
        {
            self.write_rolled_back(tag, BranchEnd { branch: about, heard }, step);
        }
        self.roll_back(transaction, step);
        Ok(())
    }

    /// The first turn of a life: what was prepared is the broker's, with all that it has acknowledged.
    pub(crate) fn restore_branches(&mut self) {
        let kept = self.kept_names().into_iter().map(|(of, about)| (of, about, Vec::new()));
        for (of, about, claims) in kept.chain(self.claim_prepared()) {
            self.gather_sent(of);
            let client = self.undecided.prepared(of).and_then(|prepared| prepared.about.client.clone());
            let client = client.filter(|_| !planted("branch-of-nobody")).unwrap_or_default();
            let mut transaction = Transaction::default();
            transaction.staged = Some(of);
            let entries = claims.into_iter();
            let entries = entries.map(|(of, index)| InFlight::new(self.messages.at(index).sequence, index, of));
            transaction.claim_of_nobody(entries.collect());
            self.clients.branches.add(Branch {
                about,
                serial: 0,
                heard: None,
                publisher: 0,
                client,
                transaction,
                standing: Standing::Prepared,
                askers: 0,
            });
        }
    }
}

fn vote_on<L: Log>(
    port: PortIndex,
    connection: ConnectionHandle,
    request: Request,
    vote: Vote,
    step: &mut Step<'_, L>,
) {
    if request.is_wanted() {
        step.out.reply(port, Event::Voted { connection, token: request.token(), vote });
    }
}
