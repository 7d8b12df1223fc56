//! `cargo xtask spec`: the tests that the documents name as guards exist, and are run.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, ensure};

use crate::step::Step;
use crate::workspace::Workspace;

pub(crate) const STEP: Step = Step {
    name: "spec",
    about: "The tests exist that guard the rules and the regressions, and are run",
    run: |check| {
        tests_exist(check.workspace)?;
        tests_are_run(check.workspace)
    },
};

/// Documents whose tables name tests.
const DOCUMENTS: [&str; 2] = ["docs/spec.md", "docs/regressions.md"];

fn tests_exist(workspace: &Workspace) -> anyhow::Result<()> {
    let known = known(workspace)?;
    let mut missing = Vec::new();
    let mut found = 0;
    for document in DOCUMENTS {
        for name in named(&workspace.read(document)?) {
            found += 1;
            if !known.contains(&name) {
                missing.push(format!("{document}: {name}"));
            }
        }
    }
    ensure!(missing.is_empty(), "documents name tests that do not exist:\n{}", missing.join("\n"));
    println!("{found} tests are named, and exist");
    Ok(())
}

/// Where the tests of a package are one program, `tests/main.rs` or the manifest must name each file:
/// one that is forgotten is not compiled, and nobody is told.
fn tests_are_run(workspace: &Workspace) -> anyhow::Result<()> {
    let mut forgotten = Vec::new();
    for main in workspace.files(Path::new("crates"), "rs")? {
        if !main.ends_with("tests/main.rs") {
            continue;
        }
        let tests = main.parent().context("a file without a directory")?;
        let manifest = workspace.read(tests.with_file_name("Cargo.toml"))?;
        let programs = workspace.read(&main)? + &manifest;
        let files = workspace.files(tests, "rs")?;
        let beside = files.iter().filter(|file| file.parent() == Some(tests) && **file != main);
        forgotten.extend(beside.filter(|file| !is_named(&programs, file)).cloned());
    }
    ensure!(forgotten.is_empty(), "no program has these tests: {forgotten:?}");
    Ok(())
}

/// As a module, or as the path of a program of its own.
fn is_named(programs: &str, file: &Path) -> bool {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let names = [format!("mod {name};"), format!("path = \"tests/{name}.rs\"")];
    programs.lines().any(|line| names.iter().any(|name| line == name))
}

/// Every function in the sources, under each end of the path to it: a test may be named by as much
/// of that as its reader needs.
fn known(workspace: &Workspace) -> anyhow::Result<BTreeSet<String>> {
    let mut known = BTreeSet::new();
    for folder in ["crates", "examples", "xtask"] {
        for path in workspace.files(Path::new(folder), "rs")? {
            let text = workspace.read(&path)?;
            for function in functions(&text) {
                known.extend(names(&path, function));
            }
        }
    }
    Ok(known)
}

fn functions(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().map(str::trim_start);
    let lines = lines.map(|line| line.strip_prefix("async ").unwrap_or(line));
    lines.filter_map(|line| line.strip_prefix("fn ")?.split(['(', '<']).next())
}

/// `membership/quorum::f`, `quorum::f` and so on, with and without the module `tests` that may be
/// in the file.
fn names(path: &Path, function: &str) -> Vec<String> {
    let path = path.with_extension("");
    let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).collect();
    let ends = (0..parts.len()).filter_map(|at| parts.get(at..));
    let ends = ends.map(|end| end.join("/"));
    ends.flat_map(|end| [format!("{end}::{function}"), format!("{end}::tests::{function}")])
        .collect()
}

/// The tests that a document names: `file::test`, or `path/file.rs` followed by a `test` of its.
fn named(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    // Rules stand in tables; the last column has the tests.
    for row in text.lines().filter(|line| line.starts_with("| ")) {
        let tests = row.trim_end_matches(['|', ' ']).rsplit(" | ").next().unwrap_or_default();
        let mut file = None;
        for quoted in tests.split('`').skip(1).step_by(2) {
            if quoted.contains("::") {
                names.push(quoted.replace(".rs::", "::"));
            } else if let Some(path) = quoted.strip_suffix(".rs") {
                file = Some(path);
            } else if let Some(path) = file {
                names.push(format!("{path}::{quoted}"));
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_from_the_last_column() {
        let text = "| A rule | `code.rs` `no` | `file::one`, `a/b.rs` `two`, `three`; `c/d.rs::four` |\n\
                    `not::this`\n|---|---|";

        assert_eq!(named(text), ["file::one", "a/b::two", "a/b::three", "c/d::four"]);
    }

    #[test]
    fn a_test_may_be_named_by_any_end_of_its_path() {
        let names = names(Path::new("crates/a/src/b.rs"), "f");

        assert!(
            ["b::f", "src/b::f", "b::tests::f"].iter().all(|name| names.contains(&(*name).into()))
        );
        assert!(!names.contains(&"a::f".into()));
    }

    #[test]
    fn a_file_of_tests_is_named_by_a_line_of_its_own() {
        let programs = "mod common;\nmod one;\n// mod two;\npath = \"tests/three.rs\"\n";
        let is_named = |name: &str| is_named(programs, &Path::new("tests").join(name));

        assert!(is_named("one.rs") && is_named("three.rs"));
        assert!(!is_named("two.rs") && !is_named("on.rs") && !is_named("four.rs"));
    }

    #[test]
    fn functions_are_found_whatever_is_in_front_of_them() {
        let text =
            "    #[test]\n    fn one() {\n    async fn two<T>(t: T) {\n// fn three() in prose\n";

        assert_eq!(functions(text).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn the_tests_exist_that_the_documents_name() {
        tests_exist(&Workspace::load().unwrap()).unwrap();
    }
}
