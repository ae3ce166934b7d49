//! `common` and `client-core` compile for the browser and need nothing from it: a module of either has no imports.

use std::fs;

use anyhow::{Context, Result};
use wasmparser::{Parser, Payload};

use super::Finding;
use crate::{console::Log, process::command, project::Project, setup::WasmToolchain};

pub(super) const RULE: &str = "common and client-core import nothing in WebAssembly";

const PACKAGES: &[&str] = &["wirehub-common", "wirehub-client-core"];

const TARGET: &str = "wasm32-unknown-unknown";

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
        // A library's functions have no callers: without these flags the linker would drop all of them, and the imports
        // with them.
        build.args(["--", "-Clink-dead-code", "-Clink-arg=--no-gc-sections"]);
        log.run(&mut build).with_context(|| format!("{package} must build for {TARGET}"))?;

        let module = target.join(TARGET).join("debug").join(package.replace('-', "_")).with_extension("wasm");
        let bytes = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
        let imports = imports(&bytes).with_context(|| format!("{} is not a module", module.display()))?;
        findings.extend(imports.into_iter().map(|import| {
            Finding::new(
                *package,
                format!("imports {import}: find the dependency that needs it with `cargo tree -p {package}`"),
            )
        }));
    }
    Ok(findings)
}

/// The `module.name` of each import of a WebAssembly module.
fn imports(module: &[u8]) -> Result<Vec<String>> {
    let mut imports = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(section) = payload? {
            for import in section.into_imports() {
                let import = import?;
                imports.push(format!("{}.{}", import.module, import.name));
            }
        }
    }
    Ok(imports)
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
    fn bytes_that_are_not_a_module_are_refused() {
        assert!(imports(b"").is_err());
        assert!(imports(b"#!/bin/sh\n").is_err());
        assert!(imports(&module(&[b"\x02\x05\x01\x03env"])).is_err());
        assert!(imports(&module(&[b"\x02\xff\xff\xff\xff\xff\xff"])).is_err());
    }
}
