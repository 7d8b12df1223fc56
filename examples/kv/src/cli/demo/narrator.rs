//! Tells what happens: a progress bar on a terminal, plain lines elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

#[derive(Clone, Debug)]
pub(super) struct Narrator {
    bar: ProgressBar,
}

impl Narrator {
    pub(super) fn new(ops: u32) -> Self {
        let bar = ProgressBar::new(u64::from(ops));
        let template = "{bar:40} {pos}/{len} acknowledged, {elapsed}";
        // The template is fixed: if it were wrong, the bar would look plain.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Self { bar }
    }

    pub(super) fn say(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    /// Shows how many writes are acknowledged.
    pub(super) fn progress(&self, acknowledged: usize) {
        let all = self.bar.length().unwrap_or_default();
        let acknowledged = u64::try_from(acknowledged).unwrap_or(all);
        if !self.bar.is_hidden() {
            self.bar.set_position(acknowledged);
        } else if acknowledged.is_multiple_of((all / 4).max(1)) {
            println!("{acknowledged} of {all} acknowledged");
        }
    }

    /// Takes the bar away.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
