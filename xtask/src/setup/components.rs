//! The toolchain's formatter and linter.

use anyhow::{Context, Result};

use crate::{
    console::{Console, Step},
    process::{command, output_of},
};

/// Makes `cargo fmt` and `cargo clippy` work.
pub(super) fn ensure(console: &Console) -> Result<()> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if output_of(command("cargo").args([subcommand, "--version"])).is_ok() {
            console.ready(component, "there");
            continue;
        }
        let step = Step { name: component, what: "adding it to the toolchain", slow: None };
        console.step(step, |log| {
            log.run(command("rustup").args(["component", "add", component])).with_context(|| {
                format!("make `cargo {subcommand}` work (rustup.rs has it), then run this again")
            })
        })?;
    }
    Ok(())
}
