//! The output for people: one line per step, and the log of a failed step.

use std::{
    env, fs,
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{describe, output_of};

/// How many lines of a failed step's log are shown by default.
const TAIL_LINES: usize = 60;

/// Prints progress and keeps each step's log.
#[derive(Debug)]
pub(crate) struct Console {
    logs: PathBuf,
    /// Continuous integration keeps only the printed output, so a failed step's log is shown completely there.
    show_whole_logs: bool,
}

/// The name and description of a step, and its duration if it is long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) name: &'a str,
    pub(crate) what: &'a str,
    pub(crate) slow: Option<&'a str>,
}

impl Console {
    pub(crate) fn new(logs: PathBuf) -> Result<Self> {
        fs::create_dir_all(&logs)
            .with_context(|| format!("cannot create {}: is the checkout writable?", logs.display()))?;
        Ok(Self { logs, show_whole_logs: env::var_os("CI").is_some() })
    }

    /// Runs `work` as one step: announces it, times it, and shows its log if it fails.
    pub(crate) fn step<T>(&self, step: Step<'_>, work: impl FnOnce(&mut Log) -> Result<T>) -> Result<T> {
        self.carry_out(step, Log::create(self.log_path(step.name))?, work)
    }

    /// Starts the step's command in the background of the following steps, until [`Console::finish`].
    pub(crate) fn start(&self, step: Step<'static>, command: &mut Command) -> Result<Background> {
        let mut log = Log::create(self.log_path(step.name))?;
        let shown = describe(command);
        log.line(&format!("$ {shown} &"))?;
        command.stdout(log.stdio()?).stderr(log.stdio()?);
        let child = command.spawn().with_context(|| format!("cannot start `{shown}`"))?;
        Ok(Background { step, shown, log, child: Ending(child) })
    }

    /// Waits for the command as one step.
    ///
    /// # Errors
    /// The command does not succeed.
    pub(crate) fn finish(&self, background: Background) -> Result<()> {
        let Background { step, shown, log, mut child } = background;
        self.carry_out(step, log, |_| {
            let status = child.0.wait().with_context(|| format!("cannot wait for `{shown}`"))?;
            ensure!(status.success(), "`{shown}` failed ({status})");
            Ok(())
        })
    }

    fn carry_out<T>(
        &self,
        step: Step<'_>,
        mut log: Log,
        work: impl FnOnce(&mut Log) -> Result<T>,
    ) -> Result<T> {
        let hint = step.slow.map(|slow| format!(" ({slow})")).unwrap_or_default();
        print!("{:<13} {}{hint} ... ", step.name, step.what);
        io::stdout().flush().context("cannot write to the terminal")?;
        let started = Instant::now();
        let result = work(&mut log);
        let took = human(started.elapsed());
        match result {
            Ok(value) => {
                println!("{took}");
                Ok(value)
            }
            Err(error) => {
                println!("FAILED after {took}");
                self.show_log(&log.path);
                Err(error.context(format!("step '{}' failed; its log: {}", step.name, log.path.display())))
            }
        }
    }

    /// Reports a step without work.
    pub(crate) fn ready(&self, name: &str, what: &str) {
        println!("{name:<13} {what}");
    }

    /// The path of the log of the step called `name`.
    pub(crate) fn log_path(&self, name: &str) -> PathBuf {
        let file: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        self.logs.join(file).with_extension("log")
    }

    fn show_log(&self, path: &Path) {
        let text = String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        let hidden = if self.show_whole_logs { 0 } else { lines.len().saturating_sub(TAIL_LINES) };
        if hidden > 0 {
            println!("  | ... {hidden} lines before: {}", path.display());
        }
        for line in lines.iter().skip(hidden) {
            println!("  | {line}");
        }
    }
}

/// A step's command that runs in the background.
#[derive(Debug)]
pub(crate) struct Background {
    step: Step<'static>,
    shown: String,
    log: Log,
    child: Ending,
}

/// A program that is killed when this is dropped, so that another step's failure is shown at once.
#[derive(Debug)]
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        // Both fail if it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The log of one running step.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    fn create(path: PathBuf) -> Result<Self> {
        let file = File::create(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path, file })
    }

    /// Adds a line to the log.
    pub(crate) fn line(&mut self, line: &str) -> Result<()> {
        writeln!(self.file, "{line}").with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Runs a command to its end, with its output in the log.
    ///
    /// # Errors
    /// The command can't be started or does not succeed.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<()> {
        let shown = describe(command);
        self.line(&format!("$ {shown}"))?;
        command.stdout(self.stdio()?).stderr(self.stdio()?);
        let status = command.status().with_context(|| format!("cannot start `{shown}`"))?;
        if !status.success() {
            bail!("`{shown}` failed ({status})");
        }
        Ok(())
    }

    /// Runs a command and returns its standard output, trimmed. Its errors go to the log.
    pub(crate) fn output(&mut self, command: &mut Command) -> Result<String> {
        self.line(&format!("$ {}", describe(command)))?;
        command.stderr(self.stdio()?);
        output_of(command)
    }

    /// Starts a command in the background. Its standard output is piped to this program, its errors go to the log.
    pub(crate) fn start(&mut self, command: &mut Command) -> Result<Child> {
        let shown = describe(command);
        self.line(&format!("$ {shown} &"))?;
        command.stdout(Stdio::piped()).stderr(self.stdio()?);
        command.spawn().with_context(|| format!("cannot start `{shown}`"))
    }

    /// A second writer to the log.
    pub(crate) fn writer(&self) -> Result<File> {
        self.file.try_clone().with_context(|| format!("cannot share {}", self.path.display()))
    }

    fn stdio(&self) -> Result<Stdio> {
        Ok(self.writer()?.into())
    }
}

/// Prints an error and its causes, outermost first.
pub(crate) fn print_error(error: &anyhow::Error) {
    eprintln!("\nerror: {error}");
    for cause in error.chain().skip(1) {
        eprintln!("  because: {cause}");
    }
}

/// A duration for people: `0.4 s`, `72 s`, `3 min 20 s`.
pub(crate) fn human(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds.checked_div(60).unwrap_or_default(), seconds % 60) {
        (0, 0..=9) => format!("{:.1} s", duration.as_secs_f64()),
        (0 | 1, _) => format!("{seconds} s"),
        (minutes, rest) => format!("{minutes} min {rest} s"),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::{Console, Step, human};
    use crate::{process::command, scratch::Scratch};

    const STEP: Step<'static> = Step { name: "a step", what: "does it", slow: None };

    #[test]
    fn a_failed_step_names_its_log_and_the_log_has_the_output() {
        let scratch = Scratch::new("console-failed");
        let console = Console::new(scratch.path().join("logs")).unwrap();
        let error = console
            .step(STEP, |log| log.run(command("rustc").arg("--no-such-flag")))
            .unwrap_err()
            .to_string();
        assert!(error.contains("a-step.log"), "{error}");
        let log = fs::read_to_string(console.log_path(STEP.name)).unwrap();
        assert!(log.contains("$ rustc --no-such-flag"), "{log}");
        assert!(log.contains("Unrecognized option"), "{log}");
    }

    #[test]
    fn an_output_is_returned_and_its_command_logged() {
        let scratch = Scratch::new("console-output");
        let console = Console::new(scratch.path().join("logs")).unwrap();
        let version = console.step(STEP, |log| log.output(command("rustc").arg("--version"))).unwrap();
        assert!(version.starts_with("rustc "), "{version}");
        let log = fs::read_to_string(console.log_path(STEP.name)).unwrap();
        assert_eq!(log, "$ rustc --version\n");
    }

    #[test]
    fn a_command_in_the_background_is_a_step_when_it_is_waited_for() {
        let scratch = Scratch::new("console-background");
        let console = Console::new(scratch.path().join("logs")).unwrap();
        console.finish(console.start(STEP, command("rustc").arg("--version")).unwrap()).unwrap();
        let log = fs::read_to_string(console.log_path(STEP.name)).unwrap();
        assert!(log.starts_with("$ rustc --version &\nrustc "), "{log}");
        let failing = console.start(STEP, command("rustc").arg("--no-such-flag")).unwrap();
        let error = console.finish(failing).unwrap_err();
        assert!(format!("{error:#}").contains("`rustc --no-such-flag` failed"), "{error:#}");
    }

    #[cfg(unix)]
    #[test]
    fn a_command_in_the_background_ends_with_its_owner() {
        let scratch = Scratch::new("console-dropped");
        let console = Console::new(scratch.path().join("logs")).unwrap();
        // The command never ends by itself, and dropping waits for its end.
        let background = console.start(STEP, command("tail").args(["-f", "/dev/null"])).unwrap();
        drop(background);
    }

    #[test]
    fn durations_read_well() {
        assert_eq!(human(Duration::from_millis(440)), "0.4 s");
        assert_eq!(human(Duration::from_secs(72)), "72 s");
        assert_eq!(human(Duration::from_secs(200)), "3 min 20 s");
    }
}
