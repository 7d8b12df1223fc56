//! A program that uses a log on a simulated disk, and remembers what it may rely on.

use std::error::Error;

use proptest::prelude::*;
use raft_core::{Entry, HardState};
use raft_wal::sim::SimDisk;
use raft_wal::{Log, Recovered, RecoveredGroup};

use super::{GROUP, Model, Step, Submission, entries_of, open, submission};

/// A program, its log, and what it may rely on.
pub(crate) struct World {
    pub(crate) disk: SimDisk,
    pub(crate) log: Option<Log<SimDisk>>,
    /// The log after each submission since the last open; the first is what was found there.
    pub(crate) history: Vec<Model>,
    /// How many of the submissions are acknowledged.
    pub(crate) acknowledged: usize,
    /// A compaction may be found without what was submitted before it: without space, it is carried
    /// out ahead of its turn.
    pub(crate) runs_out_of_space: bool,
    /// An open has said that the newest write may be lost.
    pub(crate) is_in_doubt: bool,
}

impl World {
    pub(crate) fn new(disk: SimDisk) -> Self {
        Self {
            disk,
            log: None,
            history: vec![Model::default()],
            acknowledged: 0,
            runs_out_of_space: false,
            is_in_doubt: false,
        }
    }

    pub(crate) fn now(&self) -> &Model {
        self.history.last().unwrap()
    }

    /// Opens the log and checks what is found.
    pub(crate) fn open(&mut self) -> Result<(), Box<dyn Error>> {
        self.log = None;
        let (log, recovered) = open(&self.disk)?;
        let entries = entries_of(&log, GROUP)?;
        let found = self.check(entries, &recovered);
        self.is_in_doubt |= recovered.group(GROUP).is_in_doubt;
        self.history = vec![found];
        self.acknowledged = 0;
        self.log = Some(log);
        Ok(())
    }

    /// What is found is what some call left behind, at or after the last acknowledged one. Term and
    /// vote may be those of a later call.
    fn check(&self, entries: Vec<Entry>, recovered: &Recovered) -> Model {
        let group = recovered.group(GROUP);
        let found = Model { hard_state: group.hard_state, base: group.base, entries };
        let is_in_doubt = group.is_in_doubt;
        assert_eq!(RecoveredGroup { is_in_doubt, ..found.recovered() }, group);
        let is_known = recovered.groups.contains_key(&GROUP);
        let is_doubtful = self.is_in_doubt || (is_known && recovered.tail.is_doubtful());
        assert!(!is_doubtful || is_in_doubt, "a doubt is forgotten");
        let candidates = &self.history[self.acknowledged..];
        let is_match = |model: &Model| {
            let mut model = model.clone();
            if self.runs_out_of_space {
                model.compact(found.base);
            }
            model.base == found.base && model.entries == found.entries
        };
        let nth = candidates.iter().rposition(is_match);
        let nth = nth.unwrap_or_else(|| panic!("found {group:?}, expected one of {candidates:#?}"));
        let states: Vec<HardState> = candidates[..].iter().map(|m| m.hard_state).collect();
        let first = candidates.iter().position(is_match).unwrap();
        assert!(states[first..].contains(&found.hard_state), "{found:?} {nth}");
        found
    }

    /// Returns whether the disk still works.
    pub(crate) fn run(&mut self, steps: &[Step]) -> bool {
        steps.iter().all(|step| self.step(step))
    }

    pub(crate) fn step(&mut self, step: &Step) -> bool {
        let submission = submission(self.now(), step);
        let mut model = self.now().clone();
        let log = self.log.as_mut().unwrap();
        match step {
            Step::Flush => {
                let flushed = log.flush().is_ok();
                if flushed {
                    self.acknowledged = self.history.len() - 1;
                }
                return flushed;
            }
            Step::Idle => return log.mark_idle().is_ok(),
            Step::Close => {
                let closed = self.log.take().unwrap().close().is_ok();
                if closed {
                    self.acknowledged = self.history.len() - 1;
                }
                return closed && self.open().is_ok();
            }
            Step::Append { .. }
            | Step::Membership
            | Step::Vote { .. }
            | Step::Replace { .. }
            | Step::Compact { .. }
            | Step::Install { .. } => {}
        }
        let Some(submission) = submission else { return true };
        let accepted = match submission {
            Submission::Batch(batch) => {
                model.apply(&batch);
                log.append(batch).is_ok()
            }
            Submission::Compact(upto) => {
                model.compact(upto);
                log.compact_prefix(GROUP, upto).is_ok()
            }
        };
        if accepted {
            self.history.push(model);
        }
        accepted
    }

    /// The same program, on another disk, and not running.
    pub(crate) fn on(&self, disk: SimDisk) -> Self {
        Self {
            disk,
            log: None,
            history: self.history.clone(),
            acknowledged: self.acknowledged,
            runs_out_of_space: self.runs_out_of_space,
            is_in_doubt: self.is_in_doubt,
        }
    }
}

/// A random program.
pub(crate) fn steps(max: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (1u64..5, 0usize..3000, 0u64..2)
            .prop_map(|(count, len, term_up)| Step::Append { count, len, term_up }),
        1 => Just(Step::Append { count: 1, len: 25_000, term_up: 0 }),
        1 => Just(Step::Membership),
        2 => (0u64..2).prop_map(|term_up| Step::Vote { term_up }),
        2 => (1u64..8, 0u64..4, 0usize..600)
            .prop_map(|(back, count, len)| Step::Replace { back, count, len }),
        2 => (1u64..9).prop_map(|eighths| Step::Compact { eighths }),
        1 => (0u64..3, 0u64..2).prop_map(|(ahead, term_up)| Step::Install { ahead, term_up }),
        8 => Just(Step::Flush),
        2 => Just(Step::Idle),
        1 => Just(Step::Close),
    ];
    prop::collection::vec(step, 1..max)
}
