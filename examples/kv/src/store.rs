//! The state that is replicated: keys and values, and what each command does to them.
//!
//! Every node applies the same commands in the same order and must come to the same state and the
//! same answers. So nothing here depends on a clock, on chance or on the order of a hash map.

mod snapshot;

use std::collections::HashMap;

use bytes::Bytes;

use crate::command::{Command, Condition, Set};

/// A map from keys to values.
#[derive(Debug, Default)]
pub struct Store {
    /// Looked up, not iterated, for the order of a hash map differs from node to node; snapshots are
    /// sorted.
    values: HashMap<Bytes, Bytes>,
}

/// A question about the store.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Query {
    /// The value of a key.
    Get(Bytes),
    /// The values of several keys, of one moment.
    GetMany(Vec<Bytes>),
    /// How many of these keys exist; one named twice counts twice.
    Exists(Vec<Bytes>),
    /// How many keys there are.
    Size,
}

/// The answer to a [`Query`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Answer {
    /// To [`Query::Get`].
    Value(Option<Bytes>),
    /// To [`Query::GetMany`], in its order.
    Values(Vec<Option<Bytes>>),
    /// To [`Query::Exists`] and [`Query::Size`].
    Count(usize),
}

/// What a [`Command`] came to.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Response {
    /// The key was set.
    Done,
    /// The condition did not hold.
    NotDone,
    /// What was there before a `SET … GET`, done or not.
    Previous(Option<Bytes>),
    /// The number under the key.
    Number(i64),
    /// How many keys were removed.
    Removed(usize),
    /// The command did not fit what was there. Nothing has changed.
    Refused(Mismatch),
}

/// Why a command did not fit the value it met.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Mismatch {
    /// Only a 64-bit integer can be incremented.
    #[error("ERR value is not an integer or out of range")]
    NotAnInteger,
    /// The sum has no room in 64 bits.
    #[error("ERR increment or decrement would overflow")]
    Overflow,
}

impl Store {
    /// Applies a command.
    pub fn execute(&mut self, command: Command) -> Response {
        match command {
            Command::Set(set) => self.set(set),
            Command::Delete { keys } => {
                let removed = keys.iter().filter(|key| self.values.remove(*key).is_some());
                Response::Removed(removed.count())
            }
            Command::Increment { key, by } => match self.increment(key, by) {
                Ok(number) => Response::Number(number),
                Err(mismatch) => Response::Refused(mismatch),
            },
        }
    }

    /// Answers a question.
    #[must_use]
    pub fn answer(&self, query: &Query) -> Answer {
        match query {
            Query::Get(key) => Answer::Value(self.values.get(key).cloned()),
            Query::GetMany(keys) => {
                Answer::Values(keys.iter().map(|key| self.values.get(key).cloned()).collect())
            }
            Query::Exists(keys) => {
                Answer::Count(keys.iter().filter(|key| self.values.contains_key(*key)).count())
            }
            Query::Size => Answer::Count(self.values.len()),
        }
    }

    fn set(&mut self, set: Set) -> Response {
        let current = self.values.get(&set.key);
        let holds = match &set.condition {
            Condition::Always => true,
            Condition::Absent => current.is_none(),
            Condition::Present => current.is_some(),
            Condition::Equals(expected) => current == Some(expected),
        };
        let previous = current.filter(|_| set.return_previous).cloned();
        if holds {
            self.put(set.key, set.value);
        }
        match (set.return_previous, holds) {
            (true, _) => Response::Previous(previous),
            (false, true) => Response::Done,
            (false, false) => Response::NotDone,
        }
    }

    fn increment(&mut self, key: Bytes, by: i64) -> Result<i64, Mismatch> {
        let number = match self.values.get(&key) {
            Some(value) => integer(value).ok_or(Mismatch::NotAnInteger)?,
            None => 0,
        };
        let sum = number.checked_add(by).ok_or(Mismatch::Overflow)?;
        self.put(key, Bytes::copy_from_slice(itoa::Buffer::new().format(sum).as_bytes()));
        Ok(sum)
    }

    fn put(&mut self, key: Bytes, value: Bytes) {
        let value = detached(value);
        match self.values.get_mut(&key) {
            Some(old) => *old = value,
            None => {
                self.values.insert(detached(key), value);
            }
        }
    }
}

/// A slice keeps the whole buffer it was cut from: a value of ten bytes would hold on to the frame
/// or the log segment it came in. From this length on, the copy is worth saving.
const SLICE_BYTES_MIN: usize = 64 * 1024;

fn detached(bytes: Bytes) -> Bytes {
    if bytes.len() < SLICE_BYTES_MIN { Bytes::copy_from_slice(&bytes) } else { bytes }
}

/// Reads a number the way Redis does: only in the form it would be written in, so not `007`, `+7`
/// or `-0`.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (itoa::Buffer::new().format(number).as_bytes() == text).then_some(number)
}

#[cfg(test)]
mod tests;
