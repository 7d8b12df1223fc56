//! Log Matching: the id of an entry tells what is in it and all that comes before it.

use raft_core::{Entry, LogId, NodeId, Term};

use super::{Rule, Violation, ensure};
use crate::digest::Digest;

/// Every entry that was ever in a log.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    /// By index; the first one at index 1.
    at: Vec<Known>,
}

/// Entries of one index.
#[derive(Debug)]
struct Known {
    first: Version,
    others: Vec<Version>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Version {
    term: Term,
    /// Term of the entry before.
    before: Term,
    content: u64,
}

impl Matching {
    /// Takes an entry that a server appends after `before`; its content as a number.
    pub(crate) fn on_append(&mut self, before: LogId, entry: &Entry) -> Result<u64, Violation> {
        let content = content(entry);
        let version = Version { term: entry.id.term, before: before.term, content };
        let position = position(entry.id);
        ensure(position <= self.at.len(), Rule::LogMatching, || {
            format!("entry {} stands behind a gap", entry.id)
        })?;
        match self.at.get_mut(position) {
            None => self.at.push(Known { first: version, others: Vec::new() }),
            Some(known) => match known.get(entry.id.term) {
                None => known.others.push(version),
                Some(first) => ensure(first == version, Rule::LogMatching, || {
                    format!("two entries are called {}, or follow different ones", entry.id)
                })?,
            },
        }
        Ok(content)
    }

    /// Checks an entry that a server reads, or writes again because it had lost it.
    pub(crate) fn check_known(&self, node: NodeId, entry: &Entry) -> Result<(), Violation> {
        ensure(self.content(entry.id) == Some(content(entry)), Rule::LogMatching, || {
            format!("{node} has something else for {}", entry.id)
        })
    }

    /// What the entry called `id` holds, as a number; `None` if no server ever had it.
    pub(crate) fn content(&self, id: LogId) -> Option<u64> {
        self.at.get(position(id))?.get(id.term).map(|version| version.content)
    }
}

impl Known {
    fn get(&self, term: Term) -> Option<Version> {
        if self.first.term == term {
            return Some(self.first);
        }
        self.others.iter().find(|version| version.term == term).copied()
    }
}

fn position(id: LogId) -> usize {
    usize::try_from(id.index.prev().get()).unwrap_or(usize::MAX)
}

/// What an entry holds, as a number.
pub(super) fn content(entry: &Entry) -> u64 {
    let mut digest = Digest::default();
    digest.word(entry.payload.kind().code().into());
    digest.bytes(&entry.payload.to_bytes());
    digest.value()
}
