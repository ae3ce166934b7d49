//! Debian's package manager, if it exists and may be used.

use anyhow::{Context, Result, bail};

use crate::{
    console::Log,
    process::{self, command, output_of},
};

use std::{ffi::OsStr, path::Path, process::Command};

/// This folder exists if systemd manages the services.
const RUNNING_SYSTEMD: &str = "/run/systemd/system";

/// The way for this process to act as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Privilege {
    Root,
    /// `sudo` works without asking for a password.
    Sudo,
    None,
}

/// Installs system packages; refreshes the package lists once, and only if something is missing.
#[derive(Debug)]
pub(super) struct SystemPackages {
    privilege: Privilege,
    lists_are_fresh: bool,
}

impl SystemPackages {
    pub(super) fn new() -> Self {
        Self { privilege: Privilege::of_this_process(), lists_are_fresh: false }
    }

    /// Whether [`SystemPackages::install`] can work at all on this machine.
    pub(super) fn available(&self) -> bool {
        self.privilege != Privilege::None && process::find("apt-get").is_some()
    }

    /// Installs the packages by name.
    ///
    /// # Errors
    /// The manual steps, if this program can't install them itself.
    pub(super) fn install(&mut self, log: &mut Log, names: &[&str]) -> Result<()> {
        let by_hand =
            || format!("install them yourself (apt-get install {}), then run this again", names.join(" "));
        if !self.available() {
            bail!("apt-get or the right to run it is missing: {}", by_hand());
        }
        if !self.lists_are_fresh {
            log.run(self.as_root("apt-get").arg("update")).with_context(by_hand)?;
            self.lists_are_fresh = true;
        }
        let mut install = self.as_root("apt-get");
        install.args(["install", "--yes", "--no-install-recommends"]).args(names);
        log.run(&mut install).with_context(by_hand)
    }

    /// Installs a package whose service starts by itself, and stops and disables that service.
    ///
    /// # Errors
    /// The manual steps, if this program can't do it itself.
    pub(super) fn install_without_service(
        &mut self,
        log: &mut Log,
        package: &str,
        service: &str,
    ) -> Result<()> {
        self.install(log, &[package])?;
        let commands: &[(&str, &[&str])] = if Path::new(RUNNING_SYSTEMD).exists() {
            &[("systemctl", &["disable", "--now", service])]
        } else {
            &[("service", &[service, "stop"]), ("update-rc.d", &[service, "disable"])]
        };
        for (program, arguments) in commands {
            log.run(self.as_root(program).args(*arguments)).with_context(|| {
                format!("stop the service {service}, which came with the package, then run this again")
            })?;
        }
        Ok(())
    }

    /// A command that runs as root, if possible; otherwise as the current user.
    pub(super) fn as_root(&self, program: impl AsRef<OsStr>) -> Command {
        match self.privilege {
            Privilege::Root | Privilege::None => {
                let mut plain = command(program);
                plain.env("DEBIAN_FRONTEND", "noninteractive");
                plain
            }
            Privilege::Sudo => {
                let mut sudo = command("sudo");
                sudo.args(["-n", "DEBIAN_FRONTEND=noninteractive"]).arg(program);
                sudo
            }
        }
    }
}

impl Privilege {
    fn of_this_process() -> Self {
        if output_of(command("id").arg("-u")).is_ok_and(|user| user == "0") {
            Self::Root
        } else if output_of(command("sudo").args(["-n", "true"])).is_ok() {
            Self::Sudo
        } else {
            Self::None
        }
    }
}
