//! Devices and mounts that go when they are dropped.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

/// Runs a command and shows what it says only if it fails.
pub(super) fn quietly(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {}", complaint.trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Waits until something is so, for so long at most.
pub(super) fn until(limit: Duration, mut is_so: impl FnMut() -> bool) -> anyhow::Result<()> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > limit {
            bail!("nothing came of it within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Creates a file of this length without content.
pub(super) fn sparse(path: &Path, bytes: usize) -> anyhow::Result<()> {
    Ok(File::create(path)?.set_len(u64::try_from(bytes)?)?)
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Filesystem {
    Ext4,
    Xfs,
}

impl Filesystem {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }

    /// XFS does not get by with less.
    pub(super) const fn mebibytes(self) -> usize {
        match self {
            Self::Ext4 => 96,
            Self::Xfs => 320,
        }
    }

    pub(super) const fn bytes(self) -> usize {
        self.mebibytes() << 20
    }

    /// At how many points power is lost; it takes about as long for both.
    pub(super) const fn points(self) -> usize {
        match self {
            Self::Ext4 => 30,
            Self::Xfs => 10,
        }
    }

    pub(super) fn make(self, device: &str) -> anyhow::Result<()> {
        let mut command = Command::new(format!("mkfs.{}", self.name()));
        match self {
            Self::Ext4 => {
                command.args(["-q", "-F", "-E", "nodiscard,lazy_itable_init=0", "-J", "size=4"])
            }
            Self::Xfs => command.args(["-q", "-f", "-K"]),
        };
        quietly(command.arg(device)).map(drop)
    }
}

/// A block device whose writes are recorded.
pub(super) struct Recorder {
    dir: PathBuf,
}

impl Recorder {
    pub(super) fn start(lab: &Path, mebibytes: usize) -> anyhow::Result<Self> {
        let dir = lab.join("fuse");
        std::fs::create_dir_all(&dir)?;
        let mut command = Command::new(lab.join("blkrec"));
        quietly(command.arg(mebibytes.to_string()).arg(lab.join("record")).arg(&dir))?;
        Ok(Self { dir })
    }

    pub(super) fn disk(&self) -> PathBuf {
        self.dir.join("disk")
    }

    pub(super) fn control(&self) -> PathBuf {
        self.dir.join("ctl")
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        complain(quietly(Command::new("fusermount3").arg("-u").arg(&self.dir)));
    }
}

/// A loop device.
pub(super) struct Loop {
    path: String,
}

impl Loop {
    pub(super) fn attach(file: &Path) -> anyhow::Result<Self> {
        let path = quietly(Command::new("losetup").args(["--find", "--show"]).arg(file))?;
        Ok(Self { path })
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        complain(quietly(Command::new("losetup").arg("-d").arg(&self.path)));
    }
}

/// A mounted file system.
pub(super) struct Mount {
    dir: PathBuf,
}

impl Mount {
    pub(super) fn device(device: &str, dir: &Path, options: &[&str]) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        quietly(Command::new("mount").args(options).arg(device).arg(dir))?;
        Ok(Self { dir: dir.to_path_buf() })
    }

    pub(super) fn memory(dir: &Path, mebibytes: usize) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let size = format!("size={mebibytes}m");
        quietly(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir))?;
        Ok(Self { dir: dir.to_path_buf() })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        complain(quietly(Command::new("umount").arg(&self.dir)));
    }
}

fn complain(result: anyhow::Result<String>) {
    if let Err(error) = result {
        println!("{error:#}");
    }
}
