//! Programs from crates.io: wasm-pack, wasm-bindgen, geckodriver, cargo-mutants.
//!
//! They are compiled without optimisation: each runs for a second or two, and the optimiser alone would take longer
//! than the rest of the compiler. They share a target folder, and with it their common dependencies.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    console::{Console, Step},
    process::{self, command, output_of},
    project::Project,
};

pub(super) const WASM_PACK: CargoTool = CargoTool {
    package: "wasm-pack",
    program: "wasm-pack",
    version_arguments: &["--version"],
    version: "0.15.1",
    // Like wasm-bindgen, which then shares most of its dependencies with it.
    locked: false,
    slow: "about 1 min",
};

/// Its version follows the `wasm-bindgen` crate: both must be the same.
pub(super) const WASM_BINDGEN: CargoTool = CargoTool {
    package: "wasm-bindgen-cli",
    program: "wasm-bindgen",
    version_arguments: &["--version"],
    version: "",
    // Its lock file has contained crate versions that were withdrawn later.
    locked: false,
    slow: "about 1 min",
};

pub(super) const GECKODRIVER: CargoTool = CargoTool {
    package: "geckodriver",
    program: "geckodriver",
    version_arguments: &["--version"],
    version: "0.37.1",
    locked: true,
    slow: "about 1 min",
};

pub(super) const CARGO_MUTANTS: CargoTool = CargoTool {
    package: "cargo-mutants",
    program: "cargo-mutants",
    // It is a verb of cargo: it expects its own name first.
    version_arguments: &["mutants", "--version"],
    version: "27.1.0",
    locked: true,
    slow: "1 to 2 min",
};

/// The release profile without its slow parts. Unlike a debug build, it has no runtime checks.
const QUICK_PROFILE: &[(&str, &str)] = &[
    ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0"),
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ("CARGO_PROFILE_RELEASE_DEBUG", "none"),
];

/// A program that `cargo install` builds.
#[derive(Debug, Clone, Copy)]
pub(super) struct CargoTool {
    package: &'static str,
    program: &'static str,
    /// Makes the program print its version.
    version_arguments: &'static [&'static str],
    version: &'static str,
    locked: bool,
    slow: &'static str,
}

/// A program at one exact version.
#[derive(Debug)]
pub(super) struct Pinned {
    tool: CargoTool,
    version: String,
}

impl CargoTool {
    pub(super) fn pinned(self) -> Pinned {
        self.at(self.version)
    }

    pub(super) fn at(self, version: &str) -> Pinned {
        Pinned { tool: self, version: version.to_owned() }
    }
}

/// The folder for tools that exist on this machine in another version, which is left unchanged.
pub(super) fn private_bin(project: &Project) -> PathBuf {
    private_root(project).join("bin")
}

/// The folder of programs installed by `cargo install`.
pub(super) fn cargo_bin() -> Option<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    Some(home.or_else(|| Some(env::home_dir()?.join(".cargo")))?.join("bin"))
}

/// The program at that version; it is built if it is missing.
pub(super) fn ensure(project: &Project, console: &Console, pinned: &Pinned) -> Result<PathBuf> {
    let Pinned { tool, version } = pinned;
    let mut folders = vec![private_bin(project)];
    folders.extend(cargo_bin());
    let path = process::path_with(&folders)?;
    let found = candidates(&path, tool.program);
    if let Some(program) = found.iter().find(|program| is_version(tool, program, version)) {
        console.ready(tool.program, version);
        return Ok(program.clone());
    }
    let step = Step {
        name: tool.program,
        what: &format!("installing {version} from crates.io"),
        slow: Some(tool.slow),
    };
    console.step(step, |log| {
        let mut install = command("cargo");
        install.args(["install", tool.package, "--version", &format!("={version}")]);
        install.arg("--target-dir").arg(private_root(project).join("build"));
        install.envs(QUICK_PROFILE.iter().copied());
        if tool.locked {
            install.arg("--locked");
        }
        if !found.is_empty() {
            install.arg("--root").arg(private_root(project));
        }
        log.run(&mut install)
            .with_context(|| format!("install {} {version} yourself, then run this again", tool.package))
    })?;
    candidates(&path, tool.program)
        .into_iter()
        .find(|program| is_version(tool, program, version))
        .with_context(|| {
            format!(
                "{} {version} was installed and is not found: put cargo's bin folder on PATH",
                tool.program
            )
        })
}

fn private_root(project: &Project) -> PathBuf {
    project.scratch_dir().join("tools")
}

fn candidates(path: &OsString, program: &str) -> Vec<PathBuf> {
    env::split_paths(path).filter_map(|folder| process::find_in(folder.as_os_str(), program)).collect()
}

fn is_version(tool: &CargoTool, program: &Path, version: &str) -> bool {
    output_of(command(program).args(tool.version_arguments)).is_ok_and(|told| names_version(&told, version))
}

/// Whether `tool 1.2.3 (…)` contains exactly `1.2.3`.
fn names_version(told: &str, version: &str) -> bool {
    told.lines().next().is_some_and(|line| line.split_whitespace().any(|word| word == version))
}

#[cfg(test)]
mod tests {
    use super::names_version;

    #[test]
    fn a_version_is_matched_whole() {
        assert!(names_version("wasm-bindgen 0.2.130", "0.2.130"));
        assert!(names_version("geckodriver 0.37.1 (abc 2025)\n\nmore 1.0.0", "0.37.1"));
        assert!(!names_version("wasm-bindgen 0.2.13", "0.2.130"));
        assert!(!names_version("wasm-bindgen 0.2.130", "0.2.13"));
        assert!(!names_version("tool\n0.37.1", "0.37.1"));
    }
}
