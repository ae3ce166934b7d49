//! A C++ compiler: the fuzzer's own part is written in that.

use anyhow::{Context, Result};

use super::system_packages::SystemPackages;
use crate::{
    console::{Console, Step},
    process::{command, output_of},
};

/// Makes sure of one that build scripts find.
pub(super) fn ensure(console: &Console, packages: &mut SystemPackages) -> Result<()> {
    if !is_there() {
        let step = Step { name: "c++", what: "installing a C++ compiler", slow: Some("up to 1 min") };
        console.step(step, |log| {
            packages.install(log, &["g++"]).context("`c++` must be on PATH, or named in the variable CXX")
        })?;
    }
    console.ready("c++", "there");
    Ok(())
}

fn is_there() -> bool {
    let named = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    output_of(command(named).arg("--version")).is_ok()
}
