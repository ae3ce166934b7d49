//! Which crates may know which. Arrows point one way, so that each crate can be understood, tested and used
//! without the ones that are built on it.

use anyhow::Result;

use super::{Finding, tree::Tree};

/// Who may depend on whom, for whatever kind of build, tests included; `None` is everybody.
const MAY_DEPEND_ON: &[(&str, Option<&[&str]>)] = &[
    ("wirehub-derive", Some(&[])),
    ("wirehub-common", Some(&["wirehub-derive"])),
    ("wirehub-client-core", Some(&["wirehub-common"])),
    ("wirehub-client-wasm", Some(&["wirehub-common", "wirehub-client-core"])),
    ("wirehub-client", Some(&["wirehub-common", "wirehub-client-core"])),
    ("wirehub-server", Some(&["wirehub-common"])),
    ("wirehub-demo-contract", Some(&["wirehub-common"])),
    ("wirehub-demo", None),
    ("wirehub-tests", None),
    ("wirehub-bench", None),
    // Anything here would have to compile before the first line of help is printed.
    ("xtask", Some(&[])),
];

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let manifest = format!("{}/Cargo.toml", package.folder);
        match MAY_DEPEND_ON.iter().find(|(name, _)| *name == package.name) {
            None => findings.push(Finding::new(
                manifest,
                format!(
                    "{} has no place in xtask/src/tidy/arrows.rs: say there whom it may know",
                    package.name
                ),
            )),
            Some((_, None)) => {}
            Some((_, Some(allowed))) => {
                findings.extend(package.depends_on.iter().filter(|it| !allowed.contains(&it.as_str())).map(
                    |dependency| {
                        let problem = format!(
                            "{} must not know {dependency}: move what it needs to a crate that both may use",
                            package.name
                        );
                        Finding::new(manifest.clone(), problem)
                    },
                ));
            }
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::tree::{Package, Tree};

    fn findings(name: &str, depends_on: &[&str]) -> usize {
        let depends_on = depends_on.iter().map(|&it| it.to_owned()).collect();
        let package = Package { name: name.to_owned(), folder: name.to_owned(), depends_on };
        check(&Tree::of_packages(vec![package])).unwrap().len()
    }

    #[test]
    fn arrows_point_one_way() {
        assert_eq!(findings("wirehub-client-core", &["wirehub-common"]), 0);
        assert_eq!(findings("wirehub-common", &["wirehub-client-core"]), 1);
        assert_eq!(findings("wirehub-server", &["wirehub-common", "wirehub-client"]), 1);
        assert_eq!(findings("wirehub-tests", &["wirehub-server", "wirehub-client"]), 0);
    }

    #[test]
    fn a_new_package_must_be_placed() {
        assert_eq!(findings("wirehub-novelty", &[]), 1);
    }
}
