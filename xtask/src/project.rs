//! The paths in the checkout, and the contents of its manifests.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// One checkout of this repository.
#[derive(Debug)]
pub(crate) struct Project {
    root: PathBuf,
}

impl Project {
    /// The checkout that this program was built from.
    pub(crate) fn locate() -> Result<Self> {
        let manifest_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root =
            manifest_dir.parent().context("xtask's folder has no parent: run it inside its checkout")?;
        anyhow::ensure!(
            root.join("Cargo.toml").is_file(),
            "{} is gone: run `cargo xtask` inside the checkout",
            root.display()
        );
        Ok(Self { root: root.to_path_buf() })
    }

    /// A checkout made by a test.
    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A path inside the checkout.
    pub(crate) fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// The folder for this program's own files.
    pub(crate) fn scratch_dir(&self) -> PathBuf {
        self.path("target/xtask")
    }

    pub(crate) fn logs_dir(&self) -> PathBuf {
        self.scratch_dir().join("logs")
    }

    /// The path of a workspace binary built with `profile`.
    pub(crate) fn binary(&self, profile: &str, name: &str) -> PathBuf {
        let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.path("target"), PathBuf::from);
        target.join(profile).join(name).with_extension(env::consts::EXE_EXTENSION)
    }

    /// The exact version (`1.2.3`) to which the root manifest pins `dependency` with `=1.2.3`.
    pub(crate) fn pinned_version(&self, dependency: &str) -> Result<String> {
        let path = self.path("Cargo.toml");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        pinned_version(&text, dependency).with_context(|| {
            format!("pin it in Cargo.toml, [workspace.dependencies]: {dependency} = \"=X.Y.Z\"")
        })
    }
}

fn pinned_version(manifest: &str, dependency: &str) -> Result<String> {
    let manifest: toml::Table = manifest.parse().context("the root Cargo.toml is not valid TOML")?;
    let entry = manifest
        .get("workspace")
        .and_then(|workspace| workspace.get("dependencies"))
        .and_then(|dependencies| dependencies.get(dependency))
        .with_context(|| format!("the workspace does not depend on {dependency}"))?;
    let requirement = entry.as_str().or_else(|| entry.get("version")?.as_str()).unwrap_or_default();
    let version = requirement
        .strip_prefix('=')
        .with_context(|| format!("{dependency} is not pinned to one version but to \"{requirement}\""))?;
    Ok(version.trim().to_owned())
}

/// Removes a folder, if it is there.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::pinned_version;

    #[test]
    fn a_pin_is_read_in_both_forms() {
        let manifest =
            "[workspace.dependencies]\na = \"=1.2.3\"\nb = { version = \"=4.5.6\", features = [] }\n";
        assert_eq!(pinned_version(manifest, "a").unwrap(), "1.2.3");
        assert_eq!(pinned_version(manifest, "b").unwrap(), "4.5.6");
    }

    #[test]
    fn a_range_is_no_pin() {
        let error = pinned_version("[workspace.dependencies]\na = \"1.2.3\"\n", "a").unwrap_err();
        assert!(error.to_string().contains("not pinned"), "{error}");
        assert!(pinned_version("[workspace.dependencies]\n", "a").is_err());
    }
}
