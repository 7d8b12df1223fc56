//! A copy of the workspace in which bugs are planted, so that the real one is never touched.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

use super::{Mutant, scratch_dir};
use crate::process::{cargo_at, output};
use crate::workspace::Workspace;

/// The copy. It stays, and what was built of it, so that the next time little is to be built.
#[derive(Debug)]
pub(super) struct Scratch {
    dir: PathBuf,
}

/// A bug that is planted.
#[derive(Debug)]
pub(super) struct Planted {
    path: PathBuf,
    original: String,
}

impl Scratch {
    /// Brings the copy up to date. Files that are the same are left alone, for the sake of cargo.
    pub(super) fn make(workspace: &Workspace) -> anyhow::Result<Self> {
        let scratch = Self { dir: scratch_dir(workspace).join("workspace") };
        let mut command = Command::new("git");
        command.current_dir(workspace.root());
        let listed =
            output(command.args(["ls-files", "--cached", "--others", "--exclude-standard"]))
                .context("the files of the workspace are those that git knows")?;
        let mut kept = BTreeSet::new();
        for name in listed.lines() {
            let (from, to) = (workspace.root().join(name), scratch.dir.join(name));
            let Ok(bytes) = std::fs::read(&from) else { continue };
            kept.insert(to.clone());
            if std::fs::read(&to).is_ok_and(|known| known == bytes) {
                continue;
            }
            let folder = to.parent().context("every file is in a folder")?;
            std::fs::create_dir_all(folder)?;
            std::fs::write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
        }
        remove_others(&scratch.dir, &kept)?;
        Ok(scratch)
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn plant(&self, mutant: &Mutant) -> anyhow::Result<Planted> {
        let path = self.dir.join(mutant.file);
        let original = std::fs::read_to_string(&path)
            .with_context(|| format!("{}: cannot read {}", mutant.name, mutant.file))?;
        ensure!(
            original.matches(mutant.old).count() == 1,
            "{} does not apply: its place in {} has changed",
            mutant.name,
            mutant.file
        );
        std::fs::write(&path, original.replace(mutant.old, mutant.new))?;
        Ok(Planted { path, original })
    }

    /// Gives the program.
    pub(super) fn build_simulator(&self) -> anyhow::Result<PathBuf> {
        self.cargo("build --quiet --package raft-sim --features cli --profile mutants")?;
        let program = format!("raft-sim{}", std::env::consts::EXE_SUFFIX);
        Ok(self.target().join("mutants").join(program))
    }

    /// Builds something.
    pub(super) fn cargo(&self, arguments: &str) -> anyhow::Result<()> {
        let mut command = cargo_at(&self.dir, arguments);
        let output = self.in_it(&mut command).output().context("cargo cannot be run")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "it does not build:\n{errors}");
        Ok(())
    }

    /// Has a command use the copy's own place for what is built.
    pub(super) fn in_it<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        // Warnings are of no interest in a bug.
        command.env("CARGO_TARGET_DIR", self.target()).env("RUSTFLAGS", "--cap-lints=warn")
    }

    fn target(&self) -> PathBuf {
        self.dir.with_file_name("target")
    }
}

impl Planted {
    /// Puts things right again.
    pub(super) fn remove(self) -> anyhow::Result<()> {
        std::fs::write(&self.path, &self.original)
            .with_context(|| format!("cannot restore {}", self.path.display()))
    }
}

/// Removes sources that are gone from the workspace.
fn remove_others(dir: &Path, kept: &BTreeSet<PathBuf>) -> anyhow::Result<()> {
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if !kept.contains(&path) {
                std::fs::remove_file(&path)?;
            }
        }
    }
    Ok(())
}
