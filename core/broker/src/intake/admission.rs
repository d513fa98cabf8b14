//! Limits: what is refused or held back when the journal is full of live bytes (R6).

use crate::bounds::{CREATIONS_OF_SEGMENT, NAMES_OF_WHAT_LIVES, live_limit};
use crate::broker::Broker;
use crate::clients::connection::refused_producer;
use crate::config::WhenFull;
use crate::destinations::advisories::is_advisory;
use crate::destinations::destination::{Content, Refusal, brief};
use crate::log::{Log, LogKind};
use crate::messages::{ConnectionIndex, DestinationIndex};
use crate::outbox::Outbox;
use crate::plant::planted;
use crate::step::Step;
use postrider_journal::{Pressure, SpoolUse};
use postrider_model::command::Publish;
use postrider_model::event::{Failure, Refused};
use postrider_model::{Command, Destination, Event, Now, PortIndex};

/// What a destination takes in the log besides its name, about.
const NAME_OVERHEAD: u64 = 64;

/// Who names a destination that may not be there yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Named {
    ToSend,
    ToConsume,
}

/// When a message may come in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Admission {
    Now,
    /// There is no room in this log: its sender waits.
    Later(LogKind),
    /// The journal has no room for what a destination takes that it is the first to name: likewise.
    OnceCreated,
}

impl Broker {
    /// Whether a persistent message of so many live bytes may come in. Beyond the limit whoever waits for an answer is refused, unless
    /// configured, and whoever does not is held back.
    pub(crate) fn admit<L: Log>(
        &mut self,
        publish: &Publish,
        bytes: u64,
        step: &Step<'_, L>,
    ) -> Result<Admission, Refusal> {
        let limit = live_limit(step.log);
        if self.journal.live_bytes() + bytes <= limit || std::mem::take(&mut self.intake.goes_beyond) {
            self.intake.lines.pass(bytes);
            return Ok(Admission::Now);
        }
        if self.may_wait(publish) && bytes <= limit {
            return Ok(Admission::Later(LogKind::Journal));
        }
        Err(self.full(bytes, step))
    }

    /// The refusal of a message of so many live bytes, for which there is no room under the limit.
    pub(crate) fn full<L: Log>(&mut self, bytes: u64, step: &Step<'_, L>) -> Refusal {
        self.statistics.refused += 1;
        let (limit, live) = (live_limit(step.log), self.journal.live_bytes() + bytes);
        let text = format!(
            "the journal holds {live} of {limit} bytes of messages that nobody has acknowledged, of names, and of what \
             producers are remembered by: consume some, or raise the setting `journal.disk_budget_bytes`, of which they may use half"
        );
        (Failure::ResourceAllocation, text.into())
    }

    /// The destination with this name; queues and topics come into being when they are first named.
    pub(crate) fn resolve<L: Log>(
        &mut self,
        destination: &Destination,
        named: Named,
        step: &mut Step<'_, L>,
    ) -> Result<DestinationIndex, Refusal> {
        if let Some(index) = self.destinations.find(destination) {
            return Ok(index);
        }
        if destination.kind.is_temporary() {
            return Err((Failure::DestinationDoesNotExist, destination.to_string().into()));
        }
        if is_advisory(destination) {
            self.admit_name(destination, None)?;
        } else {
            self.admit_destination(destination, named, step)?;
        }
        Ok(self.create(destination, step))
    }

    /// Whether a destination may come into being. Its name is alive in the log for as long as it is there, and nobody consumes it: so
    /// names take an eighth of what may live, and messages have the rest.
    pub(crate) fn admit_destination<L: Log>(
        &mut self,
        destination: &Destination,
        named: Named,
        step: &Step<'_, L>,
    ) -> Result<(), Refusal> {
        self.admit_name(destination, None)?;
        if !self.destinations.has_ids() {
            let text = format!(
                "{} cannot be created: this data directory has had as many queues as it can have, those that were deleted \
                 included: begin a new directory",
                brief(destination)
            );
            return Err((Failure::ResourceAllocation, text.into()));
        }
        let (known, live) = (self.destinations.name_bytes(), self.journal.live_bytes());
        let (wanted, limit) = (destination.name.len() as u64 + NAME_OVERHEAD, live_limit(step.log));
        let full = self.names_with(wanted) > limit / NAMES_OF_WHAT_LIVES || live + wanted > limit;
        let spare = named == Named::ToConsume && wanted <= self.spare_for_creations(step.log);
        if full && !spare {
            let text = format!(
                "{} cannot be created: the names of all destinations have {known} bytes, and the journal holds {live} of {limit} \
                 bytes, of which names may use an eighth: delete destinations that nobody uses, consume messages, or raise the \
                 setting `journal.disk_budget_bytes`",
                brief(destination)
            );
            return Err((Failure::ResourceAllocation, text.into()));
        }
        self.intake.created_beyond = if full { self.intake.created_beyond + wanted } else { 0 };
        Ok(())
    }

    /// Whether a message may come to these places in the spool, where room is scarce. While the disk catches up nobody is refused, and
    /// nobody passes those who wait.
    pub(crate) fn admit_passing<L: Log>(
        &mut self,
        publish: &Publish,
        parts: &[DestinationIndex],
        step: &Step<'_, L>,
    ) -> Result<Admission, Refusal> {
        if parts.is_empty() {
            return Ok(Admission::Now);
        }
        let SpoolUse { pressure, leaves, eased, .. } = self.spooling.usage();
        let is_queue = |part: &DestinationIndex| matches!(self.destinations.get(*part).content, Content::Queue(_));
        let for_queues = parts.iter().any(is_queue);
        if leaves && !eased && self.intake.waits_for_spool() {
            return Ok(Admission::Later(LogKind::Spool));
        }
        match pressure {
            Pressure::Crowded => return Ok(Admission::Later(LogKind::Spool)),
            Pressure::None => return Ok(Admission::Now),
            _ if !for_queues && self.spooling.sheds_first() => return Ok(Admission::Later(LogKind::Spool)),
            _ if !for_queues => return Ok(Admission::Now),
            Pressure::Full if !self.may_wait(publish) && self.spooling.topics_have_lost_all() => {}
            _ => return Ok(Admission::Later(LogKind::Spool)),
        }
        self.statistics.refused += 1;
        let SpoolUse { memory_bytes, memory_limit, disk_bytes, disk_limit, .. } = step.log.spool_use();
        let text = format!(
            "the spool is full of messages that nobody has acknowledged: {memory_bytes} of {memory_limit} bytes in memory, \
             {disk_bytes} of {disk_limit} bytes on the disk; consume some, or raise the setting `journal.spool_disk_bytes`"
        );
        Err((Failure::ResourceAllocation, text.into()))
    }

    /// Whether a destination cannot come into being before more is acknowledged, and then can: whoever may wait for room waits.
    pub(crate) fn is_created_later<L: Log>(&self, destination: &Destination, step: &Step<'_, L>) -> bool {
        if destination.kind.is_temporary() || is_advisory(destination) || self.destinations.find(destination).is_some()
        {
            return false;
        }
        let (wanted, limit) = (destination.name.len() as u64 + NAME_OVERHEAD, live_limit(step.log));
        self.journal.live_bytes() + wanted > limit && self.names_with(wanted) <= limit / NAMES_OF_WHAT_LIVES
    }

    /// Bytes that names would take with so many more.
    fn names_with(&self, wanted: u64) -> u64 {
        self.destinations.len() as u64 * NAME_OVERHEAD + self.destinations.name_bytes() + wanted
    }

    /// Bytes that names which consumers bring may take beyond what may live.
    pub fn spare_for_creations<L: Log>(&self, log: &L) -> u64 {
        (log.segment_bytes() / CREATIONS_OF_SEGMENT).saturating_sub(self.intake.created_beyond)
    }

    /// Whether there may be one more destination, with this name, for the consumers whose patterns it fits; a temporary one lives with
    /// its owner.
    pub(crate) fn admit_name(
        &mut self,
        destination: &Destination,
        owner: Option<ConnectionIndex>,
    ) -> Result<(), Refusal> {
        let (count, most) = (self.config.destinations, self.config.name_bytes);
        if destination.name.len() > most && !planted("long-name-taken") {
            let text = format!(
                "{} cannot be created: its name has {} bytes, and {most} is the limit: give it a shorter one, or raise the setting \
                 `destinations.max_name_bytes`",
                brief(destination),
                destination.name.len()
            );
            return Err((Failure::InvalidDestination, text.into()));
        }
        if self.destinations.len() >= count {
            let text = format!(
                "{} cannot be created: there are {count} destinations already, which is the limit: delete some that nobody uses, or \
                 raise the setting `destinations.max_count`",
                brief(destination)
            );
            return Err((Failure::ResourceAllocation, text.into()));
        }
        self.admit_joining(destination, owner)
    }

    /// Whether a send without room waits for it. One of a transaction never does (R35).
    pub(crate) fn may_wait(&self, publish: &Publish) -> bool {
        publish.transaction.is_none() && (!publish.request.is_wanted() || self.config.when_full == WhenFull::Wait)
    }

    /// A command for which the journal has no place, now or ever: a message is refused, or parked until there is, and so is what
    /// creates destinations.
    pub(crate) fn refuse_storing<L: Log>(
        &mut self,
        port: PortIndex,
        command: &Command,
        arena: &[u8],
        now: Now,
        log: &mut L,
        out: &mut Outbox,
    ) {
        let (connection, request, refused) = match command {
            Command::Publish(publish) => return self.refuse_send(port, publish, arena, now, log, out),
            Command::OpenProducer(open) => (open.connection, open.request, refused_producer(open)),
            Command::OpenConsumer(open) => (open.connection, open.request, Refused::Consumer(open.consumer)),
            _ => return,
        };
        let step = &mut Step { now, log, out };
        if self.connection(port, connection).is_none() {
            return;
        }
        if self.waits_behind_sends(port, command) {
            self.park(port, (command, arena), (LogKind::Journal, false), step);
            return;
        }
        self.statistics.refused += 1;
        let token = request.answer();
        let (failure, message) = (Failure::ResourceAllocation, self.no_creation(step).into());
        let refused = Some(Box::new(refused));
        step.out.reply(port, Event::Failed { connection, token, failure, message, refused });
    }

    /// A message for which the journal has no place, now or ever: it is refused, or parked until there is.
    fn refuse_send<L: Log>(
        &mut self,
        port: PortIndex,
        publish: &Publish,
        arena: &[u8],
        now: Now,
        log: &mut L,
        out: &mut Outbox,
    ) {
        let step = &mut Step { now, log, out };
        let Some(connection) = self.connection(port, publish.connection) else { return };
        if self.may_wait(publish) && u64::from(publish.record.length) <= live_limit(step.log) {
            self.park(port, (&Command::Publish(*publish), arena), (LogKind::Journal, false), step);
            return;
        }
        if self.is_duplicate(connection, publish) {
            return self.answer_duplicate(port, connection, publish, step);
        }
        self.note_settled(port, publish);
        let refusal = self.no_place_for(publish, step);
        self.refuse_publish(port, connection, publish, publish.record.of(arena), refusal, step);
    }

    /// The refusal of a message for which the journal has no place.
    pub(crate) fn no_place_for<L: Log>(&mut self, publish: &Publish, step: &Step<'_, L>) -> Refusal {
        self.statistics.refused += 1;
        (Failure::ResourceAllocation, self.no_place(publish.record.length, step).into())
    }

    /// Why the journal has no place for new destinations.
    fn no_creation<L: Log>(&self, step: &Step<'_, L>) -> String {
        let failed = "its destinations cannot be created";
        self.no_room_to_move(failed, step).unwrap_or_else(|| {
            let (left, budget) = room_left(step.log);
            format!(
                "{failed}: the journal has {left} of {budget} bytes left: consume some messages, raise the setting \
                 `journal.disk_budget_bytes`, or name fewer destinations at a time"
            )
        })
    }

    /// Why the journal has no place for a message of this length.
    fn no_place<L: Log>(&self, length: u32, step: &Step<'_, L>) -> String {
        self.no_room_to_move(&format!("a message of {length} bytes cannot be stored"), step).unwrap_or_else(|| {
            let (left, budget) = room_left(step.log);
            format!(
                "a message of {length} bytes does not fit into the journal, which has {left} of {budget} bytes left: consume some \
                 messages, raise the setting `journal.disk_budget_bytes`, or send smaller ones"
            )
        })
    }

    /// That it failed because of the disk, if that is so: it gives no further segment, or does not read the oldest one, which
    /// therefore cannot be given back.
    fn no_room_to_move<L: Log>(&self, failed: &str, step: &Step<'_, L>) -> Option<String> {
        let still = self.waits_for_reads(step.now, step.log) && !self.is_overfull(step.log);
        no_segment(failed, step.log).or_else(|| {
            let (left, budget) = room_left(step.log);
            still.then(|| {
                format!(
                    "{failed}, because the journal, which has {left} of {budget} bytes left, waits for the disk to read its oldest \
                     messages: the log names the file; it is tried again"
                )
            })
        })
    }
}

/// That it failed because the disk gives no further segment, if that is so.
fn no_segment<L: Log>(failed: &str, log: &L) -> Option<String> {
    let shortage = log.shortage()?;
    let text = "because the journal gets no further segment in";
    Some(format!("{failed}, {text} {shortage}; make room there, it is tried again"))
}

/// Bytes of the disk budget that are left, and all of them.
fn room_left<L: Log>(log: &L) -> (u64, u64) {
    let budget = log.disk_budget();
    (budget.saturating_sub(log.live_log_bytes()), budget)
}
