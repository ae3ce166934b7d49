//! The program `wirehub` as a process.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// The program with arguments, without input, read by the test.
pub(crate) fn wirehub(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wirehub"));
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// One that is killed if the test fails before it ends.
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

    /// The line in which it says where it listens, without the words before.
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

/// The status and the words of one that ends without having written anything.
pub(crate) fn failure(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, stdout } = wirehub(arguments).output().unwrap();
    assert_eq!(stdout, b"", "nothing was served");
    (status.code(), String::from_utf8(stderr).unwrap())
}
