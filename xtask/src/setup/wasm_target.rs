//! The standard library for wasm32-unknown-unknown.

use std::{ffi::OsString, path::Path, process::Command};

use anyhow::{Context, Result, bail};

use super::{distro_std, system_packages::SystemPackages};
use crate::{
    console::{Console, Step},
    process::{command, output_of},
    project::Project,
};

pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// The settings of a build for wasm32-unknown-unknown on this machine.
#[derive(Debug)]
pub(crate) struct WasmToolchain {
    variables: Vec<(&'static str, OsString)>,
}

impl WasmToolchain {
    /// The compiler in use has the target: builds need no settings.
    fn native() -> Self {
        Self { variables: Vec::new() }
    }

    pub(super) fn with_variables(variables: Vec<(&'static str, OsString)>) -> Self {
        Self { variables }
    }

    /// Makes the command, and the builds it starts, use this toolchain.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }
}

/// Checks the target, and installs it if it is missing.
pub(super) fn ensure(
    project: &Project,
    console: &Console,
    packages: &mut SystemPackages,
) -> Result<WasmToolchain> {
    if native_target_is_there() {
        console.ready("wasm target", "there");
        return Ok(WasmToolchain::native());
    }
    if let Some(toolchain) = distro_std::ready() {
        console.ready("wasm target", "there, with the system's own compiler");
        return Ok(toolchain);
    }
    let step = Step { name: "wasm target", what: "rustup target add", slow: Some("a few seconds") };
    let added = console.step(step, |log| {
        // A failed download is an expected result: the reason stays in the log.
        Ok(log.run(command("rustup").args(["target", "add", TARGET])))
    })?;
    match added {
        Ok(()) if native_target_is_there() => Ok(WasmToolchain::native()),
        Ok(()) => bail!(
            "rustup added {TARGET} to a toolchain that is not the `rustc` on PATH: put rustup's first on PATH"
        ),
        Err(reason) => distro_std::install(project, console, packages)
            .with_context(|| format!("rustup could not add the target ({reason})")),
    }
}

fn native_target_is_there() -> bool {
    let Ok(folder) = output_of(command("rustc").args(["--print", "target-libdir", "--target", TARGET]))
    else {
        return false;
    };
    Path::new(&folder).read_dir().is_ok_and(|entries| {
        entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
    })
}
