//! `raft-doctor dump`: every record, in the order in which they were written.

use std::io::Write;

use raft_core::{Entry, EntryPayload, GroupId, HardState, LogId, Membership};
use raft_wal::inspect::{Content, FoundBatch, FoundRecord, Met};
use serde_json::{Map, Value, json};

use crate::place::Place;
use crate::{Finding, say};

pub(crate) fn run(place: &Place, json: bool, out: &mut dyn Write) -> anyhow::Result<Finding> {
    let inspector = place.inspector();
    let mut finding = Finding::Sound;
    for number in inspector.segments()? {
        let mut written = Ok(());
        inspector.segment(number, &mut |met| {
            if matches!(met, Met::Damage(_)) {
                finding = Finding::Damaged;
            }
            if written.is_ok() {
                written = write_met(&met, json, out);
            }
        })?;
        written?;
    }
    Ok(finding)
}

fn write_met(met: &Met, json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    match met {
        Met::Batch(batch) => {
            for record in &batch.records {
                let line = line(batch, record);
                write_line(&Value::Object(line), json, out)?;
            }
            Ok(())
        }
        Met::Damage(damage) => {
            let corruption = &damage.corruption;
            let line = json!({
                "record": "damage",
                "file": corruption.path.to_string_lossy(),
                "offset": corruption.offset,
                "what": say::damage(damage),
            });
            write_line(&line, json, out)
        }
    }
}

/// Writes an object as JSON, or as words.
pub(crate) fn write_line(line: &Value, json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    if json {
        return writeln!(out, "{line}");
    }
    let fields = line.as_object().into_iter().flatten();
    let words = fields.map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            format!("{name}={value}")
        }
    });
    writeln!(out, "{}", words.collect::<Vec<_>>().join(" "))
}

fn line(batch: &FoundBatch, record: &FoundRecord) -> Map<String, Value> {
    let mut line = Map::new();
    line.insert("segment".into(), batch.segment.into());
    line.insert("offset".into(), batch.offset.into());
    line.insert("batch".into(), batch.seq.into());
    line.insert("durable".into(), batch.durable_seq.into());
    if let Some(group) = record.group {
        line.insert("group".into(), group.get().into());
    }
    match &record.content {
        Content::Entry(entry) => put_entry(&mut line, "entry", entry),
        Content::Repair(entry) => put_entry(&mut line, "repaired_entry", entry),
        Content::DamagedEntry(id) => put(&mut line, "damaged_entry", id_fields(*id)),
        Content::HardState(state) => put(&mut line, "hard_state", state_fields(*state)),
        Content::Truncate(from) => put(&mut line, "truncate", json!({ "from": from.get() })),
        Content::Compact(upto) => put(&mut line, "compact", id_fields(*upto)),
        Content::Checkpoint(groups) => {
            let groups: Vec<_> = groups
                .iter()
                .map(|state| {
                    json!({
                        "group": GroupId::get(state.group),
                        "base": id_fields(state.base),
                        "last": id_fields(state.last),
                        "hard_state": state_fields(state.hard_state),
                    })
                })
                .collect();
            put(&mut line, "checkpoint", json!({ "groups": groups }));
        }
        Content::Group => put(&mut line, "group", json!({})),
        Content::Marker => put(&mut line, "marker", json!({})),
        Content::Unknown(kind) => put(&mut line, "unknown", json!({ "code": kind })),
        _ => put(&mut line, "unknown", json!({})),
    }
    line
}

fn put(line: &mut Map<String, Value>, record: &str, fields: Value) {
    line.insert("record".into(), record.into());
    if let Value::Object(fields) = fields {
        line.extend(fields);
    }
}

fn put_entry(line: &mut Map<String, Value>, record: &str, entry: &Entry) {
    put(line, record, entry_fields(entry));
}

/// What there is to say of an entry.
pub(crate) fn entry_fields(entry: &Entry) -> Value {
    let mut fields = id_fields(entry.id);
    let what = match &entry.payload {
        EntryPayload::Command(bytes) => {
            json!({ "kind": "command", "bytes": bytes.len(), "hex": say::hex(bytes) })
        }
        EntryPayload::Membership(membership) => membership_fields(membership),
        EntryPayload::Noop => json!({ "kind": "noop" }),
    };
    if let (Value::Object(fields), Value::Object(what)) = (&mut fields, what) {
        fields.extend(what);
    }
    fields
}

fn membership_fields(membership: &Membership) -> Value {
    let quorum = membership.quorum();
    let ids = |ids: &mut dyn Iterator<Item = raft_core::NodeId>| -> Vec<u64> {
        ids.map(raft_core::NodeId::get).collect()
    };
    let address = |id: raft_core::NodeId| {
        let address = membership.address(id).unwrap_or_default();
        (id.to_string(), Value::from(address))
    };
    json!({
        "kind": "membership",
        "voters": ids(&mut quorum.incoming().iter()),
        "outgoing": quorum.outgoing().map(|outgoing| ids(&mut outgoing.iter())),
        "learners": ids(&mut membership.learners()),
        "addresses": membership.members().map(address).collect::<Map<_, _>>(),
    })
}

fn id_fields(id: LogId) -> Value {
    json!({ "index": id.index.get(), "term": id.term.get() })
}

fn state_fields(state: HardState) -> Value {
    json!({ "term": state.term.get(), "vote": state.vote.map(raft_core::NodeId::get) })
}
