//! Making a failing case smaller: fewer faults, less time, fewer clients, the same rule broken.

use std::time::Duration;

use crate::app::App;
use crate::check::Rule;
use crate::run::{Case, Report};
use crate::schedule::Schedule;

/// Tries to break `rule` with a part of what `case` does. Gives the smallest case that was found,
/// and what came of it; `None` if `case` does not break the rule.
///
/// At most `runs_max` runs are tried.
pub fn shrink<A: App>(
    case: &Case,
    app: &A,
    rule: Rule,
    runs_max: usize,
) -> Option<(Case, Report<A>)> {
    let mut search = Search { app, rule, runs_left: runs_max, best: None };
    search.attempt(case.clone());
    search.best.as_ref()?;
    search.shorten();
    search.leave_out_faults();
    search.send_clients_away();
    search.leave_out_faults();
    search.best
}

struct Search<'a, A: App> {
    app: &'a A,
    rule: Rule,
    runs_left: usize,
    best: Option<(Case, Report<A>)>,
}

impl<A: App> Search<'_, A> {
    /// Keeps `case` if it breaks the rule.
    fn attempt(&mut self, case: Case) -> bool {
        if self.runs_left == 0 {
            return false;
        }
        self.runs_left -= 1;
        let report = case.run(self.app);
        let fails = report.violation.as_ref().is_some_and(|v| v.rule == self.rule);
        if fails {
            self.best = Some((case, report));
        }
        fails
    }

    fn best(&self) -> &Case {
        &self.best.as_ref().expect("the first attempt succeeded").0
    }

    /// Ends the run soon after the rule is broken.
    fn shorten(&mut self) {
        let Some((case, report)) = &self.best else { return };
        if report.time >= case.settings.chaos {
            return;
        }
        let mut shorter = case.clone();
        shorter.settings.chaos = report.time + Duration::from_millis(1);
        shorter.schedule.faults.retain(|planned| planned.at <= report.time);
        self.attempt(shorter);
    }

    /// Leaves out half of the faults, then quarters, and so on to single ones.
    fn leave_out_faults(&mut self) {
        let mut size = self.best().schedule.faults.len().div_ceil(2);
        while size > 0 && self.runs_left > 0 {
            let mut from = 0;
            while from < self.best().schedule.faults.len() && self.runs_left > 0 {
                let mut faults = self.best().schedule.faults.clone();
                faults.drain(from..(from + size).min(faults.len()));
                let case = Case { schedule: Schedule { faults }, ..self.best().clone() };
                if !self.attempt(case) {
                    from += size;
                }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
    }

    fn send_clients_away(&mut self) {
        while self.best().settings.clients.count > 1 && self.runs_left > 0 {
            let mut case = self.best().clone();
            case.settings.clients.count /= 2;
            if !self.attempt(case) {
                return;
            }
        }
    }
}
