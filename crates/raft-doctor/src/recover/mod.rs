//! `raft-doctor recover-quorum`: a new cluster of what one node has.
//!
//! A cluster that has lost its majority for good cannot go on: nobody is left who could say what was
//! committed. What can be done is to believe one node, and to begin *another cluster* with what it
//! has. Another, because nodes of the old one may come back, and two of them are enough to be wrong
//! about: a cluster id stands in every frame, every certificate, every log and every snapshot, so
//! under a new one nobody of the old cluster is listened to, and nobody listens to the new one.
//!
//! ```text
//! 1  recovery.jsonl   "begun", with all that is going to be changed
//! 2  IDENT            the new cluster: from here on the old one's nodes are fenced off
//! 3  snapshots        the new cluster in their manifests
//! 4  log              an entry with the new membership, in a term far ahead
//! 5  recovery.jsonl   "done"
//! ```
//!
//! A crash between two steps leaves a directory on which a node of the old cluster does not start,
//! and one of the new cluster finds no majority. The same command again finishes it.

mod audit;
mod plan;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use raft_core::{ClusterId, Entry, EntryPayload, GroupId, HardState, LogId};
use raft_snapshot::{Owner, give_snapshots};
use raft_wal::{Batch, Identity, Log};

use self::audit::{Audit, Step};
use self::plan::Plan;
use crate::Finding;
use crate::place::{Place, node_options};

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Data directory of the node that is left. If several are, the one with the longest log.
    #[arg(value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Id of the new cluster, 32 hexadecimal digits: that of the certificates that it will use.
    #[arg(long, value_name = "ID")]
    new_cluster: ClusterId,
    /// Where the node will listen for others [default: where it did].
    #[arg(long, value_name = "HOST:PORT")]
    address: Option<String>,
    /// Data directory, or a copy of it, of another node that is left: to see that its log is not
    /// longer. May be repeated.
    #[arg(long, value_name = "DIR")]
    other: Vec<PathBuf>,
    /// Do it. The word is the one that the command says without this.
    #[arg(long, value_name = "WORD")]
    confirm: Option<String>,
}

pub(crate) fn run(
    place: &Place,
    options: &Options,
    out: &mut dyn Write,
) -> anyhow::Result<Finding> {
    let audit = Audit::of(place.data());
    let cluster = place.identity()?.identity.cluster;
    // One that has not come to its first change has changed nothing.
    if let Some(begun) = audit.unfinished()?.filter(|begun| begun.new_cluster() == cluster) {
        return resume(place, options, &audit, &begun, out);
    }
    let plan = Plan::new(place, options.new_cluster, options.address.as_deref())?;
    for other in &options.other {
        plan.check_against(other)?;
    }
    plan.say(out)?;
    match &options.confirm {
        None => {
            writeln!(
                out,
                "\nNothing has been changed. See to it that no other node of the old cluster runs again,"
            )?;
            writeln!(out, "then repeat this with --confirm {}", plan.word())?;
            return Ok(Finding::Sound);
        }
        Some(word) if *word != plan.word() => {
            bail!(
                "--confirm {word} belongs to another state of this directory; read the above again, \
                 then use --confirm {}",
                plan.word()
            );
        }
        Some(_) => {}
    }
    out.flush()?;
    audit.write(Step::Begun, &plan)?;
    carry_out(place, &audit, &plan, out)
}

/// Goes on with what an earlier run has begun.
fn resume(
    place: &Place,
    options: &Options,
    audit: &Audit,
    plan: &Plan,
    out: &mut dyn Write,
) -> anyhow::Result<Finding> {
    writeln!(out, "A recovery was begun here and not finished; this goes on with it.\n")?;
    plan.say(out)?;
    if options.new_cluster != plan.new_cluster() {
        bail!("the recovery that was begun is to cluster {}; name that one", plan.new_cluster());
    }
    if options.confirm.as_deref() != Some(&plan.word()) {
        writeln!(out, "\nTo finish it, repeat this with --confirm {}", plan.word())?;
        return Ok(Finding::Damaged);
    }
    out.flush()?;
    carry_out(place, audit, plan, out)
}

fn carry_out(
    place: &Place,
    audit: &Audit,
    plan: &Plan,
    out: &mut dyn Write,
) -> anyhow::Result<Finding> {
    let found = place.identity()?;
    let heir = Identity { cluster: plan.new_cluster(), ..plan.identity() };
    if found.identity != heir {
        Log::give_to(&place.log_disk(), plan.identity(), heir.cluster)
            .context("cannot give the log to the new cluster")?;
    }
    if place.snapshots().is_dir() {
        let owner = |cluster| Owner { cluster, group: GroupId::FIRST };
        let (from, to) = (owner(plan.identity().cluster), owner(heir.cluster));
        give_snapshots(&place.snapshot_disk(), from, to)
            .context("cannot give the snapshots to the new cluster; repeat the command")?;
    }
    append_membership(place, plan, heir)
        .context("cannot write the new membership; repeat the command")?;
    audit.write(Step::Done, plan)?;
    writeln!(out, "\nDone; {} has the record.", audit.path().display())?;
    let (node, cluster) = (heir.node, heir.cluster);
    writeln!(
        out,
        "Start node {node} as the only member of cluster {cluster}. Nodes that are to join it"
    )?;
    writeln!(out, "need new ids, empty directories, and certificates of the new cluster.")?;
    Ok(Finding::Sound)
}

/// Makes the new membership the last entry, unless it is.
fn append_membership(place: &Place, plan: &Plan, heir: Identity) -> anyhow::Result<()> {
    let ident = place.identity()?;
    let (mut log, recovered) = Log::open(place.log_disk(), heir, node_options(&ident))?;
    let group = recovered.group(GroupId::FIRST);
    if group.last == plan.last() {
        let term = plan.new_term().max(group.hard_state.term.next());
        let id = LogId::new(term, group.last.index.next());
        let payload = EntryPayload::Membership(Box::new(plan.new_membership()));
        log.append(Batch {
            hard_state: Some(HardState { term, vote: None }),
            entries: vec![Entry { id, payload }],
            ..Batch::new(GroupId::FIRST)
        })?;
        log.flush()?;
    } else if group.last.index != plan.last().index.next() {
        bail!("the log has changed since the recovery was begun; was a node started on it?");
    }
    Ok(log.close()?)
}
