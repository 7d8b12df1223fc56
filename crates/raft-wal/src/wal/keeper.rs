//! The thread that prepares, seals and deletes segments, so that those who write need not.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;

use super::desk::Desk;
use crate::disk::Disk;
use crate::error::WalError;
use crate::log::Chore;
use crate::view::Shared;

/// Starts the keeper. It ends when there is nobody left to give it chores, and all are done; the
/// directory stays locked that long, however the log itself ends.
pub(super) fn spawn<D: Disk>(
    lock: Arc<D::Lock>,
    shared: Arc<Shared<D>>,
    desk: Arc<Desk<D>>,
    chores: Receiver<Chore<D>>,
) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name("wal-keeper".to_owned()).spawn(move || {
        let _lock = lock;
        for chore in chores {
            match catch_unwind(AssertUnwindSafe(|| chore.run())) {
                Ok(done) => desk.on_done(done),
                // The writer must not wait for what never comes.
                Err(_) => {
                    desk.stop(&shared.stop(WalError::Panicked));
                    desk.nudge();
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use raft_core::{ClusterId, NodeId};

    use super::*;
    use crate::log::Log;
    use crate::options::Options;
    use crate::sim::SimDisk;
    use crate::submit::Identity;

    #[test]
    fn the_directory_is_locked_as_long_as_there_may_be_chores() {
        let disk = SimDisk::new(1);
        let node = NodeId::new(1).expect("it is not zero");
        let identity = Identity { cluster: ClusterId::new([1; 16]), node };
        let options = Options { segment_bytes: SimDisk::SEGMENT_BYTES_MIN, ..Options::default() };
        let (mut log, _) =
            Log::open(disk.clone(), identity, options).expect("a disk without faults");
        let shared = Arc::clone(&log.reader.shared);
        let (chores, queue) = channel();
        let desk = Arc::new(Desk::new(Arc::clone(&shared)));
        // Nobody takes note of what becomes of it.
        desk.close(WalError::Closed);
        chores.send(log.take_chore().expect("a segment to prepare")).expect("a queue");
        let names = disk.file_names();
        let keeper = spawn(log.lock(), shared, desk, queue).expect("a thread");
        let is_locked = || disk.lock().expect("a disk without faults").is_none();

        drop(log);
        while disk.file_names() == names {
            std::thread::yield_now();
        }
        assert!(is_locked());

        drop(chores);
        keeper.join().expect("it does not panic");
        assert!(!is_locked());
    }
}
