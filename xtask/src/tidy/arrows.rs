//! The allowed dependencies between crates. Arrows point in one direction, so that each crate can be understood, tested
//! and used without the crates that are built on it.

use anyhow::Result;

use super::{
    Finding,
    tree::{Package, Tree},
};

/// The allowed dependencies of each crate, tests included; `None` stands for every crate.
const MAY_DEPEND_ON: &[(&str, Option<&[&str]>)] = &[
    ("wirehub-derive", Some(&[])),
    ("wirehub-common", Some(&["wirehub-derive"])),
    ("wirehub-client-core", Some(&["wirehub-common"])),
    ("wirehub-client-wasm", Some(&["wirehub-common", "wirehub-client-core"])),
    ("wirehub-client-module", Some(&["wirehub-common", "wirehub-client-core", "wirehub-client-wasm"])),
    ("wirehub-client", Some(&["wirehub-common", "wirehub-client-core"])),
    ("wirehub-hub", Some(&["wirehub-common"])),
    ("wirehub-server", Some(&["wirehub-common", "wirehub-hub", "wirehub-disk", "wirehub-redis"])),
    (
        "wirehub-cli",
        Some(&["wirehub-common", "wirehub-client", "wirehub-demo", "wirehub-disk", "wirehub-server"]),
    ),
    ("wirehub-demo-contract", Some(&["wirehub-common"])),
    ("wirehub-demo-rust-client", Some(&["wirehub-client-wasm", "wirehub-demo-contract"])),
    ("wirehub-demo", Some(&["wirehub-common", "wirehub-demo-contract", "wirehub-server"])),
    ("wirehub-tests", None),
    // Plays the client in the scenarios.
    ("wirehub-test-player", Some(&["wirehub-common", "wirehub-client-core"])),
    // The size of a page in Rust.
    ("wirehub-page-example", Some(&["wirehub-client-wasm", "wirehub-demo-contract"])),
    // Redis for the tests of an engine, of the server and of the whole.
    ("wirehub-test-redis", Some(&[])),
    // Each shows that its one dependency is sufficient.
    ("wirehub-one-crate-client", Some(&["wirehub-client"])),
    ("wirehub-one-crate-browser", Some(&["wirehub-client-wasm"])),
    ("wirehub-one-crate-server", Some(&["wirehub-server"])),
    ("wirehub-bench", None),
    ("xtask", None),
];

/// The folder of the engines. An engine is an implementation of the hub's traits: it knows the hub, and the server chooses it.
const ENGINES: &str = "server/engines/";

const ENGINES_MAY_DEPEND_ON: &[&str] = &["wirehub-common", "wirehub-hub"];

/// The additional dependencies of any crate's tests: an example contract, which itself depends only on `common`, a player
/// of scenarios, which depends on the client's rules, and Redis servers, which depend on nothing.
const TESTS_MAY_ALSO_DEPEND_ON: &[&str] =
    &["wirehub-demo-contract", "wirehub-test-player", "wirehub-test-redis"];

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for package in &tree.packages {
        let manifest = format!("{}/Cargo.toml", package.folder);
        match allowed_for(package) {
            None => findings.push(Finding::new(
                manifest,
                format!(
                    "{} is missing in xtask/src/tidy/arrows.rs: add its allowed dependencies there",
                    package.name
                ),
            )),
            Some(None) => {}
            Some(Some(allowed)) => {
                let for_tests =
                    package.tests_depend_on.iter().filter(|it| !is_in(TESTS_MAY_ALSO_DEPEND_ON, it));
                let used = package.depends_on.iter().chain(for_tests);
                // A package may name itself, because its tests can then enable one of its features.
                let unknown = used.filter(|it| **it != package.name && !is_in(allowed, it));
                findings.extend(unknown.map(|dependency| {
                    let problem = format!(
                        "{} must not depend on {dependency}: move the shared code to a crate that both may use",
                        package.name
                    );
                    Finding::new(manifest.clone(), problem)
                }));
            }
        }
    }
    Ok(findings)
}

/// The allowed dependencies of a package, with `None` for every crate; `None` for an unknown package.
fn allowed_for(package: &Package) -> Option<Option<&'static [&'static str]>> {
    if package.folder.starts_with(ENGINES) {
        return Some(Some(ENGINES_MAY_DEPEND_ON));
    }
    let (_, allowed) = MAY_DEPEND_ON.iter().find(|(name, _)| *name == package.name)?;
    Some(*allowed)
}

fn is_in(names: &[&str], name: &str) -> bool {
    names.contains(&name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::check;
    use crate::tidy::tree::{Package, Tree};

    fn findings(name: &str, depends_on: &[&str]) -> usize {
        findings_with_tests(name, depends_on, &[])
    }

    fn findings_with_tests(name: &str, depends_on: &[&str], tests_depend_on: &[&str]) -> usize {
        findings_in(name, name, depends_on, tests_depend_on)
    }

    fn findings_in(folder: &str, name: &str, depends_on: &[&str], tests_depend_on: &[&str]) -> usize {
        let owned = |names: &[&str]| names.iter().map(|&it| it.to_owned()).collect();
        let package = Package {
            name: name.to_owned(),
            folder: folder.to_owned(),
            is_published: false,
            features: BTreeMap::new(),
            depends_on: owned(depends_on),
            tests_depend_on: owned(tests_depend_on),
        };
        check(&Tree::of_packages(vec![package])).unwrap().len()
    }

    #[test]
    fn arrows_point_one_way() {
        assert_eq!(findings("wirehub-client-core", &["wirehub-common"]), 0);
        assert_eq!(findings("wirehub-common", &["wirehub-client-core"]), 1);
        assert_eq!(findings("wirehub-server", &["wirehub-common", "wirehub-client"]), 1);
        assert_eq!(findings("wirehub-hub", &["wirehub-server"]), 1);
        assert_eq!(findings("wirehub-cli", &["wirehub-server", "wirehub-client"]), 0);
        assert_eq!(findings("wirehub-tests", &["wirehub-server", "wirehub-client"]), 0);
    }

    #[test]
    fn tests_may_use_the_example_contract_and_redis_servers_and_products_may_not() {
        assert_eq!(findings_with_tests("wirehub-server", &[], &["wirehub-demo-contract"]), 0);
        assert_eq!(findings_with_tests("wirehub-server", &[], &["wirehub-client-core"]), 1);
        assert_eq!(findings_with_tests("wirehub-server", &[], &["wirehub-server"]), 0);
        assert_eq!(findings("wirehub-server", &["wirehub-demo-contract"]), 1);
        assert_eq!(findings_with_tests("wirehub-server", &[], &["wirehub-test-redis"]), 0);
        assert_eq!(findings("wirehub-server", &["wirehub-test-redis"]), 1);
    }

    #[test]
    fn engines_know_the_hub_and_nothing_above_it() {
        let engine =
            |depends_on: &[&str]| findings_in("server/engines/tape", "wirehub-tape", depends_on, &[]);
        assert_eq!(engine(&["wirehub-common", "wirehub-hub"]), 0);
        assert_eq!(engine(&["wirehub-server"]), 1);
        assert_eq!(engine(&["wirehub-client"]), 1);
        assert_eq!(findings("wirehub-hub", &["wirehub-tape"]), 1);
    }

    #[test]
    fn a_new_package_must_be_placed() {
        assert_eq!(findings("wirehub-novelty", &[]), 1);
    }
}
