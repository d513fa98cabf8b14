//! How a message ends: acknowledged, given back, expired, given up, damaged.

pub(crate) mod acknowledge;
pub(crate) mod dead_letter;
pub(crate) mod emptying;
pub(crate) mod expiry;
pub(crate) mod redelivery;
pub(crate) mod settling;
pub(crate) mod siblings;
