//! How a node comes to its members, and what the core starts from.

use raft_core::{Faulty, LogId, LogIndex, Membership, NodeId, Restored, Write, WriteSeq};

use super::inbox::{Happening, Inbox};
use super::peers::is_founding;
use crate::error::StartError;
use crate::log_store::{LogError, LogStore};
use crate::state_machine::StateMachine;

/// How a node without a log comes to its members.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Unsaid,
    Founder(Membership),
    Joiner(Membership),
}

impl Origin {
    pub(super) const fn members(&self) -> Option<&Membership> {
        match self {
            Self::Unsaid => None,
            Self::Founder(members) | Self::Joiner(members) => Some(members),
        }
    }

    /// Whether a node with this id can begin so.
    pub(super) fn check(&self, id: NodeId, has_transport: bool) -> Result<(), StartError> {
        let needs_transport = match self {
            Self::Unsaid => None,
            Self::Founder(founders) => {
                let members: Vec<_> = founders.members().collect();
                if !members.contains(&id) {
                    return Err(StartError::NotAMember { id, members });
                }
                Some(members.len()).filter(|&members| members > 1)
            }
            Self::Joiner(members) if members.contains(id) => {
                return Err(StartError::JoinsItself { id });
            }
            Self::Joiner(members) => Some(members.members().count() + 1),
        };
        match needs_transport {
            Some(members) if !has_transport => Err(StartError::NoTransport { members }),
            Some(_) | None => Ok(()),
        }
    }
}

/// What the core starts from: what the log and the snapshots have, or else a beginning.
pub(super) async fn begin<S: StateMachine>(
    log: &dyn LogStore,
    inbox: &Inbox<S>,
    origin: Origin,
    restored: Option<Restored>,
) -> Result<Restored, StartError> {
    match (restored, origin) {
        (Some(restored), origin) if restored.last != LogId::ZERO || restored.snapshot.is_some() => {
            check_members_agree(&origin, &restored)?;
            remember_members(log, inbox, origin, restored).await
        }
        // It may have voted before it received anything.
        (begun, Origin::Joiner(members)) => {
            let joining = Restored::joining(members);
            let Some(Restored { hard_state, is_in_doubt, .. }) = begun else { return Ok(joining) };
            Ok(Restored { hard_state, is_in_doubt, ..joining })
        }
        (None, Origin::Founder(founders)) => found_cluster(log, inbox, founders).await,
        (Some(_), Origin::Founder(_)) => Err(StartError::HasJoined),
        (Some(_) | None, Origin::Unsaid) => Err(StartError::NotBootstrapped),
    }
}

/// As long as the founders are the members, others would not be the cluster it belongs to.
fn check_members_agree(origin: &Origin, restored: &Restored) -> Result<(), StartError> {
    let (Origin::Founder(given), Some((at, stored))) = (origin, memberships(restored).last())
    else {
        return Ok(());
    };
    let (given, stored): (Vec<_>, Vec<_>) = (given.members().collect(), stored.members().collect());
    if given == stored || !is_founding(at) {
        Ok(())
    } else {
        Err(StartError::OtherMembers { given, stored })
    }
}

/// Makes the first entry of a new cluster durable.
async fn found_cluster<S: StateMachine>(
    log: &dyn LogStore,
    inbox: &Inbox<S>,
    founders: Membership,
) -> Result<Restored, StartError> {
    let restored = Restored::bootstrap(founders);
    let (hard_state, append) = (Some(restored.hard_state), restored.tail.clone().into());
    write(log, inbox, Write { hard_state, append, ..Write::default() }).await?;
    Ok(restored)
}

/// Goes on with the members that were given if no others are known, because the entries that name
/// them are damaged, or the snapshot. A founder that is alone writes its first entry again: nobody
/// else has it.
async fn remember_members<S: StateMachine>(
    log: &dyn LogStore,
    inbox: &Inbox<S>,
    origin: Origin,
    mut restored: Restored,
) -> Result<Restored, StartError> {
    let lacks_state = restored.snapshot.is_none() && restored.base != LogId::ZERO;
    let in_force = |(id, _): (LogId, _)| !lacks_state || id.index <= restored.base.index;
    if memberships(&restored).next().is_some_and(in_force) {
        return Ok(restored);
    }
    match origin {
        Origin::Unsaid => {}
        Origin::Joiner(members) => restored.memberships.insert(0, (LogId::ZERO, members)),
        Origin::Founder(members) if lacks_state => {
            let founding = Restored::bootstrap(members).memberships;
            restored.memberships.splice(..0, founding);
        }
        Origin::Founder(members) => {
            let founding = Restored::bootstrap(members.clone());
            if restored.term_starts.first() != Some(&founding.last) {
                return Ok(restored);
            }
            if members.members().count() == 1 {
                let repair = founding.tail;
                write(log, inbox, Write { repair, ..Write::default() }).await?;
                restored.faulty = restored.faulty.into_iter().filter_map(after_founding).collect();
            }
            restored.memberships.push((founding.last, members));
        }
    }
    Ok(restored)
}

/// What is lost beside the first entry.
fn after_founding(faulty: Faulty) -> Option<Faulty> {
    let first = faulty.first.max(LogIndex::new(2));
    faulty.last.is_none_or(|last| first <= last).then_some(Faulty { first, ..faulty })
}

/// Writes to the log before anything else does, and waits until that is durable.
async fn write<S: StateMachine>(
    log: &dyn LogStore,
    inbox: &Inbox<S>,
    write: Write,
) -> Result<(), StartError> {
    log.submit(Write { seq: WriteSeq::default(), ..write })?;
    let mut happenings = Vec::new();
    loop {
        inbox.drain(&mut happenings);
        for happening in happenings.drain(..) {
            match happening {
                Happening::Durable(Ok(_)) => return Ok(()),
                Happening::Durable(Err(error)) => return Err(StartError::Log(error)),
                Happening::Stop(_) => {
                    let error = LogError::new("the node was stopped while it started");
                    return Err(StartError::Log(error));
                }
                // Nobody can ask a node that has not started.
                Happening::Propose(_)
                | Happening::Read { .. }
                | Happening::Change { .. }
                | Happening::HandOver { .. }
                | Happening::Packet { .. }
                | Happening::Peer(_)
                | Happening::Fetched { .. }
                | Happening::WantSnapshot(_)
                | Happening::Taken(_)
                | Happening::Restored(_)
                | Happening::Transfer(_)
                | Happening::Applied => {}
            }
        }
        inbox.filled().await;
    }
}

/// The memberships that are known, the oldest first: that of the snapshot, and those in the log.
pub(super) fn memberships(restored: &Restored) -> impl Iterator<Item = (LogId, &Membership)> {
    let snapshot = restored.snapshot.iter().map(|meta| (meta.membership_id, &meta.membership));
    let covered = snapshot.clone().next().map(|(id, _)| id.index);
    let in_log = restored.memberships.iter().map(|(id, membership)| (*id, membership));
    snapshot.chain(in_log.filter(move |(id, _)| covered.is_none_or(|last| id.index > last)))
}

/// Digest of the founding members (FNV-1a), so that nodes that were started with different ones do
/// not take their logs for the same. Addresses may change, so they do not count.
pub(super) fn genesis(restored: &Restored) -> Option<u64> {
    let (id, founding) = memberships(restored).next()?;
    let digest = |membership: &Membership| {
        let ids = membership.members().flat_map(|id| id.get().to_le_bytes());
        ids.fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    };
    (id.index == LogIndex::new(1)).then(|| digest(founding))
}
