//! What is printed.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::Duration;

use raft_sim::{
    Ask, Before, Case, Change, Class, History, Outcome, Point, Registers, Reply, Report, Standing,
    Tally, Update, shrink,
};
use serde_json::json;

use super::{Kind, Options, app};

/// What all runs came to.
#[derive(Debug, Default)]
pub(super) struct Totals {
    seeds: u64,
    time: Duration,
    events: u64,
    calls: usize,
    committed: u64,
    terms: usize,
    faults: usize,
    tally: Tally,
}

impl Totals {
    pub(super) fn add(&mut self, report: &Report<Registers>) {
        self.seeds += 1;
        self.time += report.time;
        self.events += report.events;
        self.calls += report.history.calls().len();
        self.committed += report.committed;
        self.terms += report.terms;
        self.faults += report.faults;
        self.tally.add(&report.tally);
    }

    /// One line.
    pub(super) fn progress(&self, wall: Duration) -> String {
        format!(
            "{:>5} s  {} seeds  {} cluster-hours, {} in a minute of a processor  {} calls  {} faults",
            wall.as_secs(),
            self.seeds,
            hours(self.time),
            self.per_minute(),
            self.calls,
            self.faults
        )
    }

    /// Everything; what was not met, too, where `kind` should meet it all.
    pub(super) fn print(&self, wall: Duration, kind: Kind) {
        println!("\n{}\n", self.tally);
        let missed: Vec<_> = self.tally.missed().collect();
        let all = Point::all().count();
        println!("{} of {all} points were reached", all - missed.len());
        if kind == Kind::Drawn {
            missed.iter().for_each(|point| println!("not reached: {point:?}: {}", point.text()));
            for (class, standing) in self.zero_cells() {
                println!("no effect: {class} on a {standing:?}");
            }
        }
        println!("\n{}", self.progress(wall));
        println!("SIMSTAT {}", self.json(wall));
    }

    /// Kinds of faults that never met a role.
    fn zero_cells(&self) -> impl Iterator<Item = (Class, Standing)> + '_ {
        let cells = Class::ALL.into_iter().flat_map(|class| Standing::ALL.map(|s| (class, s)));
        cells.filter(|(class, standing)| self.tally.effects(*class, *standing) == 0)
    }

    /// Cluster-hours in a minute of processor time, all threads together.
    fn per_minute(&self) -> String {
        let tenths = self.time.as_micros() * 60 / 3_600 * 10 / cpu_time().as_micros().max(1);
        format!("{}.{}", tenths / 10, tenths % 10)
    }

    fn json(&self, wall: Duration) -> serde_json::Value {
        let effects: serde_json::Map<_, _> = Class::ALL
            .into_iter()
            .map(|class| {
                (
                    class.name().to_owned(),
                    json!(Standing::ALL.map(|s| self.tally.effects(class, s))),
                )
            })
            .collect();
        let reached = Point::all().map(|p| (format!("{p:?}"), json!(self.tally.reached(p))));
        let reached: serde_json::Map<_, _> = reached.collect();
        json!({
            "seeds": self.seeds,
            "virtual_seconds": self.time.as_secs(),
            "cluster_hours": self.time.as_secs() / 3_600,
            "cluster_hours_per_cpu_minute": self.per_minute(),
            "cpu_seconds": cpu_time().as_secs(),
            "wall_seconds": wall.as_secs(),
            "events": self.events,
            "calls": self.calls,
            "committed": self.committed,
            "terms_led": self.terms,
            "faults_planned": self.faults,
            "points": Point::all().count(),
            "points_missed": self.tally.missed().count(),
            "zero_cells": self.zero_cells().count(),
            "effects": effects,
            "reached": reached,
        })
    }
}

fn hours(time: Duration) -> String {
    let tenths = time.as_secs() / 360;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// Time that this process has spent on all processors.
fn cpu_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let (seconds, nanos) = (u64::try_from(spent.tv_sec), u32::try_from(spent.tv_nsec));
    Duration::new(seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

/// Makes a failure smaller, and writes down what is known about it.
pub(super) fn explain(options: &Options, seed: u64) {
    let case = options.case(seed);
    let app = app(&case);
    println!("\n{:#?}", case.settings);
    let Some(violation) = case.run(&app).violation else { return };
    println!("making it smaller");
    let Some((small, report)) = shrink(&case, &app, violation.rule, options.shrink_runs) else {
        return;
    };
    println!("faults that are left, of {}:", case.schedule.faults.len());
    for planned in &small.schedule.faults {
        println!("  {:?} for {:?}: {:?}", planned.at, planned.lasts, planned.fault);
    }
    if let Some(violation) = &report.violation {
        println!(
            "VIOLATION rule={} seed={seed} at={:?}: {}",
            violation.rule, report.time, violation.what
        );
    }
    match write_down(options, seed, &small) {
        Ok(folder) => println!("what happened is in {}", folder.display()),
        Err(error) => println!("what happened cannot be written down: {error}"),
    }
    println!("to repeat it: cargo xtask sim {}--seed {seed}", options.kind().flag());
}

/// Writes the trace of a failure in all forms, and what clients saw.
fn write_down(options: &Options, seed: u64, case: &Case) -> io::Result<PathBuf> {
    let folder = options.out.clone().unwrap_or_else(|| PathBuf::from("target/sim"));
    let folder = folder.join(seed.to_string());
    std::fs::create_dir_all(&folder)?;
    let (report, trace) = case.trace(&app(case));
    let file = |name: &str| File::create(folder.join(name)).map(BufWriter::new);
    let what = report.violation.map_or_else(|| "no violation".to_owned(), |v| v.to_string());
    trace.write_json_lines(&mut file("trace.jsonl")?)?;
    trace.write_etcd(&mut file("etcd.jsonl")?)?;
    trace.write_html(&format!("seed {seed}: {what}"), &mut file("trace.html")?)?;
    write_history(&report.history, &mut file("history.jsonl")?)?;
    std::fs::write(folder.join("case.txt"), format!("{case:#?}\n{what}\n"))?;
    Ok(folder)
}

/// One JSON object a line, times in nanoseconds; an outcome that is not known returns never.
fn write_history(history: &History<Registers>, to: &mut impl Write) -> io::Result<()> {
    history.calls().iter().try_for_each(|call| {
        let (op, key, value, old) = match &call.ask {
            Ask::Query(key) => ("get", *key, None, None),
            Ask::Command(Update { key, change, .. }) => match *change {
                Change::Put(new) => ("put", *key, Some(new), None),
                Change::Append(new) => ("append", *key, Some(new), None),
                Change::CompareAndSet(old, new) => ("cas", *key, Some(new), Some(old)),
            },
        };
        let (ret, ok, out) = match &call.outcome {
            Outcome::Answered(at, reply) => (Some(at * 1_000), Some(true), Some(said(reply))),
            Outcome::NotDone(at) => (Some(at * 1_000), Some(false), None),
            Outcome::Waiting | Outcome::Unknown(_) => (None, None, None),
        };
        let line = json!({
            "c": call.client, "op": op, "k": key.to_string(), "v": value, "old": old,
            "call": call.called * 1_000, "ret": ret, "ok": ok, "out": out,
        });
        writeln!(to, "{line}")
    })
}

fn said(reply: &Reply<Registers>) -> serde_json::Value {
    match reply {
        Reply::Answer(value) | Reply::Response(Before::Held(value)) => json!(value),
        Reply::Response(Before::Matched(matched)) => json!(matched),
    }
}
