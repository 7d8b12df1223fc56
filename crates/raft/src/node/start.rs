//! Opening all that a node needs, on its thread.

use std::io;
use std::sync::Arc;

use raft_core::{Raft, RestoreError, Restored};
use tokio::sync::{oneshot, watch};

use super::builder::Builder;
use super::clock::Clock;
use super::event_loop::{EventLoop, Ledger, Room, metrics_of};
use super::inbox::{Happening, Inbox};
use super::librarian::Librarian;
use super::origin::{begin, genesis, memberships};
use super::pace::Pace;
use super::peers::Peers;
use super::restore::{Beginning, restore};
use super::worker::Worker;
use super::writing::{Scribe, Tempo};
use crate::driver::Driver;
use crate::error::{StartError, StopReason};
use crate::log_store::{LogError, LogStore, OpenedLog};
use crate::machine::Machine;
use crate::snapshot::{Kept, Shelf};
use crate::state_machine::StateMachine;
use crate::status::Metrics;
use crate::transport::{Local, Nowhere, OpenTransport, Transport};

/// The life of a node's thread.
pub(super) fn run<S: StateMachine>(
    builder: Builder,
    state_machine: S,
    inbox: &Arc<Inbox<S>>,
    ready: oneshot::Sender<Result<watch::Receiver<Metrics>, StartError>>,
) -> StopReason {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(source) => {
            let what = "an event loop";
            drop(ready.send(Err(StartError::System { what, source })));
            return StopReason::Shutdown;
        }
    };
    let body = async {
        match open(builder, state_machine, inbox).await {
            Ok((event_loop, metrics)) => {
                if ready.send(Ok(metrics)).is_err() {
                    inbox.tell(Happening::Stop(StopReason::Shutdown));
                }
                // It holds the whole node.
                Box::pin(event_loop.run()).await
            }
            Err(error) => {
                drop(ready.send(Err(error)));
                StopReason::Shutdown
            }
        }
    };
    // What a panic leaves behind is not used: the node ends with it.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| runtime.block_on(body)))
        .unwrap_or(StopReason::InvariantViolated)
}

/// What a node has kept.
struct Storage<S> {
    log: Arc<dyn LogStore>,
    shelf: Arc<dyn Shelf>,
    /// As the newest snapshot says, if there is one.
    machine: Machine<S>,
    newest: Option<Kept>,
    restored: Restored,
    /// What of the log is damaged.
    damage: Vec<LogError>,
    /// Why a newer snapshot than `newest` is not used, if there is one.
    unreadable: Option<io::Error>,
    generation: u64,
}

async fn open_storage<S: StateMachine>(
    builder: &mut Builder,
    state_machine: S,
    inbox: &Arc<Inbox<S>>,
) -> Result<Storage<S>, StartError> {
    let id = builder.config.id;
    let open_shelf = builder.shelf();
    let durable = Arc::clone(inbox);
    let callback = Box::new(move |seq| durable.tell(Happening::Durable(seq)));
    let OpenedLog { store: log, restored, damage, generation } =
        builder.open_log()?.open(callback)?;
    for damage in &damage {
        tracing::error!(node = %id, %damage, "the log is damaged");
    }
    // After the log: that is who says that the directory is in use.
    let (shelf, unreadable) = open_shelf()?;
    let Beginning { machine, restored, kept: newest, damage: unreadable } =
        restore(state_machine, &*shelf, unreadable, restored, generation)?;
    let restored = begin(&*log, inbox, builder.origin.clone(), restored).await?;
    let restored = Restored { on_loss: builder.on_loss, ..restored };
    if restored.is_in_doubt {
        tracing::warn!(
            node = %id,
            "the newest write may be lost; this node's vote counts only if every voter gives one, until \
             it has caught up with a leader"
        );
    }
    Ok(Storage { log, shelf, machine, newest, restored, damage, unreadable, generation })
}

/// Opens everything that a node needs.
async fn open<S: StateMachine>(
    mut builder: Builder,
    state_machine: S,
    inbox: &Arc<Inbox<S>>,
) -> Result<(EventLoop<S>, watch::Receiver<Metrics>), StartError> {
    let id = builder.config.id;
    builder.config.validate().map_err(RestoreError::from)?;
    builder.origin.check(id, builder.transport.is_some())?;
    let storage = open_storage(&mut builder, state_machine, inbox).await?;
    let Storage { log, shelf, machine, newest, restored, damage, unreadable, generation } = storage;
    let Builder { config, cluster, transport, origin, mut options, .. } = builder;
    let pace = Pace::new(builder.snapshot_pace, builder.snapshot_rate);
    options.snapshots.owner.cluster = cluster;
    let Some(peers) = Peers::new(id, origin.members().cloned(), memberships(&restored)) else {
        return Err(unreadable.map_or(StartError::NotBootstrapped, StartError::unreadable));
    };
    let (genesis, addresses) = (genesis(&restored), peers.addresses());
    let local = Local { node: id, cluster, generation, genesis, peers: addresses };

    let clock = Clock::start();
    let raft = Raft::new(config, restored, seed(), clock.now())
        .map_err(|error| StartError::from_restore(error, &damage, unreadable))?;
    let status = raft.status();
    let (metrics, watched) =
        watch::channel(metrics_of(&status, Arc::new(status.membership.clone())));
    let transport = open_transport(transport, local, inbox)?;
    let metrics = Arc::new(metrics);
    let system = |source| StartError::System { what: "a thread", source };
    let librarian = Librarian::start(id, Arc::clone(&shelf), Arc::clone(inbox)).map_err(system)?;
    let tempo = Tempo::new(pace, clock);
    let scribe = Scribe::new(id, shelf, Arc::clone(inbox), tempo.clone());
    let (read, published) = (Arc::clone(&log), Arc::clone(&metrics));
    let worker =
        Worker::start(id, machine, read, scribe, Arc::clone(inbox), published).map_err(system)?;
    let mut driver = Driver::new(raft, options);
    let mut snapshots = Ledger::default();
    if let Some(kept) = newest {
        driver.on_snapshot_known(kept.bytes);
        (snapshots.metrics.last, snapshots.metrics.bytes) = (Some(kept.id.last), kept.bytes);
    }
    let (inbox, room) = (Arc::clone(inbox), Room::Enough);
    let event_loop = EventLoop {
        id,
        driver,
        inbox,
        log,
        transport,
        peers,
        worker,
        librarian,
        snapshots,
        tempo,
        clock,
        metrics,
        room,
    };
    Ok((event_loop, watched))
}

fn open_transport<S: StateMachine>(
    transport: Option<Box<dyn OpenTransport>>,
    local: Local,
    inbox: &Arc<Inbox<S>>,
) -> Result<Box<dyn Transport>, StartError> {
    let members = local.peers.len() + 1;
    match transport {
        Some(transport) => {
            let inbound: Arc<dyn raft_net::Inbound> = Arc::<Inbox<S>>::clone(inbox);
            let runtime = tokio::runtime::Handle::current();
            transport.open(local, inbound, runtime).map_err(StartError::Transport)
        }
        None if members == 1 => Ok(Box::new(Nowhere)),
        None => Err(StartError::NoTransport { members }),
    }
}

/// Randomness that differs from start to start: the standard library seeds its hash maps so.
pub(super) fn seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish()
}
