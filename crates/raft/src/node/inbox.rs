//! Where everything that happens to a node arrives.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use raft_core::{Entry, Fetch, LogId, MembershipChange, NodeId, ReadLevel, SnapshotMeta, WriteSeq};
use raft_net::{Inbound, Packet, PeerEvent};
use tokio::sync::{Notify, oneshot};

use super::callers::Caller;
use crate::driver::TransferDone;
use crate::error::{ReadError, StopReason};
use crate::log_store::LogError;
use crate::snapshot::{Kept, SnapshotError};
use crate::state_machine::StateMachine;

/// Who waits for the answer to a query.
pub(super) struct Reader<S: StateMachine> {
    pub(super) query: S::Query,
    pub(super) reply: oneshot::Sender<Result<S::Answer, ReadError>>,
}

/// Who waits for a snapshot.
pub(super) type Snapshotter = oneshot::Sender<Result<LogId, SnapshotError>>;

/// Something that happened.
pub(super) enum Happening<S: StateMachine> {
    Propose(Vec<(Bytes, Caller<S>)>),
    Read {
        level: ReadLevel,
        readers: Vec<Reader<S>>,
    },
    /// Somebody wants other members.
    Change {
        change: MembershipChange,
        caller: Caller<S>,
    },
    /// Somebody wants another leader.
    HandOver {
        to: NodeId,
        caller: Caller<S>,
    },
    Packet {
        from: NodeId,
        packet: Packet,
    },
    Peer(PeerEvent),
    Durable(Result<WriteSeq, LogError>),
    Fetched {
        fetch: Fetch,
        entries: Result<Vec<Entry>, LogError>,
    },
    /// The state machine has made progress that somebody waits for.
    Applied,
    /// Somebody wants a snapshot.
    WantSnapshot(Snapshotter),
    /// A snapshot of the state machine is durable, or there is none.
    Taken(Result<Kept, SnapshotError>),
    /// The state machine is as a snapshot says.
    Restored(SnapshotMeta),
    /// A task for the shelf of snapshots is done.
    Transfer(TransferDone),
    /// To be stopped, for this reason.
    Stop(StopReason),
}

/// The queue between everybody and a node's event loop. Each drain takes all of it.
pub(super) struct Inbox<S: StateMachine> {
    queue: Mutex<Queue<S>>,
    wake: Notify,
    bytes_max: usize,
}

struct Queue<S: StateMachine> {
    happenings: Vec<Happening<S>>,
    /// Bytes of commands and packets in it.
    bytes: usize,
    waking: Waking,
    closed: Option<StopReason>,
}

/// What it takes to wake the event loop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Waking {
    /// Anything wakes it.
    AtOnce,
    /// Proposals do not, until there are many: nothing could become of them yet.
    WhenUrgent,
    /// It has been woken, and will find whatever comes.
    Done,
}

/// Bytes of proposals that wake an event loop which lets them gather.
const GATHER_BYTES: usize = 256 << 10;

/// How often others may run before what has gathered is taken. The network's deadlines wait too.
const YIELDS_MAX: usize = 8;

/// Why something was not put into the inbox.
pub(super) enum Closed {
    Full,
    Stopped(StopReason),
}

impl<S: StateMachine> Inbox<S> {
    pub(super) fn new(bytes_max: usize) -> Self {
        let queue =
            Queue { happenings: Vec::new(), bytes: 0, waking: Waking::AtOnce, closed: None };
        Self { queue: Mutex::new(queue), wake: Notify::new(), bytes_max }
    }

    /// Puts in what a caller asks for, unless too much is waiting.
    pub(super) fn ask(&self, happening: Happening<S>, bytes: usize) -> Result<(), Closed> {
        let queue = self.queue();
        if let Some(reason) = &queue.closed {
            return Err(Closed::Stopped(reason.clone()));
        }
        if queue.bytes > 0 && queue.bytes + bytes > self.bytes_max {
            return Err(Closed::Full);
        }
        self.push(queue, happening, bytes);
        Ok(())
    }

    /// Puts in what cannot wait. After the end it is dropped.
    pub(super) fn tell(&self, happening: Happening<S>) {
        let queue = self.queue();
        if queue.closed.is_none() {
            self.push(queue, happening, 0);
        }
    }

    /// Takes everything; `taken` must be empty.
    pub(super) fn drain(&self, taken: &mut Vec<Happening<S>>) {
        let mut queue = self.queue();
        std::mem::swap(&mut queue.happenings, taken);
        queue.bytes = 0;
        queue.waking = Waking::AtOnce;
    }

    /// Lets proposals gather until something else comes, or until there are many.
    pub(super) fn gather(&self) {
        let mut queue = self.queue();
        if queue.waking == Waking::AtOnce {
            queue.waking = Waking::WhenUrgent;
        }
    }

    /// Lets others run as long as they bring something. Where all processors are busy, those who
    /// are about to propose get into the same batch; where one is free, this returns at once.
    pub(super) fn linger(&self) {
        let mut known = self.queue().happenings.len();
        for _ in 0..YIELDS_MAX {
            std::thread::yield_now();
            let now = self.queue().happenings.len();
            if now == known {
                break;
            }
            known = now;
        }
    }

    /// Returns when something may be in it. Cancel safe.
    pub(super) async fn filled(&self) {
        self.wake.notified().await;
    }

    /// Takes no more. What is in it is dropped, and with it whoever waits for an answer.
    pub(super) fn close(&self, reason: StopReason) {
        let mut queue = self.queue();
        queue.closed.get_or_insert(reason);
        let left = std::mem::take(&mut queue.happenings);
        drop(queue);
        drop(left);
    }

    pub(super) fn stop_reason(&self) -> Option<StopReason> {
        self.queue().closed.clone()
    }

    fn push(&self, mut queue: MutexGuard<'_, Queue<S>>, happening: Happening<S>, bytes: usize) {
        let is_proposal = matches!(happening, Happening::Propose(_));
        queue.happenings.push(happening);
        queue.bytes += bytes;
        let wakes = match queue.waking {
            Waking::AtOnce => true,
            Waking::WhenUrgent => !is_proposal || queue.bytes >= GATHER_BYTES,
            Waking::Done => false,
        };
        if wakes {
            queue.waking = Waking::Done;
            drop(queue);
            self.wake.notify_one();
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<S>> {
        // Every change leaves the queue whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: StateMachine> Inbound for Inbox<S> {
    fn on_packet(&self, from: NodeId, packet: Packet) {
        let bytes = packet.payload().weight();
        // The network may lose packets, so it may lose those for which there is no room.
        drop(self.ask(Happening::Packet { from, packet }, bytes));
    }

    fn on_event(&self, event: PeerEvent) {
        self.tell(Happening::Peer(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Raw;
    use crate::state_machine::Applied;

    struct Nothing;

    impl StateMachine for Nothing {
        type Command = Raw;
        type Response = ();
        type Query = ();
        type Answer = ();

        fn apply(&mut self, _: Applied<Raw>) {}

        fn query(&self, (): ()) {}
    }

    /// Whether the event loop would go on.
    async fn is_awake(inbox: &Inbox<Nothing>) -> bool {
        tokio::select! {
            biased;
            () = inbox.filled() => true,
            () = std::future::ready(()) => false,
        }
    }

    fn propose(inbox: &Inbox<Nothing>, bytes: usize) {
        assert!(inbox.ask(Happening::Propose(Vec::new()), bytes).is_ok());
    }

    #[tokio::test]
    async fn a_proposal_wakes_the_event_loop_unless_it_lets_them_gather() {
        let inbox = Inbox::new(1 << 20);
        propose(&inbox, 1);
        assert!(is_awake(&inbox).await);

        inbox.drain(&mut Vec::new());
        inbox.gather();
        propose(&inbox, 1);
        assert!(!is_awake(&inbox).await);
    }

    #[tokio::test]
    async fn anything_else_and_many_proposals_wake_it_all_the_same() {
        let inbox = Inbox::new(1 << 20);
        inbox.gather();
        propose(&inbox, 1);
        inbox.tell(Happening::Applied);
        assert!(is_awake(&inbox).await);

        inbox.drain(&mut Vec::new());
        inbox.gather();
        propose(&inbox, GATHER_BYTES);
        assert!(is_awake(&inbox).await);
    }

    #[tokio::test]
    async fn what_came_before_it_began_to_gather_still_wakes_it() {
        let inbox = Inbox::new(1 << 20);

        propose(&inbox, 1);
        inbox.gather();

        assert!(is_awake(&inbox).await);
    }
}
