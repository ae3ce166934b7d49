//! `cargo xtask build-client`: the npm package @wirehub/client.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use crate::{
    console::{Console, Log, Step},
    fingerprint::{Fingerprint, Stamp},
    generated,
    project::{Project, remove_folder},
    setup::{self, Tools},
};

pub(crate) const STEP: Step<'static> =
    Step { name: "client", what: "building the npm package", slow: Some("1 to 3 min the first time") };

/// The npm package's folder: TypeScript sources, `package.json`.
pub(crate) const PACKAGE: &str = "client-wasm/npm";

/// The inputs of the package.
const SOURCES: &[&str] =
    &["Cargo.toml", "Cargo.lock", "common", "client-core", "client-wasm", "xtask/tools/package-lock.json"];

/// Files next to the sources that are not part of the package.
const NOT_THE_CLIENT: &[&str] =
    &["client-wasm/examples", "client-wasm/npm/docs", "client-wasm/npm/tests", "client-wasm/tests"];

/// The version of the build recipe in this file: a change rebuilds the package.
const RECIPE: u32 = 6;

pub(crate) fn verb(project: &Project, console: &Console) -> Result<()> {
    let tools = setup::for_demo(project, console)?;
    let tarball = console.step(STEP, |log| ensure_built(project, &tools, log))?;
    console.ready("package", &format!("{} (npm install PATH takes it)", tarball.display()));
    Ok(())
}

/// The packed package under its stable name. It is built if its sources have changed.
pub(crate) fn ensure_built(project: &Project, tools: &Tools, log: &mut Log) -> Result<PathBuf> {
    let package = project.path(PACKAGE);
    ensure!(
        package.join("package.json").is_file(),
        "{PACKAGE}/package.json is missing: this checkout is incomplete, `git status` lists the missing files"
    );
    let tarball = project.path("target/npm/wirehub-client.tgz");
    generated::CODES.write(project, log)?;
    generated::NUMBERS.write(project, log)?;
    let stamp = fingerprint(project, tools, log)?;
    if stamp.is_current(&[tarball.clone(), package.join("dist")]) {
        log.line("nothing changed since the last build")?;
        return Ok(tarball);
    }
    stamp.invalidate()?;
    let dist = package.join("dist");
    remove_folder(&dist)?;
    build_wasm(project, tools, log)?;
    build_javascript(tools, &package, log)?;
    pack(project, tools, &package, &tarball, log)?;
    stamp.record()?;
    Ok(tarball)
}

fn fingerprint(project: &Project, tools: &Tools, log: &mut Log) -> Result<Stamp> {
    let compiler = log.output(tools.wasm_command("rustc").arg("-vV"))?;
    let packer = log.output(tools.command("wasm-pack").arg("--version"))?;
    let mut fingerprint = Fingerprint::default().fact(RECIPE).fact(compiler).fact(packer);
    for source in SOURCES {
        fingerprint = fingerprint.sources_without(project, source, NOT_THE_CLIENT)?;
    }
    Ok(fingerprint.finish(project, "client"))
}

fn build_wasm(project: &Project, tools: &Tools, log: &mut Log) -> Result<()> {
    let flags = compiler_flags(tools, log)?;
    let mut build = tools.wasm_command("wasm-pack");
    build
        .current_dir(project.root())
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
        .args(["build", "client-wasm/module"])
        // Setup has installed the tools; wasm-pack must not download anything itself.
        .args(["--mode", "no-install"])
        .args(["--target", "web", "--profile", "wasm"])
        // `package.json` is ours, and npm would omit the files named in a `.gitignore` next to it.
        .args(["--no-pack", "--no-gitignore"])
        // Relative to the crate.
        .args(["--out-dir", "../npm/dist/wasm", "--out-name", "wirehub"]);
    log.run(&mut build)
}

/// The compiler flags besides the profile.
fn compiler_flags(tools: &Tools, log: &mut Log) -> Result<Vec<String>> {
    // The locations of panics are in the module. Paths of the build machine are private, and add to the size.
    let sysroot = log.output(tools.wasm_command("rustc").args(["--print", "sysroot"]))?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo"))).unwrap_or_default();
    // The last match counts.
    let folders = [library, home.join("registry/src")];
    let mut flags: Vec<String> =
        folders.iter().map(|folder| format!("--remap-path-prefix={}=", folder.display())).collect();
    // By default a client has a mebibyte for its stack, and its deepest calls take 1 KiB. All other memory is above the
    // stack, so that an overflow stops the module.
    flags.push("-Clink-arg=-zstack-size=16384".to_owned());
    // The shortest code does not compress best: these options were tried one by one.
    let tuning = ["--enable-pre=false", "--disable-lsr"];
    flags.extend(tuning.iter().map(|option| format!("-Cllvm-args={option}")));
    Ok(flags)
}

fn build_javascript(tools: &Tools, package: &Path, log: &mut Log) -> Result<()> {
    log.run(tools.npm(package).arg("ci"))?;
    log.run(tools.npm(package).args(["run", "build"]))
}

/// Packs the package, and renames the packed file to a name without its version, as a dependency for the page.
fn pack(project: &Project, tools: &Tools, package: &Path, tarball: &Path, log: &mut Log) -> Result<()> {
    let folder = project.path("target/npm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let mut pack = tools.npm(package);
    pack.args(["pack", "--pack-destination"]).arg(&folder);
    let told = log.output(&mut pack)?;
    let file = told.lines().last().context("npm pack did not print the name of its file")?;
    let packed = folder.join(file.trim());
    fs::copy(&packed, tarball).with_context(|| format!("cannot copy {}", packed.display()))?;
    Ok(())
}
