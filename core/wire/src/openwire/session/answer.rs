//! Answers and errors.

use postrider_model::event::{BranchFailure, Failure, Refused, Vote};
use postrider_model::{ConsumerHandle, Now, Token, Xid, modified_utf8};

use super::conversation::{Conversation, Opening, command_number};
use super::error::OpenWireError;
use super::liveness::Due;
use super::tables::MemberId;
use crate::openwire::hot::branches::write_branches;
use crate::openwire::hot::response::write_response;
use crate::openwire::schema::{
    connection_control, connection_error, exception_response, integer_response, keep_alive_info,
};
use crate::openwire::{EncodeError, Structure, Throwable};
use crate::session::{ConsumerState, Failed, Handles};

/// Longest text of an error, in characters; versions 1 and 10 cut there.
const TEXT_CHARACTERS: usize = 1021;

/// Bytes of a failure's frame besides its text, and those that a character takes at most.
const FAILURE_BYTES: usize = 256;
const CHARACTER_BYTES: usize = 6;

/// First version whose clients have a class of their own for a destination that does not exist; in older ones a class that they
/// do not know is no JMSException.
const OWN_CLASS_SINCE: u8 = 9;

impl Conversation {
    pub(crate) fn reply(&mut self, token: Token, output: &mut Vec<u8>) {
        if self.leaving == Some(token) {
            self.leaving = None;
            if self.leaves_unasked {
                return;
            }
        }
        write_response(command_number(token), &mut self.outgoing, output);
        self.liveness.sent();
    }

    /// A branch is prepared, or need not be.
    pub(crate) fn voted(&mut self, token: Token, vote: Vote, output: &mut Vec<u8>) -> Result<(), OpenWireError> {
        let structure = Structure::new(&integer_response::DEFINITION)
            .with(integer_response::CORRELATION_ID, command_number(token))
            .with(integer_response::RESULT, i32::from(vote as i8));
        self.outgoing.structure(&structure, output)?;
        self.liveness.sent();
        Ok(())
    }

    /// The branches that are prepared.
    pub(crate) fn branches(&mut self, token: Token, names: &[Xid], output: &mut Vec<u8>) -> Result<(), OpenWireError> {
        if let Some(tables) = &mut self.tables {
            tables.transactions.asks_for_branches = false;
        }
        self.liveness.sent();
        match write_branches(command_number(token), names, &mut self.outgoing, output) {
            Err(EncodeError::FrameTooLarge { size, limit }) => {
                let text = format!(
                    "the names of {} branches that are prepared take {size} bytes, and the client takes frames of {limit}: raise its \
                     wireFormat.maxFrameSize",
                    names.len()
                );
                self.write_failure(Some(token), Failure::Branch(BranchFailure::Resource), &text, output)
            }
            written => Ok(written?),
        }
    }

    pub(crate) fn opened(&mut self, token: Token, output: &mut Vec<u8>) -> Result<(), OpenWireError> {
        let Some(opening) = &mut self.opening else {
            // The client has removed the connection before it heard that it had one.
            self.reply(token, output);
            return Ok(());
        };
        opening.is_accepted = true;
        let opening = *opening;
        if opening.manageable {
            // Empty rather than null: nothing is said about other brokers.
            let control = Structure::new(&connection_control::DEFINITION)
                .with(connection_control::CONNECTED_BROKERS, "")
                .with(connection_control::RECONNECT_TO, "");
            self.outgoing.structure(&control, output)?;
            self.liveness.sent();
        }
        if opening.request.is_wanted() {
            self.reply(token, output);
        }
        Ok(())
    }

    pub(crate) fn failed(
        &mut self,
        failed: &Failed<'_>,
        now: Now,
        handles: &mut Handles,
        output: &mut Vec<u8>,
    ) -> Result<(), OpenWireError> {
        match failed.refused {
            Some(Refused::Consumer(consumer)) => self.forget_consumer(*consumer, handles),
            Some(Refused::Producer { session, value, token }) => {
                self.forget_producer((*session, *value), *token, handles)
            }
            None => {}
        }
        let refuses = |opening: Opening| !opening.is_accepted && failed.token == Some(opening.request.token());
        if self.opening.is_some_and(refuses) {
            self.refused(now);
        }
        self.write_failure(failed.token, failed.failure, failed.message, output)?;
        self.liveness.sent();
        Ok(())
    }

    fn forget_consumer(&mut self, consumer: ConsumerHandle, handles: &mut Handles) {
        let Some(removed) = handles.remove(consumer) else { return };
        if let Some(tables) = &mut self.tables {
            let ConsumerState::OpenWire(consumer) = &removed.state;
            tables.remove_consumer(consumer.member);
            handles.memory.give_back(&mut self.kept, removed.bytes);
        }
    }

    fn forget_producer(&mut self, member: MemberId, token: Token, handles: &mut Handles) {
        if let Some(forgotten) = self.tables.as_mut().and_then(|tables| tables.forget_producer(member, token)) {
            handles.memory.give_back(&mut self.kept, forgotten.bytes);
        }
    }

    pub(super) fn write_failure(
        &mut self,
        token: Option<Token>,
        failure: Failure,
        message: &str,
        output: &mut Vec<u8>,
    ) -> Result<(), OpenWireError> {
        let settings = self.outgoing.settings();
        // The class's own number is not transmitted: its clients read it there.
        let code = match failure {
            Failure::Branch(failure) => format!(" xaErrorCode:{}", failure as i8),
            _ => String::new(),
        };
        let text = shortened(message, settings.max_frame_size, code.len()) + &code;
        let exception = Throwable::new(class(failure, settings.version).as_bytes(), &modified_utf8::encode(&text));
        let structure = match token {
            Some(token) => Structure::new(&exception_response::DEFINITION)
                .with(exception_response::CORRELATION_ID, command_number(token))
                .with(exception_response::EXCEPTION, exception),
            None => Structure::new(&connection_error::DEFINITION).with(connection_error::EXCEPTION, exception),
        };
        Ok(self.outgoing.structure(&structure, output)?)
    }

    pub(crate) fn set_paused(&mut self, paused: bool) {
        self.liveness.set_paused(paused);
    }

    pub(crate) fn tick(&mut self, now: Now, output: &mut Vec<u8>) -> Result<(), OpenWireError> {
        // Who has bytes to read needs none; who never reads them is not owed more and more.
        if self.liveness.tick(now)? == Due::KeepAlive && output.is_empty() {
            self.outgoing.structure(&Structure::new(&keep_alive_info::DEFINITION), output)?;
        }
        Ok(())
    }
}

/// The Java class that the client makes of it. Newer clients put `jakarta` for `javax` themselves.
fn class(failure: Failure, version: u8) -> &'static str {
    match failure {
        Failure::DestinationDoesNotExist if version < OWN_CLASS_SINCE => "javax.jms.InvalidDestinationException",
        Failure::General => "javax.jms.JMSException",
        Failure::InvalidClientId => "javax.jms.InvalidClientIDException",
        Failure::InvalidDestination => "javax.jms.InvalidDestinationException",
        Failure::InvalidSelector => "javax.jms.InvalidSelectorException",
        Failure::ResourceAllocation => "javax.jms.ResourceAllocationException",
        Failure::TransactionRolledBack => "javax.jms.TransactionRolledBackException",
        Failure::Security => "java.lang.SecurityException",
        Failure::DestinationDoesNotExist => "org.apache.activemq.DestinationDoesNotExistException",
        Failure::IllegalState => "java.lang.IllegalStateException",
        Failure::Branch(_) => "javax.transaction.xa.XAException",
    }
}

fn shortened(text: &str, frame_bytes: usize, besides: usize) -> String {
    let most = (TEXT_CHARACTERS - besides).min(frame_bytes.saturating_sub(FAILURE_BYTES) / CHARACTER_BYTES);
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// What a dead letter says of why it became one: an exception, as when a client gives a message up.
pub(crate) fn cause(why: &str) -> String {
    format!("java.lang.Throwable: {why}")
}
