//! What goes wrong with a session, as a shard sees it.

use crate::openwire;

/// Why a connection is to be closed, for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// In OpenWire.
    #[error(transparent)]
    OpenWire(#[from] openwire::session::OpenWireError),
}

/// Why a message cannot be written to a consumer, for the log and for people. Its connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsendable {
    /// In OpenWire.
    #[error(transparent)]
    OpenWire(#[from] openwire::EncodeError),
}
