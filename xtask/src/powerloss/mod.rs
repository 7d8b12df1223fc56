//! `cargo xtask powerloss`: the log on real file systems that lose power, fail, or are full.
//!
//! ```text
//! blkrec (FUSE, records every write and flush) <- loop device <- ext4 or XFS <- the log, and another
//!                                                                                process that syncs
//! record -> what the device may hold after a loss of power at any point -> mount -> open, compare
//! ```
//!
//! Needs root, a C compiler, libfuse 3, loop devices, and `mkfs` for each file system; what is not
//! there is skipped. Everything happens in a directory of its own in memory.

mod device;
mod replay;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};

use self::device::{Filesystem, Loop, Mount, Recorder, quietly};
use crate::process::{cargo, output, run};
use crate::step::{Check, Step};

pub(crate) const STEP: Step = Step {
    name: "powerloss",
    about: "The log on file systems that lose power, fail or are full (root only)",
    run: check_all,
};

const OPERATIONS: u64 = 500;

/// Where everything is.
pub(crate) struct Lab {
    dir: PathBuf,
    program: PathBuf,
}

fn check_all(check: &mut Check<'_>) -> anyhow::Result<()> {
    if let Some(reason) = missing() {
        check.skip("powerloss", &reason);
        return Ok(());
    }
    let dir = tempfile::tempdir_in("/dev/shm")?;
    let lab = prepare(check, dir.path())?;
    for filesystem in [Filesystem::Ext4, Filesystem::Xfs] {
        let name = filesystem.name();
        if !has(&format!("mkfs.{name}")) {
            check.skip(name, "mkfs is not installed");
            continue;
        }
        lose_power(&lab, filesystem).with_context(|| format!("loss of power on {name}"))?;
        shut_down(&lab, filesystem).with_context(|| format!("shutdown of {name}"))?;
        fail_flush(&lab, filesystem).with_context(|| format!("failing flush on {name}"))?;
        read_only(&lab, filesystem).with_context(|| format!("read-only {name}"))?;
    }
    fill(&lab).context("full file system")
}

/// What is not there, if anything.
fn missing() -> Option<String> {
    let id = Command::new("id").arg("-u").output().ok()?;
    if id.stdout != b"0\n" {
        return Some("needs root".to_owned());
    }
    let devices = ["/dev/fuse", "/dev/loop-control", "/dev/shm"];
    if let Some(device) = devices.iter().find(|device| !Path::new(device).exists()) {
        return Some(format!("needs {device}"));
    }
    let programs = ["cc", "pkg-config", "fusermount3", "losetup", "mount", "umount"];
    if let Some(program) = programs.iter().find(|program| !has(program)) {
        return Some(format!("needs {program}"));
    }
    let has_fuse = quietly(Command::new("pkg-config").args(["--exists", "fuse3"])).is_ok();
    (!has_fuse).then(|| "needs libfuse 3, with its headers".to_owned())
}

fn has(program: &str) -> bool {
    let found = Command::new("sh").arg("-c").arg(format!("command -v {program}")).output();
    found.is_ok_and(|output| output.status.success())
}

fn prepare(check: &Check<'_>, dir: &Path) -> anyhow::Result<Lab> {
    let sources = check.workspace.root().join("xtask/powerloss");
    let flags = output(Command::new("pkg-config").args(["fuse3", "--cflags", "--libs"]))?;
    for name in ["blkrec", "shut"] {
        let mut cc = Command::new("cc");
        cc.arg("-O2").arg("-o").arg(dir.join(name)).arg(sources.join(format!("{name}.c")));
        run(cc.args(flags.split_whitespace()))?;
    }
    run(&mut cargo(check.workspace, "build --release -p raft-wal --example powerloss"))?;
    let program = check.workspace.target().join("release/examples/powerloss");
    Ok(Lab { dir: dir.to_path_buf(), program })
}

impl Lab {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        command
    }

    /// Runs the program and gives its last line, or its complaint.
    fn ask(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self.program(arguments).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{arguments:?}: {}", complaint.trim());
        Ok(text.lines().last().unwrap_or_default().to_owned())
    }

    fn check(&self, mark: u64) -> anyhow::Result<String> {
        self.ask(&["check", &self.log(), &mark.to_string()])
    }

    /// The log's directory, on what is mounted.
    fn log(&self) -> String {
        self.path("mnt/w").display().to_string()
    }
}

/// The number in the last whole line of a file of marks.
fn last_mark(path: &Path) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let marks = text.lines().filter_map(|line| line.strip_prefix("mark "));
    marks.filter_map(|number| number.parse().ok()).max().unwrap_or(0)
}

/// Records a run of the log beside another process that syncs, and opens what is left after a loss
/// of power at many points of it.
fn lose_power(lab: &Lab, filesystem: Filesystem) -> anyhow::Result<()> {
    {
        let recorder = Recorder::start(&lab.dir, filesystem.mebibytes())?;
        let device = Loop::attach(&recorder.disk())?;
        filesystem.make(device.path())?;
        let _mount = Mount::device(device.path(), &lab.path("mnt"), &[])?;
        let stop = lab.path("stop");
        let noise = lab.path("mnt/noise").display().to_string();
        let mut noise = lab.program(&["noise", &noise, &stop.display().to_string()]).spawn()?;
        let control = recorder.control().display().to_string();
        let worked = lab.ask(&["work", &lab.log(), &control, &OPERATIONS.to_string()]);
        std::fs::write(&stop, "")?;
        noise.wait()?;
        std::fs::remove_file(&stop)?;
        ensure!(worked?.starts_with("DONE"), "the log did not get to its end");
    }
    let record = replay::Record::read(&lab.path("record"))?;
    let states = replay::states(&record, filesystem.bytes(), filesystem.points());
    let mut opened = 0;
    for state in states {
        std::fs::write(lab.path("crash.img"), &state.image)?;
        let device = Loop::attach(&lab.path("crash.img"))?;
        let _mount = Mount::device(device.path(), &lab.path("mnt"), &[])?;
        lab.check(state.mark).with_context(|| state.name.clone())?;
        opened += 1;
    }
    println!("{}: {opened} losses of power, nothing acknowledged lost", filesystem.name());
    Ok(())
}

/// Shuts the file system down under the running log, as a loss of power would.
fn shut_down(lab: &Lab, filesystem: Filesystem) -> anyhow::Result<()> {
    let image = lab.path("shut.img");
    device::sparse(&image, filesystem.bytes())?;
    let device = Loop::attach(&image)?;
    filesystem.make(device.path())?;
    let marks = lab.path("marks");
    let mount = Mount::device(device.path(), &lab.path("mnt"), &[])?;
    let mut work = lab.program(&["work", &lab.log(), &marks.display().to_string(), "1000000"]);
    let mut work = work.stdout(Stdio::piped()).spawn()?;
    device::until(Duration::from_secs(20), || last_mark(&marks) > 300)?;
    quietly(Command::new(lab.path("shut")).arg(lab.path("mnt")))?;
    device::until(Duration::from_secs(20), || matches!(work.try_wait(), Ok(Some(_))))?;
    let said = work.wait_with_output()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(said.starts_with("STOPPED"), "the log did not stop: {said}");
    drop(mount);
    let _mount = Mount::device(device.path(), &lab.path("mnt"), &[])?;
    let found = lab.check(last_mark(&marks))?;
    std::fs::remove_file(marks)?;
    println!("{}: shut down; {} then {found}", filesystem.name(), said.trim());
    Ok(())
}

/// Lets the device's flushes fail under the running log.
fn fail_flush(lab: &Lab, filesystem: Filesystem) -> anyhow::Result<()> {
    let recorder = Recorder::start(&lab.dir, filesystem.mebibytes())?;
    let device = Loop::attach(&recorder.disk())?;
    filesystem.make(device.path())?;
    let marks = lab.path("marks");
    let mount = Mount::device(device.path(), &lab.path("mnt"), &[])?;
    let mut work = lab.program(&["work", &lab.log(), &marks.display().to_string(), "1000000"]);
    let mut work = work.stdout(Stdio::piped()).spawn()?;
    device::until(Duration::from_secs(20), || last_mark(&marks) > 200)?;
    std::fs::write(recorder.control(), "eiof 1\n")?;
    device::until(Duration::from_secs(20), || matches!(work.try_wait(), Ok(Some(_))))?;
    let said = work.wait_with_output()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    ensure!(said.starts_with("STOPPED"), "the log did not stop: {said}");
    std::fs::write(recorder.control(), "clear\n")?;
    drop(mount);
    let _mount = Mount::device(device.path(), &lab.path("mnt"), &[])?;
    let found = lab.check(last_mark(&marks))?;
    std::fs::remove_file(marks)?;
    println!("{}: failed flush; {} then {found}", filesystem.name(), said.trim());
    Ok(())
}

/// Opens a log on a file system that cannot be written to.
fn read_only(lab: &Lab, filesystem: Filesystem) -> anyhow::Result<()> {
    let image = lab.path("shut.img");
    let device = Loop::attach(&image)?;
    let marks = lab.path("marks");
    filesystem.make(device.path())?;
    {
        let _mount = Mount::device(device.path(), &lab.path("mnt"), &[])?;
        lab.ask(&["work", &lab.log(), &marks.display().to_string(), "50"])?;
    }
    let _mount = Mount::device(device.path(), &lab.path("mnt"), &["-o", "ro"])?;
    if let Ok(said) = lab.check(50) {
        bail!("a log that cannot be written to was opened: {said}");
    }
    let found = lab.ask(&["read", &lab.log(), "50"])?;
    std::fs::remove_file(marks)?;
    println!("{}: read-only; refused to write, read {found}", filesystem.name());
    Ok(())
}

fn fill(lab: &Lab) -> anyhow::Result<()> {
    {
        let _mount = Mount::memory(&lab.path("mnt"), 24)?;
        println!("tmpfs: {}", lab.ask(&["full", &lab.log()])?);
    }
    let image = lab.path("full.img");
    device::sparse(&image, 24 << 20)?;
    let device = Loop::attach(&image)?;
    Filesystem::Ext4.make(device.path())?;
    let _mount = Mount::device(device.path(), &lab.path("mnt"), &[])?;
    println!("ext4: {}", lab.ask(&["full", &lab.log()])?);
    Ok(())
}
