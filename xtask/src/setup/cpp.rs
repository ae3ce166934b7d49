//! A C++ compiler for libFuzzer, and `make` for the server's allocator.

use anyhow::{Context, Result};

use super::system_packages::SystemPackages;
use crate::{
    console::{Console, Step},
    process::{command, output_of},
};

/// Checks that build scripts find both, and installs missing ones.
pub(super) fn ensure(console: &Console, packages: &mut SystemPackages) -> Result<()> {
    if !is_there() {
        let step =
            Step { name: "c++", what: "installing a C++ compiler and make", slow: Some("up to 1 min") };
        console.step(step, |log| {
            packages
                .install(log, &["g++", "make"])
                .context("`make` and `c++` must be on PATH, or the latter named in the variable CXX")
        })?;
    }
    console.ready("c++", "there");
    Ok(())
}

fn is_there() -> bool {
    let named = std::env::var("CXX").unwrap_or_else(|_| "c++".to_owned());
    [named, "make".to_owned()].into_iter().all(|program| output_of(command(program).arg("--version")).is_ok())
}
