//! Running programs.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::workspace::Workspace;

/// Cargo, the same one that runs this program, in the workspace's root.
pub(crate) fn cargo(workspace: &Workspace, arguments: &str) -> Command {
    cargo_at(workspace.root(), arguments)
}

/// Cargo, the same one that runs this program, in another place.
pub(crate) fn cargo_at(dir: &Path, arguments: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments.split_whitespace()).current_dir(dir);
    command
}

/// Whether cargo has this subcommand, which may have to be installed.
pub(crate) fn has_cargo(workspace: &Workspace, subcommand: &str) -> bool {
    let mut command = cargo(workspace, &format!("{subcommand} --version"));
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Shows a command, and runs it to its end.
///
/// # Errors
///
/// If it does not end well.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = shown(command);
    println!("$ {shown}");
    let status = command.status().with_context(|| format!("cannot run `{shown}`"))?;
    ensure!(status.success(), "`{shown}` failed ({status})");
    Ok(())
}

/// As [`run`], but the program is killed when it takes longer than `limit`.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> anyhow::Result<()> {
    let shown = shown(command);
    println!("$ {shown}");
    let status = status_within(command, limit)?;
    let status = status.with_context(|| format!("`{shown}` has not ended within {limit:?}"))?;
    ensure!(status.success(), "`{shown}` failed ({status})");
    Ok(())
}

/// Runs a command, and kills it when it takes longer than `limit`: `None` then.
pub(crate) fn status_within(
    command: &mut Command,
    limit: Duration,
) -> anyhow::Result<Option<ExitStatus>> {
    const PAUSE: Duration = Duration::from_millis(20);
    let start = Instant::now();
    let mut process = Process::spawn(command)?;
    while start.elapsed() < limit {
        if let Some(status) = process.0.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(None)
}

/// Runs a command to its end, and gives what it printed to standard output.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let shown = shown(command);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("cannot run `{shown}`"))?;
    ensure!(output.status.success(), "`{shown}` failed ({})", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed no text"))
}

/// A child process that is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.stdin(Stdio::null()).spawn();
        child.map(Self).with_context(|| format!("cannot run `{}`", shown(command)))
    }

    /// The system's number for it.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }

    /// Fails if it has ended.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.0.try_wait()? {
            Some(status) => bail!("it ended by itself ({status})"),
            None => Ok(()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself, and then there is nothing to kill.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A command as it would be typed.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_stem().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
