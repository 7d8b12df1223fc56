//! The scenarios that are checked in, each with the number of its states.

use crate::scenario::{Change, Scenario};

/// A scenario, and how many states it has.
#[derive(Clone, Debug)]
pub struct Known {
    /// The scenario.
    pub scenario: Scenario,
    /// Its states. Another count means that the protocol behaves differently: if that was meant,
    /// it is changed here.
    pub states: Option<usize>,
    /// Whether it takes too long for every run of the tests.
    pub is_long: bool,
}

/// All scenarios that are checked in.
#[must_use]
pub fn known() -> Vec<Known> {
    [elections(), commands(), members_for_long(), members(), leaders()].concat()
}

/// Elections, and nothing else.
fn elections() -> Vec<Known> {
    Vec::from([
        long(
            Scenario {
                name: "rivals-of-three",
                about: "three servers that all campaign, in one term",
                impatient: 3,
                ..three()
            },
            Some(31_397_039),
        ),
        short(
            Scenario {
                name: "terms-and-crash",
                about: "two elections of two servers, one of which crashes",
                term_max: 3,
                crashes: 1,
                ..two()
            },
            5_919_274,
        ),
        short(
            Scenario {
                name: "crash-of-three",
                about: "an election of three servers, one of which crashes",
                crashes: 1,
                ..three()
            },
            4_289_079,
        ),
        short(
            Scenario {
                name: "election-of-three",
                about: "an election of three servers",
                ..three()
            },
            1_036_726,
        ),
    ])
}

/// A command on its way.
fn commands() -> Vec<Known> {
    Vec::from([
        long(
            Scenario {
                name: "command-of-three",
                about: "a command among three servers",
                proposals: 1,
                ..three()
            },
            Some(85_532_590),
        ),
        short(
            Scenario {
                name: "repeated-command",
                about: "a command among two servers, one of whose messages arrives twice",
                proposals: 1,
                duplicates: 1,
                ..two()
            },
            3_816_707,
        ),
        short(
            Scenario {
                name: "command-and-crash",
                about: "a command among two servers, one of which crashes",
                proposals: 1,
                crashes: 1,
                ..two()
            },
            3_882_668,
        ),
    ])
}

/// Changes of the members, for long runs.
fn members_for_long() -> Vec<Known> {
    Vec::from([
        long(
            Scenario {
                name: "long-grow",
                about: "a second server joins a first one, which crashes, and leads again",
                founders: 1,
                term_max: 3,
                crashes: 1,
                changes: Vec::from([Change::Add(2)]),
                ..two()
            },
            Some(8_771_770),
        ),
        long(
            Scenario {
                name: "long-shrink",
                about: "a server leaves another one, beside a command and a crash",
                proposals: 1,
                crashes: 1,
                changes: Vec::from([Change::Remove(2)]),
                ..two()
            },
            Some(17_747_411),
        ),
        long(
            Scenario {
                name: "long-move",
                about: "a cluster of one server becomes one of another server, and either may crash",
                founders: 1,
                term_max: 3,
                crashes: 1,
                changes: Vec::from([Change::Learn(2), Change::Replace(2, 1)]),
                ..two()
            },
            Some(15_698_806),
        ),
        long(
            Scenario {
                name: "long-replace",
                about: "a third server takes the place of the second one, and any may crash",
                founders: 2,
                crashes: 1,
                changes: Vec::from([Change::Learn(3), Change::Replace(3, 2)]),
                ..three()
            },
            Some(21_223_855),
        ),
    ])
}

/// Changes of the members.
fn members() -> Vec<Known> {
    Vec::from([
        short(
            Scenario {
                name: "grow",
                about: "a second server joins a first one, and either may crash",
                founders: 1,
                crashes: 1,
                changes: Vec::from([Change::Add(2)]),
                ..two()
            },
            714_560,
        ),
        short(
            Scenario {
                name: "shrink",
                about: "a server leaves another one, and either may crash",
                crashes: 1,
                changes: Vec::from([Change::Remove(2)]),
                ..two()
            },
            623_123,
        ),
        short(
            Scenario {
                name: "move",
                about: "a cluster of one server becomes one of another server",
                founders: 1,
                term_max: 3,
                changes: Vec::from([Change::Learn(2), Change::Replace(2, 1)]),
                ..two()
            },
            2_014_308,
        ),
    ])
}

/// Changes of the leader.
fn leaders() -> Vec<Known> {
    Vec::from([short(
        Scenario {
            name: "transfer",
            about: "handing over among two servers",
            term_max: 3,
            changes: Vec::from([Change::Transfer(2)]),
            ..two()
        },
        6_371_534,
    )])
}

/// Two servers that campaign, and nothing else.
const fn two() -> Scenario {
    Scenario {
        name: "",
        about: "",
        servers: 2,
        founders: 2,
        impatient: 2,
        term_max: 2,
        proposals: 0,
        crashes: 0,
        duplicates: 0,
        in_flight_max: 2,
        changes: Vec::new(),
    }
}

/// Three servers, one of which campaigns.
fn three() -> Scenario {
    Scenario { servers: 3, founders: 3, impatient: 1, ..two() }
}

const fn long(scenario: Scenario, states: Option<usize>) -> Known {
    Known { scenario, states, is_long: true }
}

const fn short(scenario: Scenario, states: usize) -> Known {
    Known { scenario, states: Some(states), is_long: false }
}
