//! The TypeScript of the npm package has no driver of its own: the WebSocket, the timers of the protocol and the events of the
//! page are those of the Rust client in the module. They were written twice once, and had drifted apart.

use anyhow::Result;

use super::{Finding, tree::Tree};

const FOLDER: &str = "client-wasm/npm/src/";

/// The entry for workerd wraps the platform's class, which reads a message after it was sent.
const PLATFORM: &str = "client-wasm/npm/src/source/";

/// A part of a driver, and the owner of it in Rust.
const FORBIDDEN: &[(&str, &str)] = &[
    ("new WebSocket", "client-wasm/src/wire.rs"),
    (".onmessage =", "client-wasm/src/wire.rs"),
    ("setInterval(", "client-wasm/src/browser.rs"),
    ("globalThis.addEventListener", "client-wasm/src/page.rs"),
    ("window.", "client-wasm/src/page.rs"),
    ("document.addEventListener", "client-wasm/src/page.rs"),
];

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in &tree.files {
        if !file.starts_with(FOLDER) || file.starts_with(PLATFORM) || !file.ends_with(".ts") {
            continue;
        }
        for (index, line) in tree.text(file)?.lines().enumerate() {
            // Examples in comments are the application's code.
            if line.trim_start().starts_with(['*', '/']) {
                continue;
            }
            findings.extend(FORBIDDEN.iter().filter(|(part, _)| line.contains(part)).map(|(part, owner)| {
                let problem = format!("`{part}` belongs to the driver: use {owner}");
                Finding::at_line(file, index.saturating_add(1), problem)
            }));
        }
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::{scratch::Scratch, tidy::tree::Tree};

    #[test]
    fn a_driver_in_typescript_is_found() {
        let scratch = Scratch::new("tidy-npm-package");
        let files = [
            ("client-wasm/npm/src/own.ts", "const socket = new WebSocket(url);\nwindow.onblur = null;\n"),
            ("client-wasm/npm/src/fine.ts", "/** `new WebSocket` */\nconst it = maker(url);\n"),
            ("client-wasm/npm/src/source/workerd.ts", "const socket = new WebSocket(url);\n"),
            ("client-wasm/npm/tests/own.ts", "new WebSocket(url);\n"),
        ];
        for (file, text) in files {
            scratch.write(file, text);
        }
        let tree = Tree::of_files(scratch.path(), &files.map(|(file, _)| file));
        let places: Vec<String> = check(&tree).unwrap().into_iter().map(|finding| finding.place).collect();
        assert_eq!(places, ["client-wasm/npm/src/own.ts:1", "client-wasm/npm/src/own.ts:2"]);
    }
}
