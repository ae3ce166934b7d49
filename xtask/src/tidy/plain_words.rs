//! Comments and documents are in plain words. A short list of openings and phrases marks the old style, in which a
//! clause takes the place of a noun.

use anyhow::Result;

use super::{Finding, tree::Tree};

/// The folders and files in plain words. Add a folder when it is finished.
const FINISHED: &[&str] = &[
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "PROTOCOL.md",
    "README.md",
    "bench",
    "client-core",
    "client-native",
    "client-wasm",
    "common",
    "docs",
    "fuzz",
    "server",
    "tests",
    "www",
    "xtask",
];

/// Beginnings of sentences, and the remedy for each.
const OPENINGS: &[(&str, &str)] = &[
    ("Who ", "begin with a noun: \"The user\", \"The caller\", \"Clients without a token\""),
    ("Whom ", "begin with a noun: \"The receiver\""),
    ("Whose ", "begin with a noun: \"The user of the session\""),
    ("What ", "begin with a noun: \"The messages\", \"The reason\", \"The state\""),
    ("So many ", "write \"This many\", or name the number"),
    ("As many ", "begin with the verb or the noun"),
    ("Gives ", "write \"Returns\""),
    ("Tells ", "write \"Reports\" or \"Notifies\""),
];

/// Phrases anywhere in a sentence, and the remedy for each.
const PHRASES: &[(&str, &str)] = &[
    ("all that ", "write \"every\" and a noun"),
    ("whoever ", "name the person or program"),
    ("is told", "write \"is notified\" or \"is reported\""),
    ("are told", "write \"are notified\" or \"are reported\""),
];

/// The only phrase with `told` that is plain: two things are distinguished.
const PLAIN: &str = "told apart";

/// The endings of files with comments.
const SOURCES: &[&str] = &[".rs", ".ts", ".mjs", ".proto", ".css"];

pub(super) fn check(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| FINISHED.iter().any(|path| is_below(file, path))) {
        let is_source = SOURCES.iter().any(|ending| file.ends_with(ending));
        if !is_source && !file.ends_with(".md") {
            continue;
        }
        let text = tree.text(file)?;
        let words = if is_source { comments(&text) } else { prose(&text) };
        for (line, problem) in problems(&words) {
            findings.push(Finding::at_line(file, line, problem));
        }
    }
    Ok(findings)
}

fn is_below(file: &str, path: &str) -> bool {
    file.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A line of text with its number. An empty text ends a paragraph.
type Line<'a> = (usize, &'a str);

/// The lines of comments. Every line of code is an empty one.
fn comments(source: &str) -> Vec<Line<'_>> {
    const MARKS: [&str; 6] = ["///", "//!", "//", "/**", "/*", "* "];
    numbered(source, |line| {
        let text = line.trim_start();
        MARKS.iter().find(|mark| text.starts_with(**mark)).map(|mark| mark.len())
    })
}

/// The lines of a document outside blocks of code.
fn prose(document: &str) -> Vec<Line<'_>> {
    let mut in_code = false;
    numbered(document, |line| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        (!in_code && !is_fence).then_some(0)
    })
}

/// Every line, without its indentation and as many bytes behind that as `skip` returns.
fn numbered(text: &str, mut skip: impl FnMut(&str) -> Option<usize>) -> Vec<Line<'_>> {
    let lines = (1..).zip(text.lines());
    lines
        .map(|(number, line)| {
            let text = skip(line).and_then(|bytes| line.trim_start().get(bytes..)).unwrap_or_default();
            (number, text.trim())
        })
        .collect()
}

/// The problems, each with the number of its line.
fn problems(lines: &[Line<'_>]) -> Vec<(usize, String)> {
    let mut problems = Vec::new();
    let mut begins_sentence = true;
    for &(number, line) in lines {
        let text = line.trim_start_matches(['-', '*', '|', '#', ' ']);
        let is_item = text.len() < line.len();
        for &(opening, remedy) in OPENINGS {
            let at_start = (begins_sentence || is_item) && text.starts_with(opening);
            if at_start || text.contains(&format!(". {opening}")) || text.contains(&format!("| {opening}")) {
                problems.push((number, format!("a sentence begins with \"{opening}\": {remedy}")));
            }
        }
        let words = format!(" {} ", text.replace(PLAIN, "")).to_lowercase();
        for &(phrase, remedy) in PHRASES {
            if words.contains(&format!(" {phrase}")) {
                problems.push((number, format!("\"{}\": {remedy}", phrase.trim_end())));
            }
        }
        begins_sentence = text.is_empty() || text.ends_with(['.', '?', '!', ':']);
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::{check, comments, problems, prose};
    use crate::{scratch::Scratch, tidy::tree::Tree};

    fn lines_of(found: &[(usize, String)]) -> Vec<usize> {
        found.iter().map(|(line, _)| *line).collect()
    }

    #[test]
    fn old_openings_and_phrases_are_found_in_comments() {
        let source = [
            "//! What a client does.",
            "",
            "/// The state. Gives it.",
            "/// Who asks is told.",
            "fn f() {",
            "    // Takes all that comes, from whoever it is.",
            "    let text = \"What is told\";",
            "}",
            "/** So many bytes. */",
            "/**",
            " * As many as fit.",
            " */",
        ];
        let found = problems(&comments(&source.join("\n")));
        assert_eq!(lines_of(&found), [1, 3, 4, 4, 6, 6, 9, 11], "{found:?}");
        assert!(found[1].1.contains("write \"Returns\""), "{found:?}");
    }

    #[test]
    fn plain_comments_pass() {
        let source = [
            "/// The number tells messages apart: they are told apart by it. Wait until it has",
            "/// What follows is in the middle of a sentence.",
            "/// Whether the caller is notified.",
            "/// Returns every message; this told() is a name.",
            "fn gives() {}",
        ];
        let found = problems(&comments(&source.join("\n")));
        assert_eq!(found, [], "{found:?}");
    }

    #[test]
    fn documents_are_checked_outside_of_code() {
        let document = "# What it is\n\
                        \n\
                        The client is told.\n\
                        \n\
                        ```\n\
                        What is told\n\
                        ```\n\
                        \n\
                        | a | What |\n\
                        | b | What it gives |\n\
                        - Gives a token.\n";
        assert_eq!(lines_of(&problems(&prose(document))), [1, 3, 9, 10, 11]);
    }

    #[test]
    fn only_finished_folders_are_checked() {
        let scratch = Scratch::new("plain-words");
        let files = ["client-core/a.rs", "client-core/b.json", "client-corelings/a.rs", "www/a.md"];
        for file in files {
            scratch.write(file, "/// What it is.\n");
        }
        scratch.write("www/a.md", "What it is.\n");
        let findings = check(&Tree::of_files(scratch.path(), &files)).unwrap();
        let places: Vec<&str> = findings.iter().map(|finding| finding.place.as_str()).collect();
        assert_eq!(places, ["client-core/a.rs:1", "www/a.md:1"]);
    }
}
