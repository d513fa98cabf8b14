//! Destinations, and what goes from them to consumers and browsers.

pub(crate) mod advisory;
pub(crate) mod browse;
pub(crate) mod destination;
pub(crate) mod dispatch;
pub(crate) mod ordered;
pub(crate) mod pull;
pub(crate) mod queue;
pub(crate) mod returned;
pub(crate) mod rotation;
pub(crate) mod topic;
pub(crate) mod view;
