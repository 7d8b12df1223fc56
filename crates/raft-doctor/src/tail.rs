//! `raft-doctor tail`: the newest entries.

use std::collections::BTreeMap;
use std::io::Write;

use raft_core::{GroupId, LogIndex};
use raft_wal::inspect::{Content, Met};
use raft_wal::{ReadError, Verify};
use serde_json::{Value, json};

use crate::dump::{entry_fields, write_line};
use crate::place::{Log, Place};
use crate::{Finding, say};

pub(crate) fn run(
    place: &Place,
    count: u64,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Finding> {
    let ident = place.identity()?;
    match place.log(&ident, Verify::Seals) {
        Ok(log) => of_log(&log, count, json, out),
        Err(error) => {
            for line in of_segments(place, count)?.into_values() {
                write_line(&line, json, out)?;
            }
            let line = json!({
                "record": "damage",
                "what": format!("these are what can be read; a node would not start: {error}"),
            });
            write_line(&line, json, out)?;
            Ok(Finding::Damaged)
        }
    }
}

/// The newest entries of a log on which a node would start.
fn of_log(log: &Log, count: u64, json: bool, out: &mut dyn Write) -> anyhow::Result<Finding> {
    let group = log.group();
    let last = group.last.index;
    let first = LogIndex::new(last.get().saturating_sub(count.saturating_sub(1)));
    let mut index = first.max(group.first);
    let mut finding = Finding::Sound;
    while count > 0 && index <= last {
        let line = match log.reader.entries(GroupId::FIRST, index..=index, 1) {
            Ok(entries) => entries.first().map(entry_fields).unwrap_or_default(),
            // A running node has compacted it meanwhile.
            Err(ReadError::Compacted { .. }) => Value::Null,
            Err(error) => {
                finding = Finding::Damaged;
                json!({ "index": index.get(), "record": "damage", "what": error.to_string() })
            }
        };
        if !line.is_null() {
            write_line(&line, json, out)?;
        }
        index = index.next();
    }
    Ok(finding)
}

/// The newest entries that can be read at all, from the newest segment backwards.
fn of_segments(place: &Place, count: u64) -> anyhow::Result<BTreeMap<LogIndex, Value>> {
    let inspector = place.inspector();
    let mut newest: BTreeMap<LogIndex, Value> = BTreeMap::new();
    // Behind this, what is older was removed.
    let mut end = LogIndex::new(u64::MAX);
    for number in inspector.segments()?.into_iter().rev() {
        let (mut here, mut removed) = (BTreeMap::new(), LogIndex::new(u64::MAX));
        inspector.segment(number, &mut |met| {
            let Met::Batch(batch) = met else { return };
            let ours = |group: Option<GroupId>| group.is_none_or(|group| group == GroupId::FIRST);
            for record in batch.records.into_iter().filter(|record| ours(record.group)) {
                #[expect(clippy::wildcard_enum_match_arm, reason = "the enum may grow")]
                match record.content {
                    Content::Entry(entry) => {
                        removed = removed.min(entry.id.index);
                        drop(here.insert(entry.id.index, entry_fields(&entry)));
                    }
                    Content::DamagedEntry(id) => {
                        removed = removed.min(id.index);
                        let line = json!({ "index": id.index.get(), "term": id.term.get(),
                            "record": "damage", "what": format!("{} is damaged", say::id(id)) });
                        drop(here.insert(id.index, line));
                    }
                    Content::Truncate(from) => {
                        removed = removed.min(from);
                        drop(here.split_off(&from));
                    }
                    // A repaired entry stood elsewhere first.
                    _ => {}
                }
            }
        })?;
        newest.extend(here.into_iter().filter(|(index, _)| *index < end));
        end = end.min(removed);
        if u64::try_from(newest.len())? >= count {
            break;
        }
    }
    while u64::try_from(newest.len())? > count {
        newest.pop_first();
    }
    Ok(newest)
}
