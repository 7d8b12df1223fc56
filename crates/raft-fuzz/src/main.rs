//! Writes the bytes that a fuzzer begins from: `raft-fuzz DIR` fills `DIR/TARGET/`.

use std::path::PathBuf;

fn main() -> std::io::Result<()> {
    let dir = std::env::args_os().nth(1).map(PathBuf::from);
    let dir = dir.ok_or_else(|| std::io::Error::other("usage: raft-fuzz DIR"))?;
    for target in raft_fuzz::TARGETS {
        let corpus = dir.join(target.name);
        std::fs::create_dir_all(&corpus)?;
        for (nth, bytes) in (target.seeds)().into_iter().enumerate() {
            std::fs::write(corpus.join(format!("seed-{nth}")), bytes)?;
        }
    }
    Ok(())
}
