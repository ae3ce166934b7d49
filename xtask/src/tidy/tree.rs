//! The checkout as the checks see it: its files and its packages.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::rust_source::RustSource;
use crate::{
    process::{command, output_of},
    project::Project,
};

/// The files that git tracks or would add, and the packages of the workspace.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    /// Paths from the root, sorted.
    pub(super) files: Vec<String>,
    pub(super) packages: Vec<Package>,
}

/// A package of the workspace.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// From the root, for example `client-core`.
    pub(crate) folder: String,
    /// Whether it may go to crates.io.
    pub(crate) is_published: bool,
    /// Its features, each with those that it enables.
    pub(crate) features: BTreeMap<String, Vec<String>>,
    /// The packages of the workspace among its dependencies.
    pub(crate) depends_on: Vec<String>,
    /// The additional ones for its tests, benchmarks and examples.
    pub(crate) tests_depend_on: Vec<String>,
}

impl Tree {
    pub(super) fn read(project: &Project) -> Result<Self> {
        let mut list = command("git");
        list.current_dir(project.root());
        list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"]);
        let listed =
            output_of(&mut list).context("tidy checks the files of git: run it in a git checkout")?;
        let mut files: Vec<String> =
            listed.split('\0').filter(|file| project.path(file).is_file()).map(str::to_owned).collect();
        files.sort();

        let packages = packages_of(project)?;
        Ok(Self { root: project.root().to_path_buf(), files, packages })
    }

    #[cfg(test)]
    pub(super) fn of_files(root: &Path, files: &[&str]) -> Self {
        let files = files.iter().map(|&file| file.to_owned()).collect();
        Self { root: root.to_path_buf(), files, packages: Vec::new() }
    }

    #[cfg(test)]
    pub(super) fn of_packages(packages: Vec<Package>) -> Self {
        Self { root: PathBuf::new(), files: Vec::new(), packages }
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn bytes(&self, file: &str) -> Result<Vec<u8>> {
        fs::read(self.root.join(file)).with_context(|| format!("cannot read {file}"))
    }

    pub(super) fn text(&self, file: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&self.bytes(file)?).into_owned())
    }

    /// The parsed Rust files below the folders, without those that are only for tests.
    pub(super) fn product_sources(&self, below: &[&str]) -> Result<Vec<(&str, RustSource)>> {
        let mut sources = Vec::new();
        let mut test_modules = Vec::new();
        for file in &self.files {
            let inside =
                below.iter().any(|folder| file.strip_prefix(*folder).is_some_and(|it| it.starts_with('/')));
            if inside && file.ends_with(".rs") && !is_for_tests(file) {
                let source = RustSource::parse(&self.text(file)?)
                    .with_context(|| format!("{file} is not Rust: run `cargo check`"))?;
                test_modules.extend(source.test_modules.iter().map(|module| module_path(file, module)));
                sources.push((file.as_str(), source));
            }
        }
        sources.retain(|(file, _)| {
            !test_modules.iter().any(|module| {
                file.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
            })
        });
        Ok(sources)
    }
}

/// Integration tests, benchmarks, examples and build scripts, which are not part of a product.
fn is_for_tests(file: &str) -> bool {
    file.split('/').any(|part| matches!(part, "tests" | "benches" | "examples" | "build.rs" | "tests.rs"))
}

/// The path of the code of `mod NAME;` in `file`, without `.rs` or `/mod.rs`.
fn module_path(file: &str, name: &str) -> String {
    let path = Path::new(file);
    let stem = path.file_stem().unwrap_or_default();
    let folder = path.parent().unwrap_or(Path::new(""));
    let folder = if stem == "lib" || stem == "main" || stem == "mod" {
        folder.to_path_buf()
    } else {
        folder.join(stem)
    };
    folder.join(name).to_string_lossy().into_owned()
}

/// The packages of the workspace.
pub(crate) fn packages_of(project: &Project) -> Result<Vec<Package>> {
    let mut metadata = command("cargo");
    metadata.current_dir(project.root()).args(["metadata", "--format-version", "1", "--no-deps"]);
    packages_in(&output_of(&mut metadata)?, project.root())
}

fn packages_in(metadata: &str, root: &Path) -> Result<Vec<Package>> {
    let metadata: Value = serde_json::from_str(metadata).context("cargo metadata printed no JSON")?;
    list(&metadata, "packages")?
        .iter()
        .map(|package| {
            let manifest = PathBuf::from(text(package, "manifest_path")?);
            let folder = manifest.parent().unwrap_or(root);
            let of_workspace = |wanted: fn(&str) -> bool| {
                let mut names = list(package, "dependencies")?
                    .iter()
                    .filter(|it| it.get("path").is_some_and(Value::is_string))
                    // A normal dependency has no kind.
                    .filter(|it| wanted(it.get("kind").and_then(Value::as_str).unwrap_or_default()))
                    .map(|it| text(it, "name"))
                    .collect::<Result<Vec<_>>>()?;
                names.sort();
                names.dedup();
                anyhow::Ok(names)
            };
            Ok(Package {
                name: text(package, "name")?,
                folder: folder.strip_prefix(root).unwrap_or(folder).to_string_lossy().into_owned(),
                // The registries that accept it; without a list, every registry does.
                is_published: package
                    .get("publish")
                    .and_then(Value::as_array)
                    .is_none_or(|it| !it.is_empty()),
                features: match package.get("features") {
                    Some(features) => serde_json::from_value(features.clone())
                        .context("cargo metadata has features of another form")?,
                    None => BTreeMap::new(),
                },
                depends_on: of_workspace(|kind| kind != "dev")?,
                tests_depend_on: of_workspace(|kind| kind == "dev")?,
            })
        })
        .collect()
}

fn list<'a>(value: &'a Value, field: &str) -> Result<&'a [Value]> {
    let list = value.get(field).and_then(Value::as_array);
    Ok(list.with_context(|| format!("cargo metadata has no list '{field}'"))?)
}

fn text(value: &Value, field: &str) -> Result<String> {
    let text = value.get(field).and_then(Value::as_str);
    Ok(text.with_context(|| format!("cargo metadata has no text '{field}'"))?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use super::{Package, Tree, packages_in};
    use crate::scratch::Scratch;

    #[test]
    fn packages_name_each_other_by_the_kind_of_dependency() {
        let metadata = r#"{"packages": [{
            "name": "b", "manifest_path": "/w/some/b/Cargo.toml", "features": {"y": ["x"], "x": []}, "dependencies": [
                {"name": "a", "kind": null, "path": "/w/a"},
                {"name": "a", "kind": "build", "path": "/w/a"},
                {"name": "c", "kind": "dev", "path": "/w/c"},
                {"name": "serde", "kind": null}
            ]
        }, {"name": "d", "manifest_path": "/w/d/Cargo.toml", "dependencies": [], "publish": []}]}"#;
        let expected = Package {
            name: "b".into(),
            folder: "some/b".into(),
            is_published: true,
            features: BTreeMap::from([("x".into(), Vec::new()), ("y".into(), vec!["x".into()])]),
            depends_on: vec!["a".into()],
            tests_depend_on: vec!["c".into()],
        };
        let [b, d] = &packages_in(metadata, Path::new("/w")).unwrap()[..] else { panic!("two packages") };
        assert_eq!(*b, expected);
        assert!(!d.is_published);
        assert!(packages_in("{}", Path::new("/w")).is_err());
    }

    #[test]
    fn product_sources_leave_out_tests_however_they_are_kept() {
        let scratch = Scratch::new("tree-sources");
        scratch.write("a/src/lib.rs", "mod real;\n#[cfg(test)]\nmod simulation;\n");
        scratch.write("a/src/real.rs", "#[cfg(test)]\nmod checks;\n");
        for file in
            ["a/src/simulation.rs", "a/src/simulation/net.rs", "a/src/real/checks.rs", "a/src/real/more.rs"]
        {
            scratch.write(file, "");
        }
        scratch.write("a/tests/it.rs", "");
        scratch.write("ab/src/lib.rs", "");
        let tree = Tree::of_files(
            scratch.path(),
            &[
                "a/src/lib.rs",
                "a/src/real.rs",
                "a/src/real/checks.rs",
                "a/src/real/more.rs",
                "a/src/simulation.rs",
                "a/src/simulation/net.rs",
                "a/tests/it.rs",
                "ab/src/lib.rs",
            ],
        );
        let sources = tree.product_sources(&["a"]).unwrap();
        let names: Vec<&str> = sources.iter().map(|(file, _)| *file).collect();
        assert_eq!(names, ["a/src/lib.rs", "a/src/real.rs", "a/src/real/more.rs"]);
    }
}
