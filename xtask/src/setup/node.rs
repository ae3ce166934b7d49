//! Node.js, npm, and the build tools from npm.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::system_packages::SystemPackages;
use crate::{
    console::{Console, Step},
    fingerprint::Fingerprint,
    process::{command, output_of},
    project::Project,
};

/// The oldest Node.js for the page's build.
const OLDEST_NODE: (u32, u32) = (20, 19);

/// Checks Node.js and npm, and installs them if they are missing.
pub(super) fn ensure(console: &Console, packages: &mut SystemPackages) -> Result<()> {
    if found().is_none() && packages.available() {
        let step = Step { name: "node", what: "installing Node.js and npm", slow: Some("about 1 min") };
        console.step(step, |log| packages.install(log, &["nodejs", "npm"]))?;
    }
    let (major, minor) = OLDEST_NODE;
    let wanted =
        format!("install Node.js {major}.{minor} or newer with npm (nodejs.org), then run this again");
    let Some((node, npm)) = found() else { bail!("node or npm is not on PATH: {wanted}") };
    let release = release(&node).with_context(|| format!("node reports the version \"{node}\": {wanted}"))?;
    if release < OLDEST_NODE {
        bail!("this machine's Node.js is {node}: {wanted}");
    }
    console.ready("node", &format!("{node}, npm {npm}"));
    Ok(())
}

/// Installs `xtask/tools` and returns the folder of its programs.
pub(super) fn ensure_tools(project: &Project, console: &Console) -> Result<PathBuf> {
    let folder = project.path("xtask/tools");
    let programs = folder.join("node_modules/.bin");
    let stamp = Fingerprint::default().sources(project, "xtask/tools")?.finish(project, "npm-tools");
    let outputs = ["wasm-opt", "esbuild"].map(|program| programs.join(program));
    if stamp.is_current(&outputs) {
        console.ready("npm tools", "wasm-opt and esbuild");
        return Ok(programs);
    }
    let step = Step { name: "npm tools", what: "installing wasm-opt and esbuild", slow: Some("up to 1 min") };
    console.step(step, |log| {
        stamp.invalidate()?;
        let mut install = command("npm");
        install.args(["ci", "--ignore-scripts", "--no-fund", "--no-audit"]).current_dir(&folder);
        log.run(&mut install).context("npm must reach its registry: check the network and `npm config`")?;
        stamp.record()
    })?;
    Ok(programs)
}

/// The versions of node and npm, if both run.
fn found() -> Option<(String, String)> {
    let node = output_of(command("node").arg("--version")).ok()?;
    let npm = output_of(command("npm").arg("--version")).ok()?;
    Some((node, npm))
}

/// (20, 1) of `v20.1.2`.
fn release(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.strip_prefix('v')?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::release;

    #[test]
    fn a_release_is_read() {
        assert_eq!(release("v20.11.1"), Some((20, 11)));
        assert_eq!(release("20.11.1"), None);
        assert_eq!(release("v20"), None);
    }
}
