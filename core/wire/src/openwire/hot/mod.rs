//! The commands of a connection's steady state, by hand: Message, MessageAck, MessageDispatch, Response. And DataArrayResponse, as
//! it may be long.
//!
//! Reading by hand takes only what is common; what it declines is decoded again by the tables, from the frame's first byte.
//! Nothing is stored in a cache before that is settled. Writing by hand covers everything but the structures that are rarely in
//! a message (transaction ids, broker paths, payloads of advisories); with those it is left to the tables, too.

pub(super) mod acknowledge;
pub(super) mod advisory;
pub(super) mod branches;
pub(super) mod dispatch;
pub(super) mod input;
pub(super) mod message;
mod outbound;
pub(super) mod outgoing;
mod output;
mod placing;
pub(super) mod rare;
pub(super) mod response;
pub(super) mod slots;

#[cfg(test)]
mod tests;
