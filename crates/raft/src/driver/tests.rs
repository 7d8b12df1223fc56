//! The driver, scenario by scenario.
