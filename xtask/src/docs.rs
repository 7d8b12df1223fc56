//! `cargo xtask docs`: the documentation builds without warnings, and names only what exists.

use std::path::{Path, PathBuf};

use anyhow::ensure;

use crate::process::{cargo, run};
use crate::step::{Check, Step};
use crate::workspace::Workspace;

pub(crate) const STEP: Step = Step {
    name: "docs",
    about: "The documentation builds, and the files that it names exist",
    run: |check| {
        mentions(check.workspace)?;
        api(check)
    },
};

fn api(check: &Check<'_>) -> anyhow::Result<()> {
    let arguments = "doc --workspace --no-deps --all-features";
    run(cargo(check.workspace, arguments).env("RUSTDOCFLAGS", "-D warnings"))
}

/// Documents in the root.
const DOCUMENTS: [&str; 3] = ["README.md", "ROADMAP.md", "CHANGELOG.md"];

fn mentions(workspace: &Workspace) -> anyhow::Result<()> {
    let mut documents: Vec<_> = DOCUMENTS.iter().map(PathBuf::from).collect();
    for folder in FOLDERS {
        documents.extend(workspace.files(Path::new(folder), "md")?);
    }
    let mut broken = Vec::new();
    for document in &documents {
        let text = workspace.read(document)?;
        let folder = document.parent().unwrap_or_else(|| Path::new(""));
        let linked = links(&text).map(|link| folder.join(link));
        let named = paths(&text).map(PathBuf::from);
        let missing = linked.chain(named).filter(|path| !workspace.root().join(path).exists());
        broken.extend(missing.map(|path| format!("{}: {}", document.display(), path.display())));
    }
    ensure!(broken.is_empty(), "documents name files that do not exist:\n{}", broken.join("\n"));
    println!("{} documents name only files that exist", documents.len());
    Ok(())
}

/// Targets of links to other files, without the heading.
fn links(text: &str) -> impl Iterator<Item = &str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let files = targets.filter_map(|target| target.split('#').next());
    files.filter(|file| !file.is_empty() && !file.contains("://"))
}

/// Folders with documents, whose files are mentioned by their path from the root.
const FOLDERS: [&str; 4] = ["crates/", "examples/", "docs/", "xtask/"];

/// Paths that stand between backticks.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    // A block of code has three, so what is inside of it counts as outside.
    let quoted = text.split('`').skip(1).step_by(2);
    let paths = quoted.filter(|path| FOLDERS.iter().any(|folder| path.starts_with(folder)));
    paths.filter(|path| !path.contains([' ', '*', '<', '{', '\n']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_to_files_are_found_without_their_headings() {
        let text = "[a](docs/a.md#top), [b](https://example.org/b), [c](#here) and [d](../d)";

        assert_eq!(links(text).collect::<Vec<_>>(), ["docs/a.md", "../d"]);
    }

    #[test]
    fn paths_are_what_stands_between_backticks() {
        let text = "See `crates/a/src` and `docs/*.md`, not `target/` or crates/b.\n\
                    ```sh\ncargo `docs/no` run\n```\n`xtask/src/main.rs`";

        assert_eq!(paths(text).collect::<Vec<_>>(), ["crates/a/src", "xtask/src/main.rs"]);
    }
}
