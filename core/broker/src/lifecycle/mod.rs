//! How connections, producers, consumers and temporary destinations come and go.

pub(crate) mod closing;
pub(crate) mod connection;
pub(crate) mod consumer;
pub(crate) mod leaving;
pub(crate) mod producer;
pub(crate) mod subscription;
pub(crate) mod temporary;
