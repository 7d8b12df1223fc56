//! `raft-doctor repair`: what a node does to its files when it starts.

use std::io::Write;

use raft_core::GroupId;
use raft_snapshot::Owner;
use raft_snapshot::disk::OsDisk;
use raft_wal::inspect::{Cost, LogIdent, SegmentState};
use raft_wal::{Tail, Verify};

use crate::place::{Place, node_options};
use crate::{Finding, say};

pub(crate) fn run(place: &Place, dry_run: bool, out: &mut dyn Write) -> anyhow::Result<Finding> {
    let ident = place.identity()?;
    let log = match place.log(&ident, Verify::Everything) {
        Ok(log) => log,
        Err(error) => {
            writeln!(out, "a node would not start on this, and nothing is changed: {error}")?;
            return Ok(Finding::Damaged);
        }
    };
    let (would, will) = if dry_run { ("would ", "") } else { ("", "will ") };
    let recovered = log.recovered;
    match recovered.tail {
        Tail::Torn(at) | Tail::Ambiguous(at) if at.bytes > 0 => {
            writeln!(
                out,
                "{would}{will}cut off the end of the log, which is {}",
                say::end(recovered.tail)
            )?;
        }
        Tail::Clean | Tail::Torn(_) | Tail::Ambiguous(_) => {}
    }
    say_files(place, would, will, out)?;
    writeln!(
        out,
        "{would}{will}begin segment {}, which pins where the log ends",
        recovered.generation
    )?;
    let mut finding = Finding::Sound;
    for faulty in recovered.groups.values().flat_map(|group| &group.faulty) {
        finding = Finding::Damaged;
        let faulty = say::faulty(faulty);
        writeln!(out, "cannot repair {faulty}: the node asks the other members when it starts")?;
    }
    if dry_run {
        writeln!(out, "nothing has been changed; without --dry-run it is done")?;
        return Ok(finding);
    }
    out.flush()?;
    carry_out(place, &ident)?;
    writeln!(out, "done")?;
    Ok(finding)
}

/// Says which files are removed, or built again.
fn say_files(place: &Place, would: &str, will: &str, out: &mut dyn Write) -> anyhow::Result<()> {
    let found = place.inspector().verify()?;
    for damage in found.damage.iter().filter(|damage| damage.cost == Cost::Derived) {
        let path = damage.corruption.path.display();
        writeln!(out, "{would}{will}build the index of {path} again: {}", damage.corruption.what)?;
    }
    for segment in found.segments.iter().filter(|segment| segment.state == SegmentState::Open) {
        let path = segment.path.display();
        writeln!(out, "{would}{will}close {path} with an index, as it is written to no more")?;
    }
    for entry in std::fs::read_dir(place.data())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "tmp") {
            writeln!(out, "{would}{will}delete {}, which was left over", path.display())?;
        }
    }
    for path in place.look()?.leftovers {
        writeln!(out, "{would}{will}delete {}, which was left over", path.display())?;
    }
    Ok(())
}

fn carry_out(place: &Place, ident: &LogIdent) -> anyhow::Result<()> {
    let (log, _) = raft_wal::Log::open(place.log_disk(), ident.identity, node_options(ident))?;
    if place.snapshots().is_dir() {
        let owner = Owner { cluster: ident.identity.cluster, group: GroupId::FIRST };
        // How many are kept is the node's affair.
        let options = raft_snapshot::Options { retain: usize::MAX, ..Default::default() };
        drop(raft_snapshot::Store::<OsDisk>::open(place.snapshot_disk(), owner, options)?);
    }
    Ok(log.close()?)
}
