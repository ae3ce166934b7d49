//! `cargo xtask setup`: the tools for the builds, the demo and the tests, installed once.

mod browsers;
mod cargo_tools;
mod components;
mod cpp;
mod distro_std;
mod node;
mod proxies;
mod redis;
mod system_packages;
mod wasm_target;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

pub(crate) use self::{browsers::Browsers, wasm_target::WasmToolchain};
use self::{
    cargo_tools::{CARGO_MUTANTS, GECKODRIVER, WASM_BINDGEN, WASM_PACK},
    system_packages::SystemPackages,
};
use crate::{console::Console, process, project::Project};

/// The tools for the builds, once [`for_demo`] has checked them.
#[derive(Debug)]
pub(crate) struct Tools {
    wasm: WasmToolchain,
    path: OsString,
}

impl Tools {
    /// A command that finds the tools on its `PATH`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let program = process::find_in(&self.path, program).unwrap_or_else(|| program.into());
        let mut command = process::command(program);
        command.env("PATH", &self.path);
        command
    }

    /// The same for a build that compiles Rust to wasm32-unknown-unknown.
    pub(crate) fn wasm_command(&self, program: &str) -> Command {
        let mut command = self.command(program);
        self.wasm.apply(&mut command);
        command
    }

    pub(crate) fn wasm(&self) -> &WasmToolchain {
        &self.wasm
    }

    /// `npm` in a package's folder.
    pub(crate) fn npm(&self, package: &Path) -> Command {
        let mut command = self.command("npm");
        command.current_dir(package).args(["--no-fund", "--no-audit", "--no-update-notifier"]);
        command
    }
}

/// Installs the tools for building and serving the demo; quick if they are installed.
pub(crate) fn for_demo(project: &Project, console: &Console) -> Result<Tools> {
    let mut packages = SystemPackages::new();
    builds(project, console, &mut packages)
}

/// Also installs the tools for the tests: browsers, their drivers, proxies, Redis, formatter, linter and a C++ compiler.
pub(crate) fn for_tests(project: &Project, console: &Console) -> Result<(Tools, Browsers)> {
    let mut packages = SystemPackages::new();
    components::ensure(console)?;
    cpp::ensure(console, &mut packages)?;
    let tools = builds(project, console, &mut packages)?;
    let geckodriver = cargo_tools::ensure(project, console, &GECKODRIVER.pinned())?;
    let browsers = browsers::ensure(console, &mut packages, geckodriver)?;
    proxies::ensure(console, &mut packages)?;
    redis::ensure(console, &mut packages)?;
    Ok((tools, browsers))
}

/// Installs the compiler for wasm, without the tools that package the result.
pub(crate) fn for_wasm(project: &Project, console: &Console) -> Result<WasmToolchain> {
    wasm_target::ensure(project, console, &mut SystemPackages::new())
}

/// Installs the tools for building the fuzz targets.
pub(crate) fn for_fuzz(console: &Console) -> Result<()> {
    components::ensure(console)?;
    cpp::ensure(console, &mut SystemPackages::new())
}

/// Installs the proxies for the tests.
pub(crate) fn for_proxies(console: &Console) -> Result<()> {
    proxies::ensure(console, &mut SystemPackages::new())
}

/// Installs Redis for the tests.
pub(crate) fn for_redis(console: &Console) -> Result<()> {
    redis::ensure(console, &mut SystemPackages::new())
}

/// Installs cargo-mutants, which no other task needs; returns its path.
pub(crate) fn for_mutants(project: &Project, console: &Console) -> Result<PathBuf> {
    cargo_tools::ensure(project, console, &CARGO_MUTANTS.pinned())
}

fn builds(project: &Project, console: &Console, packages: &mut SystemPackages) -> Result<Tools> {
    let wasm = wasm_target::ensure(project, console, packages)?;
    cargo_tools::ensure(project, console, &WASM_PACK.pinned())?;
    let wasm_bindgen = project.pinned_version("wasm-bindgen")?;
    cargo_tools::ensure(project, console, &WASM_BINDGEN.at(&wasm_bindgen))?;
    node::ensure(console, packages)?;
    let npm_bin = node::ensure_tools(project, console)?;
    let mut folders = vec![cargo_tools::private_bin(project), npm_bin];
    folders.extend(cargo_tools::cargo_bin());
    Ok(Tools { wasm, path: process::path_with(&folders)? })
}
