//! `common` and `client-core` compile for the browser and ask nothing of it: a module of either has no imports.

use std::fs;

use anyhow::{Context, Result, bail};

use super::Finding;
use crate::{console::Log, process::command, project::Project, setup::WasmToolchain};

pub(super) const RULE: &str = "common and client-core import nothing in WebAssembly";

const PACKAGES: &[&str] = &["wirehub-common", "wirehub-client-core"];

const TARGET: &str = "wasm32-unknown-unknown";
const IMPORT_SECTION: u8 = 2;

/// Builds each as a module of its own and lists its imports.
pub(super) fn check(project: &Project, wasm: &WasmToolchain, log: &mut Log) -> Result<Vec<Finding>> {
    let target = project.scratch_dir().join("wasm-imports");
    let mut findings = Vec::new();
    for package in PACKAGES {
        let mut build = command("cargo");
        wasm.apply(&mut build);
        build.current_dir(project.root());
        build.args(["rustc", "--package", package, "--lib", "--crate-type", "cdylib"]);
        build.args(["--target", TARGET, "--target-dir"]).arg(&target);
        // Nothing in a library is called from outside: without these the linker would drop all of it, and the
        // imports with it.
        build.args(["--", "-Clink-dead-code", "-Clink-arg=--no-gc-sections"]);
        log.run(&mut build).with_context(|| format!("{package} must build for {TARGET}"))?;

        let module = target.join(TARGET).join("debug").join(package.replace('-', "_")).with_extension("wasm");
        let bytes = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
        let imports = imports(&bytes).with_context(|| format!("{} is no module", module.display()))?;
        findings.extend(imports.into_iter().map(|import| {
            Finding::new(
                *package,
                format!("imports {import}: find who asks for it with `cargo tree -p {package}`"),
            )
        }));
    }
    Ok(findings)
}

/// The `module.name` of each import of a WebAssembly module.
fn imports(module: &[u8]) -> Result<Vec<String>> {
    let mut reader = Reader { rest: module };
    if reader.bytes(8)? != b"\0asm\x01\0\0\0" {
        bail!("it does not begin like a WebAssembly module of version 1");
    }
    while !reader.rest.is_empty() {
        let id = reader.byte()?;
        let length = reader.number()?;
        let section = reader.bytes(length)?;
        if id == IMPORT_SECTION {
            return Reader { rest: section }.imports();
        }
    }
    Ok(Vec::new())
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn imports(mut self) -> Result<Vec<String>> {
        let count = self.number()?;
        let mut imports = Vec::new();
        for _ in 0..count {
            imports.push(format!("{}.{}", self.name()?, self.name()?));
            match self.byte()? {
                0 => drop(self.number()?),
                1 => {
                    self.byte()?;
                    self.limits()?;
                }
                2 => self.limits()?,
                3 => drop(self.bytes(2)?),
                4 => {
                    self.byte()?;
                    self.number()?;
                }
                kind => bail!("import kind {kind} is unknown"),
            }
        }
        Ok(imports)
    }

    /// The size of a table or memory: a minimum and perhaps a maximum.
    fn limits(&mut self) -> Result<()> {
        let has_maximum = self.byte()? & 1 == 1;
        self.number()?;
        if has_maximum {
            self.number()?;
        }
        Ok(())
    }

    fn name(&mut self) -> Result<String> {
        let length = self.number()?;
        Ok(String::from_utf8_lossy(self.bytes(length)?).into_owned())
    }

    /// An unsigned LEB128 number.
    fn number(&mut self) -> Result<usize> {
        let mut value: u64 = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return usize::try_from(value).context("a length is too large");
            }
        }
        bail!("a number does not end")
    }

    fn byte(&mut self) -> Result<u8> {
        let (first, rest) = self.rest.split_first().context("it ends too early")?;
        self.rest = rest;
        Ok(*first)
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).context("it ends too early")?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::imports;

    const HEAD: &[u8] = b"\0asm\x01\0\0\0";

    fn module(sections: &[&[u8]]) -> Vec<u8> {
        [HEAD, &sections.concat()].concat()
    }

    #[test]
    fn every_kind_of_import_is_read() {
        let types = b"\x01\x04\x01\x60\0\0";
        let entries: &[&[u8]] = &[
            b"\x05",
            b"\x03env\x03now\x00\x00",
            b"\x03env\x05table\x01\x70\x01\x01\x80\x01",
            b"\x03env\x06memory\x02\x00\x11",
            b"\x03env\x06global\x03\x7f\x00",
            b"\x03env\x03tag\x04\x00\x00",
        ];
        let body = entries.concat();
        let section = [&[2, u8::try_from(body.len()).unwrap()], body.as_slice()].concat();
        let found = imports(&module(&[types, &section])).unwrap();
        assert_eq!(found, ["env.now", "env.table", "env.memory", "env.global", "env.tag"]);
    }

    #[test]
    fn a_module_without_imports_has_none() {
        assert!(imports(HEAD).unwrap().is_empty());
        assert!(imports(&module(&[b"\x00\x02\x01x"])).unwrap().is_empty());
    }

    #[test]
    fn what_is_no_module_is_refused() {
        assert!(imports(b"").is_err());
        assert!(imports(b"#!/bin/sh\n").is_err());
        assert!(imports(&module(&[b"\x02\x05\x01\x03env"])).is_err());
        assert!(imports(&module(&[b"\x02\xff\xff\xff\xff\xff\xff"])).is_err());
    }
}
