//! Puts the files of the built page into the program, with a compressed form of each that becomes smaller.
//!
//! The page is the folder `page`, or the one in the environment variable `WIREHUB_DEMO_PAGE`. Without either the program has no
//! page, and says so.
#![allow(clippy::print_stdout, reason = "cargo reads it")]

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

const VARIABLE: &str = "WIREHUB_DEMO_PAGE";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    println!("cargo::rerun-if-changed=build.rs");
    let page = env::var_os(VARIABLE)
        .filter(|path| !path.is_empty())
        .map_or_else(|| PathBuf::from("page"), PathBuf::from);
    // Cargo takes a folder that is missing for changed each time, and would compile everything with the demo again.
    let watched = if page.exists() { page.as_path() } else { Path::new(".") };
    println!("cargo::rerun-if-changed={}", watched.display());
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("cargo sets OUT_DIR"))?);
    let mut files = Vec::new();
    if page.is_dir() {
        collect(&page, &page.canonicalize()?, &mut files)?;
    }
    files.sort();
    let mut code = String::from("&[\n");
    for (number, (path, file)) in files.iter().enumerate() {
        let compressed = compressed(file)?;
        let name = out.join(format!("{number}.gz"));
        let gzip = match &compressed {
            Some(bytes) => {
                fs::write(&name, bytes)?;
                format!("Some(include_bytes!({:?}))", name.display().to_string())
            }
            None => "None".into(),
        };
        let file = file.display().to_string();
        let _ =
            writeln!(code, "PageFile {{ path: {path:?}, content: include_bytes!({file:?}), gzip: {gzip} }},");
    }
    code.push(']');
    fs::write(out.join("page.rs"), code)
}

/// Adds the files below a folder: the path of each on the server, and on this machine.
fn collect(root: &Path, folder: &Path, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
            continue;
        }
        let root = root.canonicalize()?;
        let relative = path.strip_prefix(&root).map_err(io::Error::other)?;
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        files.push((format!("/{}", parts.join("/")), path));
    }
    Ok(())
}

fn compressed(file: &Path) -> io::Result<Option<Vec<u8>>> {
    let content = fs::read(file)?;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&content)?;
    let bytes = encoder.finish()?;
    // Pictures and fonts are compressed already.
    Ok((bytes.len() < (content.len() / 10).saturating_mul(9)).then_some(bytes))
}
