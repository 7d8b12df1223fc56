//! The record that a recovery leaves in the data directory: a file of JSON lines, which the node
//! leaves alone.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use raft_core::{ClusterId, HardState, LogId, LogIndex, NodeId, Term};
use raft_wal::Identity;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use crate::say;

const NAME: &str = "recovery.jsonl";

/// The record of recoveries in a directory.
#[derive(Debug)]
pub(super) struct Audit {
    dir: PathBuf,
    path: PathBuf,
}

/// How far a recovery has come.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// Something may have been changed.
    Begun,
    /// Everything has.
    Done,
}

/// A line of the file.
#[derive(Debug, Deserialize, Serialize)]
struct Line {
    at: String,
    tool: String,
    step: Step,
    node: u64,
    old_cluster: String,
    new_cluster: String,
    term: u64,
    vote: Option<u64>,
    committed_at_least: u64,
    last_index: u64,
    last_term: u64,
    may_be_lost_from: u64,
    old_members: Vec<u64>,
    new_term: u64,
    address: String,
}

impl Audit {
    pub(super) fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), path: dir.join(NAME) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The recovery that was begun last, if it was not finished.
    pub(super) fn unfinished(&self) -> anyhow::Result<Option<Plan>> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("cannot read the record of recoveries"),
        };
        // A line without an end was being written when nothing had been changed yet.
        let Some((lines, _)) = text.rsplit_once('\n') else { return Ok(None) };
        let Some(last) = lines.lines().last() else { return Ok(None) };
        let line: Line = serde_json::from_str(last).with_context(|| {
            format!("{} has a line that this version cannot read", self.path.display())
        })?;
        match line.step {
            Step::Begun => line.plan().map(Some),
            Step::Done => Ok(None),
        }
    }

    /// Adds a line, durably.
    pub(super) fn write(&self, step: Step, plan: &Plan) -> anyhow::Result<()> {
        let mut text = serde_json::to_string(&Line::new(step, plan))?;
        text.push('\n');
        let write = || {
            let mut file = OpenOptions::new().create(true).append(true).open(&self.path)?;
            if file.metadata()?.len() > 0 && !std::fs::read(&self.path)?.ends_with(b"\n") {
                file.write_all(b"\n")?;
            }
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            File::open(&self.dir)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Line {
    fn new(step: Step, plan: &Plan) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self {
            at: say::date(u64::try_from(since.as_millis()).unwrap_or_default()),
            tool: concat!("raft-doctor ", env!("CARGO_PKG_VERSION")).to_owned(),
            step,
            node: plan.identity.node.get(),
            old_cluster: plan.identity.cluster.to_string(),
            new_cluster: plan.new_cluster.to_string(),
            term: plan.hard_state.term.get(),
            vote: plan.hard_state.vote.map(NodeId::get),
            committed_at_least: plan.committed.get(),
            last_index: plan.last.index.get(),
            last_term: plan.last.term.get(),
            may_be_lost_from: plan.last.index.next().get(),
            old_members: plan.members.iter().map(|id| id.get()).collect(),
            new_term: plan.new_term().get(),
            address: plan.address.clone(),
        }
    }

    fn plan(self) -> anyhow::Result<Plan> {
        let node = |id| NodeId::new(id).context("a node has the id 0");
        let cluster = |text: &str| text.parse::<ClusterId>().context("not the id of a cluster");
        let members = self.old_members.iter().map(|id| node(*id)).collect::<Result<_, _>>()?;
        let term = Term::new(self.term);
        let plan = Plan {
            identity: Identity { cluster: cluster(&self.old_cluster)?, node: node(self.node)? },
            new_cluster: cluster(&self.new_cluster)?,
            hard_state: HardState { term, vote: self.vote.map(node).transpose()? },
            committed: LogIndex::new(self.committed_at_least),
            last: LogId::new(Term::new(self.last_term), LogIndex::new(self.last_index)),
            members,
            address: self.address,
        };
        ensure!(plan.new_term().get() == self.new_term, "the record of recoveries was changed");
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        let node = |id| NodeId::new(id).expect("not zero");
        Plan {
            identity: Identity { cluster: ClusterId::new([7; 16]), node: node(1) },
            new_cluster: ClusterId::new([9; 16]),
            hard_state: HardState { term: Term::new(3), vote: Some(node(2)) },
            committed: LogIndex::new(5),
            last: LogId::new(Term::new(3), LogIndex::new(8)),
            members: vec![node(1), node(2)],
            address: "a:1".to_owned(),
        }
    }

    #[test]
    fn what_was_begun_is_found_until_it_is_done() {
        let dir = tempfile::tempdir().expect("a directory");
        let audit = Audit::of(dir.path());
        assert_eq!(audit.unfinished().expect("no file"), None);

        audit.write(Step::Begun, &plan()).expect("a line");
        assert_eq!(audit.unfinished().expect("a plan"), Some(plan()));

        audit.write(Step::Done, &plan()).expect("a line");
        assert_eq!(audit.unfinished().expect("a plan"), None);
    }

    #[test]
    fn a_line_that_was_being_written_counts_for_nothing() {
        let dir = tempfile::tempdir().expect("a directory");
        let audit = Audit::of(dir.path());
        std::fs::write(audit.path(), "{\"at\":").expect("half a line");

        assert_eq!(audit.unfinished().expect("nothing"), None);
    }
}
