//! Chromium, Firefox, WebKit and the drivers with which tests control them.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

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
    /// `None` on a system that has no package of it: no test runs in it there.
    webkit: Option<WebKit>,
}

/// WebKit as GTK's MiniBrowser, which its driver starts.
#[derive(Debug)]
struct WebKit {
    driver: PathBuf,
    /// Xvfb: this browser can't run without a display.
    display: PathBuf,
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

const WEBKIT_DRIVER: Program = Program {
    title: "webkit",
    names: &["WebKitWebDriver", "/usr/libexec/webkit2gtk-4.1/WebKitWebDriver"],
    debian_package: "webkit2gtk-driver",
};

const XVFB: Program = Program { title: "display", names: &["Xvfb"], debian_package: "xvfb" };

/// Checks the browsers, and installs missing ones.
pub(super) fn ensure(
    console: &Console,
    packages: &mut SystemPackages,
    geckodriver: PathBuf,
) -> Result<Browsers> {
    install(&[CHROMIUM, CHROMEDRIVER, FIREFOX], "browsers", console, packages)?;
    if let Err(error) = install(&[WEBKIT_DRIVER, XVFB], "webkit", console, packages) {
        console.ready("webkit", &format!("can't be installed ({error})"));
    }
    Ok(Browsers {
        chromium: CHROMIUM.require(console)?,
        chromedriver: CHROMEDRIVER.require(console)?,
        firefox: FIREFOX.require(console)?,
        geckodriver,
        webkit: WebKit::find(console),
    })
}

fn install(programs: &[Program], name: &str, console: &Console, packages: &mut SystemPackages) -> Result<()> {
    let missing: Vec<&str> = programs
        .iter()
        .filter(|program| program.find().is_none())
        .map(|program| program.debian_package)
        .collect();
    if missing.is_empty() || !packages.available() {
        return Ok(());
    }
    let what = format!("installing {}", missing.join(", "));
    let step = Step { name, what: &what, slow: Some("1 to 3 min") };
    console.step(step, |log| packages.install(log, &missing))
}

impl Browsers {
    /// Names the browsers and their drivers to the tests in JavaScript.
    pub(crate) fn name_to<'a>(&self, test: &'a mut Command) -> &'a mut Command {
        test.env("CHROMIUM", &self.chromium)
            .env("FIREFOX", &self.firefox)
            .env("GECKODRIVER", &self.geckodriver);
        match &self.webkit {
            Some(WebKit { driver, display }) => test.env("WEBKIT_DRIVER", driver).env("XVFB", display),
            None => test.env_remove("WEBKIT_DRIVER"),
        }
    }
}

impl WebKit {
    fn find(console: &Console) -> Option<Self> {
        // Neither has an option that prints its version.
        let found = WEBKIT_DRIVER.find().zip(XVFB.find());
        let state = if found.is_some() { "there" } else { "not on this system: no test runs in it" };
        console.ready(WEBKIT_DRIVER.title, state);
        found.map(|(driver, display)| Self { driver, display })
    }
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
