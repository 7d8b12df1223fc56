//! One server of the cluster: the real core, and what is on its disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use raft_core::{
    Entry, HardState, Input, LogId, LogIndex, Message, NodeId, Output, Raft, Restored, RoleKind,
    Term, Timestamp, Write, WriteSeq,
};

use crate::scenario::{Change, Scenario};

/// A server that runs or has crashed, and its disk.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(crate) struct Local {
    id: NodeId,
    raft: Option<Box<Raft>>,
    disk: Disk,
}

/// What a server has written.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Disk {
    hard_state: HardState,
    /// The whole log, from index 1.
    log: Vec<Entry>,
    /// Handed out and not durable, the oldest first.
    under_way: Vec<Write>,
}

/// Something that can happen to a server.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum Happening<'a> {
    Message(&'a Message),
    /// Its deadline comes.
    Timeout,
    /// It hears nothing for as long as a voter keeps faith with a leader.
    Silence,
    /// Its oldest write becomes durable.
    Persisted,
    /// A client proposes a command.
    Proposal,
    /// An operator wants this.
    Change(&'a Change),
    /// It loses its memory, and all writes under way but the first `kept`.
    Crash {
        kept: usize,
    },
    Restart,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) local: Local,
    pub(crate) sent: Vec<Message>,
}

/// Why nothing came of it.
#[derive(Debug)]
pub(crate) enum NoStep {
    /// It cannot happen here.
    Impossible,
    /// It happens, and the core found itself wrong.
    Broken(String),
}

/// What others may see of a server, and what must not change.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) id: NodeId,
    pub(crate) role: Option<RoleKind>,
    pub(crate) term: Term,
    /// What it knows to be committed; nothing while it is down.
    pub(crate) commit: LogIndex,
    /// Its log in memory, or on disk while it is down.
    pub(crate) log: Vec<Entry>,
    /// The part of the log that a crash leaves.
    pub(crate) durable: Vec<LogId>,
}

impl Local {
    pub(crate) fn founding(scenario: &Scenario, id: NodeId) -> Self {
        let restored = if scenario.is_founder(id) {
            Restored::bootstrap(scenario.membership())
        } else {
            Restored::joining(scenario.membership())
        };
        let disk =
            Disk { hard_state: restored.hard_state, log: restored.tail, under_way: Vec::new() };
        Self::restarted(scenario, id, disk)
    }

    /// A server that knows what is on its disk.
    fn restarted(scenario: &Scenario, id: NodeId, disk: Disk) -> Self {
        let hard_state = disk.hard_state;
        let restored = if disk.log.is_empty() {
            Restored { hard_state, ..Restored::joining(scenario.membership()) }
        } else {
            Restored::from_entries(hard_state, disk.log.clone())
                .expect("the core wrote what it can read")
        };
        // Chance is ours: which deadline comes first is tried both ways.
        let mut raft = Raft::new(scenario.config(id), restored, 0, Timestamp::default())
            .expect("the core wrote what it can start from");
        raft.canonicalize();
        Self { id, raft: Some(Box::new(raft)), disk }
    }

    /// What comes of `happening`, by the core's own code.
    pub(crate) fn step(
        &self,
        scenario: &Scenario,
        happening: Happening<'_>,
    ) -> Result<Step, NoStep> {
        match (happening, &self.raft) {
            (Happening::Crash { kept }, Some(_)) => {
                let mut disk = self.disk.clone();
                let kept: Vec<_> = disk.under_way.drain(..).take(kept).collect();
                kept.into_iter().for_each(|write| disk.carry_out(write));
                Ok(Step { local: Self { id: self.id, raft: None, disk }, sent: Vec::new() })
            }
            (Happening::Restart, None) => {
                let local = Self::restarted(scenario, self.id, self.disk.clone());
                Ok(Step { local, sent: Vec::new() })
            }
            (Happening::Crash { .. }, None) | (Happening::Restart, Some(_)) | (_, None) => {
                Err(NoStep::Impossible)
            }
            (happening, Some(raft)) => {
                let (mut raft, mut disk) = (raft.clone(), self.disk.clone());
                let run = || run(scenario, &mut raft, &mut disk, happening);
                let sent = catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
                    let said = panic.downcast_ref::<&str>().map(|&said| said.to_owned());
                    let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
                    NoStep::Broken(said.unwrap_or_default())
                })?;
                let sent = sent.ok_or(NoStep::Impossible)?;
                Ok(Step { local: Self { id: self.id, raft: Some(raft), disk }, sent })
            }
        }
    }

    /// How many writes a crash may find under way.
    pub(crate) fn writes_under_way(&self) -> usize {
        self.disk.under_way.len()
    }

    pub(crate) fn view(&self) -> View {
        let status = self.raft.as_ref().map(|raft| raft.status());
        let hard_state = status.as_ref().map_or(self.disk.hard_state, |status| status.hard_state);
        let mut log = self.disk.clone();
        if status.is_some() {
            log.under_way.drain(..).collect::<Vec<_>>().into_iter().for_each(|w| log.carry_out(w));
        }
        View {
            id: self.id,
            role: status.as_ref().map(|status| status.role),
            term: hard_state.term,
            commit: status.map_or(LogIndex::ZERO, |status| status.commit),
            log: log.log,
            durable: self.disk.log.iter().map(|entry| entry.id).collect(),
        }
    }
}

/// Lets it happen to the core; what is sent, or nothing if it cannot happen.
fn run(
    scenario: &Scenario,
    raft: &mut Raft,
    disk: &mut Disk,
    happening: Happening<'_>,
) -> Option<Vec<Message>> {
    let mut now = raft.canonicalize();
    match happening {
        Happening::Message(message) => raft.step(now, Input::Message(message.clone())),
        Happening::Timeout => {
            now = Some(raft.next_deadline()).filter(|&deadline| deadline < Timestamp::NEVER)?;
            raft.step(now, Input::Timeout);
        }
        Happening::Silence => {
            let heard_until = now.after(scenario.config(raft.status().id).election_timeout);
            let early = Duration::from_micros(1);
            let waits = raft.next_deadline().since(now);
            now = heard_until.min(now.after(waits.saturating_sub(early)));
            // The acknowledgement of nothing.
            raft.step(now, Input::Persisted(WriteSeq::new(0)));
        }
        Happening::Persisted => {
            let write = (!disk.under_way.is_empty()).then(|| disk.under_way.remove(0))?;
            disk.carry_out(write);
            raft.step(now, Input::Persisted(WriteSeq::new(1)));
        }
        Happening::Proposal => {
            raft.propose(now, Bytes::from_static(b"x")).ok()?;
        }
        Happening::Change(change) => change.ask(raft, now)?,
        Happening::Crash { .. } | Happening::Restart => return None,
    }
    let sent = drain(raft, disk);
    raft.canonicalize();
    Some(sent)
}

/// Does what the core wants, except for waiting.
fn drain(raft: &mut Raft, disk: &mut Disk) -> Vec<Message> {
    let mut sent = Vec::new();
    while let Some(output) = raft.poll_output() {
        let Output { write, messages, commit: _, install, fetches, reads: _, events: _ } = output;
        disk.under_way.extend(write.map(|write| Write { seq: WriteSeq::default(), ..write }));
        sent.extend(messages);
        // The whole log is in memory, and nothing is ever dropped from it.
        assert!(install.is_none() && fetches.is_empty(), "there is nothing to fetch");
    }
    sent
}

impl Disk {
    fn carry_out(&mut self, write: Write) {
        let Write { seq: _, hard_state, reset, compact, truncate, settles_doubt, append, repair } =
            write;
        assert!(reset.is_none() && compact.is_none(), "no log is compacted");
        assert!(repair.is_empty() && !settles_doubt, "no log is damaged");
        self.hard_state = hard_state.unwrap_or(self.hard_state);
        if let Some(from) = truncate {
            self.log.retain(|entry| entry.id.index < from);
        }
        self.log.extend(append);
    }
}
