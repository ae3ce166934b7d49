//! A process that never outlives the test.

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};

/// Kills the process with the number on its input once that input ends, which the end of the test's process does in any
/// case, and removes the folder.
const GUARD: &str = r#"trap '' INT TERM HUP; read -r id || exit; read -r _; kill -KILL "$id"; rm -rf "$1""#;

/// A running process, which ends with this value.
#[derive(Debug)]
pub struct Process {
    child: Child,
    guard: Child,
}

impl Process {
    /// Starts the command. `folder` is removed if the test is killed: it is the temporary folder of that process.
    pub fn start(command: &mut Command, folder: &Path) -> Self {
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard"]).arg(folder).stdin(Stdio::piped()).stdout(Stdio::null());
        let guard = guard.spawn().unwrap_or_else(|error| panic!("cannot start `sh`: {error}"));
        let child = command.spawn().unwrap_or_else(|error| {
            panic!(
                "cannot start {}: {error}; `cargo xtask setup --tests` installs it, or prints the steps",
                command.get_program().display()
            )
        });
        let process = Self { child, guard };
        writeln!(process.guard.stdin.as_ref().unwrap(), "{}", process.child.id()).unwrap();
        process
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The guard goes first: the number could belong to another process after the child's end.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
