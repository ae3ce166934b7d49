//! A detour for machines whose rustup can't download: Debian's own compiler and library source.
//!
//! Debian packages a current compiler (for building browsers) without a library for wasm32-unknown-unknown, and the
//! library's source separately. We build that library once, copy it to the compiler's library folder, and register the
//! compiler with rustup under the name `distro`. A marker next to the library names the compiler that built it, so that
//! an upgraded compiler gets a new library.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

use super::{
    system_packages::SystemPackages,
    wasm_target::{TARGET, WasmToolchain},
};
use crate::{
    console::{Console, Log, Step},
    process::{command, output_of},
    project::{Project, remove_folder},
};

const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src", "lld-19"];
const RUSTC: &str = "/usr/bin/rustc";
const CARGO: &str = "/usr/bin/cargo";
const LINKER: &str = "wasm-ld-19";
const LIBRARY: &str = "/usr/lib/rustlib/wasm32-unknown-unknown/lib";
const MARKER: &str = "/usr/lib/rustlib/wasm32-unknown-unknown/lib/built-by";
/// The name of Debian's compiler in rustup.
const TOOLCHAIN: &str = "distro";

/// The empty crate whose build makes cargo build the standard library.
const CRATE: &str = "wasm-std";
const MANIFEST: &str = "\
[package]
name = \"wasm-std\"
version = \"0.0.0\"
edition = \"2024\"

[workspace]
";

/// The toolchain, if an earlier run has made it and the compiler is unchanged.
pub(super) fn ready() -> Option<WasmToolchain> {
    let linked = output_of(command("rustc").arg("-vV").env("RUSTUP_TOOLCHAIN", TOOLCHAIN)).ok()?;
    (library_is_current() && linked == compiler().ok()?).then(toolchain)
}

/// Makes the toolchain.
pub(super) fn install(
    project: &Project,
    console: &Console,
    packages: &mut SystemPackages,
) -> Result<WasmToolchain> {
    if !packages.available() {
        bail!(
            "install the Rust target {TARGET} (with rustup: `rustup target add {TARGET}`), then run this again"
        );
    }
    let missing = [RUSTC, CARGO, "/usr/lib/rustlib/src/rust/library", "/usr/bin/wasm-ld-19"]
        .iter()
        .any(|path| !Path::new(path).exists());
    if missing {
        let step = Step {
            name: "wasm compiler",
            what: "rustup cannot download: installing Debian's compiler",
            slow: Some("about 1 min"),
        };
        console.step(step, |log| packages.install(log, PACKAGES))?;
    }
    if !library_is_current() {
        let step = Step {
            name: "wasm library",
            what: "building the standard library for wasm32",
            slow: Some("about 1 min"),
        };
        console.step(step, |log| {
            build(project, log)?;
            place(project, log, packages)
        })?;
    }
    let step = Step { name: "wasm link", what: "registering Debian's compiler with rustup", slow: None };
    console.step(step, |log| log.run(command("rustup").args(["toolchain", "link", TOOLCHAIN, "/usr"])))?;
    ready().context("the toolchain was made and does not run: `rustup run distro rustc -vV` shows the reason")
}

fn toolchain() -> WasmToolchain {
    WasmToolchain::with_variables(vec![
        ("RUSTUP_TOOLCHAIN", TOOLCHAIN.into()),
        ("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", LINKER.into()),
    ])
}

/// Whether the library is there and was built by the current version of Debian's compiler.
fn library_is_current() -> bool {
    fs::read_to_string(MARKER).is_ok_and(|built_by| compiler().is_ok_and(|now| now == built_by))
}

/// The version of Debian's compiler.
fn compiler() -> Result<String> {
    output_of(command(RUSTC).arg("-vV"))
}

fn build(project: &Project, log: &mut Log) -> Result<()> {
    let folder = project.scratch_dir().join(CRATE);
    fs::create_dir_all(folder.join("src"))
        .and_then(|()| fs::write(folder.join("Cargo.toml"), MANIFEST))
        .and_then(|()| fs::write(folder.join("src/lib.rs"), "#![no_std]\n"))
        .with_context(|| format!("cannot write the crate in {}", folder.display()))?;
    // Files of an older compiler would be copied too.
    let target = folder.join("target");
    remove_folder(&target)?;
    let mut build = command(CARGO);
    build
        .current_dir(&folder)
        .args(["build", "--release", "--target", TARGET, "--target-dir", "target"])
        .arg("-Zbuild-std=std,panic_abort,panic_unwind,proc_macro,test")
        .env("RUSTC", RUSTC)
        .env("RUSTC_BOOTSTRAP", "1")
        // Without bitcode, `lto = "fat"` cannot include the library.
        .env("RUSTFLAGS", "-Cembed-bitcode=yes")
        .env_remove("RUSTUP_TOOLCHAIN");
    log.run(&mut build)
}

/// Copies the library to the compiler's library folder. The marker comes last, when everything is there.
fn place(project: &Project, log: &mut Log, packages: &SystemPackages) -> Result<()> {
    let built = project.scratch_dir().join(CRATE).join("target").join(TARGET).join("release/deps");
    let own = format!("lib{}-", CRATE.replace('-', "_"));
    let mut libraries = Vec::new();
    for entry in fs::read_dir(&built).with_context(|| format!("cannot list {}", built.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.ends_with(".rlib") && !name.starts_with(&own) {
            libraries.push(path);
        }
    }
    let marker = project.scratch_dir().join("built-by");
    fs::write(&marker, compiler()?).with_context(|| format!("cannot write {}", marker.display()))?;

    log.run(packages.as_root("rm").args(["-rf", LIBRARY]))?;
    log.run(packages.as_root("mkdir").args(["-p", LIBRARY]))?;
    log.run(packages.as_root("cp").args(&libraries).arg(LIBRARY))?;
    log.run(packages.as_root("cp").arg(&marker).arg(MARKER))
}
