//! The root manifest decides versions and lints for all packages.

use anyhow::{Context, Result};
use toml::{Table, Value};

use super::{
    Finding,
    tree::{Package, Tree},
};

const DEPENDENCY_TABLES: &[&str] = &["dependencies", "dev-dependencies", "build-dependencies"];

/// The input of the pages of crates.io and docs.rs.
const METADATA: &[&str] =
    &["description", "license", "repository", "documentation", "keywords", "categories", "metadata.docs.rs"];

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    check_each(tree, |_, manifest| problems(manifest))
}

/// Whether every published package has the metadata and a README.
pub(super) fn check_metadata(tree: &Tree) -> Result<Vec<Finding>> {
    check_each(tree, |package, manifest| {
        let mut missing = Vec::new();
        if package.is_published {
            missing = missing_metadata(manifest);
            let readme = format!("{}/README.md", package.folder);
            if !tree.files.contains(&readme) {
                missing.push(format!("{readme} is missing: it is the crate's page on crates.io"));
            }
        }
        missing
    })
}

fn check_each(tree: &Tree, problems: impl Fn(&Package, &Table) -> Vec<String>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let file = format!("{}/Cargo.toml", package.folder);
        let manifest: Table =
            tree.text(&file)?.parse().with_context(|| format!("{file} is not valid TOML"))?;
        let problems = problems(package, &manifest).into_iter();
        findings.extend(problems.map(|problem| Finding::new(file.clone(), problem)));
    }
    Ok(findings)
}

fn missing_metadata(manifest: &Table) -> Vec<String> {
    let package = manifest.get("package");
    let is_missing = |key: &str| key.split('.').fold(package, |table, part| table?.get(part)).is_none();
    let missing = METADATA.iter().filter(|key| is_missing(key));
    missing.map(|key| format!("package.{key} is missing: a published crate needs it")).collect()
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
    use super::{missing_metadata, problems};

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
    fn missing_metadata_is_named() {
        let manifest = "
            [package]
            name = \"a\"
            description = \"A\"
            license.workspace = true
            keywords = []
            documentation = \"https://docs.rs/a\"
            [package.metadata.other]
        ";
        let found = missing_metadata(&manifest.parse().unwrap());
        let keys: Vec<&str> = found.iter().filter_map(|it| it.split(' ').next()).collect();
        assert_eq!(keys, ["package.repository", "package.categories", "package.metadata.docs.rs"]);
    }

    #[test]
    fn lints_must_be_inherited() {
        assert_eq!(problems(&"[package]\nname = \"a\"".parse().unwrap()).len(), 1);
    }
}
