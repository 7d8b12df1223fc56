//! `cargo xtask layers`: which crate may use which, and where unsafe code may be.
//!
//! ```text
//!  examples --> raft --+--> raft-net-quic --> raft-net --+
//!                      +--> raft-snapshot --> raft-wal --+--> raft-core
//!  raft-doctor --> raft-snapshot, raft-wal, raft-core
//!  raft-sim --> raft, and the leaves that it drives itself: raft-net, raft-wal, raft-core
//! ```

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

use crate::process::{cargo, output};
use crate::step::Step;
use crate::workspace::{Package, Workspace};

pub(crate) const STEP: Step = Step {
    name: "layers",
    about: "Crates use only the layers below them, and the core nothing that does I/O",
    run: |check| {
        for (name, rule) in RULES {
            rule(check.workspace).with_context(|| format!("it does not hold that {name}"))?;
            println!("{name}");
        }
        Ok(())
    },
};

type Rule = fn(&Workspace) -> anyhow::Result<()>;

const RULES: [(&str, Rule); 5] = [
    ("crates use only the layers below them", layers),
    ("the core depends on data structures and codecs only", core_is_pure),
    ("the core has no standard library", core_is_no_std),
    ("roles do not know each other", roles_are_apart),
    ("unsafe code, tests aside, is in one file", unsafe_is_contained),
];

/// The libraries, each with those that it may use.
const LAYERS: [(&str, &[&str]); 10] = [
    ("raft-core", &[]),
    ("raft-explore", &["raft-core"]),
    ("raft-wal", &["raft-core"]),
    ("raft-snapshot", &["raft-core", "raft-wal"]),
    ("raft-net", &["raft-core"]),
    ("raft-net-quic", &["raft-core", "raft-net"]),
    ("raft", &["raft-core", "raft-net", "raft-net-quic", "raft-snapshot", "raft-wal"]),
    // A program on the leaves; of the facade its tests make clusters.
    ("raft-doctor", &["raft", "raft-core", "raft-snapshot", "raft-wal"]),
    ("raft-sim", &["raft", "raft-core", "raft-net", "raft-snapshot", "raft-wal"]),
    ("raft-fuzz", &["raft-core", "raft-net", "raft-snapshot", "raft-wal"]),
];

/// What an example may use: it shows what a user would write, on the facade or on the core alone.
const EXAMPLES_USE: &[&str] = &["raft", "raft-core", "raft-sim"];

/// What this program may use, for the programs in the documents.
const XTASK_USES: &[&str] = &["raft", "raft-core"];

fn layers(workspace: &Workspace) -> anyhow::Result<()> {
    for package in workspace.packages() {
        let allowed = allowed(package)?;
        for dependency in &package.dependencies {
            let is_ours = workspace.packages().iter().any(|ours| ours.name == *dependency);
            ensure!(
                !is_ours || allowed.contains(&&**dependency),
                "{} depends on {dependency}; it may depend on {allowed:?}",
                package.name
            );
        }
    }
    Ok(())
}

fn allowed(package: &Package) -> anyhow::Result<&'static [&'static str]> {
    if package.dir.starts_with("examples") {
        return Ok(EXAMPLES_USE);
    }
    if package.dir == Path::new("xtask") {
        return Ok(XTASK_USES);
    }
    let layer = LAYERS.iter().find(|(name, _)| *name == package.name);
    let (_, allowed) = layer.with_context(|| {
        format!("no layer is known for {}: give it one in xtask/src/layers.rs", package.name)
    })?;
    Ok(allowed)
}

/// All that the core is built from: no runtime, no clock, no randomness, no logging, no I/O.
const CORE_USES: [&str; 7] =
    ["raft-core", "bytes", "cobs", "postcard", "serde", "serde_core", "thiserror"];

/// Unlike [`layers`], this looks at what the dependencies depend on, too.
fn core_is_pure(workspace: &Workspace) -> anyhow::Result<()> {
    let arguments = "tree --package raft-core --edges normal,no-proc-macro --prefix none";
    let tree = output(&mut cargo(workspace, arguments))?;
    for line in tree.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        ensure!(CORE_USES.contains(&name), "raft-core depends on {name}, directly or not");
    }
    Ok(())
}

fn core_is_no_std(workspace: &Workspace) -> anyhow::Result<()> {
    let root = workspace.read("crates/raft-core/src/lib.rs")?;
    ensure!(root.lines().any(|line| line == "#![no_std]"), "raft-core is not `#![no_std]`");
    let sources = workspace.files(Path::new("crates/raft-core/src"), "rs")?;
    for path in sources.iter().filter(|path| !is_test(path)) {
        let source = workspace.read(path)?;
        let std = first_code_line(&source, |code| code.contains("extern crate std"));
        if let Some((line, _)) = std {
            bail!("{}:{line} brings the standard library back", path.display());
        }
    }
    Ok(())
}

/// Whether a file is `tests.rs`, or in a folder `tests`.
fn is_test(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs")
}

/// The roles of a server. What they share is in `common.rs`.
const ROLES: [&str; 3] = ["candidate", "follower", "leader"];

fn roles_are_apart(workspace: &Workspace) -> anyhow::Result<()> {
    for role in ROLES {
        let knows_other = |code: &str| {
            let others = ROLES.iter().filter(|other| **other != role);
            others.into_iter().any(|other| {
                code.contains(&format!("super::{other}"))
                    || code.contains(&format!("raft::{other}"))
            })
        };
        let files = role_files(workspace, role)?;
        ensure!(!files.is_empty(), "the role {role} has no file");
        for path in files {
            let source = workspace.read(&path)?;
            if let Some((line, code)) = first_code_line(&source, knows_other) {
                bail!("{}:{line}: a role uses another: {code}", path.display());
            }
        }
    }
    Ok(())
}

/// A role is a file, or a folder.
fn role_files(workspace: &Workspace, role: &str) -> anyhow::Result<Vec<PathBuf>> {
    let all = workspace.files(Path::new(CORE_ROLES), "rs")?;
    let (file, folder) = (format!("{role}.rs"), Path::new(CORE_ROLES).join(role));
    let of_role = |path: &PathBuf| path.ends_with(&file) || path.starts_with(&folder);
    let is_test = |path: &PathBuf| path.starts_with(Path::new(CORE_ROLES).join("tests"));
    Ok(all.into_iter().filter(|path| of_role(path) && !is_test(path)).collect())
}

/// Where the roles are.
const CORE_ROLES: &str = "crates/raft-core/src/raft";

/// The only file with unsafe code, and the crate that cannot forbid it therefore.
const UNSAFE_FILE: &str = "crates/raft-wal/src/disk/mmap.rs";
const UNSAFE_CRATE: &str = "crates/raft-wal";

fn unsafe_is_contained(workspace: &Workspace) -> anyhow::Result<()> {
    for package in workspace.packages() {
        for path in workspace.files(&package.dir.join("src"), "rs")? {
            let source = workspace.read(&path)?;
            check_root(&path, &source, package)?;
            if path == Path::new(UNSAFE_FILE) {
                continue;
            }
            if let Some((line, code)) = first_code_line(&source, is_unsafe) {
                bail!("{}:{line} is unsafe: {code}", path.display());
            }
        }
    }
    Ok(())
}

/// Libraries also say to the compiler that they have no unsafe code.
fn check_root(path: &Path, source: &str, package: &Package) -> anyhow::Result<()> {
    let is_root = path.starts_with("crates") && path == package.dir.join("src/lib.rs");
    if !is_root || package.dir == Path::new(UNSAFE_CRATE) {
        return Ok(());
    }
    let forbids = source.lines().any(|line| line == "#![forbid(unsafe_code)]");
    ensure!(forbids, "{} lacks `#![forbid(unsafe_code)]`", path.display());
    Ok(())
}

fn is_unsafe(code: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.split(|c| !is_word(c)).any(|word| word == "unsafe")
}

/// The first line whose code, comments and strings left out, is as wanted; numbered from 1.
fn first_code_line(source: &str, wanted: impl Fn(&str) -> bool) -> Option<(usize, &str)> {
    let mut lines = source.lines().enumerate();
    lines.find(|(_, line)| wanted(&code_of(line))).map(|(at, line)| (at + 1, line.trim()))
}

/// A line without its comment, and without what is between quotes.
fn code_of(line: &str) -> String {
    let code = line.split("//").next().unwrap_or_default();
    code.split('"').step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_hold() {
        let workspace = Workspace::load().unwrap();

        for (name, rule) in RULES {
            rule(&workspace).context(name).unwrap();
        }
    }

    #[test]
    fn unsafe_is_a_word_of_code() {
        assert!(is_unsafe(&code_of("let x = unsafe { read(p) };")));
        assert!(is_unsafe(&code_of("unsafe impl Send for X {}")));
        assert!(!is_unsafe(&code_of("#![forbid(unsafe_code)] // nothing unsafe")));
        assert!(!is_unsafe(&code_of(&format!("{0}unsafe{0}", '"'))));
    }

    #[test]
    fn a_package_without_a_layer_is_refused() {
        let package = Package {
            name: "raft-new".to_owned(),
            dir: "crates/raft-new".into(),
            rust_version: None,
            features: Vec::new(),
            dependencies: Vec::new(),
        };

        assert!(allowed(&package).is_err());
    }
}
