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

/// A program that runs tests.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct TestProgram {
    path: PathBuf,
    /// Where its package is: what the tests look for, they look for there.
    package: PathBuf,
}

impl TestProgram {
    /// What one of cargo's messages is about, if that is such a program.
    fn named_in(message: &str) -> Option<Self> {
        let message: serde_json::Value = serde_json::from_str(message).ok()?;
        if !message.pointer("/profile/test")?.as_bool()? {
            return None;
        }
        let manifest = Path::new(message.get("manifest_path")?.as_str()?);
        let path = message.get("executable")?.as_str()?.into();
        Some(Self { path, package: manifest.parent()?.to_path_buf() })
    }

    /// Runs those whose name contains `filter`.
    pub(super) fn command(&self, filter: &str) -> Command {
        let mut command = Command::new(&self.path);
        command.arg("--quiet").arg(filter).current_dir(&self.package);
        command.env("CARGO_MANIFEST_DIR", &self.package);
        command
    }
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

    /// Builds the tests of a package, and gives their programs.
    pub(super) fn build_tests(&self, package: &str) -> anyhow::Result<Vec<TestProgram>> {
        let tests = "test --quiet --all-features --no-run --message-format json-render-diagnostics";
        let messages = self.cargo(&format!("{tests} --package {package}"))?;
        let programs: Vec<_> = messages.lines().filter_map(TestProgram::named_in).collect();
        ensure!(!programs.is_empty(), "cargo has built no tests of {package}");
        Ok(programs)
    }

    /// Builds something, and gives what cargo says of it.
    fn cargo(&self, arguments: &str) -> anyhow::Result<String> {
        let mut command = cargo_at(&self.dir, arguments);
        // Warnings are of no interest in a bug.
        command.env("CARGO_TARGET_DIR", self.target()).env("RUSTFLAGS", "--cap-lints=warn");
        let output = command.output().context("cargo cannot be run")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "it does not build:\n{errors}");
        String::from_utf8(output.stdout).context("cargo prints text")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_tests_are_told_from_others() {
        let message = |test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","manifest_path":"/a/raft/Cargo.toml",
                    "profile":{{"test":{test}}},"executable":"/t/raft-1"}}"#
            )
        };
        let program = TestProgram { path: "/t/raft-1".into(), package: "/a/raft".into() };

        assert_eq!(TestProgram::named_in(&message(true)), Some(program));
        assert_eq!(TestProgram::named_in(&message(false)), None);
        assert_eq!(TestProgram::named_in(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
