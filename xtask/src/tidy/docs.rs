//! Documents refer only to existing files, folders and `cargo xtask` verbs.

use std::{collections::BTreeSet, path::Path};

use anyhow::Result;
use clap::CommandFactory;

use super::{Finding, tree::Tree};
use crate::{
    Cli,
    process::{command, output_of},
};

/// It describes the past, and may refer to files that are gone.
const HISTORY: &str = "CHANGELOG.md";

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let folders: BTreeSet<&str> =
        tree.files.iter().filter_map(|file| file.split_once('/')).map(|it| it.0).collect();
    let verbs: Vec<String> =
        Cli::command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.ends_with(".md") && !file.ends_with(HISTORY)) {
        for named in names_in(&tree.text(file)?) {
            if let Some(problem) = named.problem(tree, file, &folders, &verbs) {
                findings.push(Finding::at_line(file, named.line, problem));
            }
        }
    }
    Ok(findings)
}

/// A reference in a document.
#[derive(Debug, PartialEq, Eq)]
struct Named {
    line: usize,
    what: What,
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    /// The target of a link, from the document's folder.
    Link(String),
    /// A path in backticks, from the root.
    Path(String),
    /// The word after `cargo xtask`.
    Verb(String),
}

impl Named {
    fn problem(&self, tree: &Tree, file: &str, folders: &BTreeSet<&str>, verbs: &[String]) -> Option<String> {
        match &self.what {
            What::Link(target) => {
                let folder = Path::new(file).parent().unwrap_or(Path::new(""));
                (!exists(tree, &folder.join(target)))
                    .then(|| format!("links to {target}, which does not exist"))
            }
            What::Path(path) => {
                let ours = path.split('/').next().is_some_and(|first| folders.contains(first));
                (ours && !exists(tree, Path::new(path)))
                    .then(|| format!("names {path}, which does not exist"))
            }
            What::Verb(verb) => (!verbs.contains(verb)).then(|| {
                format!(
                    "names `cargo xtask {verb}`, which does not exist: the verbs are {}",
                    verbs.join(", ")
                )
            }),
        }
    }
}

/// Whether it exists, or is a build output, which git ignores.
fn exists(tree: &Tree, path: &Path) -> bool {
    let ignored = || {
        let mut ask = command("git");
        ask.current_dir(tree.root()).args(["check-ignore", "--quiet"]).arg(path);
        output_of(&mut ask).is_ok()
    };
    tree.root().join(path).exists() || ignored()
}

/// The references in a document. Blocks of code contain commands and drawings of trees, in which only verbs count.
fn names_in(document: &str) -> Vec<Named> {
    let mut names = Vec::new();
    let mut in_code_block = false;
    for (index, text) in document.lines().enumerate() {
        let line = index.saturating_add(1);
        let mut add = |what| names.push(Named { line, what });
        verbs_in(text).for_each(|verb| add(What::Verb(verb)));
        if text.trim_start().starts_with("```") {
            in_code_block = !in_code_block;
        } else if !in_code_block {
            // Every second part between backticks is code.
            let code = text.split('`').skip(1).step_by(2);
            code.filter(|code| is_path(code)).for_each(|path| add(What::Path(path.to_owned())));
            links_in(text).for_each(|target| add(What::Link(target)));
        }
    }
    names
}

fn verbs_in(text: &str) -> impl Iterator<Item = String> {
    text.split("cargo xtask ").skip(1).filter_map(|rest| {
        let verb: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        (!verb.is_empty() && !verb.starts_with('-')).then_some(verb)
    })
}

fn is_path(code: &str) -> bool {
    code.contains('/') && code.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c))
}

/// The relative targets of `[text](target)`.
fn links_in(text: &str) -> impl Iterator<Item = String> {
    text.split("](").skip(1).filter_map(|rest| {
        let target = rest.split([')', ' ', '#']).next().unwrap_or_default();
        let elsewhere = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
        (!elsewhere).then(|| target.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Named, What, check, names_in};
    use crate::{
        process::{command, output_of},
        scratch::Scratch,
        tidy::tree::Tree,
    };

    #[test]
    fn links_paths_and_verbs_are_seen() {
        let document = "See [it](docs/a.md#part) and [that](https://example.org) and [here](#there).\n\
                        Look into `common/src/lib.rs`, not `a + b/c`; run `cargo xtask demo --listen X`.\n\
                        ```\n`common/none` cargo xtask test\n```\n";
        let expected = [
            Named { line: 1, what: What::Link("docs/a.md".to_owned()) },
            Named { line: 2, what: What::Verb("demo".to_owned()) },
            Named { line: 2, what: What::Path("common/src/lib.rs".to_owned()) },
            Named { line: 4, what: What::Verb("test".to_owned()) },
        ];
        assert_eq!(names_in(document), expected);
    }

    #[test]
    fn missing_things_are_found() {
        let scratch = Scratch::new("docs");
        let git = |arguments: &[&str]| {
            output_of(command("git").current_dir(scratch.path()).args(arguments)).unwrap()
        };
        git(&["init", "--quiet"]);
        scratch.write(".gitignore", "/made\n");
        scratch.write("common/a.rs", "");
        scratch.write(
            "common/README.md",
            "[there](a.rs) [gone](b.rs) `common/a.rs` `common/gone.rs` `common/../made/x` `text/html`\n\
             `cargo xtask tidy` `cargo xtask fly`\n",
        );
        let files = ["common/README.md", "common/a.rs"];
        let findings = check(&Tree::of_files(scratch.path(), &files)).unwrap();
        let problems: Vec<&str> = findings.iter().map(|it| it.problem.as_str()).collect();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[0].contains("names common/gone.rs"), "{problems:?}");
        assert!(problems[1].contains("links to b.rs"), "{problems:?}");
        assert!(problems[2].contains("cargo xtask fly"), "{problems:?}");
        assert!(Path::new(&findings[0].place).starts_with("common"), "{findings:?}");
    }
}
