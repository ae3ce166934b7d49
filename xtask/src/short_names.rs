//! Short names between the module and the JavaScript that calls it.
//!
//! wasm-bindgen's names are long, and end in hashes that do not compress; each stands in the module and in the
//! JavaScript. They are nobody's but these two files', so wasm-opt shortens them in the one, and we do in the other.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};

use crate::{console::Log, setup::Tools};

/// What the module may use: what the crate's own wasm-opt run names, so that this one brings in nothing newer.
const FEATURES: &[&str] = &[
    "--enable-bulk-memory",
    "--enable-nontrapping-float-to-int",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-reference-types",
    "--enable-multivalue",
];

/// Shortens the names of what `module` imports and exports, and in `glue`, the JavaScript that wasm-bindgen made for it.
pub(crate) fn shorten(tools: &Tools, module: &Path, glue: &Path, log: &mut Log) -> Result<()> {
    let mut command = tools.command("wasm-opt");
    command.args(FEATURES).arg("--minify-imports-and-exports-and-modules");
    let told = log.output(command.arg(module).arg("-o").arg(module))?;
    let names = Names::parse(&told).context("wasm-opt did not say what it renamed")?;
    let script = fs::read_to_string(glue).with_context(|| format!("cannot read {}", glue.display()))?;
    fs::write(glue, names.rename(script)?).with_context(|| format!("cannot write {}", glue.display()))
}

/// What wasm-opt says that it renamed.
#[derive(Debug)]
struct Names {
    /// Module, name, new name. Every module is [`MODULE`] now.
    imports: Vec<(String, String, String)>,
    /// Name, new name.
    exports: Vec<(String, String)>,
}

/// The name that wasm-opt gives to the modules of all imports.
const MODULE: &str = "a";

impl Names {
    fn parse(told: &str) -> serde_json::Result<Self> {
        let mut told: serde_json::Value = serde_json::from_str(told)?;
        let mut list = |key| told.get_mut(key).map(serde_json::Value::take).unwrap_or_default();
        Ok(Self {
            imports: serde_json::from_value(list("imports"))?,
            exports: serde_json::from_value(list("exports"))?,
        })
    }

    /// Puts the new names into the JavaScript: imports are an object's members there, exports those of `wasm`.
    fn rename(&self, mut script: String) -> Result<String> {
        let mut modules: Vec<&str> = self.imports.iter().map(|(module, ..)| module.as_str()).collect();
        modules.dedup();
        ensure!(
            modules.len() <= 1,
            "the module imports from {modules:?}: under one name their members could be mixed up"
        );
        for module in modules {
            script = replaced(&script, &format!("\"{module}\":"), &format!("\"{MODULE}\":"))?;
        }
        for (_, name, short) in &self.imports {
            script = replaced(&script, &format!(" {name}: function("), &format!(" {short}: function("))?;
        }
        for (name, short) in &self.exports {
            script = with_export(&script, name, short);
        }
        Ok(script)
    }
}

fn replaced(script: &str, old: &str, new: &str) -> Result<String> {
    ensure!(
        script.matches(old).count() == 1,
        "`{old}` is not in wasm-bindgen's JavaScript exactly once: does a new version write it in another way?"
    );
    Ok(script.replacen(old, new, 1))
}

/// Renames a member of `wasm`. Some exports have no user in JavaScript.
fn with_export(script: &str, name: &str, short: &str) -> String {
    let old = format!("wasm.{name}");
    let mut parts = script.split(old.as_str());
    let mut renamed = String::from(parts.next().unwrap_or_default());
    for part in parts {
        let is_whole = !part.starts_with(|next: char| next.is_alphanumeric() || next == '_' || next == '$');
        renamed.push_str("wasm.");
        renamed.push_str(if is_whole { short } else { name });
        renamed.push_str(part);
    }
    renamed
}

#[cfg(test)]
mod tests {
    use super::{Names, with_export};

    fn names(json: &str) -> Names {
        Names::parse(json).unwrap()
    }

    #[test]
    fn imports_and_exports_are_renamed_and_nothing_else() {
        let names = names(
            r#"{ "imports": [["./x_bg.js", "__wbg_now_1", "A"]], "exports": [["memory", "b"], ["client_call", "c"]] }"#,
        );
        let script = r#"
            __wbg_now_1: function() { return wasm.memory.buffer; },
            "./x_bg.js": import0,
            wasm.client_call(wasm.client_call_stream, memory);
        "#;
        let expected = r#"
            A: function() { return wasm.b.buffer; },
            "a": import0,
            wasm.c(wasm.client_call_stream, memory);
        "#;
        assert_eq!(names.rename(script.into()).unwrap(), expected);
    }

    #[test]
    fn an_import_that_is_not_found_is_an_error() {
        let names = names(r#"{ "imports": [["./x_bg.js", "__wbg_now_1", "A"]], "exports": [] }"#);
        assert!(
            names.rename(r#""./x_bg.js": import0"#.into()).unwrap_err().to_string().contains("__wbg_now_1")
        );
    }

    #[test]
    fn imports_of_two_modules_are_an_error() {
        let names =
            names(r#"{ "imports": [["./x.js", "now", "A"], ["./y.js", "now", "B"]], "exports": [] }"#);
        assert!(names.rename(r#""./x.js": a, "./y.js": b"#.into()).is_err());
    }

    #[test]
    fn an_export_without_a_user_is_none_of_the_scripts_business() {
        assert_eq!(with_export("wasm.other()", "poll", "d"), "wasm.other()");
    }
}
