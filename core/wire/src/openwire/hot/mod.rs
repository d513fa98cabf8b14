//! The commands of a connection's steady state, by hand: Message, MessageAck, MessageDispatch, Response.
//!
//! Reading by hand takes only what is common; what it declines is decoded again by the tables, from the frame's first byte.
//! Nothing is stored in a cache before that is settled. Writing by hand covers everything but the structures that are rarely in
//! a message (transaction ids, broker paths, payloads of advisories); with those it is left to the tables, too.

mod acknowledge;
mod dispatch;
mod fields;
mod input;
mod message;
mod outgoing;
mod output;
mod placing;
mod rare;
mod response;
