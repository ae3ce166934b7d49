//! The demo page: installs @wirehub/client from its packed file, like any user, and is built by its own tools.

use anyhow::{Result, ensure};

use crate::{
    build_client,
    console::{Log, Step},
    fingerprint::Fingerprint,
    generated,
    project::Project,
    setup::Tools,
};

pub(crate) const STEP: Step<'static> =
    Step { name: "page", what: "building the demo page", slow: Some("up to 1 min the first time") };

/// The built page, for the demo server's `--static`.
pub(crate) const BUILT: &str = "www/dist";

/// What lies beside the page's sources and is no part of it.
const NOT_THE_PAGE: &[&str] = &["www/contract", "www/server", "www/tests"];

/// Builds the page, and the client before it, when their sources changed.
pub(crate) fn ensure_built(project: &Project, tools: &Tools, log: &mut Log) -> Result<()> {
    let www = project.path("www");
    ensure!(
        www.join("package.json").is_file(),
        "www/package.json is missing: this checkout is not complete, run `git status` to see what is gone"
    );
    let tarball = build_client::ensure_built(project, tools, log)?;
    generated::CONTRACT.write(project, log)?;

    let stamp = Fingerprint::default()
        .sources(project, "target/npm/wirehub-client.tgz")?
        .sources_without(project, "www", NOT_THE_PAGE)?
        .finish(project, "page");
    if stamp.is_current(&[project.path(BUILT), www.join("node_modules")]) {
        return log.line("nothing changed since the last build");
    }
    stamp.invalidate()?;
    // Naming the file makes npm take it as it is now. By the lock file alone it would compare, or fetch from its
    // cache, the build of the day on which the lock file was written.
    log.run(tools.npm(&www).args(["install", "--no-save"]).arg(&tarball))?;
    log.run(tools.npm(&www).args(["run", "build"]))?;
    stamp.record()
}
