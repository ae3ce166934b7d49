//! `common` and `client-core` get time and randomness as arguments, and do no input or output. So they can be
//! simulated, and run in a browser.

use anyhow::Result;

use super::{Finding, rust_source::NamedPath, tree::Tree};

const PURE: &[&str] = &["common/src", "client-core/src"];

/// Parts of the standard library, as consecutive segments of a path.
const FORBIDDEN_PARTS: &[&[&str]] = &[
    &["time", "Instant"],
    &["time", "SystemTime"],
    &["time", "UNIX_EPOCH"],
    &["std", "time", "*"],
    &["std", "net"],
    &["std", "thread"],
    &["std", "fs"],
    &["std", "process"],
    &["std", "env"],
    &["std", "os"],
    &["RandomState"],
];

const FORBIDDEN_CRATES: &[&str] = &[
    "chrono",
    "fastrand",
    "getrandom",
    "gloo_net",
    "gloo_timers",
    "js_sys",
    "mio",
    "rand",
    "tokio",
    "wasm_bindgen",
    "wasm_bindgen_futures",
    "web_sys",
    "web_time",
];

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (file, source) in tree.product_sources(PURE)? {
        findings.extend(source.paths.iter().filter(|path| is_forbidden(path)).map(|path| {
            let problem = format!("{}: take it as an argument from the caller", path.text());
            Finding::at_line(file, path.line, problem)
        }));
    }
    Ok(findings)
}

fn is_forbidden(path: &NamedPath) -> bool {
    let foreign = path.segments.len() > 1
        && path.segments.first().is_some_and(|first| FORBIDDEN_CRATES.contains(&first.as_str()));
    foreign || FORBIDDEN_PARTS.iter().any(|part| path.has(part))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::{scratch::Scratch, tidy::tree::Tree};

    #[test]
    fn clocks_entropy_and_sockets_are_found_and_durations_are_not() {
        let scratch = Scratch::new("purity");
        scratch.write(
            "common/src/lib.rs",
            "use std::{time::{Duration, Instant}, net::IpAddr};\n\
             fn f() { getrandom::fill(&mut []); }\n\
             fn g(rand: u32) -> u32 { rand }\n\
             // tokio::spawn\n\
             #[cfg(test)] mod tests { use std::time::Instant; }\n",
        );
        scratch.write("server/src/lib.rs", "use std::time::Instant;");
        let tree = Tree::of_files(scratch.path(), &["common/src/lib.rs", "server/src/lib.rs"]);
        let mut places: Vec<String> = check(&tree).unwrap().into_iter().map(|it| it.to_string()).collect();
        places.sort();
        assert_eq!(places.len(), 3, "{places:?}");
        assert!(places[0].starts_with("common/src/lib.rs:1: std::net::IpAddr"), "{places:?}");
        assert!(places[1].starts_with("common/src/lib.rs:1: std::time::Instant"), "{places:?}");
        assert!(places[2].starts_with("common/src/lib.rs:2: getrandom::fill"), "{places:?}");
    }
}
