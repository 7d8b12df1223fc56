//! A program, carried out on a store and on a list.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use raft_core::{LogIndex, Restored, WriteSeq};

use super::model::{Chance, Model};
use super::{Subject, Violation};
use crate::log_store::{LogError, LogStore, OpenedLog};

const STEPS: usize = 120;
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Run<'a> {
    subject: &'a mut dyn Subject,
    chance: Chance,
    step: usize,
    generation: Option<u64>,
    /// The log after each write since the store was opened; the first is what was found.
    history: Vec<Model>,
    submitted: u64,
    reported: u64,
}

/// An open store.
struct Open {
    store: Arc<dyn LogStore>,
    reports: Receiver<Result<WriteSeq, LogError>>,
}

/// How a store is left.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Closed,
    Dropped,
    PowerLost,
}

impl<'a> Run<'a> {
    pub(super) fn new(subject: &'a mut dyn Subject, seed: u64) -> Self {
        Self {
            subject,
            chance: Chance(seed),
            step: 0,
            generation: None,
            history: vec![Model::default()],
            submitted: 0,
            reported: 0,
        }
    }

    pub(super) fn run(mut self) -> Result<(), Violation> {
        let mut open = self.open(End::Closed)?;
        while self.step < STEPS {
            match self.chance.below(16) {
                0 | 1 => self.wait_for_all(&open)?,
                2 | 3 => self.read(&open)?,
                4 => {
                    let end = self.end(open)?;
                    open = self.open(end)?;
                }
                _ => self.write(&open)?,
            }
            self.step += 1;
        }
        self.wait_for_all(&open)?;
        let end = self.end(open)?;
        self.open(end).map(drop)
    }

    fn now(&self) -> &Model {
        self.history.last().expect("there is always what was found")
    }

    fn broken(&self, rule: &'static str, found: impl std::fmt::Debug) -> Violation {
        Violation::Broken { step: self.step, rule, found: format!("{found:?}") }
    }

    fn failed(&self, source: LogError) -> Violation {
        Violation::Failed { step: self.step, source }
    }

    fn open(&mut self, end: End) -> Result<Open, Violation> {
        let (told, reports) = channel();
        let on_durable = Box::new(move |report| drop(told.send(report)));
        let opened = self.subject.open().open(on_durable).map_err(|error| self.failed(error))?;
        let OpenedLog { store, restored, damage: _, generation } = opened;
        let is_newer = self.generation.is_none_or(|known| known < generation);
        if !is_newer && !self.subject.forgets() {
            return Err(self.broken("generations grow", generation));
        }
        self.generation = Some(generation);
        self.history = vec![self.check_found(restored, end)?];
        self.submitted = 0;
        self.reported = 0;
        Ok(Open { store, reports })
    }

    /// What is found is what was submitted last, or after a loss of power some state between that
    /// and what was reported last.
    fn check_found(&self, restored: Option<Restored>, end: End) -> Result<Model, Violation> {
        if self.subject.forgets() {
            return match restored {
                None => Ok(Model::default()),
                Some(restored) => Err(self.broken("a store that forgets is empty", restored)),
            };
        }
        let reported = usize::try_from(self.reported).unwrap_or(usize::MAX);
        let oldest = match end {
            End::Closed => self.history.len() - 1,
            End::Dropped | End::PowerLost => reported,
        };
        let candidates = self.history.get(oldest..).unwrap_or_default();
        let is_found = |model: &&Model| match &restored {
            None => **model == Model::default(),
            Some(restored) => model.is(restored),
        };
        match candidates.iter().rev().find(is_found) {
            Some(model) => Ok(model.clone()),
            None => Err(self.broken("what was reported durable is found again", restored)),
        }
    }

    fn write(&mut self, open: &Open) -> Result<(), Violation> {
        let mut model = self.now().clone();
        let mut write = model.write(&mut self.chance);
        self.submitted += 1;
        write.seq = WriteSeq::new(self.submitted);
        model.apply(&write);
        self.history.push(model);
        open.store.submit(write).map_err(|error| self.failed(error))?;
        while let Ok(report) = open.reports.try_recv() {
            self.hear(report)?;
        }
        Ok(())
    }

    fn hear(&mut self, report: Result<WriteSeq, LogError>) -> Result<(), Violation> {
        let seq = report.map_err(|error| self.failed(error))?.get();
        if seq <= self.reported {
            return Err(self.broken("reports are in order", seq));
        }
        if seq > self.submitted {
            return Err(self.broken("only what was submitted is reported", seq));
        }
        self.reported = seq;
        Ok(())
    }

    fn wait_for_all(&mut self, open: &Open) -> Result<(), Violation> {
        while self.reported < self.submitted {
            match open.reports.recv_timeout(PATIENCE) {
                Ok(report) => self.hear(report)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    return Err(self.broken("every write is reported", self.reported));
                }
            }
        }
        Ok(())
    }

    /// Reads a range, durable or not: what was submitted, from the first on, and at least that.
    fn read(&mut self, open: &Open) -> Result<(), Violation> {
        let count = u64::try_from(self.now().entries.len()).unwrap_or(0);
        if count == 0 {
            return Ok(());
        }
        let skip = self.chance.below(count);
        let take = 1 + self.chance.below(count - skip);
        let bytes_max = usize::try_from(self.chance.below(20_000)).unwrap_or(0);
        let first = LogIndex::new(self.now().base.index.get() + 1 + skip);
        let last = LogIndex::new(first.get() + take - 1);
        let read = open.store.entries(first..=last, bytes_max);
        let found = read.map_err(|error| self.failed(error))?;
        let within = |entry: &&raft_core::Entry| (first..=last).contains(&entry.id.index);
        let expected: Vec<_> = self.now().entries.iter().filter(within).cloned().collect();
        if found.is_empty() {
            return Err(self.broken("a read returns at least one entry", first));
        }
        if !expected.starts_with(&found) {
            return Err(self.broken("a read returns what was submitted", found));
        }
        let bytes = |entries: &[raft_core::Entry]| -> usize {
            entries.iter().map(|entry| entry.payload.command_len()).sum()
        };
        if found.len() > 1 && bytes(&found) > bytes_max {
            return Err(self.broken("a read keeps to its limit", bytes(&found)));
        }
        Ok(())
    }

    fn end(&mut self, open: Open) -> Result<End, Violation> {
        if self.chance.below(2) == 0 {
            open.store.close().map_err(|error| self.failed(error))?;
            return Ok(End::Closed);
        }
        drop(open.store);
        while let Ok(report) = open.reports.try_recv() {
            self.hear(report)?;
        }
        Ok(if self.subject.lose_power() { End::PowerLost } else { End::Dropped })
    }
}
