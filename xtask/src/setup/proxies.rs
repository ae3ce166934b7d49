//! The programs around a server in the tests: proxies, and a generator of certificates.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::system_packages::SystemPackages;
use crate::{
    console::{Console, Step},
    process::{command, find, output_of},
};

/// A program, Debian's package of it, and its option that prints the version.
const PROGRAMS: [(&str, &str, &str); 3] =
    [("nginx", "nginx-light", "-v"), ("haproxy", "haproxy", "-v"), ("openssl", "openssl", "version")];

/// Checks all of them, and installs missing ones.
pub(super) fn ensure(console: &Console, packages: &mut SystemPackages) -> Result<()> {
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(name, ..)| path(name).is_none()).map(|(_, package, _)| *package).collect();
    if !missing.is_empty() {
        let what = format!("installing {}", missing.join(", "));
        let step = Step { name: "proxies", what: &what, slow: Some("up to 1 min") };
        console.step(step, |log| packages.install(log, &missing))?;
    }
    for (name, _, version) in PROGRAMS {
        let path =
            path(name).with_context(|| format!("{name} is not on PATH: install it, then run this again"))?;
        output_of(command(&path).arg(version))
            .with_context(|| format!("{} is installed and does not run: reinstall it", path.display()))?;
        console.ready(name, "there");
    }
    Ok(())
}

/// Debian keeps servers in folders that are in root's path only.
fn path(name: &str) -> Option<PathBuf> {
    find(name).or_else(|| {
        ["/usr/sbin", "/usr/local/sbin"]
            .map(|folder| Path::new(folder).join(name))
            .into_iter()
            .find(|path| path.is_file())
    })
}
