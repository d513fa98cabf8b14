//! Bytes to commands and events to bytes, without any I/O: one folder per protocol

pub mod openwire;
