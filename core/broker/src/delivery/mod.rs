//! What goes from destinations to consumers and browsers.

pub(crate) mod advisory;
pub(crate) mod browse;
pub(crate) mod dispatch;
pub(crate) mod fan_out;
pub(crate) mod pull;
pub(crate) mod unsendable;
