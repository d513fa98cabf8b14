//! What a message on its way out is in OpenWire.

use postrider_model::DestinationKind;

use crate::openwire::schema::{active_mq_blob_message, active_mq_message, active_mq_queue};
use crate::session::Outbound;

impl Outbound<'_> {
    /// The message's class; version 1 and 2 have none for blobs.
    pub(super) fn code(&self, version: u8) -> u8 {
        let code = active_mq_message::DEFINITION.code + self.header.body as u8;
        let blob = &active_mq_blob_message::DEFINITION;
        if code == blob.code && version < blob.since { active_mq_message::DEFINITION.code } else { code }
    }

    /// Whether the frame has the fields of a blob.
    pub(super) fn is_blob(&self, version: u8) -> bool {
        self.code(version) == active_mq_blob_message::DEFINITION.code
    }
}

/// The code of a destination's class.
pub(crate) fn destination_code(kind: DestinationKind) -> u8 {
    active_mq_queue::DEFINITION.code + kind as u8
}
