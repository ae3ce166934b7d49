//! The features of the crates, one at a time. The step `clippy` enables all of them in the whole workspace: it sees no code
//! for a disabled feature, and no feature that works only together with those of another crate.

use crate::tidy::Package;

/// The feature that cargo enables by itself.
const DEFAULT: &str = "default";

/// The arguments of cargo for each build of a user: a published crate with its default features, and a crate with features
/// without any and with each alone. No build is there twice: without a default the first two are the same, and a feature that is
/// the whole default is built with that.
pub(super) fn builds(packages: &[Package]) -> Vec<Vec<String>> {
    let mut builds = Vec::new();
    for Package { name, is_published, features, .. } in packages {
        let package = ["--package".to_owned(), name.clone()];
        if *is_published || !features.is_empty() {
            builds.push(package.to_vec());
        }
        let default = features.get(DEFAULT);
        let bare = [&package[..], &["--no-default-features".to_owned()]].concat();
        if default.is_some() {
            builds.push(bare.clone());
        }
        let is_default = |feature: &String| default.is_some_and(|all| all == std::slice::from_ref(feature));
        for feature in features.keys().filter(|feature| *feature != DEFAULT && !is_default(feature)) {
            builds.push([&bare[..], &["--features".to_owned(), feature.clone()]].concat());
        }
    }
    builds
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, is_published: bool, features: &[(&str, &[&str])]) -> Package {
        let of = |enabled: &[&str]| enabled.iter().map(|&feature| feature.into()).collect();
        Package {
            name: name.into(),
            folder: name.into(),
            is_published,
            features: features.iter().map(|(feature, enabled)| ((*feature).into(), of(enabled))).collect(),
            depends_on: Vec::new(),
            tests_depend_on: Vec::new(),
        }
    }

    #[test]
    fn each_feature_is_built_alone_and_published_crates_as_users_build_them() {
        let packages = [
            package("a", true, &[("default", &["x", "y"]), ("x", &[]), ("y", &["x"])]),
            package("b", true, &[]),
            package("c", false, &[("z", &[])]),
            package("d", false, &[]),
        ];
        let builds: Vec<String> = builds(&packages).iter().map(|build| build.join(" ")).collect();
        assert_eq!(
            builds,
            [
                "--package a",
                "--package a --no-default-features",
                "--package a --no-default-features --features x",
                "--package a --no-default-features --features y",
                "--package b",
                "--package c",
                "--package c --no-default-features --features z",
            ]
        );
    }

    #[test]
    fn a_feature_that_is_the_whole_default_is_built_once() {
        let packages = [package("a", true, &[("default", &["x"]), ("x", &[]), ("y", &[])])];
        let builds: Vec<String> = builds(&packages).iter().map(|build| build.join(" ")).collect();
        assert_eq!(
            builds,
            [
                "--package a",
                "--package a --no-default-features",
                "--package a --no-default-features --features y",
            ]
        );
    }
}
