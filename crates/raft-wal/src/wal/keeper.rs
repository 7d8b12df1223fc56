//! The thread that prepares, seals and deletes segments, so that the writer need not.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use super::writer::Orders;
use crate::disk::Disk;
use crate::error::WalError;
use crate::log::Chore;
use crate::view::Shared;

/// A running keeper. It ends when `chores` is dropped and all are done.
#[derive(Debug)]
pub(super) struct Keeper<D: Disk> {
    pub(super) chores: Sender<Chore<D>>,
    pub(super) thread: JoinHandle<()>,
}

/// Starts the keeper, which hands what it has done to `orders`.
pub(super) fn spawn<D: Disk>(
    shared: Arc<Shared<D>>,
    orders: Arc<Orders<D>>,
) -> io::Result<Keeper<D>> {
    let (chores, queue) = channel::<Chore<D>>();
    let thread = std::thread::Builder::new().name("wal-keeper".to_owned()).spawn(move || {
        for chore in queue {
            match catch_unwind(AssertUnwindSafe(|| chore.run())) {
                Ok(done) => orders.done(done),
                // The writer must not wait for what never comes.
                Err(_) => drop(shared.stop(WalError::Panicked)),
            }
            wake(&shared);
        }
    })?;
    Ok(Keeper { chores, thread })
}

/// Wakes the writer, which cannot be on its way to sleep while the view is locked.
fn wake<D: Disk>(shared: &Shared<D>) {
    drop(shared.lock());
    shared.work.notify_one();
}
