//! Steps: what they are, and running several.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::workspace::Workspace;

/// One thing that is checked, and a command of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn(&mut Check<'_>) -> anyhow::Result<()>,
}

/// A step that runs.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    pub(crate) workspace: &'a Workspace,
    skipped: Vec<String>,
}

impl Check<'_> {
    /// Says that this machine cannot run something, and why. It is said again at the end.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        let line = format!("SKIP {name} {reason}");
        println!("{line}");
        self.skipped.push(line);
    }
}

/// Runs steps one after the other, up to the first that fails.
pub(crate) fn run_all<'a>(
    workspace: &Workspace,
    steps: impl Iterator<Item = &'a Step>,
) -> anyhow::Result<()> {
    let mut check = Check { workspace, skipped: Vec::new() };
    let mut done = Vec::new();
    for step in steps {
        println!("\n==> {}: {}", step.name, step.about);
        let start = Instant::now();
        let result = (step.run)(&mut check);
        let elapsed = start.elapsed();
        println!("--- {}: {}", step.name, seconds(elapsed));
        done.push((step.name, result.is_err(), elapsed));
        if result.is_err() {
            print_table(&done, &check.skipped);
            println!("\nto repeat what failed: cargo xtask {}", step.name);
            return result.with_context(|| format!("{} failed", step.name));
        }
    }
    print_table(&done, &check.skipped);
    Ok(())
}

fn print_table(done: &[(&str, bool, Duration)], skipped: &[String]) {
    println!("\n{:<12}{:<8}{:>9}", "step", "result", "time");
    for (name, failed, elapsed) in done {
        let result = if *failed { "FAILED" } else { "ok" };
        println!("{name:<12}{result:<8}{:>9}", seconds(*elapsed));
    }
    let total = done.iter().map(|(_, _, elapsed)| elapsed).sum();
    println!("{:<12}{:<8}{:>9}", "total", "", seconds(total));
    skipped.iter().for_each(|line| println!("{line}"));
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
