//! The simulator's own tests: what must fail does fail. If it did not, all else would mean nothing.

use raft::{Applied, StateMachine};
use raft_core::LogIndex;
use raft_sim::{
    App, Ask, Before, Case, Change, History, Outcome, Random, Registers, Reply, Rule, Store, Update,
};

use super::Verdict;

pub(super) fn run() -> Verdict {
    let tests = [
        ("a history that no single copy explains is refused", bad_history_is_refused()),
        ("a state machine that forgets an update is found", forgetful_machine_is_found()),
    ];
    let failed: Vec<_> = tests.iter().filter(|(_, passed)| !passed).map(|(name, _)| name).collect();
    failed.iter().for_each(|name| println!("FAILED selftest: {name}"));
    if failed.is_empty() { Verdict::Passed } else { Verdict::Failed }
}

/// Reads 1, then 0, after 1 was written.
fn bad_history_is_refused() -> bool {
    let mut history = History::<Registers>::default();
    let put = Update { key: 0, change: Change::Put(1), padding: String::new() };
    let replies = [
        (Ask::Command(put), Reply::Response(Before::Held(0))),
        (Ask::Query(0), Reply::Answer(1)),
        (Ask::Query(0), Reply::Answer(0)),
    ];
    for (time, (ask, reply)) in (0..).step_by(10).zip(replies) {
        let call = history.call(1, time, ask, LogIndex::ZERO);
        if history.end(call, Outcome::Answered(time + 5, reply)).is_err() {
            return false;
        }
    }
    history.check().is_err_and(|violation| violation.rule == Rule::Linearizability)
}

/// Some seed in a few must find it.
fn forgetful_machine_is_found() -> bool {
    (0..5).any(|seed| {
        let mut case = Case::standard(seed);
        case.settings.chaos = std::time::Duration::from_secs(20);
        let found = case.run(&Forgetful).violation;
        found.is_some_and(|violation| violation.rule == Rule::Linearizability)
    })
}

/// Registers that lose an update now and then, on all nodes alike.
#[derive(Clone, Debug)]
struct Forgetful;

#[derive(Debug, Default)]
struct ForgetfulStore(Store);

const GOOD: Registers = Registers { count: 4, padding: 0 };

impl StateMachine for ForgetfulStore {
    type Command = Update;
    type Response = Before;
    type Query = u16;
    type Answer = u64;

    fn apply(&mut self, entry: Applied<Update>) -> Before {
        if entry.id.index.get().is_multiple_of(50) {
            let mut forgotten = self.0.clone();
            return forgotten.apply(entry);
        }
        self.0.apply(entry)
    }

    fn query(&self, key: u16) -> u64 {
        self.0.query(key)
    }
}

impl App for Forgetful {
    type Machine = ForgetfulStore;
    type Model = u64;

    fn machine(&self) -> ForgetfulStore {
        ForgetfulStore::default()
    }

    fn draw(&self, random: &mut Random) -> Ask<Self> {
        match GOOD.draw(random) {
            Ask::Command(command) => Ask::Command(command),
            Ask::Query(key) => Ask::Query(key),
        }
    }

    fn run(model: &mut u64, command: &Update) -> Before {
        Registers::run(model, command)
    }

    fn answer(model: &u64, key: &u16) -> u64 {
        Registers::answer(model, key)
    }

    fn part(ask: &Ask<Self>) -> u64 {
        match ask {
            Ask::Command(update) => update.key.into(),
            Ask::Query(key) => (*key).into(),
        }
    }

    fn digest(machine: &ForgetfulStore) -> u64 {
        Registers::digest(&machine.0)
    }
}
