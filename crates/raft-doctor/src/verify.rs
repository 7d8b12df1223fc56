//! `raft-doctor verify`: every byte, checked.

use std::io::Write;

use raft_wal::Verify;
use raft_wal::inspect::LogIdent;

use crate::place::{Log, Place};
use crate::{Finding, say};

/// What a reading of everything has found.
#[derive(Debug, Default)]
struct Examination {
    /// A sentence on each thing that is damaged.
    complaints: Vec<String>,
    batches: u64,
    entries: u64,
    segments: u64,
    snapshots: u64,
}

pub(crate) fn run(place: &Place, out: &mut dyn Write) -> anyhow::Result<Finding> {
    let ident = place.identity();
    let mut found = examine(place)?;
    if !found.complaints.is_empty() {
        // A node that is running writes, and what is being written looks damaged: but only once.
        let again = examine(place)?;
        found.complaints.retain(|complaint| again.complaints.contains(complaint));
    }
    for complaint in &found.complaints {
        writeln!(out, "{complaint}")?;
    }
    let judged = match &ident {
        Ok(ident) => judge(place, ident, out)?,
        Err(error) => {
            writeln!(out, "{error:#}")?;
            Finding::Damaged
        }
    };
    writeln!(
        out,
        "read {} with {}, and {}",
        say::count(found.segments, "segment"),
        say::count(found.entries, "entry").replace("entrys", "entries"),
        say::count(found.snapshots, "snapshot"),
    )?;
    if found.complaints.is_empty() && judged == Finding::Sound {
        writeln!(out, "nothing is damaged")?;
        return Ok(Finding::Sound);
    }
    let places = u64::try_from(found.complaints.len()).unwrap_or(u64::MAX);
    writeln!(out, "damaged in {}", say::count(places, "place"))?;
    Ok(Finding::Damaged)
}

/// Reads everything.
fn examine(place: &Place) -> anyhow::Result<Examination> {
    let mut found = Examination::default();
    let log = place.inspector().verify()?;
    found.complaints.extend(log.damage.iter().map(say::damage));
    found.complaints.extend(log.unreadable.iter().map(|error| {
        let source = &error.source;
        format!("{error}: {source}")
    }));
    found.segments =
        log.segments.iter().filter(|segment| segment.batches > 0).count().try_into()?;
    found.batches = log.segments.iter().map(|segment| segment.batches).sum();
    found.entries = log.segments.iter().map(|segment| segment.entries).sum();
    let look = place.look()?;
    for snapshot in &look.snapshots {
        for error in snapshot.verify() {
            let last = say::id(snapshot.id().last);
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            let cause = cause.unwrap_or_default();
            found.complaints.push(format!("{error}{cause}; it is the snapshot up to {last}"));
        }
    }
    for damaged in &look.damaged {
        let (path, last) = (damaged.path.display(), say::id(damaged.id.last));
        let fault = &damaged.fault;
        found
            .complaints
            .push(format!("{path} is damaged: {fault}; it is the snapshot up to {last}"));
    }
    found.snapshots = look.snapshots.len().try_into()?;
    Ok(found)
}

/// Says what a node would make of it.
fn judge(place: &Place, ident: &LogIdent, out: &mut dyn Write) -> anyhow::Result<Finding> {
    let Log { recovered, .. } = match place.log(ident, Verify::Everything) {
        Ok(log) => log,
        Err(error) => {
            writeln!(out, "a node would not start on this: {error}")?;
            return Ok(Finding::Damaged);
        }
    };
    writeln!(out, "the log ends {}", say::end(recovered.tail))?;
    let mut finding = Finding::Sound;
    for faulty in recovered.groups.values().flat_map(|group| &group.faulty) {
        finding = Finding::Damaged;
        let faulty = say::faulty(faulty);
        writeln!(out, "a node starts on this, and asks the other members for {faulty}")?;
    }
    Ok(finding)
}
