//! The names in a directory, and which of them are durable.

use std::collections::{BTreeMap, BTreeSet};

use super::rng::Rng;

/// Stands for a file, whatever its names.
pub(super) type InodeId = usize;

#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    cached: BTreeMap<String, InodeId>,
    durable: BTreeMap<String, InodeId>,
    /// Changes since the last sync, oldest first.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Create(String, InodeId),
    Rename(String, String),
    Unlink(String),
}

impl Names {
    pub(super) fn get(&self, name: &str) -> Option<InodeId> {
        self.cached.get(name).copied()
    }

    pub(super) fn list(&self) -> Vec<String> {
        self.cached.keys().cloned().collect()
    }

    pub(super) fn inodes(&self) -> impl Iterator<Item = InodeId> {
        self.cached.values().copied()
    }

    pub(super) fn create(&mut self, name: &str, inode: InodeId) {
        self.change(Change::Create(name.to_owned(), inode));
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) -> bool {
        let exists = self.cached.contains_key(from);
        if exists {
            self.change(Change::Rename(from.to_owned(), to.to_owned()));
        }
        exists
    }

    pub(super) fn unlink(&mut self, name: &str) -> bool {
        let exists = self.cached.contains_key(name);
        if exists {
            self.change(Change::Unlink(name.to_owned()));
        }
        exists
    }

    pub(super) fn sync(&mut self) {
        self.durable.clone_from(&self.cached);
        self.pending.clear();
    }

    /// Keeps any of the changes that were not synced, but of one name none without those before.
    pub(super) fn lose_power(&mut self, rng: &mut Rng) {
        let mut undone = BTreeSet::new();
        for change in std::mem::take(&mut self.pending) {
            let is_blocked = change.names().any(|name| undone.contains(name));
            if is_blocked || rng.coin() {
                undone.extend(change.names().cloned());
            } else {
                change.carry_out(&mut self.durable);
            }
        }
        self.cached.clone_from(&self.durable);
    }

    fn change(&mut self, change: Change) {
        change.carry_out(&mut self.cached);
        self.pending.push(change);
    }
}

impl Change {
    fn names(&self) -> impl Iterator<Item = &String> {
        let (first, second) = match self {
            Self::Create(name, _) | Self::Unlink(name) => (name, None),
            Self::Rename(from, to) => (from, Some(to)),
        };
        std::iter::once(first).chain(second)
    }

    fn carry_out(&self, names: &mut BTreeMap<String, InodeId>) {
        match self {
            Self::Create(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Unlink(name) => {
                names.remove(name);
            }
        }
    }
}
