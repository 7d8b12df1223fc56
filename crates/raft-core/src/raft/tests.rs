//! The protocol, scenario by scenario.
