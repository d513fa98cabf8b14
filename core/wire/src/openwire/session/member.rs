//! Sessions, producers, consumers, and destinations of a connection: how they come and go.

use std::rc::Rc;

use postrider_model::command::{
    Command, CreateTemporary, LastDelivered, OpenConsumer, OpenProducer, Request, Unsubscribe,
};
use postrider_model::event::Failure;
use postrider_model::{ConnectionHandle, ConsumerHandle, Destination, DestinationKind, limits};

use super::consumer::NamedConsumer;
use super::conversation::{Context, Conversation, request};
use super::described;
use super::error::{Refusal, Trouble};
use super::removal::{EndedSession, Removal};
use super::tables::{MEMBERS, MemberId, OpenedProducer, Tables};
use crate::openwire::Structure;
use crate::openwire::hot::dispatch::ConsumerName;
use crate::openwire::hot::rare;
use crate::openwire::schema::*;
use crate::session::{Consumer, ConsumerState};

/// Bytes that a session, a producer and a consumer take, here and at the broker; measured, and rounded up.
const SESSION_BYTES: u64 = 64;
const PRODUCER_BYTES: u64 = 384;
const CONSUMER_BYTES: u64 = 1024;

/// Bytes that a destination takes which a consumer names or a connection has defined, besides its name.
pub(super) const NAME_BYTES: u64 = 128;

impl Conversation {
    pub(super) fn session_info(&mut self, info: &Structure, context: &mut Context<'_>) -> Result<(), Trouble> {
        let tables = self.tables.as_mut().ok_or_else(Refusal::no_connection)?;
        let id = info.object(session_info::SESSION_ID).ok_or_else(|| missing("SessionInfo", "session id"))?;
        check_connection(tables, id.string(session_id::CONNECTION_ID))?;
        if tables.sessions.len() >= MEMBERS {
            return Err(Refusal::too_many("sessions", MEMBERS).into());
        }
        let value = id.long(session_id::VALUE);
        if !tables.sessions.contains(&value) {
            if !context.handles.memory.take(&mut self.kept, SESSION_BYTES) {
                return Err(Refusal::no_memory(self.kept.bytes()).into());
            }
            tables.sessions.insert(value);
        }
        self.synchronize(request(info), context);
        Ok(())
    }

    pub(super) fn producer_info(&mut self, info: &Structure, context: &mut Context<'_>) -> Result<(), Trouble> {
        let request = request(info);
        let tables = self.tables.as_mut().ok_or_else(Refusal::no_connection)?;
        let id = info.object(producer_info::PRODUCER_ID).ok_or_else(|| missing("ProducerInfo", "producer id"))?;
        check_connection(tables, id.string(producer_id::CONNECTION_ID))?;
        let member = (id.long(producer_id::SESSION_ID), id.long(producer_id::VALUE));
        check_session(tables, member)?;
        if tables.producers.contains_key(&member) {
            self.synchronize(request, context);
            return Ok(());
        }
        let destinations = match info.object(producer_info::DESTINATION) {
            Some(destination) => parts(destination)?,
            None => Vec::new(),
        };
        let window = info.int(producer_info::WINDOW_SIZE).max(0).unsigned_abs();
        let described = described::producer(info)?;
        let bytes = PRODUCER_BYTES + described.rest.len() as u64 + bytes_of_names(&destinations, 1);
        if !context.handles.memory.take(&mut self.kept, bytes) {
            return Err(Refusal::no_memory(self.kept.bytes()).into());
        }
        let producer = tables
            .add_producer(member, window > 0, (request.token(), bytes))
            .inspect_err(|_| context.handles.memory.give_back(&mut self.kept, bytes))?;
        context.command(Command::OpenProducer(Box::new(OpenProducer {
            connection: self.connection,
            request,
            producer: producer.number,
            session: member.0,
            value: member.1,
            destinations: destinations.into(),
            window,
            described,
        })));
        Ok(())
    }

    pub(super) fn consumer_info(&mut self, info: &Structure, context: &mut Context<'_>) -> Result<(), Trouble> {
        let tables = self.tables.as_mut().ok_or_else(Refusal::no_connection)?;
        let id = info.object(consumer_info::CONSUMER_ID).ok_or_else(|| missing("ConsumerInfo", "consumer id"))?;
        check_connection(tables, id.string(consumer_id::CONNECTION_ID))?;
        let member = (id.long(consumer_id::SESSION_ID), id.long(consumer_id::VALUE));
        check_session(tables, member)?;
        if tables.consumers.contains_key(&member) {
            self.synchronize(request(info), context);
            return Ok(());
        }
        if tables.consumers.len() >= MEMBERS {
            return Err(Refusal::too_many("consumers", MEMBERS).into());
        }
        let mut open = open_consumer(info, self.connection, member)?;
        let bytes = bytes_of(&open);
        if !context.handles.memory.take(&mut self.kept, bytes) {
            return Err(Refusal::no_memory(self.kept.bytes()).into());
        }
        open.consumer = context.handles.add(Consumer {
            connection: self.connection,
            bytes,
            state: ConsumerState::OpenWire(NamedConsumer::new(Rc::clone(&tables.id), member)),
        });
        tables.add_consumer(member, open.consumer);
        self.least_prefetch = self.least_prefetch.min(open.prefetch);
        context.command(Command::OpenConsumer(Box::new(open)));
        Ok(())
    }

    pub(super) fn remove_info(&mut self, info: &Structure, context: &mut Context<'_>) -> Result<(), Trouble> {
        let tables = self.tables.as_ref().ok_or_else(Refusal::no_connection)?;
        let id = Rc::clone(&tables.id);
        let object = info.object(remove_info::OBJECT_ID).ok_or_else(|| missing("RemoveInfo", "object id"))?;
        // What the connection does not have is gone, which is what the client wants.
        let own = |connection: Option<&[u8]>| connection == Some(&id[..]);
        if object.is(&connection_id::DEFINITION) && own(object.string(connection_id::VALUE)) {
            self.remove_connection(info, context);
            return Ok(());
        }
        let last_delivered = self.last_delivered(info);
        if object.is(&session_id::DEFINITION) && own(object.string(session_id::CONNECTION_ID)) {
            let session = object.long(session_id::VALUE);
            self.remove_session(EndedSession { session, last_delivered, request: request(info) }, context);
            return Ok(());
        }
        if object.is(&consumer_id::DEFINITION) && own(object.string(consumer_id::CONNECTION_ID)) {
            let member = (object.long(consumer_id::SESSION_ID), object.long(consumer_id::VALUE));
            self.remove_consumer(member, last_delivered, context);
        } else if object.is(&producer_id::DEFINITION) && own(object.string(producer_id::CONNECTION_ID)) {
            self.remove_producer((object.long(producer_id::SESSION_ID), object.long(producer_id::VALUE)), context);
        }
        self.synchronize(request(info), context);
        Ok(())
    }

    fn remove_session(&mut self, ended: EndedSession, context: &mut Context<'_>) {
        if self.tables.as_mut().is_some_and(|tables| tables.remove_session(ended.session)) {
            context.handles.memory.give_back(&mut self.kept, SESSION_BYTES);
        }
        self.removal = Some(Removal::Session(ended));
    }

    pub(super) fn remove_consumer(
        &mut self,
        member: MemberId,
        last_delivered: LastDelivered,
        context: &mut Context<'_>,
    ) {
        let Some(consumer) = self.tables.as_mut().and_then(|tables| tables.remove_consumer(member)) else { return };
        let bytes = context.handles.remove(consumer).map_or(0, |consumer| consumer.bytes);
        context.handles.memory.give_back(&mut self.kept, bytes);
        context.command(Command::CloseConsumer {
            connection: self.connection,
            consumer,
            last_delivered,
            request: Request::default(),
        });
    }

    pub(super) fn remove_producer(&mut self, member: MemberId, context: &mut Context<'_>) {
        let Some(OpenedProducer { producer, bytes, .. }) =
            self.tables.as_mut().and_then(|tables| tables.remove_producer(member))
        else {
            return;
        };
        context.handles.memory.give_back(&mut self.kept, bytes);
        context.command(Command::CloseProducer {
            connection: self.connection,
            producer: producer.number,
            request: Request::default(),
        });
    }

    pub(super) fn destination_info(&mut self, info: &Structure, context: &mut Context<'_>) -> Result<(), Trouble> {
        const ADD: i8 = 0;
        const REMOVE: i8 = 1;
        let request = request(info);
        if self.tables.is_none() {
            return Err(Refusal::no_connection().into());
        }
        let destination =
            info.object(destination_info::DESTINATION).ok_or_else(|| missing("DestinationInfo", "destination"))?;
        let destination = single(parts(destination)?)?;
        match info.byte(destination_info::OPERATION_TYPE) {
            ADD if destination.kind.is_temporary() => {
                context.command(Command::CreateTemporary(Box::new(CreateTemporary {
                    connection: self.connection,
                    request,
                    destination,
                })))
            }
            // Others come into being when they are first used.
            ADD => self.synchronize(request, context),
            REMOVE => context.command(Command::DeleteDestination {
                connection: self.connection,
                destination: Box::new(destination),
                request,
            }),
            other => {
                let message = format!("DestinationInfo of operation type {other}: 0 adds and 1 removes");
                return Err(Refusal::new(Failure::General, message).into());
            }
        }
        Ok(())
    }

    pub(super) fn remove_subscription_info(
        &mut self,
        info: &Structure,
        context: &mut Context<'_>,
    ) -> Result<(), Trouble> {
        let tables = self.tables.as_ref().ok_or_else(Refusal::no_connection)?;
        let id = info.object(remove_subscription_info::CONNECTION_ID);
        check_connection(tables, id.and_then(|id| id.string(connection_id::VALUE)))?;
        let name = info
            .string(remove_subscription_info::SUBSCRIPTION_NAME)
            .ok_or_else(|| missing("RemoveSubscriptionInfo", "name"))?;
        context.command(Command::Unsubscribe(Box::new(Unsubscribe {
            connection: self.connection,
            request: request(info),
            client: info.string(remove_subscription_info::CLIENT_ID).map(Into::into),
            name: name.into(),
        })));
        Ok(())
    }

    pub(super) fn message_pull(&mut self, pull: &Structure, context: &mut Context<'_>) -> Result<(), Trouble> {
        let request = request(pull);
        match self.named_consumer(pull, message_pull::CONSUMER_ID)? {
            Some(consumer) => context.command(Command::Pull {
                connection: self.connection,
                consumer,
                timeout_millis: pull.long(message_pull::TIMEOUT),
                request,
            }),
            None => self.synchronize(request, context),
        }
        Ok(())
    }

    pub(super) fn consumer_control(&mut self, control: &Structure, context: &mut Context<'_>) -> Result<(), Trouble> {
        let request = request(control);
        match self.named_consumer(control, consumer_control::CONSUMER_ID)? {
            Some(consumer) => {
                let prefetch = prefetch(control.int(consumer_control::PREFETCH));
                self.least_prefetch = self.least_prefetch.min(prefetch);
                context.command(Command::SetPrefetch { connection: self.connection, consumer, prefetch, request });
            }
            None => self.synchronize(request, context),
        }
        Ok(())
    }

    fn named_consumer(&self, structure: &Structure, field: usize) -> Result<Option<ConsumerHandle>, Refusal> {
        let tables = self.tables.as_ref().ok_or_else(Refusal::no_connection)?;
        let name: Option<ConsumerName<'_>> = structure.object(field).and_then(|id| rare::consumer_name(id));
        Ok(name.and_then(|name| tables.consumer(name)))
    }
}

/// What a consumer takes of the connection's memory: what others are told of it is kept with it.
fn bytes_of(open: &OpenConsumer) -> u64 {
    let texts = [&open.selector, &open.subscription].into_iter().flatten().chain([&open.described.rest]);
    CONSUMER_BYTES + texts.map(|text| text.len() as u64).sum::<u64>() + bytes_of_names(&open.destinations, 3)
}

/// What destinations take that a member names, each of whose names is kept so often.
fn bytes_of_names(destinations: &[Destination], copies: u64) -> u64 {
    destinations.iter().map(|destination| NAME_BYTES + copies * destination.name.len() as u64).sum()
}

fn missing(command: &str, what: &str) -> Refusal {
    Refusal::new(Failure::IllegalState, format!("the {command} has no {what}: give it one"))
}

fn check_connection(tables: &Tables, connection: Option<&[u8]>) -> Result<(), Refusal> {
    if connection == Some(&*tables.id) {
        return Ok(());
    }
    let named = String::from_utf8_lossy(connection.unwrap_or_default());
    let message = format!("there is no connection {named} here: send its ConnectionInfo first");
    Err(Refusal::new(Failure::IllegalState, message))
}

fn check_session(tables: &Tables, member: MemberId) -> Result<(), Refusal> {
    if tables.sessions.contains(&member.0) {
        return Ok(());
    }
    let message = format!("there is no session {} in the connection: send its SessionInfo first", member.0);
    Err(Refusal::new(Failure::IllegalState, message))
}

fn destination_name(destination: &Structure) -> Result<(DestinationKind, &[u8]), Refusal> {
    rare::destination_name(destination).ok_or_else(|| {
        Refusal::new(Failure::InvalidDestination, "a destination of an unknown class: use a queue or a topic")
    })
}

fn parts(destination: &Structure) -> Result<Vec<Destination>, Refusal> {
    let (kind, name) = destination_name(destination)?;
    Ok(Destination::parts(kind, name)?)
}

fn single(mut parts: Vec<Destination>) -> Result<Destination, Refusal> {
    match (parts.pop(), parts.is_empty()) {
        (Some(destination), true) => Ok(destination),
        _ => Err(Refusal::new(
            Failure::InvalidDestination,
            "a composite destination cannot be added or removed: name one",
        )),
    }
}

/// The command for a ConsumerInfo, but for the consumer's handle.
fn open_consumer(info: &Structure, connection: ConnectionHandle, member: MemberId) -> Result<OpenConsumer, Refusal> {
    let text = |field| info.string(field).map(Into::into);
    Ok(OpenConsumer {
        connection,
        request: request(info),
        consumer: ConsumerHandle::default(),
        destinations: subscribed(info)?.into(),
        prefetch: prefetch(info.int(consumer_info::PREFETCH_SIZE)),
        browser: info.bool(consumer_info::BROWSER),
        no_local: info.bool(consumer_info::NO_LOCAL),
        exclusive: info.bool(consumer_info::EXCLUSIVE),
        priority: info.byte(consumer_info::PRIORITY),
        selector: text(consumer_info::SELECTOR),
        subscription: text(consumer_info::SUBSCRIPTION_NAME),
        session: member.0,
        value: member.1,
        pending_limit: info.int(consumer_info::MAXIMUM_PENDING_MESSAGE_LIMIT),
        described: described::consumer(info)?,
    })
}

/// What a consumer listens to. Parts of a composite that are of another kind than the whole are left out, as ActiveMQ does.
fn subscribed(info: &Structure) -> Result<Vec<Destination>, Refusal> {
    let destination = info
        .object(consumer_info::DESTINATION)
        .ok_or_else(|| Refusal::new(Failure::InvalidDestination, "the ConsumerInfo has no destination: give it one"))?;
    let (kind, name) = destination_name(destination)?;
    let parts = Destination::consumer_parts(kind, name)?;
    if parts.len() == 1 {
        return Ok(parts);
    }
    let own: Vec<Destination> = parts.into_iter().filter(|part| part.kind == kind).collect();
    if own.is_empty() {
        return Err(Refusal::new(
            Failure::InvalidDestination,
            "no part of the composite has the kind of the whole: change one",
        ));
    }
    Ok(own)
}

fn prefetch(size: i32) -> u32 {
    size.max(0).unsigned_abs().min(limits::MAX_PREFETCH)
}
