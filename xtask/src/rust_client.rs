//! The panel in Rust of the demo page: a module next to the page's sources, which the page loads when the panel is shown.

use anyhow::Result;

use crate::{console::Log, fingerprint::Fingerprint, project::Project, setup::Tools};

/// The crate.
pub(crate) const CRATE: &str = "www/rust-client";

/// The module, for the page's bundler. It is never committed.
const BUILT: &str = "www/src/generated/rust-client";

/// The inputs of the module.
const SOURCES: &[&str] =
    &["Cargo.toml", "Cargo.lock", "common", "client-core", "client-wasm", "www/contract", CRATE];

const NOT_THE_MODULE: &[&str] =
    &["client-wasm/examples", "client-wasm/npm", "client-wasm/module", "client-wasm/tests"];

/// Builds the module, if its sources have changed.
pub(crate) fn ensure_built(project: &Project, tools: &Tools, log: &mut Log) -> Result<()> {
    let mut sources = Fingerprint::default();
    for source in SOURCES {
        sources = sources.sources_without(project, source, NOT_THE_MODULE)?;
    }
    let stamp = sources.finish(project, "rust-client");
    if stamp.is_current(&[project.path(BUILT).join("rust_client_bg.wasm")]) {
        return Ok(());
    }
    stamp.invalidate()?;
    let mut build = tools.wasm_command("wasm-pack");
    build.current_dir(project.root()).args(["build", CRATE, "--target", "web", "--profile", "wasm"]);
    // Setup has installed the tools; wasm-pack must not download anything itself.
    build.args(["--mode", "no-install", "--no-pack", "--out-name", "rust_client", "--out-dir"]);
    log.run(build.arg(project.path(BUILT)))?;
    stamp.record()
}
