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
