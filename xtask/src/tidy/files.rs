//! Rules about files of any kind.

use anyhow::Result;

use super::{Finding, tree::Tree};

/// The largest number of lines of a source file. A file with so many contains more than one concept; aim for 600.
const MOST_LINES: usize = 800;

/// Longer files, and the reasons for them.
const LONG_FOR_A_REASON: &[(&str, &str)] = &[];

/// The endings of source files.
const SOURCES: &[&str] = &[".rs", ".ts", ".js", ".mjs", ".proto"];

const LICENCES: &[&str] = &["LICENSE-MIT", "LICENSE-APACHE"];

/// Marks of unfinished work. They are split so that this file has none.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

pub(super) fn check_lengths(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in sources(tree) {
        let lines = tree.text(file)?.lines().count();
        if lines > MOST_LINES && !LONG_FOR_A_REASON.iter().any(|(name, _)| *name == file) {
            let problem = format!(
                "{lines} lines, at most {MOST_LINES} are allowed: move its second concept to another file"
            );
            findings.push(Finding::new(file, problem));
        }
    }
    Ok(findings)
}

pub(super) fn check_leftovers(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in sources(tree) {
        for (index, line) in tree.text(file)?.lines().enumerate() {
            for mark in MARKS.iter().filter(|mark| is_bare_mark(line, mark)) {
                let problem = format!(
                    "{mark} without a text: describe the missing part and its urgency, or complete it"
                );
                findings.push(Finding::at_line(file, index.saturating_add(1), problem));
            }
        }
    }
    Ok(findings)
}

pub(super) fn check_binaries(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in &tree.files {
        if tree.bytes(file)?.contains(&0) {
            findings.push(Finding::new(file, "is binary: commit its source instead"));
        }
    }
    Ok(findings)
}

/// npm writes its configured registry into the lock file, and other machines can't reach a private one.
pub(super) fn check_lock_files(tree: &Tree) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in tree.files.iter().filter(|file| file.ends_with("package-lock.json")) {
        for (index, line) in tree.text(file)?.lines().enumerate() {
            if line.contains("\"resolved\": \"http") {
                let problem = "names a registry: put `omit-lockfile-registry-resolved=true` into .npmrc beside it \
                               and make it anew";
                findings.push(Finding::at_line(file, index.saturating_add(1), problem));
                break;
            }
        }
    }
    Ok(findings)
}

pub(super) fn check_licences(tree: &Tree) -> Result<Vec<Finding>> {
    let missing = LICENCES.iter().filter(|licence| !tree.files.iter().any(|file| file == *licence));
    Ok(missing.map(|licence| Finding::new(*licence, "is missing: Cargo.toml names it")).collect())
}

fn sources(tree: &Tree) -> impl Iterator<Item = &str> {
    let files = tree.files.iter().map(String::as_str);
    files.filter(|file| SOURCES.iter().any(|extension| file.ends_with(extension)))
}

/// Whether the line contains the mark as a word without a text behind it.
fn is_bare_mark(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default();
        let after = line.get(at.saturating_add(mark.len())..).unwrap_or_default();
        let is_word = !before.ends_with(is_word_character) && !after.starts_with(is_word_character);
        is_word && !after.contains(char::is_alphabetic)
    })
}

fn is_word_character(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::{
        MARKS, MOST_LINES, check_binaries, check_leftovers, check_lengths, check_licences, check_lock_files,
    };
    use crate::{scratch::Scratch, tidy::tree::Tree};

    #[test]
    fn long_files_are_found() {
        let scratch = Scratch::new("files-long");
        scratch.write("long.rs", &"\n".repeat(MOST_LINES + 1));
        scratch.write("short.rs", &"\n".repeat(MOST_LINES));
        let tree = Tree::of_files(scratch.path(), &["long.rs", "short.rs"]);
        let findings = check_lengths(&tree).unwrap();
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].place, "long.rs");
    }

    #[test]
    fn marks_must_have_a_text() {
        let scratch = Scratch::new("files-marks");
        let mark = MARKS[0];
        scratch.write(
            "a.rs",
            &format!("// {mark}\n// {mark}: measure with 10,000 rooms\n// {mark}S\n/* {mark}: */\n"),
        );
        let findings = check_leftovers(&Tree::of_files(scratch.path(), &["a.rs"])).unwrap();
        let places: Vec<&str> = findings.iter().map(|it| it.place.as_str()).collect();
        assert_eq!(places, ["a.rs:1", "a.rs:4"]);
    }

    #[test]
    fn binaries_are_found() {
        let scratch = Scratch::new("files-binary");
        scratch.write("a.txt", "text\n");
        scratch.write("b.bin", "a\0b");
        let findings = check_binaries(&Tree::of_files(scratch.path(), &["a.txt", "b.bin"])).unwrap();
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].place, "b.bin");
    }

    #[test]
    fn registries_in_lock_files_are_found_and_files_are_fine() {
        let scratch = Scratch::new("files-lock");
        scratch.write("a/package-lock.json", "{\n  \"resolved\": \"https://registry.example/x.tgz\"\n}");
        scratch.write("b/package-lock.json", "{\n  \"resolved\": \"file:../x.tgz\"\n}");
        let tree = Tree::of_files(scratch.path(), &["a/package-lock.json", "b/package-lock.json"]);
        let findings = check_lock_files(&tree).unwrap();
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].place, "a/package-lock.json:2");
    }

    #[test]
    fn both_licences_are_wanted() {
        let scratch = Scratch::new("files-licences");
        let tree = Tree::of_files(scratch.path(), &["LICENSE-MIT"]);
        assert_eq!(check_licences(&tree).unwrap().len(), 1);
    }
}
