//! The program `wirehub` as a process.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// The program with these arguments. The test reads its output.
pub(crate) fn wirehub(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wirehub"));
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// A running program that is killed if the test fails.
pub(crate) struct Running {
    pub(crate) child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Running {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::spawn(wirehub(arguments))
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// The address in its line about listening.
    pub(crate) fn address(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).into()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit status and the error of a program that fails without output.
pub(crate) fn failure(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, stdout } = wirehub(arguments).output().unwrap();
    assert_eq!(stdout, b"", "nothing was served");
    (status.code(), String::from_utf8(stderr).unwrap())
}
