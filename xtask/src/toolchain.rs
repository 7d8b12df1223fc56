//! `cargo xtask toolchain`: one version of Rust, said in four places.
//!
//! The oldest version that is supported is the one that everything is built with, so the build
//! itself is the check that it suffices.

use anyhow::{Context as _, ensure};

use crate::step::{Check, Step};

pub(crate) const STEP: Step = Step {
    name: "toolchain",
    about: "The oldest supported Rust is the one that builds this",
    run: check_versions,
};

fn check_versions(check: &mut Check<'_>) -> anyhow::Result<()> {
    let toolchain = setting(&check.workspace.read("rust-toolchain.toml")?, "channel")?;
    let msrv = setting(&check.workspace.read("Cargo.toml")?, "rust-version")?;
    ensure!(
        toolchain == msrv || toolchain.starts_with(&format!("{msrv}.")),
        "rust-toolchain.toml says {toolchain}, Cargo.toml says {msrv}"
    );
    for package in check.workspace.packages() {
        let found = package.rust_version.as_deref();
        ensure!(found == Some(&*msrv), "{} says rust-version {found:?}, not {msrv}", package.name);
    }
    for path in ["clippy.toml", "crates/raft-core/clippy.toml"] {
        let found = setting(&check.workspace.read(path)?, "msrv")?;
        ensure!(found == msrv, "{path} says msrv {found}, not {msrv}");
    }
    println!("Rust {msrv} everywhere");
    Ok(())
}

/// The text after `name = "` at the start of a line.
fn setting(toml: &str, name: &str) -> anyhow::Result<String> {
    let value = toml.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.trim_start().strip_prefix('=')?;
        Some(value.trim().trim_matches('"').to_owned())
    });
    value.with_context(|| format!("there is no {name}"))
}
