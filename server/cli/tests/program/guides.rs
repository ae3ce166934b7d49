//! The front page and the documents in `docs/`: each is followed word for word in a folder of its own.
//!
//! The words after a block's fence determine its use:
//!
//! - `sh before`: has been done before the test.
//! - `sh`: is run, and has to succeed; `sh fails`: has to fail; `sh needs PROGRAM`: only where there is such a program, and
//!   always in CI; `sh server`: goes on running until the document ends; `sh npm`: needs the npm package, so only the tests in
//!   `tests/packaging/` run it.
//! - `LANGUAGE FILE`: is written to that file, for the commands behind it.
//! - `LANGUAGE in FILE`: each of its lines stands in that file of the repository, perhaps as a comment.
//! - `ts`, `tsx` and `js` alone: the tests of the npm package compile it (`client-wasm/npm/tests/readme.test.mjs`).
//! - `mermaid` and `text`: is a picture.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::Running;

/// The address of servers in documents. The tests use another port.
const ADDRESS: &str = "127.0.0.1:8080";
/// Where documents have the repository: beside the folder that they are followed in.
const BESIDE: &str = "../wirehub/";

/// Compiles a package of its own, so it has a test of its own. `tests/packaging/rust/` follows it too, with its page.
const IN_RUST: &str = "getting-started-rust.md";
/// Needs the npm package: `tests/packaging/getting-started.test.mjs` follows it.
const IN_TYPESCRIPT: &str = "getting-started-typescript.md";

#[test]
fn every_block_of_every_document_is_run_written_or_found() {
    let mut documents = documents_below(&repository().join("docs"));
    documents.push(repository().join("README.md"));
    let mut followed = 0;
    for document in documents {
        if !document.ends_with(IN_RUST) && !document.ends_with(IN_TYPESCRIPT) {
            follow(&document, &Scene::new());
            followed += 1;
        }
    }
    assert!(followed > 2, "{followed}");
}

#[test]
fn getting_started_in_rust_leads_to_a_chat_that_works() {
    let scene = Scene::new();
    // The versions that the workspace has: nothing has to be downloaded.
    fs::copy(repository().join("Cargo.lock"), scene.folder.path().join("Cargo.lock")).unwrap();
    follow(&repository().join("docs").join(IN_RUST), &scene);
}

fn repository() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.ancestors().find(|folder| folder.join("Cargo.lock").exists()).unwrap().into()
}

fn documents_below(folder: &Path) -> Vec<PathBuf> {
    let mut documents = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            documents.extend(documents_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            documents.push(path);
        }
    }
    documents
}

/// A fenced block: its line, the words after the fence, and its content.
struct Block {
    line: usize,
    words: Vec<String>,
    text: String,
}

fn blocks_of(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = document.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let Some(words) = line.trim_start().strip_prefix("```") else { continue };
        let content = lines.by_ref().map(|(_, line)| line).take_while(|line| line.trim() != "```");
        let text = content.flat_map(|line| [line, "\n"]).collect();
        let words = words.split_whitespace().map(Into::into).collect();
        blocks.push(Block { line: index + 1, words, text });
    }
    blocks
}

#[allow(clippy::print_stderr, reason = "what is passed over is said to whoever runs the tests")]
fn follow(document: &Path, scene: &Scene) {
    let mut server = None;
    for Block { line, words, text } in blocks_of(&fs::read_to_string(document).unwrap()) {
        let place = format!("{}:{line}", document.display());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["ts" | "tsx" | "js" | "mermaid" | "text"] | ["sh", "before" | "npm"] => {}
            ["sh"] => scene.run(&place, &text, true),
            ["sh", "fails"] => scene.run(&place, &text, false),
            ["sh", "needs", program] => {
                if scene.has(program) {
                    scene.run(&place, &text, true);
                } else {
                    assert!(std::env::var_os("CI").is_none(), "{place} needs {program}: install it");
                    eprintln!("{place} is skipped: {program} is not installed");
                }
            }
            ["sh", "server"] => {
                // One at a time: all listen on the same address.
                drop(server.take());
                let mut running = Running::spawn(scene.shell(&format!("exec {text}")));
                running.address();
                server = Some(running);
            }
            [_, "in", file] => {
                let whole = fs::read_to_string(repository().join(file))
                    .unwrap_or_else(|error| panic!("{place}: {file}: {error}"));
                for line in text.lines().filter(|line| !line.trim().is_empty()) {
                    let is_there = |other: &str| other.trim_start_matches("# ").trim() == line.trim();
                    assert!(whole.lines().any(is_there), "{place}: {file} has no line {line:?}");
                }
            }
            [_, file] => {
                let file = scene.folder.path().join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, scene.put_right(&text)).unwrap();
            }
            _ => panic!("{place}: what is to become of this block? See the beginning of {}", file!()),
        }
    }
}

/// The folder and the server for one document.
struct Scene {
    folder: tempfile::TempDir,
    address: String,
    path: std::ffi::OsString,
}

impl Scene {
    fn new() -> Self {
        // The port is free again as soon as it is known.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let programs = Path::new(env!("CARGO_BIN_EXE_wirehub")).parent().unwrap().to_owned();
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path =
            std::env::join_paths([programs].into_iter().chain(std::env::split_paths(&others))).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), address, path }
    }

    fn put_right(&self, text: &str) -> String {
        text.replace(ADDRESS, &self.address).replace(BESIDE, &format!("{}/", repository().display()))
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-e", "-c", &self.put_right(script)]).current_dir(self.folder.path());
        command.env("PATH", &self.path).env("WIREHUB_SERVER__LISTEN", &self.address);
        // In the workspace's target folder, with its profile: its compiled crates are used again.
        let target = Path::new(env!("CARGO_BIN_EXE_wirehub")).ancestors().nth(2).unwrap();
        command.env("CARGO_TARGET_DIR", target).env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
        command.env("CARGO_NET_OFFLINE", "true");
        // By those that the test has from its cargo, ring's build differs from the workspace's, and both are made anew.
        let of_the_test = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        for name in std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
            if of_the_test(&name) {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, place: &str, script: &str, succeeds: bool) {
        let output = self.shell(script).output().unwrap();
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), succeeds, "{place}: {}: {words}", output.status);
    }

    fn has(&self, program: &str) -> bool {
        self.shell(&format!("command -v {program}")).output().unwrap().status.success()
    }
}
