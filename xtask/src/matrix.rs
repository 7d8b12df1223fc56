//! `cargo xtask matrix`: every package by itself, with the features that it may be asked for.

use std::collections::BTreeSet;

use crate::process::{cargo, run};
use crate::step::{Check, Step};
use crate::workspace::Package;

pub(crate) const STEP: Step = Step {
    name: "matrix",
    about: "Each package builds alone: without features, with each of them, with all",
    run: check_all,
};

fn check_all(check: &mut Check<'_>) -> anyhow::Result<()> {
    let workspace = check.workspace;
    for package in workspace.packages_in("crates").chain(workspace.packages_in("examples")) {
        for features in feature_sets(package) {
            let features = if features.is_empty() {
                String::new()
            } else {
                format!(" --features {}", features.into_iter().collect::<Vec<_>>().join(","))
            };
            // Clippy, because it makes warnings errors without another build of what is depended on.
            let arguments = format!(
                "clippy --quiet --package {} --no-default-features{features} -- -D warnings",
                package.name
            );
            run(&mut cargo(check.workspace, &arguments))?;
        }
    }
    Ok(())
}

/// None, each alone, and all; in this order, and each set once.
fn feature_sets(package: &Package) -> Vec<BTreeSet<&str>> {
    let features = package.features.iter().map(String::as_str);
    let features: BTreeSet<&str> = features.filter(|&name| name != "default").collect();
    let mut sets = Vec::from([BTreeSet::new()]);
    sets.extend(features.iter().map(|&feature| BTreeSet::from([feature])));
    if !sets.contains(&features) {
        sets.push(features);
    }
    sets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sets(features: &[&str]) -> Vec<BTreeSet<&'static str>> {
        let package = Package {
            name: String::new(),
            dir: "crates/any".into(),
            rust_version: None,
            features: features.iter().map(|&feature| feature.to_owned()).collect(),
            dependencies: Vec::new(),
        };
        let sets = feature_sets(&package).into_iter();
        sets.map(|set| set.into_iter().map(|feature| &*feature.to_owned().leak()).collect())
            .collect()
    }

    #[test]
    fn a_package_without_features_is_built_once() {
        assert_eq!(sets(&[]), [BTreeSet::new()]);
        assert_eq!(sets(&["default"]), [BTreeSet::new()]);
    }

    #[test]
    fn features_are_built_one_by_one_and_together() {
        assert_eq!(sets(&["a", "default"]), [BTreeSet::new(), BTreeSet::from(["a"])]);
        assert_eq!(
            sets(&["a", "b", "default"]),
            [
                BTreeSet::new(),
                BTreeSet::from(["a"]),
                BTreeSet::from(["b"]),
                BTreeSet::from(["a", "b"])
            ]
        );
    }
}
