//! What is done on the shelf of snapshots, beside the event loop.

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use raft_core::NodeId;
use tokio::runtime::Handle;

use super::inbox::{Happening, Inbox};
use crate::driver::SnapshotTask;
use crate::snapshot::Shelf;
use crate::state_machine::StateMachine;

/// Serves peers on threads for blocking work, and receives on a thread of its own: what is received
/// is written in order.
pub(super) struct Librarian<S: StateMachine> {
    shelf: Arc<dyn Shelf>,
    inbox: Arc<Inbox<S>>,
    tasks: Sender<SnapshotTask>,
    thread: JoinHandle<()>,
}

impl<S: StateMachine> Librarian<S> {
    pub(super) fn start(
        id: NodeId,
        shelf: Arc<dyn Shelf>,
        inbox: Arc<Inbox<S>>,
    ) -> std::io::Result<Self> {
        let (tasks, receiver) = channel();
        let (shared, told) = (Arc::clone(&shelf), Arc::clone(&inbox));
        let thread =
            std::thread::Builder::new().name(format!("raft-receive-{id}")).spawn(move || {
                while let Ok(task) = receiver.recv() {
                    carry_out(&*shared, &told, task);
                }
            })?;
        Ok(Self { shelf, inbox, tasks, thread })
    }

    /// Has a task done; the answer comes through the inbox.
    pub(super) fn submit(&self, task: SnapshotTask) {
        match task {
            task @ (SnapshotTask::Read { .. } | SnapshotTask::Release { .. }) => {
                let (shelf, inbox) = (Arc::clone(&self.shelf), Arc::clone(&self.inbox));
                // Not awaited: the answer comes through the inbox.
                let serve = move || carry_out(&*shelf, &inbox, task);
                drop(Handle::current().spawn_blocking(serve));
            }
            task @ (SnapshotTask::Prepare { .. }
            | SnapshotTask::Write { .. }
            | SnapshotTask::Publish { .. }) => {
                // It ends only when the node does.
                drop(self.tasks.send(task));
            }
        }
    }

    /// Ends the thread once it has done what it was given.
    pub(super) fn stop(self) {
        drop(self.tasks);
        drop(self.thread.join());
    }
}

fn carry_out<S: StateMachine>(shelf: &dyn Shelf, inbox: &Inbox<S>, task: SnapshotTask) {
    if let Some(done) = shelf.carry_out(task) {
        inbox.tell(Happening::Transfer(done));
    }
}
