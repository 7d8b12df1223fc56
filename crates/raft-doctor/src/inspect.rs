//! `raft-doctor inspect`: what there is.

use std::io::Write;

use raft_core::GroupId;
use raft_wal::Verify;
use raft_wal::inspect::{LogIdent, SegmentState};

use crate::place::{Log, Place};
use crate::{Finding, say};

pub(crate) fn run(place: &Place, out: &mut dyn Write) -> anyhow::Result<Finding> {
    let ident = place.identity()?;
    identity(place, &ident, out)?;
    let segments = segments(place, out)?;
    let log = match place.log(&ident, Verify::Seals) {
        Ok(log) => {
            contents(&log, out)?;
            if log.group().faulty.is_empty() { Finding::Sound } else { Finding::Damaged }
        }
        Err(error) => {
            writeln!(out, "log          a node would not start on it: {error}")?;
            Finding::Damaged
        }
    };
    let snapshots = snapshots(place, out)?;
    let findings = [segments, log, snapshots];
    let is_damaged = findings.contains(&Finding::Damaged);
    if is_damaged {
        writeln!(out, "\nsomething is damaged; `raft-doctor verify` says what and where")?;
    }
    Ok(if is_damaged { Finding::Damaged } else { Finding::Sound })
}

fn identity(place: &Place, ident: &LogIdent, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "directory    {}", place.data().display())?;
    writeln!(out, "node         {}", ident.identity.node)?;
    writeln!(out, "cluster      {}", ident.identity.cluster)?;
    writeln!(out, "log          {}", say::hex(&ident.log))?;
    writeln!(out, "created      {}", say::date(ident.created_unix_ms))?;
    if let Ok(text) = std::fs::read_to_string(place.data().join("LOCK")) {
        writeln!(out, "last opened  by {}", text.trim())?;
    }
    Ok(())
}

fn segments(place: &Place, out: &mut dyn Write) -> anyhow::Result<Finding> {
    let mut finding = Finding::Sound;
    let inspector = place.inspector();
    for number in inspector.segments()? {
        let mut damages = 0;
        let found = inspector.segment(number, &mut |met| {
            damages += u64::from(matches!(met, raft_wal::inspect::Met::Damage(_)));
        })?;
        let Some(found) = found else { continue };
        let state = match found.state {
            SegmentState::Spare => "spare",
            SegmentState::Open => "open",
            SegmentState::Sealed => "sealed",
            SegmentState::Unreadable => "unreadable",
        };
        write!(out, "segment      {number}: {state}, {}", say::count(found.bytes, "byte"))?;
        if found.batches > 0 {
            let counted = say::count(found.batches, "batch").replace("batchs", "batches");
            write!(out, ", {counted}, {}", say::count(found.entries, "record of entries"))?;
        }
        for (group, first, last) in &found.ranges {
            write!(out, ", {}", say::range(*first, *last))?;
            if *group != GroupId::FIRST {
                write!(out, " of group {group}")?;
            }
        }
        if damages > 0 {
            finding = Finding::Damaged;
            write!(out, ", DAMAGED in {}", say::count(damages, "place"))?;
        }
        writeln!(out)?;
    }
    Ok(finding)
}

fn contents(log: &Log, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "end          {}", say::end(log.recovered.tail))?;
    for (id, group) in &log.recovered.groups {
        if *id != GroupId::FIRST {
            writeln!(out, "group        {id}")?;
        }
        let vote = group.hard_state.vote.map(|vote| format!(", vote for node {vote}"));
        let vote = vote.unwrap_or_else(|| ", no vote".to_owned());
        writeln!(out, "term         {}{vote}", group.hard_state.term)?;
        if group.last == group.base {
            writeln!(out, "entries      none after {}", say::id(group.base))?;
        } else {
            let (first, last) = (group.first, group.last);
            writeln!(
                out,
                "entries      {first} to {}, the last of term {}",
                last.index, last.term
            )?;
        }
        if group.is_in_doubt {
            writeln!(
                out,
                "in doubt     the newest write may be lost; the log says so until that is settled"
            )?;
        }
        for faulty in &group.faulty {
            writeln!(out, "DAMAGED      {}: the node asks others for it", say::faulty(faulty))?;
        }
    }
    if let Some((id, membership)) = log.membership() {
        writeln!(out, "members      {} ({})", say::members(&membership), say::id(id))?;
    }
    Ok(())
}

fn snapshots(place: &Place, out: &mut dyn Write) -> anyhow::Result<Finding> {
    let look = place.look()?;
    for snapshot in look.snapshots.iter().rev() {
        let meta = snapshot.meta();
        writeln!(
            out,
            "snapshot     up to {}, {}; {}",
            say::id(meta.last),
            say::count(snapshot.manifest().sizes().data, "byte"),
            say::members(&meta.membership)
        )?;
    }
    for damaged in &look.damaged {
        writeln!(
            out,
            "DAMAGED      snapshot up to {}: {}",
            say::id(damaged.id.last),
            damaged.fault
        )?;
    }
    for id in &look.partial {
        writeln!(out, "receiving    snapshot up to {}", say::id(id.last))?;
    }
    Ok(if look.damaged.is_empty() { Finding::Sound } else { Finding::Damaged })
}
