//! The simulator itself: runs repeat, traces tell, and what is wrong is found.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "a test that a machine cannot run says so")]

use std::process::Command;
use std::time::Duration;

use raft_sim::{Case, Registers, Rule, Schedule, shrink};
use serde_json::Value;

const APP: Registers = Registers { count: 4, padding: 0 };

fn short(seed: u64) -> Case {
    let mut case = Case::drawn(seed);
    case.settings.chaos = Duration::from_secs(5);
    case
}

#[test]
fn a_case_does_the_same_every_time_and_another_seed_does_something_else() {
    let digest = |seed| short(seed).run(&APP).digest;

    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}

#[test]
fn writing_down_what_happens_changes_nothing() {
    let case = short(3);

    assert_eq!(case.run(&APP).digest, case.trace(&APP).0.digest);
}

#[test]
fn no_rule_is_broken_and_much_is_met() {
    for seed in 0..30 {
        let report = short(seed).run(&APP);

        assert_eq!(report.violation, None, "seed {seed}");
        assert!(report.committed > 0, "seed {seed}");
    }
}

#[test]
fn every_line_of_a_trace_is_an_object() {
    let (_, trace) = short(4).trace(&APP);
    let (mut lines, mut etcd) = (Vec::new(), Vec::new());
    trace.write_json_lines(&mut lines).unwrap();
    trace.write_etcd(&mut etcd).unwrap();

    let kinds = |bytes: Vec<u8>, path: &str| {
        let text = String::from_utf8(bytes).unwrap();
        let kind = |line: &str| {
            let object: Value = serde_json::from_str(line).unwrap();
            object.pointer(path).unwrap().as_str().unwrap().to_owned()
        };
        text.lines().map(kind).collect::<std::collections::BTreeSet<_>>()
    };
    let told = kinds(lines, "/what");
    for kind in ["started", "sent", "arrived", "durable", "asked", "ended", "became"] {
        assert!(told.contains(kind), "{kind} is missing in {told:?}");
    }
    let events = kinds(etcd, "/event/name");
    for name in ["InitState", "BecomeLeader", "Replicate", "Commit", "SendAppendEntriesRequest"] {
        assert!(events.contains(name), "{name} is missing in {events:?}");
    }
}

/// No quorum can ever form: every packet is lost, from the beginning on and for good.
fn hopeless() -> Case {
    let mut case = Case::standard(1);
    case.settings.chaos = Duration::from_secs(2);
    case.settings.network.loss_per_million = 1_000_000;
    let faults = Schedule::drawn(5, &case.settings).faults;
    case.schedule = Schedule { faults };
    case
}

#[test]
fn a_cluster_that_makes_no_progress_is_found_and_its_faults_are_left_out() {
    let (small, report) = shrink(&hopeless(), &APP, Rule::Progress, 60).unwrap();

    assert_eq!(report.violation.unwrap().rule, Rule::Progress);
    assert!(small.schedule.faults.is_empty());
}

#[test]
fn the_page_opens_in_a_browser_without_a_network() {
    let browser = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    });
    let Some(browser) = browser else {
        println!("SKIP page no browser is installed: apt-get install chromium");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.html");
    let (_, trace) = hopeless().trace(&APP);
    trace.write_html("a <test>", &mut std::fs::File::create(&path).unwrap()).unwrap();

    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]);
    command.arg(format!("--user-data-dir={}", folder.path().join("profile").display()));
    let output = command.arg(format!("file://{}", path.display())).output().unwrap();
    let page = String::from_utf8_lossy(&output.stdout);

    assert!(page.contains("data-drawn="), "the script did not run to its end:\n{page:.2000}");
    assert!(page.contains("progress: no command went through"));
}
