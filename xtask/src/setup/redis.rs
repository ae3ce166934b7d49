//! The server of Redis, for the tests of several nodes.

use std::{env, path::PathBuf};

use anyhow::{Context, Result};

use super::system_packages::SystemPackages;
use crate::{
    console::{Console, Step},
    process::{command, find, output_of},
};

const PROGRAM: &str = "redis-server";

/// Names another program, such as `valkey-server`. The tests read it too.
const VARIABLE: &str = "WIREHUB_REDIS_SERVER";

/// Checks it, and installs it if it is missing.
pub(super) fn ensure(console: &Console, packages: &mut SystemPackages) -> Result<()> {
    if path().is_none() && packages.available() {
        let step = Step { name: "redis-server", what: "installing it", slow: Some("up to 1 min") };
        // Each test starts servers of its own.
        console.step(step, |log| packages.install_without_service(log, PROGRAM, PROGRAM))?;
    }
    let path = path().with_context(|| {
        format!(
            "{PROGRAM} is not on PATH: install Redis 6.2 or newer, or Valkey (on macOS `brew install redis`, on Fedora \
             `dnf install valkey`), and name a program with another name in the variable {VARIABLE}; then run this again"
        )
    })?;
    let version = output_of(command(&path).arg("--version"))
        .with_context(|| format!("{} is installed and does not run: reinstall it", path.display()))?;
    console.ready(PROGRAM, version_in(&version));
    Ok(())
}

fn path() -> Option<PathBuf> {
    env::var_os(VARIABLE).map(PathBuf::from).or_else(|| find(PROGRAM))
}

/// 7.0.15 in `Redis server v=7.0.15 sha=00000000:0 …`.
fn version_in(told: &str) -> &str {
    told.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("there")
}

#[cfg(test)]
mod tests {
    use super::version_in;

    #[test]
    fn the_version_is_read_from_the_line() {
        assert_eq!(version_in("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0"), "7.0.15");
        assert_eq!(version_in("Valkey server v=8.1.1 sha=0"), "8.1.1");
        assert_eq!(version_in("another"), "there");
    }
}
