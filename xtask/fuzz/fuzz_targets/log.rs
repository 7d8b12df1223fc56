#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| raft_fuzz::run("log", bytes));
