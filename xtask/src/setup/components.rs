//! The toolchain's formatter and linter.

use anyhow::{Context, Result};

use crate::{
    console::{Console, Step},
    process::{command, output_of},
};

/// Installs them if `cargo fmt` or `cargo clippy` does not work.
pub(super) fn ensure(console: &Console) -> Result<()> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if output_of(command("cargo").args([subcommand, "--version"])).is_ok() {
            console.ready(component, "there");
            continue;
        }
        let step = Step { name: component, what: "adding it to the toolchain", slow: None };
        console.step(step, |log| {
            log.run(command("rustup").args(["component", "add", component]))
                .with_context(|| format!("install `cargo {subcommand}` (see rustup.rs), then run this again"))
        })?;
    }
    Ok(())
}
