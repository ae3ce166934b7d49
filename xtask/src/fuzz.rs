//! The fuzz targets in `fuzz/`, built by cargo alone and run for a minute.
//!
//! `cargo fuzz` does the same with a nightly compiler only; the flags are the same as there.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use crate::{
    console::{Log, Step, human},
    process::{self, output_of},
    project::Project,
};

pub(crate) const STEP: Step<'static> =
    Step { name: "fuzz", what: "random bytes, frames and sessions of a client", slow: Some("1 to 3 min") };

/// The targets, and the seeds of each.
const TARGETS: &[Target] = &[
    Target { name: "decode_commands", seeds: Some("fuzz/seeds/decode_commands") },
    Target { name: "decode_frames", seeds: Some("fuzz/seeds/decode_frames") },
    Target { name: "client", seeds: None },
];

/// The total for all targets.
const TIME: Duration = Duration::from_secs(60);

struct Target {
    name: &'static str,
    seeds: Option<&'static str>,
}

/// Lints and tests the targets, then runs each for its share of the time.
pub(crate) fn run(project: &Project, log: &mut Log) -> Result<String> {
    let manifest = project.path("fuzz/Cargo.toml");
    let cargo = |verb: &str| {
        let mut cargo = process::command("cargo");
        cargo.current_dir(project.root()).arg(verb).arg("--manifest-path").arg(&manifest);
        cargo
    };
    log.run(cargo("fmt").arg("--check"))?;
    log.run(cargo("clippy").args(["--all-targets", "--", "-D", "warnings"]))?;
    log.run(cargo("test").args(["--lib", "--tests"]))?;

    let compiler = Compiler::of_this_machine()?;
    let mut build = compiler.cargo();
    build.current_dir(project.root()).args(["build", "--release", "--bins", "--manifest-path"]);
    // With an explicit target, the flags do not apply to build scripts and macros.
    build.arg(&manifest).args(["--target", &compiler.host]).env("RUSTFLAGS", compiler.flags());
    log.run(&mut build)?;

    let share = TIME.checked_div(u32::try_from(TARGETS.len())?).context("there are no fuzz targets")?;
    let programs = built(project).join(&compiler.host).join("release");
    for target in TARGETS {
        target.fuzz(project, &programs, share, log)?;
    }
    let sanitizer = if compiler.sanitizes { "with" } else { "without" };
    Ok(format!("{} targets, {} each, {sanitizer} address sanitizer", TARGETS.len(), human(share)))
}

impl Target {
    fn fuzz(&self, project: &Project, programs: &Path, time: Duration, log: &mut Log) -> Result<()> {
        let program = programs.join(self.name).with_extension(env::consts::EXE_EXTENSION);
        // Interesting inputs are kept for the next run.
        let corpus = project.path("fuzz/corpus").join(self.name);
        let artefacts = project.path("target/artefacts/fuzz").join(self.name);
        for folder in [&corpus, &artefacts] {
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        let before = inputs(&artefacts)?;
        let mut fuzz = process::command(&program);
        fuzz.arg(&corpus).args(self.seeds.map(|seeds| project.path(seeds)));
        fuzz.arg(format!("-max_total_time={}", time.as_secs()));
        fuzz.arg(format!("-artifact_prefix={}{}", artefacts.display(), std::path::MAIN_SEPARATOR));
        fuzz.args(["-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"]);
        let Err(error) = log.run(&mut fuzz) else { return Ok(()) };

        let new = inputs(&artefacts)?.into_iter().find(|input| !before.contains(input));
        let Some(input) = new else { return Err(error) };
        self.show(&program, &input, log)?;
        bail!(
            "{} fails on {}; run it again: {} {}",
            self.name,
            input.display(),
            program.display(),
            input.display()
        )
    }

    /// Logs the input as the target decodes it.
    fn show(&self, program: &Path, input: &Path, log: &mut Log) -> Result<()> {
        let readable = input.with_extension("txt");
        let mut show = process::command(program);
        show.arg(input).env("RUST_LIBFUZZER_DEBUG_PATH", &readable);
        log.run(&mut show)?;
        let text = fs::read_to_string(&readable)
            .with_context(|| format!("{} prints nothing about {}", self.name, input.display()))?;
        log.line(&text)
    }
}

/// The inputs in a folder that the fuzzer wrote.
fn inputs(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_none()).collect())
}

fn built(project: &Project) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| project.path("fuzz/target"), PathBuf::from)
}

/// The compiler of the targets: the nightly one for its sanitizer, if it is installed, or else the usual one.
struct Compiler {
    host: String,
    sanitizes: bool,
}

impl Compiler {
    fn of_this_machine() -> Result<Self> {
        let told = output_of(process::command("rustc").arg("-vV"))?;
        let host = told.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.context("rustc -vV names no host: is it a Rust compiler?")?.to_owned();
        let has_nightly = output_of(nightly("rustc").arg("-vV"))
            .is_ok_and(|told| told.lines().any(|line| line == format!("host: {host}")));
        Ok(Self { sanitizes: has_nightly && has_sanitizer(&host), host })
    }

    fn cargo(&self) -> Command {
        if self.sanitizes { nightly("cargo") } else { process::command("cargo") }
    }

    fn flags(&self) -> String {
        let mut flags = String::from(COVERAGE);
        if self.sanitizes {
            flags.push_str(" -Zsanitizer=address");
        }
        flags
    }
}

/// The instrumentation by which libFuzzer detects that an input reaches new code.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table \
                        -Cllvm-args=-sanitizer-coverage-trace-compares";

fn nightly(program: &str) -> Command {
    let mut rustup = process::command("rustup");
    rustup.args(["run", "nightly", program]);
    rustup
}

/// Whether the compiler has the sanitizer's library for such a machine.
fn has_sanitizer(host: &str) -> bool {
    ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-apple-darwin", "aarch64-apple-darwin"]
        .contains(&host)
}
