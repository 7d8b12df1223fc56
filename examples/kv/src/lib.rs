//! A replicated key-value store that speaks the protocol of Redis.
//!
//! Read in this order: [`command`] is what is replicated, [`store`] is what it does, [`request`]
//! is how a client asks for it, [`server`] answers clients, and [`backend`] joins server and
//! cluster. The program around it (`main.rs`) parses flags and starts all this.

pub mod backend;
pub mod client;
pub mod command;
mod limits;
mod replica;
pub mod request;
pub mod resp;
pub mod server;
pub mod store;
