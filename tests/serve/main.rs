//! The process from outside: how it starts, what it says when it cannot, what it says of its clients, how it ends.

mod client;
mod durable;
mod ends;
mod fanout;
mod floods;
mod process;
mod ramp;
mod selecting;
mod start;
mod transactions;
