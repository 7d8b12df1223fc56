//! The protocol, scenario by scenario, and at random.

extern crate std;

mod any_input;
mod any_membership;
mod canonical;
mod cluster;
mod doubt;
mod durability;
mod election;
mod faults;
mod faulty;
mod gather;
mod leases;
mod lost_state;
mod membership;
mod output;
mod priority;
mod promotion;
mod random;
mod reads;
mod regressed;
mod regressions;
mod replication;
mod restarts;
mod role_message_matrix;
mod room;
mod safety;
mod scenarios;
mod snapshot;
mod stuck_disk;
mod text;
mod transfer;
