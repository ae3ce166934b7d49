//! `cargo xtask program`: the program `wirehub` with the demo's page in it, as it is released.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{
    build_client,
    console::{Console, Log, Step},
    demo, page, process,
    project::{Project, remove_folder},
    setup::{self, Tools},
};

const STEP: Step<'static> =
    Step { name: "program", what: "building the program wirehub", slow: Some("3 to 6 min the first time") };

/// The copy of the page within the package of the demo's server, for `cargo package`. It is never committed.
const PACKAGED: &str = "www/server/page";

pub(crate) fn verb(project: &Project, console: &Console) -> Result<()> {
    let tools = setup::for_demo(project, console)?;
    console.step(build_client::STEP, |log| build_client::ensure_built(project, &tools, log))?;
    console.step(page::STEP, |log| put_page(project, &tools, log))?;
    let program = console.step(STEP, |log| {
        let mut build = process::command("cargo");
        build.current_dir(project.root());
        log.run(build.args(["build", "--release", "--package", "wirehub-cli", "--bin", demo::PROGRAM]))?;
        Ok(project.binary("release", demo::PROGRAM))
    })?;
    console.ready("program", &format!("{} (run it with `serve --demo`)", program.display()));
    Ok(())
}

/// Builds the page and puts it into the package.
fn put_page(project: &Project, tools: &Tools, log: &mut Log) -> Result<()> {
    page::ensure_built(project, tools, log)?;
    let (built, packaged) = (project.path(page::BUILT), project.path(PACKAGED));
    remove_folder(&packaged)?;
    copy(&built, &packaged).with_context(|| format!("cannot copy the page to {}", packaged.display()))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target: PathBuf = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::copy;
    use crate::scratch::Scratch;

    #[test]
    fn a_page_is_copied_with_its_folders() {
        let scratch = Scratch::new("page-copy");
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        fs::create_dir_all(from.join("assets")).unwrap();
        fs::write(from.join("assets/a.js"), "start()").unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("assets/a.js")).unwrap(), "start()");
    }
}
