//! The root manifest decides versions and lints for all packages.

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::{Finding, tree::Tree};

const DEPENDENCY_TABLES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let file = format!("{}/Cargo.toml", package.folder);
        let manifest: Table =
            tree.text(&file)?.parse().with_context(|| format!("{file} is not valid TOML"))?;
        findings.extend(problems(&manifest).into_iter().map(|problem| Finding::new(file.clone(), problem)));
    }
    Ok(findings)
}

fn problems(manifest: &Table) -> Vec<String> {
    let mut problems = versions_outside_the_root(manifest);
    if let Some(targets) = manifest.get("target").and_then(Value::as_table) {
        problems.extend(targets.values().filter_map(Value::as_table).flat_map(versions_outside_the_root));
    }
    if !is_true(manifest.get("lints").and_then(|lints| lints.get("workspace"))) {
        problems.push("the workspace's lints are not in force: add `[lints]` `workspace = true`".to_owned());
    }
    problems
}

fn versions_outside_the_root(table: &Table) -> Vec<String> {
    DEPENDENCY_TABLES
        .iter()
        .filter_map(|name| table.get(*name)?.as_table())
        .flatten()
        .filter(|(_, entry)| !is_true(entry.get("workspace")))
        .map(|(name, _)| {
            format!(
                "{name}: put its version in the root Cargo.toml, [workspace.dependencies], and write \
                 `{name}.workspace = true` here"
            )
        })
        .collect()
}

fn is_true(value: Option<&Value>) -> bool {
    value.and_then(Value::as_bool) == Some(true)
}

#[cfg(test)]
mod tests {
    use super::problems;

    #[test]
    fn versions_are_found_in_every_table() {
        let manifest = "
            [lints]
            workspace = true
            [dependencies]
            a.workspace = true
            b = { workspace = true, features = [\"x\"] }
            c = \"1\"
            [dev-dependencies]
            d = { path = \"../d\" }
            [target.'cfg(unix)'.dependencies]
            e = { version = \"2\" }
        ";
        let found = problems(&manifest.parse().unwrap());
        let names: Vec<&str> = found.iter().filter_map(|it| it.split(':').next()).collect();
        assert_eq!(names, ["c", "d", "e"]);
    }

    #[test]
    fn lints_must_be_inherited() {
        assert_eq!(problems(&"[package]\nname = \"a\"".parse().unwrap()).len(), 1);
    }
}
