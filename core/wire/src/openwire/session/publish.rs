//! Messages and acknowledgements: the steady state.

use postrider_model::command::{Acknowledge, AcknowledgeKind, Command, Publish, Request};
use postrider_model::event::Failure;
use postrider_model::record::flag;
use postrider_model::{ConnectionHandle, ConsumerHandle, Destination, Sequence, Span, modified_utf8};

use super::conversation::{Context, Conversation, numbered, request};
use super::error::{OpenWireError, Refusal, Trouble};
use super::member::NAME_BYTES;
use super::oversize::check_room;
use super::tables::{MemberId, Producer, Tables};
use crate::openwire::hot::acknowledge::{self, Acknowledged};
use crate::openwire::hot::dispatch::ConsumerName;
use crate::openwire::hot::input::Cached;
use crate::openwire::hot::message::{self, Names, Sent};
use crate::openwire::hot::rare;
use crate::openwire::{EncodeError, ReaderCache, Throwable, writer};
use crate::session::{DestinationName, Kept, Missing, ProducerName};

impl Conversation {
    pub(super) fn message(&mut self, frame: &[u8], context: &mut Context<'_>) -> Result<(), OpenWireError> {
        let settings = self.outgoing.settings();
        if let Some(sent) = message::read(frame, settings, self.decoder.cache().map(|cache| &*cache)) {
            let request = numbered(sent.command, sent.response_required);
            match self.publish(&sent, frame.len(), request, context) {
                Ok(()) => return Ok(()),
                Err(Trouble::WrongClass) => {}
                Err(Trouble::Refused(refusal)) => return self.refuse_sent(&sent, request, refusal, context),
                result => return self.settle(request, result, context.output),
            }
        }
        self.message_by_table(frame, context)
    }

    #[cold]
    fn message_by_table(&mut self, frame: &[u8], context: &mut Context<'_>) -> Result<(), OpenWireError> {
        let Some(structure) = self.decoder.decode(frame)? else { return Ok(()) };
        let request = request(&structure);
        let result = match rare::sent(&structure, frame.len()) {
            Ok(sent) => match self.publish(&sent, frame.len(), request, context) {
                Err(Trouble::Refused(refusal)) => return self.refuse_sent(&sent, request, refusal, context),
                result => result,
            },
            Err(error) => Err(too_long(error).into()),
        };
        self.settle(request, result, context.output)
    }

    #[cold]
    fn refuse_sent(
        &mut self,
        sent: &Sent<'_>,
        request: Request,
        refusal: Refusal,
        context: &mut Context<'_>,
    ) -> Result<(), OpenWireError> {
        if sent.transaction != Cached::Null {
            self.doom(sent.transaction, context);
        }
        let producer = producer_name(sent.producer, self.decoder.cache().map(|cache| &*cache)).ok().flatten();
        let waits = windowed(self.tables.as_ref(), producer);
        let body = sent.content.map_or(0, <[u8]>::len) + sent.properties.map_or(0, <[u8]>::len);
        self.refuse_send(request, refusal, (waits, body), context.output)
    }

    /// Answers a send that is not taken. A producer that waits for its window gets its bytes back, as the client counts them.
    pub(super) fn refuse_send(
        &mut self,
        request: Request,
        refusal: Refusal,
        (waits, body): (Option<MemberId>, usize),
        output: &mut Vec<u8>,
    ) -> Result<(), OpenWireError> {
        self.settle(request, Err(refusal.into()), output)?;
        match waits.filter(|_| !request.is_wanted()) {
            Some(producer) => self.producer_credit(producer, u32::try_from(1024 + body).unwrap_or(u32::MAX), output),
            None => Ok(()),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "an arena is handed over at 256 KiB, and a record is shorter than 2 GiB"
    )]
    fn publish(
        &mut self,
        sent: &Sent<'_>,
        frame_bytes: usize,
        request: Request,
        context: &mut Context<'_>,
    ) -> Result<(), Trouble> {
        let transaction =
            if matches!(sent.transaction, Cached::Null) { None } else { self.transaction_of(sent.transaction)? };
        let tables = self.tables.as_mut().ok_or_else(Refusal::no_connection)?;
        let mut cache = self.decoder.cache();
        let destination = destination_number(
            (tables, &mut self.kept),
            cache.as_deref_mut(),
            sent.destination,
            self.connection,
            context,
        )?;
        let producer = producer_of(tables, cache.as_deref_mut(), sent.producer)?;
        let names = names(sent, cache.as_deref())?;
        if frame_bytes > self.roomy_bytes {
            check_room(frame_bytes, &names, &self.profile)?;
        }
        let producer = if names.sender == names.producer { producer } else { Producer::NONE };
        if sent.group.is_some() && !names.destination.0.is_topic() {
            context.handles.asked.note(Missing::Groups);
        }
        let batch = context.sink.batch();
        let offset = batch.arena.len();
        let length = message::write_record(sent, &names, context.now.unix_millis, &mut batch.arena);
        let publish = Publish {
            connection: self.connection,
            request,
            producer: producer.number,
            destination,
            record: Span { offset: offset as u32, length: length as u32 },
            record_crc: crc32fast::hash(batch.arena.get(offset..).unwrap_or_default()),
            persistent: sent.flags & flag::PERSISTENT != 0,
            windowed: producer.windowed && !request.is_wanted(),
            transaction,
            producer_sequence: sent.producer_sequence,
        };
        // Who sends within a transaction waits for its end.
        self.unhurried.sends += u64::from(!request.is_wanted() && !publish.windowed && transaction.is_none());
        context.parkable += publish.parked_bytes();
        batch.commands.push(Command::Publish(publish));
        Ok(())
    }

    pub(super) fn acknowledgement(&mut self, frame: &[u8], context: &mut Context<'_>) -> Result<(), OpenWireError> {
        let settings = self.outgoing.settings();
        if let Some(sent) = &acknowledge::read(frame, settings, self.decoder.cache().map(|cache| &*cache)) {
            let request = numbered(sent.command, sent.response_required);
            match self.acknowledge(sent, request, context) {
                Ok(()) => return Ok(()),
                Err(Trouble::WrongClass) => {}
                result => return self.settle_acknowledged(sent, request, result, context),
            }
        }
        self.acknowledgement_by_table(frame, context)
    }

    #[cold]
    fn acknowledgement_by_table(&mut self, frame: &[u8], context: &mut Context<'_>) -> Result<(), OpenWireError> {
        let Some(structure) = self.decoder.decode(frame)? else { return Ok(()) };
        let sent = rare::acknowledged(&structure);
        let request = request(&structure);
        let result = self.acknowledge(&sent, request, context);
        self.settle_acknowledged(&sent, request, result, context)
    }

    #[cold]
    fn settle_acknowledged(
        &mut self,
        sent: &Acknowledged<'_>,
        request: Request,
        result: Result<(), Trouble>,
        context: &mut Context<'_>,
    ) -> Result<(), OpenWireError> {
        if sent.transaction != Cached::Null && matches!(result, Err(Trouble::Refused(_))) {
            self.doom(sent.transaction, context);
        }
        self.settle(request, result, context.output)
    }

    #[inline(always)]
    fn acknowledge(
        &mut self,
        sent: &Acknowledged<'_>,
        request: Request,
        context: &mut Context<'_>,
    ) -> Result<(), Trouble> {
        let transaction =
            if matches!(sent.transaction, Cached::Null) { None } else { self.transaction_of(sent.transaction)? };
        let tables = self.tables.as_mut().ok_or_else(Refusal::no_connection)?;
        let consumer = consumer_of(tables, self.decoder.cache(), sent.consumer)?;
        // A consumer that is gone, or comes back after a reconnect, has nothing in flight that could be acknowledged.
        let (Some(consumer), Some(kind)) = (consumer, kind(sent.kind)?) else {
            if transaction.is_some() && consumer.is_none() {
                let message = "The subscription does not exist: the consumer that acknowledges is closed, or another connection's";
                return Err(Refusal::new(Failure::General, message).into());
            }
            self.synchronize(request, context);
            return Ok(());
        };
        let lone = sent.count == 1 && matches!(kind, AcknowledgeKind::Standard | AcknowledgeKind::Individual);
        self.unhurried.acknowledgements += u64::from(lone && !request.is_wanted() && transaction.is_none());
        let batch = context.sink.batch();
        let cause = sent.cause.map_or(Span::default(), |cause| batch.store(cause_text(cause).as_bytes()));
        batch.commands.push(Command::Acknowledge(Acknowledge {
            connection: self.connection,
            request,
            consumer,
            kind,
            first: sequence(sent.first),
            last: sequence(sent.last),
            count: sent.count.max(0).unsigned_abs(),
            transaction,
            cause,
        }));
        Ok(())
    }
}

/// The id of a producer that waits for credit.
pub(super) fn windowed(tables: Option<&Tables>, name: Option<ProducerName<'_>>) -> Option<MemberId> {
    let name = name?;
    tables?.producer(name).windowed.then_some((name.session, name.value))
}

/// The acknowledgement's kind; None for one that has nothing to say here.
fn kind(number: i8) -> Result<Option<AcknowledgeKind>, Refusal> {
    Ok(Some(match number {
        0 => AcknowledgeKind::Delivered,
        1 => AcknowledgeKind::Poison,
        2 => AcknowledgeKind::Standard,
        3 => AcknowledgeKind::Redelivered,
        4 => AcknowledgeKind::Individual,
        // Unmatched: of use only inside ActiveMQ's own broker.
        5 => return Ok(None),
        6 => AcknowledgeKind::Expired,
        _ => {
            return Err(Refusal::new(
                Failure::General,
                format!("{number} is not a type of acknowledgement: use 0 to 6"),
            ));
        }
    }))
}

fn sequence(broker_sequence: Option<i64>) -> Sequence {
    Sequence(broker_sequence.unwrap_or(0).max(0).unsigned_abs())
}

fn cause_text(cause: &Throwable) -> String {
    let text =
        |bytes: &Option<Box<[u8]>>| modified_utf8::decode_lossy(bytes.as_deref().unwrap_or_default()).into_owned();
    match &cause.message {
        Some(_) => format!("{}: {}", text(&cause.class), text(&cause.message)),
        None => text(&cause.class),
    }
}

fn destination_number(
    (tables, kept): (&mut Tables, &mut Kept),
    cache: Option<&mut ReaderCache>,
    field: Cached<DestinationName<'_>>,
    connection: ConnectionHandle,
    context: &mut Context<'_>,
) -> Result<u32, Trouble> {
    match (field, cache) {
        (Cached::Inline(name), _) => define((tables, kept), name, connection, context),
        (Cached::Slot(index), Some(cache)) => {
            if let Some(number) = tables.cached_destination(cache, index) {
                return Ok(number);
            }
            let number = define((tables, kept), destination_at(cache, index)?, connection, context)?;
            tables.note_destination(cache, index, number);
            Ok(number)
        }
        _ => Err(Refusal::new(Failure::InvalidDestination, "the message has no destination: give it one").into()),
    }
}

/// The number of a destination, which the broker is told of first if it is new.
fn define(
    (tables, kept): (&mut Tables, &mut Kept),
    name: DestinationName<'_>,
    connection: ConnectionHandle,
    context: &mut Context<'_>,
) -> Result<u32, Trouble> {
    if let Some(number) = tables.destination_number(name) {
        return Ok(number);
    }
    let destinations: Box<[Destination]> = Destination::parts(name.0, name.1)?.into();
    let bytes = 2 * name.1.len() as u64 + NAME_BYTES * destinations.len() as u64;
    let memory = &mut context.handles.memory;
    if tables.is_full_of_destinations() || !memory.take(kept, bytes) {
        memory.give_back(kept, tables.forget_destinations());
        if !memory.take(kept, bytes) {
            return Err(Refusal::no_memory(kept.bytes()).into());
        }
    }
    let number = tables.add_destination(name, bytes);
    context.command(Command::DefineDestination { connection, number, destinations });
    Ok(number)
}

fn producer_of(
    tables: &mut Tables,
    cache: Option<&mut ReaderCache>,
    field: Cached<ProducerName<'_>>,
) -> Result<Producer, Trouble> {
    match (field, cache) {
        (Cached::Inline(name), _) => Ok(tables.producer(name)),
        (Cached::Slot(index), Some(cache)) => tables.cached_producer(cache, index).ok_or(Trouble::WrongClass),
        _ => Ok(Producer::NONE),
    }
}

#[inline(always)]
fn consumer_of(
    tables: &mut Tables,
    cache: Option<&mut ReaderCache>,
    field: Cached<ConsumerName<'_>>,
) -> Result<Option<ConsumerHandle>, Trouble> {
    match (field, cache) {
        (Cached::Inline(name), _) => Ok(tables.consumer(name)),
        (Cached::Slot(index), Some(cache)) => tables.cached_consumer(cache, index).ok_or(Trouble::WrongClass),
        _ => Ok(None),
    }
}

/// What the message's cached fields hold.
fn names<'a>(sent: &Sent<'a>, cache: Option<&'a ReaderCache>) -> Result<Names<'a>, Trouble> {
    let sender = producer_name(sent.sender, cache)?;
    let producer = if sent.producer == sent.sender { sender } else { producer_name(sent.producer, cache)? };
    let Some(producer) = producer.or(sender) else {
        let message = "the message has neither a producer nor a message id: give it both";
        return Err(Refusal::new(Failure::General, message).into());
    };
    let (kind, name) = destination_name(sent.destination, cache)?.ok_or(Trouble::WrongClass)?;
    let names = Names {
        sender: sender.unwrap_or(producer),
        producer,
        destination: (kind, name.trim_ascii()),
        original_destination: destination_name(sent.original_destination, cache)?,
    };
    let original_length = names.original_destination.map_or(0, |name| name.1.len());
    let longest = names.sender.connection.len().max(names.producer.connection.len()).max(original_length);
    if longest > writer::LOOSE_STRING_LIMIT {
        return Err(too_long(EncodeError::StringTooLong { length: longest, limit: writer::LOOSE_STRING_LIMIT }).into());
    }
    Ok(names)
}

fn too_long(error: EncodeError) -> Refusal {
    let why = match error {
        EncodeError::FrameTooLarge { limit, .. } => {
            format!(
                "a structure in it takes more than {limit} bytes once its cached ids are written out: send a smaller one"
            )
        }
        error => error.to_string(),
    };
    Refusal::new(Failure::General, format!("the message cannot be sent on: {why}"))
}

fn producer_name<'a>(
    field: Cached<ProducerName<'a>>,
    cache: Option<&'a ReaderCache>,
) -> Result<Option<ProducerName<'a>>, Trouble> {
    match (field, cache) {
        (Cached::Inline(name), _) => Ok(Some(name)),
        (Cached::Slot(index), Some(cache)) => {
            let structure = cache.get(index).ok().flatten().ok_or(Trouble::WrongClass)?;
            rare::producer_name(structure).map(Some).ok_or(Trouble::WrongClass)
        }
        _ => Ok(None),
    }
}

fn destination_name<'a>(
    field: Cached<DestinationName<'a>>,
    cache: Option<&'a ReaderCache>,
) -> Result<Option<DestinationName<'a>>, Trouble> {
    match (field, cache) {
        (Cached::Inline(name), _) => Ok(Some(name)),
        (Cached::Slot(index), Some(cache)) => destination_at(cache, index).map(Some),
        _ => Ok(None),
    }
}

fn destination_at(cache: &ReaderCache, index: i16) -> Result<DestinationName<'_>, Trouble> {
    let structure = cache.get(index).ok().flatten().ok_or(Trouble::WrongClass)?;
    rare::destination_name(structure).ok_or(Trouble::WrongClass)
}
