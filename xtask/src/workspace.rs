//! The workspace, as `cargo metadata` describes it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::Value;

use crate::process::output;

/// The workspace.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its directory, relative to the workspace's root.
    pub(crate) dir: PathBuf,
    pub(crate) rust_version: Option<String>,
    pub(crate) features: Vec<String>,
    /// The packages that it depends on, if only for its tests.
    pub(crate) dependencies: Vec<String>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command.args(["metadata", "--no-deps", "--format-version=1"]);
        command.arg("--manifest-path");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml"));
        let metadata = serde_json::from_str(&output(&mut command)?)?;
        Self::parse(&metadata).context("`cargo metadata` did not say what was expected")
    }

    fn parse(metadata: &Value) -> Option<Self> {
        let root = PathBuf::from(metadata["workspace_root"].as_str()?);
        let target = PathBuf::from(metadata["target_directory"].as_str()?);
        let packages = metadata["packages"].as_array()?.iter();
        let packages =
            packages.map(|package| Package::parse(&root, package)).collect::<Option<_>>();
        Some(Self { packages: packages?, root, target })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where cargo builds.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    pub(crate) fn packages(&self) -> &[Package] {
        &self.packages
    }

    /// The packages in a folder.
    pub(crate) fn packages_in(&self, folder: &str) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(move |package| package.dir.starts_with(folder))
    }

    /// Reads a file of the workspace.
    pub(crate) fn read(&self, path: impl AsRef<Path>) -> anyhow::Result<String> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(self.root.join(path));
        text.with_context(|| format!("cannot read {}", path.display()))
    }

    /// All files under a folder whose names end in `.extension`, relative to the root, in order.
    pub(crate) fn files(&self, folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut folders = Vec::from([folder.to_owned()]);
        while let Some(folder) = folders.pop() {
            let entries = std::fs::read_dir(self.root.join(&folder))
                .with_context(|| format!("cannot list {}", folder.display()))?;
            for entry in entries {
                let entry = entry?;
                let path = folder.join(entry.file_name());
                if entry.file_type()?.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|found| found == extension) {
                    found.push(path);
                }
            }
        }
        found.sort();
        Ok(found)
    }
}

impl Package {
    fn parse(root: &Path, package: &Value) -> Option<Self> {
        let manifest = Path::new(package["manifest_path"].as_str()?);
        let dependencies = package["dependencies"].as_array()?.iter();
        Some(Self {
            name: package["name"].as_str()?.to_owned(),
            dir: manifest.parent()?.strip_prefix(root).ok()?.to_owned(),
            rust_version: package["rust_version"].as_str().map(str::to_owned),
            features: package["features"].as_object()?.keys().cloned().collect(),
            dependencies: dependencies
                .map(|dependency| dependency["name"].as_str().map(str::to_owned))
                .collect::<Option<_>>()?,
        })
    }
}
