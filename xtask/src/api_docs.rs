//! `cargo xtask docs`: the API reference of @wirehub/client. It fails if an export has no documentation.

use std::path::PathBuf;

use anyhow::Result;

use crate::{
    build_client,
    console::{Console, Log, Step},
    fingerprint::Fingerprint,
    project::Project,
    setup::{self, Tools},
};

pub(crate) const STEP: Step<'static> =
    Step { name: "npm-docs", what: "the npm package's complete API reference", slow: None };

/// The generator and its configuration: a package of its own, because it needs another version of TypeScript.
const GENERATOR: &str = "client-wasm/npm/docs";

const BUILT: &str = "target/npm/docs/index.html";

pub(crate) fn verb(project: &Project, console: &Console) -> Result<()> {
    let tools = setup::for_demo(project, console)?;
    console.step(build_client::STEP, |log| build_client::ensure_built(project, &tools, log))?;
    let page = console.step(STEP, |log| build(project, &tools, log))?;
    console.ready("reference", &format!("open {}", page.display()));
    Ok(())
}

/// Generates the reference from the package's sources; returns its first page.
pub(crate) fn build(project: &Project, tools: &Tools, log: &mut Log) -> Result<PathBuf> {
    // The sources import generated files.
    build_client::ensure_built(project, tools, log)?;
    let generator = project.path(GENERATOR);
    let lock = Fingerprint::default().sources(project, &format!("{GENERATOR}/package-lock.json"))?;
    let stamp = lock.finish(project, "api-docs");
    if !stamp.is_current(&[generator.join("node_modules")]) {
        stamp.invalidate()?;
        log.run(tools.npm(&generator).arg("ci"))?;
        stamp.record()?;
    }
    log.run(tools.npm(&generator).args(["run", "build"]))?;
    Ok(project.path(BUILT))
}
