//! Where a cluster that is only tried out keeps its data.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

/// Where the nodes live.
pub(super) enum Directory {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Directory {
    /// A temporary one, or one that is `kept` and must be new or empty.
    pub(super) fn new(kept: Option<PathBuf>) -> anyhow::Result<Self> {
        let Some(path) = kept else {
            let directory = tempfile::Builder::new().prefix("raft-kv-").tempdir();
            return Ok(Self::Temporary(directory.context("cannot make a temporary directory")?));
        };
        let with_path = || format!("cannot use the directory {}", path.display());
        fs::create_dir_all(&path).with_context(with_path)?;
        if fs::read_dir(&path).with_context(with_path)?.next().is_some() {
            bail!("the directory {} is not empty; choose a new one", path.display());
        }
        Ok(Self::Kept(path))
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Temporary(directory) => directory.path(),
            Self::Kept(path) => path,
        }
    }
}
