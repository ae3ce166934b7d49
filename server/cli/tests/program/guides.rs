//! The documents in `docs/`: each is followed word for word in a folder of its own.
//!
//! The words after a block's fence determine its use:
//!
//! - `sh`: is run, and has to succeed; `sh fails`: has to fail; `sh needs PROGRAM`: is run if the program is installed, and
//!   always in CI; `sh server`: keeps running until the document ends.
//! - `LANGUAGE FILE`: is written to that file, for later commands.
//! - `LANGUAGE in FILE`: each of its lines is in that file of the repository, perhaps as a comment.
//! - `ts` and `js` alone: the tests of the npm package compile it (`client-wasm/npm/tests/readme.test.mjs`).
//! - `mermaid` and `text`: pictures, which are ignored.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::program::Running;

/// The address of servers in documents. The tests use another port.
const ADDRESS: &str = "127.0.0.1:8080";

#[test]
fn every_block_of_every_document_is_run_written_or_found() {
    let documents = documents_below(&repository().join("docs"));
    assert!(documents.len() > 2, "{documents:?}");
    for document in documents {
        follow(&document);
    }
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

#[allow(clippy::print_stderr, reason = "skipped blocks are reported to the person who runs the tests")]
fn follow(document: &Path) {
    let scene = Scene::new();
    let mut server = None;
    for Block { line, words, text } in blocks_of(&fs::read_to_string(document).unwrap()) {
        let place = format!("{}:{line}", document.display());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["ts" | "js" | "mermaid" | "text"] => {}
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
            [_, file] => fs::write(scene.folder.path().join(file), scene.put_right(&text)).unwrap(),
            _ => panic!("{place}: unknown words after the fence: see the beginning of {}", file!()),
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
        text.replace(ADDRESS, &self.address)
    }

    fn shell(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-e", "-c", &self.put_right(script)]).current_dir(self.folder.path());
        command.env("PATH", &self.path).env("WIREHUB_SERVER__LISTEN", &self.address);
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
