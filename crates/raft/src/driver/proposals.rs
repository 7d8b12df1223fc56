//! Commands on their way, and who waits for them.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use raft_core::{LogId, LogIndex, Term, Timestamp};

use super::earliest;

/// Commands for which no leader is known.
#[derive(Debug)]
pub(super) struct Parked<P> {
    /// By deadline.
    batches: VecDeque<(Vec<(Bytes, P)>, Timestamp)>,
    bytes: usize,
}

impl<P> Default for Parked<P> {
    fn default() -> Self {
        Self { batches: VecDeque::new(), bytes: 0 }
    }
}

impl<P> Parked<P> {
    /// Keeps a batch; gives the callers back if it would be more than `bytes_max`.
    pub(super) fn push(
        &mut self,
        batch: Vec<(Bytes, P)>,
        deadline: Timestamp,
        bytes_max: usize,
    ) -> Result<(), Vec<P>> {
        let bytes: usize = weight(&batch);
        if !self.batches.is_empty() && self.bytes + bytes > bytes_max {
            return Err(batch.into_iter().map(|(_, caller)| caller).collect());
        }
        self.bytes += bytes;
        // One that comes back from a node that does not lead has waited before.
        let at = self.batches.partition_point(|(_, waits)| *waits <= deadline);
        self.batches.insert(at, (batch, deadline));
        Ok(())
    }

    pub(super) fn take_all(&mut self) -> VecDeque<(Vec<(Bytes, P)>, Timestamp)> {
        self.bytes = 0;
        std::mem::take(&mut self.batches)
    }

    pub(super) fn take_expired(&mut self, now: Timestamp) -> Vec<P> {
        let mut expired = Vec::new();
        while let Some((batch, _)) = self.batches.pop_front_if(|(_, deadline)| *deadline <= now) {
            self.bytes -= weight(&batch);
            expired.extend(batch.into_iter().map(|(_, caller)| caller));
        }
        expired
    }

    pub(super) fn deadline(&self) -> Timestamp {
        self.batches.front().map_or(Timestamp::NEVER, |(_, deadline)| *deadline)
    }

    pub(super) fn into_callers(self) -> Vec<P> {
        self.batches.into_iter().flat_map(|(batch, _)| batch).map(|(_, caller)| caller).collect()
    }
}

fn weight<P>(batch: &[(Bytes, P)]) -> usize {
    const CALLER: usize = 64;
    batch.iter().map(|(command, _)| command.len() + CALLER).sum()
}

/// Commands in the log that are not applied yet.
///
/// An index may stand for callers of two terms: a leader appended one entry, lost its office, and
/// learned of another entry there.
#[derive(Debug)]
pub(super) struct Waiting<P> {
    callers: BTreeMap<(LogIndex, Term), (P, Timestamp)>,
    /// Nobody gives up before; nobody may be left who gives up then.
    deadline: Timestamp,
}

impl<P> Default for Waiting<P> {
    fn default() -> Self {
        Self { callers: BTreeMap::new(), deadline: Timestamp::NEVER }
    }
}

impl<P> Waiting<P> {
    /// Waits for consecutive entries from `first` on, one for each of `callers`.
    pub(super) fn push(&mut self, first: LogId, callers: Vec<P>, deadline: Timestamp) {
        let mut index = first.index;
        for caller in callers {
            self.callers.insert((index, first.term), (caller, deadline));
            index = index.next();
        }
        self.deadline = self.deadline.min(deadline);
    }

    /// Takes the callers of all entries up to `last`, in order of index.
    pub(super) fn take_until(&mut self, last: LogIndex) -> Vec<(LogId, P)> {
        let mut taken = Vec::new();
        while let Some(entry) = self.callers.first_entry()
            && entry.key().0 <= last
        {
            let ((index, term), (caller, _)) = entry.remove_entry();
            taken.push((LogId { term, index }, caller));
        }
        taken
    }

    pub(super) fn take_expired(&mut self, now: Timestamp) -> Vec<P> {
        if self.deadline > now {
            return Vec::new();
        }
        let expired = self.callers.extract_if(.., |_, (_, deadline)| *deadline <= now);
        let expired = expired.map(|(_, (caller, _))| caller).collect();
        self.deadline = earliest(self.callers.values().map(|(_, deadline)| *deadline));
        expired
    }

    pub(super) fn take_all(&mut self) -> Vec<P> {
        std::mem::take(self).into_callers()
    }

    pub(super) const fn deadline(&self) -> Timestamp {
        self.deadline
    }

    pub(super) fn into_callers(self) -> Vec<P> {
        self.callers.into_values().map(|(caller, _)| caller).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_comes_back_gives_up_before_those_that_came_later() {
        let [soon, later] = [10, 20].map(Timestamp::from_micros);
        let batch = |caller| Vec::from([(Bytes::new(), caller)]);
        let mut parked = Parked::default();
        parked.push(batch("later"), later, 1_000).unwrap();
        parked.push(batch("came back"), soon, 1_000).unwrap();

        assert_eq!(parked.deadline(), soon);
        assert_eq!(parked.take_expired(soon), ["came back"]);
    }
}
