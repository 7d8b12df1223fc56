//! Work off the path of appends: preparing, sealing and deleting segments.

use std::sync::Arc;

use super::Log;
use crate::disk::Disk;
use crate::error::{DiskError, Doing as _, WalError};
use crate::num::wide;
use crate::segment::{Preparation, SealPlan, Segment, segment_name};

/// A piece of work that needs nothing from the log while it runs.
#[derive(Debug)]
pub(crate) enum Chore<D: Disk> {
    /// Create the next spare segment.
    Prepare { disk: D, plan: Preparation },
    /// Close a full segment.
    Seal { segment: Arc<Segment<D>>, plan: SealPlan },
    /// Delete segments, the oldest first.
    Delete {
        disk: D,
        numbers: Vec<u64>,
        /// Dropped with the chore: unmapping takes a while.
        segments: Vec<Arc<Segment<D>>>,
    },
}

/// What became of a chore.
#[derive(Debug)]
pub(crate) enum Done<D: Disk> {
    Prepared(Result<Segment<D>, DiskError>),
    Sealed { number: u64, result: Result<(), DiskError> },
    Deleted { deleted: u64, left: Vec<u64> },
}

impl<D: Disk> Chore<D> {
    pub(crate) fn run(self) -> Done<D> {
        match self {
            Self::Prepare { disk, plan } => Done::Prepared(Segment::prepare(&disk, plan)),
            Self::Seal { segment, plan } => {
                Done::Sealed { number: segment.number, result: segment.seal(&plan) }
            }
            Self::Delete { disk, numbers, segments } => {
                let done = delete(&disk, numbers);
                drop(segments);
                done
            }
        }
    }
}

/// Deletes one segment after the other. Each is durably gone before the next one goes, and the
/// first failure ends it: a crash must not leave a gap in the numbers, which would look like loss.
fn delete<D: Disk>(disk: &D, numbers: Vec<u64>) -> Done<D> {
    let mut deleted = 0;
    let mut left = numbers.into_iter();
    while let Some(number) = left.as_slice().first() {
        if let Err(error) = delete_segment(disk, *number) {
            tracing::warn!(%error, source = %error.source, "a segment cannot be deleted yet");
            break;
        }
        deleted += 1;
        left.next();
    }
    Done::Deleted { deleted, left: left.collect() }
}

/// Deletes a segment and makes that durable.
pub(crate) fn delete_segment<D: Disk>(disk: &D, number: u64) -> Result<(), DiskError> {
    let name = segment_name(number);
    match disk.unlink(&name) {
        // It was deleted, but the directory could not be synced then.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        result => result.doing("delete", &disk.path(&name))?,
    }
    disk.sync_dir().doing("sync the directory", &disk.path(""))
}

impl<D: Disk> Log<D> {
    /// The next chore, for somebody else to run.
    pub(crate) fn take_chore(&mut self) -> Option<Chore<D>> {
        self.chores.pop_front()
    }

    /// Does all chores here and now.
    pub(super) fn run_chores(&mut self) -> Result<(), Arc<WalError>> {
        while let Some(chore) = self.take_chore() {
            self.on_done(chore.run());
        }
        match &self.reader.shared.lock().stopped {
            Some(error) => Err(Arc::clone(error)),
            None => Ok(()),
        }
    }

    /// Takes note of what became of a chore.
    pub(crate) fn on_done(&mut self, done: Done<D>) {
        match done {
            Done::Prepared(result) => self.on_prepared(result),
            Done::Sealed { number, result: Ok(()) } => {
                self.reader.shared.lock().places.forget_index(number);
            }
            Done::Sealed { number, result: Err(error) } => {
                // The index stays in memory, and the next open makes another.
                tracing::warn!(number, %error, source = %error.source, "a segment is not sealed");
            }
            Done::Deleted { deleted, left } => self.on_deleted(deleted, left),
        }
    }

    fn on_deleted(&mut self, deleted: u64, mut left: Vec<u64>) {
        self.deleting = false;
        let is_stuck = !left.is_empty();
        left.append(&mut self.undeleted);
        self.undeleted = left;
        let undeleted = self.undeleted.len();
        self.reader.shared.with(|view| {
            view.stats.segments_dropped += deleted;
            view.stats.segments = wide(view.segments.len() + undeleted);
        });
        if !is_stuck {
            self.delete_unused();
        }
        if deleted > 0 && self.is_short() {
            self.retry_space();
        }
    }

    fn on_prepared(&mut self, result: Result<Segment<D>, DiskError>) {
        self.spares.preparing = false;
        match result {
            Ok(segment) => {
                self.spares.ready.insert(segment.number, segment);
                self.spares.error = None;
            }
            Err(error) => {
                tracing::warn!(%error, source = %error.source, "no next segment yet");
                self.spares.error = Some(Arc::new(error));
            }
        }
        self.publish_space();
    }
}
