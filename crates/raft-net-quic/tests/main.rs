//! The transport, as its users and its attackers see it.

mod common;

mod delivery;
mod identity;
mod lifecycle;
mod security;
