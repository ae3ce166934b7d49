//! The demo page. It installs @wirehub/client from its packed file, like any user, and is built by its own tools.

use anyhow::{Result, ensure};

use crate::{
    build_client,
    console::{Log, Step},
    fingerprint::Fingerprint,
    generated,
    project::Project,
    rust_client,
    setup::Tools,
};

pub(crate) const STEP: Step<'static> =
    Step { name: "page", what: "building the demo page", slow: Some("up to 1 min the first time") };

/// The built page, for the demo server.
pub(crate) const BUILT: &str = "www/dist";

/// Files next to the page's sources that are not part of it.
const NOT_THE_PAGE: &[&str] = &["www/contract", "www/picture", "www/rust-client", "www/server", "www/tests"];

/// Files that the page reads from elsewhere: the lab decodes frames by it.
const PROTOCOL: &str = "common/proto/wirehub.proto";

/// Builds the page, and the client before it, if their sources have changed.
pub(crate) fn ensure_built(project: &Project, tools: &Tools, log: &mut Log) -> Result<()> {
    let www = project.path("www");
    ensure!(
        www.join("package.json").is_file(),
        "www/package.json is missing: this checkout is incomplete, `git status` lists the missing files"
    );
    let tarball = build_client::ensure_built(project, tools, log)?;
    generated::CONTRACT.write(project, log)?;
    rust_client::ensure_built(project, tools, log)?;

    let stamp = Fingerprint::default()
        .sources(project, "target/npm/wirehub-client.tgz")?
        .sources(project, PROTOCOL)?
        .sources_without(project, "www", NOT_THE_PAGE)?
        .finish(project, "page");
    if stamp.is_current(&[project.path(BUILT), www.join("node_modules")]) {
        return log.line("nothing changed since the last build");
    }
    stamp.invalidate()?;
    // With an explicit file, npm installs its current content. With the lock file alone, npm would compare it with the
    // build of the day on which the lock file was written, or take that build from its cache.
    log.run(tools.npm(&www).args(["install", "--no-save"]).arg(&tarball))?;
    log.run(tools.npm(&www).args(["run", "build"]))?;
    stamp.record()
}
