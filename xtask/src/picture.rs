//! `cargo xtask picture`: the picture of the demo page in the README, from the page itself.

use anyhow::Result;

use crate::{
    build_client,
    console::{Console, Step},
    demo, page,
    project::Project,
    setup,
};

const STEP: Step<'static> = Step { name: "picture", what: "taking the picture of the demo page", slow: None };

/// An SVG, because a repository has no room for pixels that change with every look of the page.
const PICTURE: &str = "docs/demo.svg";

pub(crate) fn verb(project: &Project, console: &Console) -> Result<()> {
    let (tools, browsers) = setup::for_tests(project, console)?;
    console.step(build_client::STEP, |log| build_client::ensure_built(project, &tools, log))?;
    console.step(page::STEP, |log| page::ensure_built(project, &tools, log))?;
    console.step(demo::SERVER_STEP, |log| log.run(&mut demo::program_build(project)))?;
    console.step(STEP, |log| {
        let mut take = tools.npm(&project.path("www"));
        take.args(["run", "picture", "--"]).arg(project.path(PICTURE));
        take.env("WIREHUB", project.binary(demo::PROFILE, demo::PROGRAM)).env("CHROMIUM", &browsers.chromium);
        log.run(&mut take)
    })?;
    console.ready("picture", PICTURE);
    Ok(())
}
