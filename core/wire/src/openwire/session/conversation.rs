//! Frames and what they mean, one after the other.

use std::rc::Rc;

use postrider_model::command::{Command, Request};
use postrider_model::{ConnectionHandle, Now, Token, limits};

use super::error::{OpenWireError, Refusal, Trouble};
use super::liveness::Liveness;
use super::oversize::roomy_bytes;
use super::removal::Removal;
use super::tables::Tables;
use crate::openwire::hot::outgoing::Outgoing;
use crate::openwire::schema::*;
use crate::openwire::{Decoder, Settings, Structure};
use crate::session::{CommandSink, Handles, Kept, Next, Profile, Unhurried};

/// What the shard lends for a while.
pub(super) struct Context<'a> {
    pub now: Now,
    pub handles: &'a mut Handles,
    pub sink: &'a mut dyn CommandSink,
    pub output: &'a mut Vec<u8>,
    /// Bytes of the commands that the broker may have to park.
    pub parkable: u64,
}

impl Context<'_> {
    /// Adds a command that refers to nothing in the batch's arena.
    pub(super) fn command(&mut self, command: Command) {
        self.parkable += command.parked_bytes();
        self.sink.batch().commands.push(command);
    }
}

/// How far the connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// No WireFormatInfo yet.
    Greeting,
    /// A format is agreed.
    Agreed,
    /// The broker has refused the connection; the client reads why.
    Refused,
}

/// The ConnectionInfo, as far as it matters later.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub request: Request,
    /// The client wants to hear of ConnectionControl.
    pub manageable: bool,
    /// The broker's answer is there.
    pub is_accepted: bool,
}

pub(crate) struct Conversation {
    pub(super) connection: ConnectionHandle,
    pub(super) peer: Box<str>,
    pub(super) profile: Rc<Profile>,
    pub(super) decoder: Decoder,
    pub(super) outgoing: Outgoing,
    pub(super) liveness: Liveness,
    pub(super) phase: Phase,
    pub(super) opening: Option<Opening>,
    /// The accepted connection, from its ConnectionInfo on.
    pub(super) tables: Option<Tables>,
    /// Members that go; nothing is heard until they have gone.
    pub(super) removal: Option<Removal>,
    /// What it makes the broker keep.
    pub(super) kept: Kept,
    /// First tag for the tables of the next ConnectionInfo.
    pub(super) generation: u32,
    pub(super) said_goodbye: bool,
    /// A message's frame up to here can be sent on whatever its names are.
    pub(super) roomy_bytes: usize,
    /// The connection has taken its leave with this command, which the broker has not come to yet.
    pub(super) leaving: Option<Token>,
    /// The client has not asked for that, and is told nothing of it.
    pub(super) leaves_unasked: bool,
    /// Bytes of commands since the ConnectionInfo that the broker may park.
    pub handed_up: u64,
    /// Messages and acknowledgements for which the client does not wait.
    pub unhurried: Unhurried,
    /// The smallest prefetch that a consumer of it has had.
    pub least_prefetch: u32,
}

impl Conversation {
    #[expect(clippy::expect_used, reason = "what is offered is the broker's own, checked when it started")]
    pub(super) fn new(
        connection: ConnectionHandle,
        peer: &str,
        profile: Rc<Profile>,
        now: Now,
        output: &mut Vec<u8>,
    ) -> Conversation {
        let settings = Settings::initial(limits::MAX_FRAME_BYTES_BEFORE_CONNECT);
        let mut outgoing = Outgoing::new(settings, profile.hash_seed);
        outgoing.structure(&profile.openwire.write(), output).expect("a WireFormatInfo can be written");
        Conversation {
            connection,
            peer: peer.into(),
            roomy_bytes: roomy_bytes(&profile),
            profile,
            decoder: Decoder::new(settings),
            outgoing,
            liveness: Liveness::new(now),
            phase: Phase::Greeting,
            opening: None,
            tables: None,
            removal: None,
            kept: Kept::default(),
            generation: 1,
            said_goodbye: false,
            leaving: None,
            leaves_unasked: false,
            handed_up: 0,
            unhurried: Unhurried::default(),
            least_prefetch: u32::MAX,
        }
    }

    pub(super) fn receives(&mut self) {
        self.liveness.received();
    }

    pub(crate) fn deadline(&self) -> u64 {
        self.liveness.deadline()
    }

    /// Whether members are on their way out.
    pub(crate) fn removes(&self) -> bool {
        self.removal.is_some()
    }

    /// Whether the broker is asked for the connection's end and has not answered.
    pub(crate) fn is_owed_answers(&self) -> bool {
        self.leaving.is_some()
    }

    /// A stranger may not make us keep much.
    pub(super) fn frame_limit(&self) -> usize {
        let stranger = limits::MAX_FRAME_BYTES_BEFORE_CONNECT;
        let agreed = self.outgoing.settings().max_frame_size;
        if self.tables.is_some() { agreed } else { agreed.min(stranger) }
    }

    pub(super) fn frame(&mut self, frame: &[u8], context: &mut Context<'_>) -> Result<Next, OpenWireError> {
        if self.phase == Phase::Greeting {
            return self.greeting(frame, context).map(|()| Next::Continue);
        }
        let before = context.output.len();
        let Some(&code) = frame.first() else { return Ok(Next::Continue) };
        let next = match code {
            code if MESSAGES.contains(&code) => self.message(frame, context).map(|()| Next::Continue),
            code if code == message_ack::DEFINITION.code => {
                self.acknowledgement(frame, context).map(|()| Next::Continue)
            }
            _ => self.other(frame, context),
        };
        if context.output.len() != before {
            self.liveness.sent();
        }
        if self.decoder.cached_bytes() != self.kept.cached() {
            self.count_cached(context)?;
        }
        next
    }

    /// A value has come into the reader's cache, or gone.
    #[cold]
    fn count_cached(&mut self, context: &mut Context<'_>) -> Result<(), OpenWireError> {
        let (cached, memory) = (self.decoder.cached_bytes(), &mut context.handles.memory);
        if memory.recount_cached(&mut self.kept, cached) {
            return Ok(());
        }
        if let Some(tables) = &mut self.tables {
            memory.give_back(&mut self.kept, tables.forget_destinations());
        }
        if memory.recount_cached(&mut self.kept, cached) {
            return Ok(());
        }
        Err(OpenWireError::NoMemory { kept: self.kept.bytes() + cached })
    }

    fn other(&mut self, frame: &[u8], context: &mut Context<'_>) -> Result<Next, OpenWireError> {
        let Some(structure) = self.decoder.decode(frame)? else { return Ok(Next::Continue) };
        if structure.is(&shutdown_info::DEFINITION) {
            self.said_goodbye = true;
            let request = request(&structure);
            if request.is_wanted() {
                self.reply(request.token(), context.output);
            }
            return Ok(Next::Close);
        }
        let result = self.command(&structure, context);
        self.settle(request(&structure), result, context.output)?;
        Ok(if self.removal.is_some() { Next::Remove } else { Next::Continue })
    }

    /// Tells the client of a refusal.
    pub(super) fn settle(
        &mut self,
        request: Request,
        result: Result<(), Trouble>,
        output: &mut Vec<u8>,
    ) -> Result<(), OpenWireError> {
        match result {
            Ok(()) => Ok(()),
            Err(Trouble::Fatal(error)) => Err(error),
            Err(Trouble::WrongClass) => unreachable!("the tables have checked the class"),
            Err(Trouble::Refused(refusal)) => {
                self.write_failure(request.answer(), refusal.failure, &refusal.message, output)
            }
        }
    }

    fn command(&mut self, structure: &Structure, context: &mut Context<'_>) -> Result<(), Trouble> {
        let definition = structure.definition;
        match definition.code {
            code if code == wire_format_info::DEFINITION.code => Err(OpenWireError::SecondGreeting.into()),
            code if code == broker_info::DEFINITION.code => self.broker_info(structure, context),
            code if code == connection_info::DEFINITION.code => self.connection_info(structure, context),
            code if code == session_info::DEFINITION.code => self.session_info(structure, context),
            code if code == producer_info::DEFINITION.code => self.producer_info(structure, context),
            code if code == consumer_info::DEFINITION.code => self.consumer_info(structure, context),
            code if code == remove_info::DEFINITION.code => self.remove_info(structure, context),
            code if code == destination_info::DEFINITION.code => self.destination_info(structure, context),
            code if code == message_pull::DEFINITION.code => self.message_pull(structure, context),
            code if code == consumer_control::DEFINITION.code => self.consumer_control(structure, context),
            code if code == transaction_info::DEFINITION.code => self.transaction_info(structure, context),
            code if code == remove_subscription_info::DEFINITION.code => {
                self.remove_subscription_info(structure, context)
            }
            code if code == keep_alive_info::DEFINITION.code => self.keep_alive_info(structure, context),
            code if IGNORED.contains(&code) => self.ignore(structure, context),
            _ => Err(OpenWireError::Unexpected(definition.name).into()),
        }
    }

    /// Another broker says who it is, which forwards to this one. Of a duplex connection both would forward.
    fn broker_info(&mut self, info: &Structure, context: &mut Context<'_>) -> Result<(), Trouble> {
        if info.bool(broker_info::DUPLEX_CONNECTION) {
            let refusal = Refusal::duplex();
            self.write_failure(request(info).answer(), refusal.failure, &refusal.message, context.output)?;
            self.refused(context.now);
            return Ok(());
        }
        self.ignore(info, context)
    }

    fn keep_alive_info(&mut self, structure: &Structure, context: &mut Context<'_>) -> Result<(), Trouble> {
        if request(structure).is_wanted() {
            self.outgoing.structure(&Structure::new(&keep_alive_info::DEFINITION), context.output)?;
        }
        Ok(())
    }

    /// Accepts what needs no doing. ConnectionControl comes before the ConnectionInfo, when the broker does not know the
    /// connection yet, and is answered here then.
    fn ignore(&mut self, structure: &Structure, context: &mut Context<'_>) -> Result<(), Trouble> {
        let request = request(structure);
        if self.tables.is_some() {
            self.synchronize(request, context);
        } else if request.is_wanted() {
            self.reply(request.token(), context.output);
        }
        Ok(())
    }

    /// Has a request answered that has nothing to do, after all that came before it.
    pub(super) fn synchronize(&mut self, request: Request, context: &mut Context<'_>) {
        if request.is_wanted() {
            context.command(Command::Synchronize { connection: self.connection, request });
        }
    }
}

/// The messages' types.
pub(super) const MESSAGES: std::ops::RangeInclusive<u8> =
    active_mq_message::DEFINITION.code..=active_mq_blob_message::DEFINITION.code;

/// Commands that a client may send and that change nothing here.
const IGNORED: [u8; 13] = [
    broker_subscription_info::DEFINITION.code,
    connection_control::DEFINITION.code,
    control_command::DEFINITION.code,
    flush_command::DEFINITION.code,
    producer_ack::DEFINITION.code,
    message_dispatch::DEFINITION.code,
    message_dispatch_notification::DEFINITION.code,
    connection_error::DEFINITION.code,
    response::DEFINITION.code,
    exception_response::DEFINITION.code,
    data_response::DEFINITION.code,
    data_array_response::DEFINITION.code,
    integer_response::DEFINITION.code,
];

/// Number of a command, and whether its sender waits.
pub(super) fn request(structure: &Structure) -> Request {
    if !structure.is_command() {
        return Request::default();
    }
    let wanted = structure.bool(base_command::RESPONSE_REQUIRED);
    numbered(structure.int(base_command::COMMAND_ID), wanted)
}

/// The request of a command with this number.
#[inline]
pub(super) fn numbered(command: i32, wanted: bool) -> Request {
    Request::new(Token(u64::from(command.cast_unsigned())), wanted)
}

/// The number of the command that a token stands for.
#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "but for `LEAVE`, which is never written, tokens are numbers of commands"
)]
pub(super) fn command_number(token: Token) -> i32 {
    (token.0 as u32).cast_signed()
}
