//! Chromium, Firefox and the drivers with which tests control them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::system_packages::SystemPackages;
use crate::{
    console::{Console, Step},
    process::{self, command, output_of},
};

/// The paths of the browsers and their drivers.
#[derive(Debug)]
pub(crate) struct Browsers {
    pub(crate) chromium: PathBuf,
    pub(crate) chromedriver: PathBuf,
    pub(crate) firefox: PathBuf,
    pub(crate) geckodriver: PathBuf,
}

/// A program under its names on different systems.
struct Program {
    title: &'static str,
    /// Searched on `PATH`, or used as a path if absolute; the first match is taken.
    names: &'static [&'static str],
    debian_package: &'static str,
}

const CHROMIUM: Program = Program {
    title: "chromium",
    names: &[
        "chromium",
        "chromium-browser",
        "google-chrome-stable",
        "google-chrome",
        "chrome",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
    ],
    debian_package: "chromium",
};

const CHROMEDRIVER: Program =
    Program { title: "chromedriver", names: &["chromedriver"], debian_package: "chromium-driver" };

const FIREFOX: Program = Program {
    title: "firefox",
    names: &["firefox", "firefox-esr", "/Applications/Firefox.app/Contents/MacOS/firefox"],
    debian_package: "firefox-esr",
};

/// Checks both browsers, and installs missing ones.
pub(super) fn ensure(
    console: &Console,
    packages: &mut SystemPackages,
    geckodriver: PathBuf,
) -> Result<Browsers> {
    let programs = [CHROMIUM, CHROMEDRIVER, FIREFOX];
    let missing: Vec<&str> = programs
        .iter()
        .filter(|program| program.find().is_none())
        .map(|program| program.debian_package)
        .collect();
    if !missing.is_empty() && packages.available() {
        let what = format!("installing {}", missing.join(", "));
        let step = Step { name: "browsers", what: &what, slow: Some("1 to 3 min") };
        console.step(step, |log| packages.install(log, &missing))?;
    }
    let [chromium, chromedriver, firefox] = programs.map(|program| program.require(console));
    Ok(Browsers { chromium: chromium?, chromedriver: chromedriver?, firefox: firefox?, geckodriver })
}

impl Program {
    fn find(&self) -> Option<PathBuf> {
        self.names.iter().find_map(|name| {
            let path = Path::new(name);
            if path.is_absolute() { path.is_file().then(|| path.to_path_buf()) } else { process::find(name) }
        })
    }

    fn require(&self, console: &Console) -> Result<PathBuf> {
        let path = self.find().with_context(|| {
            format!(
                "{} is not on this machine: install it (Debian's package is {}; chromedriver must have \
                 Chrome's version) so that one of [{}] is found, then run this again",
                self.title,
                self.debian_package,
                self.names.join(", ")
            )
        })?;
        let version = output_of(command(&path).arg("--version"))
            .with_context(|| format!("{} is installed and does not run: reinstall it", path.display()))?;
        console.ready(self.title, version.lines().next().unwrap_or_default());
        Ok(path)
    }
}
