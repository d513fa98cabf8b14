//! The protocols that a listener may speak.

use std::fmt;

/// What is spoken on a connection from its first byte on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    /// ActiveMQ's own.
    OpenWire,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 1] = [Protocol::OpenWire];

    /// Its name in URLs.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Protocol::OpenWire => "openwire",
        }
    }

    /// The protocol that URLs name so. Clients write `tcp` for OpenWire.
    #[must_use]
    pub fn of_scheme(scheme: &str) -> Option<Protocol> {
        let scheme = if scheme == "tcp" { "openwire" } else { scheme };
        Protocol::ALL.into_iter().find(|protocol| protocol.scheme() == scheme)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.scheme())
    }
}
