//! How a connection begins and ends.

use postrider_model::command::{Command, LastDelivered, OpenConnection, Request};
use postrider_model::event::Failure;
use postrider_model::{Now, Sequence, Token};

use super::conversation::{Context, Conversation, Opening, Phase, request};
use super::described;
use super::error::{MIN_FRAME_BYTES, OpenWireError, Refusal, Trouble};
use super::removal::Removal;
use super::tables::Tables;
use crate::openwire::hot::outgoing::Outgoing;
use crate::openwire::schema::{connection_id, connection_info, remove_info};
use crate::openwire::{Decoder, NegotiationError, Offer, Structure};
use crate::session::CommandSink;

/// Milliseconds for a refused client to read why, as in ActiveMQ.
const REFUSED_MILLIS: u64 = 2_000;

/// What the broker is asked by a connection whose client has not asked for its end. No command has this number.
const LEAVE: Token = Token(1 << 32);

/// Longest connection id: it is in every id of the connection's members, and so in every message.
const CONNECTION_ID_BYTES: usize = 4096;

/// Longest name of a user that others are told.
const USER_BYTES: usize = 4096;

/// First version in which RemoveInfo says what was delivered last.
const LAST_DELIVERED_SINCE: u8 = 5;

impl Conversation {
    /// The first frame.
    pub(super) fn greeting(&mut self, frame: &[u8], context: &mut Context<'_>) -> Result<(), OpenWireError> {
        let info = self.decoder.decode(frame)?.ok_or(NegotiationError::NotWireFormatInfo("null"))?;
        let agreed = self.profile.openwire.agree(&Offer::read(&info)?)?;
        let settings = agreed.settings();
        if settings.max_frame_size < MIN_FRAME_BYTES {
            return Err(OpenWireError::FramesTooSmall(settings.max_frame_size));
        }
        self.decoder = Decoder::new(settings);
        self.outgoing = Outgoing::new(settings, self.profile.hash_seed);
        self.phase = Phase::Agreed;
        let delay = agreed.max_inactivity_duration_initial_delay;
        self.liveness.agreed(agreed.max_inactivity_duration.unsigned_abs(), delay.unsigned_abs(), context.now);
        self.liveness.sent();
        Ok(self.outgoing.structure(&self.profile.broker_info(), context.output)?)
    }

    pub(super) fn connection_info(&mut self, info: &Structure, context: &mut Context<'_>) -> Result<(), Trouble> {
        let request = request(info);
        let id = info.object(connection_info::CONNECTION_ID).and_then(|id| id.string(connection_id::VALUE));
        let id = id.filter(|id| !id.is_empty()).ok_or_else(|| {
            Refusal::new(Failure::IllegalState, "the ConnectionInfo has no connection id: give it one")
        })?;
        if id.len() > CONNECTION_ID_BYTES {
            let message = format!(
                "the connection id has {} bytes, at most {CONNECTION_ID_BYTES} are taken: shorten it",
                id.len()
            );
            return Err(Refusal::new(Failure::General, message).into());
        }
        if self.phase == Phase::Refused {
            return Err(Refusal::new(Failure::IllegalState, "this connection was refused: open another one").into());
        }
        if let Some(tables) = &self.tables {
            if *tables.id != *id {
                return Err(Refusal::second_connection().into());
            }
            self.synchronize(request, context);
            return Ok(());
        }
        let client_id = info.string(connection_info::CLIENT_ID).ok_or_else(|| {
            Refusal::new(Failure::InvalidClientId, "No clientID specified for connection request: set one")
        })?;
        (self.handed_up, context.parkable) = (0, 0);
        self.tables = Some(Tables::new(id, self.profile.hash_seed, self.generation));
        let manageable = info.bool(connection_info::MANAGEABLE);
        // A client that waits for nothing is told nothing when it is accepted, so it counts as accepted at once.
        self.opening = Some(Opening { request, manageable, is_accepted: !request.is_wanted() });
        context.command(Command::OpenConnection(Box::new(OpenConnection {
            connection: self.connection,
            request,
            id: id.into(),
            client_id: client_id.into(),
            failover_reconnect: info.bool(connection_info::FAILOVER_RECONNECT),
            peer: self.peer.clone(),
            user: info.string(connection_info::USER_NAME).filter(|user| user.len() <= USER_BYTES).map(Into::into),
            marks: described::connection_marks(info),
        })));
        Ok(())
    }

    /// The client takes its leave of the connection; the socket may stay for a while.
    pub(super) fn remove_connection(&mut self, info: &Structure, context: &mut Context<'_>) {
        let last_delivered = self.last_delivered(info);
        let request = request(info);
        self.leaving = request.answer();
        self.forget_connection();
        context.command(Command::CloseConnection { connection: self.connection, request, last_delivered, clean: true });
    }

    /// The client sends no more. Whether it was accepted may not be known yet.
    pub(crate) fn leaves(&mut self, sink: &mut dyn CommandSink) {
        if self.tables.is_none() {
            return;
        }
        let opening = self.opening.filter(|opening| !opening.is_accepted);
        self.forget_connection();
        (self.opening, self.leaving, self.leaves_unasked) = (opening, Some(LEAVE), true);
        sink.batch().commands.push(Command::CloseConnection {
            connection: self.connection,
            request: Request::new(LEAVE, true),
            last_delivered: LastDelivered::Unknown,
            clean: self.said_goodbye,
        });
    }

    /// The socket is gone. The broker hears it also of a connection that has taken its leave, which may wait behind its sends, and of
    /// one that counts as refused: a client that gives a command's number twice may have made it look so.
    pub(crate) fn closed(&mut self, sink: &mut dyn CommandSink) {
        if self.tables.is_some() || self.leaving.is_some() || self.phase == Phase::Refused {
            self.forget_connection();
            sink.batch().commands.push(Command::CloseConnection {
                connection: self.connection,
                request: Request::default(),
                last_delivered: LastDelivered::Unknown,
                clean: self.said_goodbye,
            });
        }
    }

    /// The broker does not want the connection: its client has a moment to read why.
    pub(super) fn refused(&mut self, now: Now) {
        self.forget_connection();
        self.leaving = None;
        self.phase = Phase::Refused;
        self.liveness.ends_after_millis(REFUSED_MILLIS, OpenWireError::Refused, now);
    }

    /// Its members follow, a few at a time; what of a session's has not gone goes with them.
    fn forget_connection(&mut self) {
        self.opening = None;
        if let Some(tables) = self.tables.take() {
            self.generation = tables.next_generation();
            self.removal = Some(Removal::Connection(Box::new(tables)));
        }
    }

    /// What the application had been given, as a RemoveInfo says it.
    pub(super) fn last_delivered(&self, info: &Structure) -> LastDelivered {
        if self.outgoing.settings().version < LAST_DELIVERED_SINCE {
            return LastDelivered::Unknown;
        }
        match info.long(remove_info::LAST_DELIVERED_SEQUENCE_ID) {
            sequence @ 1.. => LastDelivered::UpTo(Sequence(sequence.unsigned_abs())),
            0 | -1 => LastDelivered::None,
            _ => LastDelivered::Unknown,
        }
    }
}
