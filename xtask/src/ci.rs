//! `cargo xtask ci`: everything that a change must pass, quick things first.

use crate::step::Step;
use crate::{docs, examples, explore, layers, lint, miri, sim, spec, test, toolchain};

/// What comes before the tests.
const BEFORE: [Step; 7] =
    [toolchain::STEP, lint::FORMAT, layers::STEP, spec::STEP, lint::DENY, lint::CLIPPY, docs::STEP];

/// What comes after them.
const AFTER: [Step; 4] = [explore::STEP, examples::STEP, sim::STEP, miri::STEP];

/// All steps, in their order.
pub(crate) fn steps() -> impl Iterator<Item = &'static Step> {
    BEFORE.iter().chain(&test::STEPS).chain(&AFTER)
}
