//! The thread that prepares, seals and deletes segments, so that the writer need not.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use super::writer::Orders;
use crate::disk::{Disk, OsDisk};
use crate::error::WalError;
use crate::log::Chore;
use crate::view::Shared;

/// A running keeper. It ends when `chores` is dropped and all are done.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) chores: Sender<Chore<OsDisk>>,
    pub(super) thread: JoinHandle<()>,
}

/// Starts the keeper, which hands what it has done to `orders`.
pub(super) fn spawn(shared: Arc<Shared<OsDisk>>, orders: Arc<Orders>) -> io::Result<Keeper> {
    let (chores, queue) = channel::<Chore<OsDisk>>();
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
