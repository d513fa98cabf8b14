//! Bytes to commands and events to bytes, without any I/O: one folder per protocol, and the contract that they have in common

#![forbid(unsafe_code)]
#![deny(unreachable_pub)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::cast_possible_truncation)
)]

pub mod openwire;
pub mod session;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
