//! Names of files.

use crate::id::SnapshotId;

const DATA: &str = ".data";
const MANIFEST: &str = ".manifest";
const PARTIAL: &str = ".partial";
const WRITING: &str = ".writing";
const TEMPORARY: &str = "writing-";

/// What a file is, by its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Data of a snapshot, complete or not.
    Data(SnapshotId),
    /// The manifest of a published snapshot.
    Manifest(SnapshotId),
    /// The manifest of a snapshot that is being received.
    Partial(SnapshotId),
    /// A manifest that is being written, or data whose name is not known yet.
    Unfinished,
    /// None of ours.
    Foreign,
}

impl Kind {
    pub(super) fn of(name: &str) -> Self {
        let known = data_id(name)
            .map(Self::Data)
            .or_else(|| manifest_id(name).map(Self::Manifest))
            .or_else(|| partial_id(name).map(Self::Partial));
        if let Some(kind) = known {
            return kind;
        }
        let is_temporary = name
            .strip_prefix(TEMPORARY)
            .and_then(|rest| rest.strip_suffix(DATA))
            .is_some_and(|number| number.parse::<u64>().is_ok());
        if is_temporary || id_before(name, WRITING).is_some() {
            return Self::Unfinished;
        }
        Self::Foreign
    }
}

fn id_before(name: &str, suffix: &str) -> Option<SnapshotId> {
    name.strip_suffix(suffix)?.parse().ok()
}

pub(super) fn data_id(name: &str) -> Option<SnapshotId> {
    id_before(name, DATA)
}

pub(super) fn manifest_id(name: &str) -> Option<SnapshotId> {
    id_before(name, MANIFEST)
}

pub(super) fn partial_id(name: &str) -> Option<SnapshotId> {
    id_before(name, PARTIAL)
}

pub(crate) fn data_name(id: SnapshotId) -> String {
    format!("{id}{DATA}")
}

pub(crate) fn manifest_name(id: SnapshotId) -> String {
    format!("{id}{MANIFEST}")
}

pub(crate) fn partial_name(id: SnapshotId) -> String {
    format!("{id}{PARTIAL}")
}

pub(crate) fn writing_name(id: SnapshotId) -> String {
    format!("{id}{WRITING}")
}

pub(super) fn temporary_name(number: u64) -> String {
    format!("{TEMPORARY}{number}{DATA}")
}
