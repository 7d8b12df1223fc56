//! `cargo xtask explore`: every state of small clusters of the real core.

use crate::process::{cargo, run};
use crate::step::Step;

pub(crate) const STEP: Step = Step {
    name: "explore",
    about: "The rules hold in every state of small clusters, and there are as many as there were",
    run: |check| run(&mut cargo(check.workspace, "run --release --package raft-explore")),
};
