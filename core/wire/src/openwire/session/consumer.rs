//! A consumer by its name.

use std::rc::Rc;

use super::tables::MemberId;
use crate::openwire::hot::dispatch::ConsumerName;
use crate::openwire::hot::slots::Memory;

/// What is kept of a consumer.
pub(crate) struct NamedConsumer {
    /// The connection's id, as the client wrote it in the ConsumerId.
    connection_id: Rc<[u8]>,
    /// Session and value of the ConsumerId.
    pub member: MemberId,
    memory: Memory,
}

impl NamedConsumer {
    pub(crate) fn new(connection_id: Rc<[u8]>, member: MemberId) -> NamedConsumer {
        NamedConsumer { connection_id, member, memory: Memory::default() }
    }

    /// Its ConsumerId, and what is remembered for it.
    #[inline]
    pub(crate) fn split(&mut self) -> (ConsumerName<'_>, &mut Memory) {
        let (session, value) = self.member;
        (ConsumerName { connection: &self.connection_id, session, value }, &mut self.memory)
    }
}
