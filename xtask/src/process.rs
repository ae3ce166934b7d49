//! Starting other programs.

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Variables that `cargo run` sets for its program. A build started by this program must not see them, or it would take
/// them for facts about its own package.
const CARGO_RUN_VARIABLES: &[&str] =
    &["CARGO", "CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_NAME"];

/// A command without standard input and without the variables that `cargo run` added for this program.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    for (name, _) in env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        if CARGO_RUN_VARIABLES
            .iter()
            .any(|known| if known.ends_with('_') { text.starts_with(known) } else { text == *known })
        {
            command.env_remove(&name);
        }
    }
    command
}

/// The command's standard output, trimmed; an error if it fails or can't be started.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let shown = describe(command);
    let output = command.output().with_context(|| format!("cannot start `{shown}`"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let separator = if complaint.trim().is_empty() { "" } else { ": " };
        bail!("`{shown}` failed ({}){separator}{}", output.status, complaint.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command as typed in a shell.
pub(crate) fn describe(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// The first executable called `name` in the folders of `path` (a `PATH`-like list).
pub(crate) fn find_in(path: &OsStr, name: &str) -> Option<PathBuf> {
    env::split_paths(path)
        .map(|folder| folder.join(name).with_extension(env::consts::EXE_EXTENSION))
        .find(|candidate| is_executable(candidate))
}

/// The first executable called `name` on this process's `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    find_in(&env::var_os("PATH")?, name)
}

/// `PATH` with `folders` before it.
pub(crate) fn path_with(folders: &[PathBuf]) -> Result<OsString> {
    let inherited = env::var_os("PATH").unwrap_or_default();
    let all = folders.iter().cloned().chain(env::split_paths(&inherited));
    env::join_paths(all).context("a folder on PATH has a separator in its name: move the checkout")
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests {
    use super::{command, describe, output_of};

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut ls = command("ls");
        ls.arg("-l").arg("/");
        assert_eq!(describe(&ls), "ls -l /");
    }

    #[test]
    fn a_failure_names_the_command_and_its_complaint() {
        let error = output_of(command("rustc").arg("--no-such-flag")).unwrap_err().to_string();
        assert!(error.contains("rustc --no-such-flag"), "{error}");
        assert!(error.contains("no-such-flag"), "{error}");
        let error = output_of(&mut command("no-such-program-at-all")).unwrap_err().to_string();
        assert!(error.contains("cannot start"), "{error}");
    }
}
