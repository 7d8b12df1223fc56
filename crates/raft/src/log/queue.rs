//! Writes on their way into the WAL, and those that wait for space.

use std::collections::VecDeque;

use raft_core::{LogId, Write, WriteSeq};
use raft_wal::{AppendError, Batch};

use super::batches::{Call, UnderWay, calls};

/// What takes the calls: the WAL, or its engine without threads.
pub(super) trait Engine {
    fn append(&mut self, batch: Batch) -> Result<(), AppendError>;

    fn compact(&mut self, upto: LogId) -> Result<(), AppendError>;

    /// Whether this entry is in the log.
    fn holds(&self, entry: LogId) -> bool;
}

/// Calls of the WAL, in the order of the writes.
#[derive(Debug, Default)]
pub(super) struct Queue {
    under_way: UnderWay,
    /// What the WAL would not take for want of space, and what comes after.
    waiting: VecDeque<(Call, Option<WriteSeq>)>,
}

impl Queue {
    /// Whether calls wait for space.
    pub(super) fn is_stuck(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Takes the news that the batches up to number `batch` are durable.
    pub(super) fn report(&mut self, batch: u64) -> Option<WriteSeq> {
        self.under_way.report(batch)
    }

    pub(super) fn submit(
        &mut self,
        engine: &mut impl Engine,
        write: Write,
        segment_bytes: u64,
    ) -> Result<(), AppendError> {
        let was_stuck = self.is_stuck();
        self.waiting.extend(calls(write, segment_bytes));
        if was_stuck { self.compact_first(engine) } else { self.hand_on(engine) }
    }

    /// Hands calls to the WAL until it has no space for one.
    pub(super) fn hand_on(&mut self, engine: &mut impl Engine) -> Result<(), AppendError> {
        while let Some((call, completes)) = self.waiting.pop_front() {
            let accepted = match &call {
                Call::Append(batch) => engine.append(batch.clone()),
                Call::Compact(upto) => engine.compact(*upto),
            };
            match accepted {
                Ok(()) => self.under_way.push(completes),
                Err(AppendError::NoSpace(_)) => {
                    self.waiting.push_front((call, completes));
                    return self.compact_first(engine);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Carries out compactions before their turn: what they free may be what the others wait for.
    /// They only drop entries that are committed, and in their turn change nothing more.
    fn compact_first(&mut self, engine: &mut impl Engine) -> Result<(), AppendError> {
        for (call, _) in &self.waiting {
            let Call::Compact(upto) = call else { continue };
            if engine.holds(*upto) {
                engine.compact(*upto)?;
                self.under_way.push(None);
            }
        }
        Ok(())
    }
}
