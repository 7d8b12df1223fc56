//! A cluster of one without a log, which remembers how it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use raft::NodeId;
use raft_kv::backend::{Backend, Change, Member, Refusal, Snapshots, Status};
use raft_kv::command::Command;
use raft_kv::server::Server;
use raft_kv::store::{Answer, Query, Response, Store};
use tokio::sync::{Notify, OwnedRwLockWriteGuard, RwLock, oneshot};
use tokio::task::JoinHandle;

#[derive(Clone, Default)]
pub(crate) struct Fake {
    shared: Arc<Mutex<Shared>>,
    /// Proposals wait while somebody holds it for writing.
    gate: Arc<RwLock<()>>,
    proposed: Arc<Notify>,
}

#[derive(Default)]
struct Shared {
    store: Store,
    batches: Vec<Batch>,
    /// What was asked of the cluster rather than of the store.
    asked: Vec<String>,
    refusal: Option<Refusal>,
}

/// What was asked for together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Batch {
    Writes(usize),
    Reads(usize),
}

impl Fake {
    pub(crate) fn batches(&self) -> Vec<Batch> {
        self.shared().batches.clone()
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared().asked.clone()
    }

    /// From now on refuse everything, or nothing.
    pub(crate) fn refuse(&self, refusal: Option<Refusal>) {
        self.shared().refusal = refusal;
    }

    /// No proposal is answered until the guard is dropped.
    pub(crate) fn close_gate(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.gate).try_write_owned().expect("no proposal under way")
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no test panicked holding it")
    }

    pub(crate) async fn wait_for_propose(&self) {
        self.proposed.notified().await;
    }
}

impl Backend for Fake {
    async fn propose(&self, commands: Vec<Command>) -> Vec<Result<Response, Refusal>> {
        self.proposed.notify_one();
        let _open = self.gate.read().await;
        let mut shared = self.shared();
        shared.batches.push(Batch::Writes(commands.len()));
        let refusal = shared.refusal.clone();
        let mut apply = |command| match &refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(shared.store.execute(command)),
        };
        commands.into_iter().map(&mut apply).collect()
    }

    async fn read(&self, queries: Vec<Query>) -> Vec<Result<Answer, Refusal>> {
        let mut shared = self.shared();
        shared.batches.push(Batch::Reads(queries.len()));
        let answer = |query| match &shared.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(shared.store.answer(query)),
        };
        queries.iter().map(answer).collect()
    }

    async fn snapshot(&self) -> Result<u64, Refusal> {
        match &self.shared().refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(3),
        }
    }

    async fn change(&self, change: Change) -> Result<(), Refusal> {
        self.shared().asked.push(format!("{change:?}"));
        self.shared().refusal.clone().map_or(Ok(()), Err)
    }

    async fn transfer(&self, to: Option<NodeId>) -> Result<(), Refusal> {
        self.shared().asked.push(format!("{to:?}"));
        self.shared().refusal.clone().map_or(Ok(()), Err)
    }

    fn status(&self) -> Status {
        Status {
            id: 1,
            role: "leader".to_owned(),
            term: 2,
            leader: Some(1),
            commit: 3,
            applied: 3,
            first: 1,
            last: 4,
            wal_fsyncs: 5,
            snapshots: Snapshots { last: 2, bytes: 6, ..Snapshots::default() },
            members: vec![Member { id: 1, address: "one:7001".to_owned(), voter: true }],
        }
    }
}

/// A server in the background.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) backend: Fake,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

pub(crate) async fn start() -> Running {
    start_with(100).await
}

pub(crate) async fn start_with(connections_max: usize) -> Running {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = Server::bind(any_port, connections_max).await.expect("a free port");
    let address = server.local_address().expect("a bound socket");
    let backend = Fake::default();
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let task = tokio::spawn(server.run(backend.clone(), stopped));
    Running { address, backend, stop: Some(stop), task }
}

impl Running {
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    pub(crate) async fn ended(self) {
        self.task.await.expect("a server that ends");
    }
}
