//! Just enough of a Rust reader to see which paths a file's code names: comments, strings and test modules are
//! skipped, `use a::{b, c::d}` is spelled out.

/// The code of one file.
#[derive(Debug)]
pub(super) struct RustSource {
    tokens: Vec<Token>,
    /// The names in `#[cfg(test)] mod NAME;`.
    pub(super) test_modules: Vec<String>,
}

/// A path as the code names it, spelled out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NamedPath {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
    /// Whether it is called with nothing between the parentheses.
    pub(super) called_without_arguments: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    kind: Kind,
    line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Word(String),
    Sign(char),
    /// A string, character or number, whose content is nobody's business here.
    Literal,
}

impl RustSource {
    pub(super) fn parse(text: &str) -> Self {
        let mut test_modules = Vec::new();
        let tokens = without_test_modules(&Lexer::new(text).run(), &mut test_modules);
        Self { tokens, test_modules }
    }

    /// Every path in the code.
    pub(super) fn paths(&self) -> Vec<NamedPath> {
        let mut paths = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            at = read_path(&self.tokens, at, &[], &mut paths).unwrap_or(at.saturating_add(1));
        }
        paths
    }
}

impl NamedPath {
    /// Whether these segments follow each other somewhere in the path.
    pub(super) fn has(&self, sequence: &[&str]) -> bool {
        self.segments.windows(sequence.len()).any(|part| part == sequence)
    }

    pub(super) fn text(&self) -> String {
        self.segments.join("::")
    }
}

fn word(tokens: &[Token], at: usize) -> Option<&str> {
    match tokens.get(at)?.kind {
        Kind::Word(ref word) => Some(word),
        _ => None,
    }
}

fn is_sign(tokens: &[Token], at: usize, sign: char) -> bool {
    tokens.get(at).is_some_and(|token| token.kind == Kind::Sign(sign))
}

fn are_signs(tokens: &[Token], at: usize, signs: &str) -> bool {
    signs.chars().enumerate().all(|(offset, sign)| is_sign(tokens, at.saturating_add(offset), sign))
}

/// Reads the path, or the tree of paths, that begins at `at`; returns where it ends.
fn read_path(tokens: &[Token], at: usize, prefix: &[String], paths: &mut Vec<NamedPath>) -> Option<usize> {
    let line = tokens.get(at)?.line;
    let mut segments = prefix.to_vec();
    segments.push(word(tokens, at)?.to_owned());
    let mut next = at.saturating_add(1);
    while are_signs(tokens, next, "::") {
        let after = next.saturating_add(2);
        if let Some(segment) = word(tokens, after) {
            segments.push(segment.to_owned());
            next = after.saturating_add(1);
        } else if is_sign(tokens, after, '{') {
            return Some(read_tree(tokens, after.saturating_add(1), &segments, paths));
        } else if is_sign(tokens, after, '*') {
            segments.push("*".to_owned());
            next = after.saturating_add(1);
        } else {
            break;
        }
    }
    if segments.last().is_some_and(|last| last == "self") && segments.len() > 1 {
        segments.pop();
    }
    let call = after_turbofish(tokens, next);
    let called_without_arguments = are_signs(tokens, call, "()");
    paths.push(NamedPath { segments, line, called_without_arguments });
    Some(next)
}

/// Reads `b, c::d}` after `a::{`; returns where it ends.
fn read_tree(tokens: &[Token], mut at: usize, prefix: &[String], paths: &mut Vec<NamedPath>) -> usize {
    while at < tokens.len() && !is_sign(tokens, at, '}') {
        if is_sign(tokens, at, '*') {
            let segments = prefix.iter().cloned().chain(["*".to_owned()]).collect();
            let line = tokens.get(at).map_or(0, |token| token.line);
            paths.push(NamedPath { segments, line, called_without_arguments: false });
        }
        at = match word(tokens, at) {
            // What follows is a new name, no path.
            Some("as") => at.saturating_add(2),
            Some(_) => read_path(tokens, at, prefix, paths).unwrap_or(at.saturating_add(1)),
            None => at.saturating_add(1),
        };
    }
    at.saturating_add(1)
}

/// Where `::<T>` at `at` ends; `at` itself when there is none.
fn after_turbofish(tokens: &[Token], at: usize) -> usize {
    if !are_signs(tokens, at, "::<") {
        return at;
    }
    skip_group(tokens, at.saturating_add(2), '<', '>')
}

/// Where the group that opens at `at` ends.
fn skip_group(tokens: &[Token], mut at: usize, open: char, close: char) -> usize {
    let mut depth: usize = 0;
    while at < tokens.len() {
        if is_sign(tokens, at, open) {
            depth = depth.saturating_add(1);
        } else if is_sign(tokens, at, close) {
            depth = depth.saturating_sub(1);
        }
        at = at.saturating_add(1);
        if depth == 0 {
            break;
        }
    }
    at
}

/// The tokens without `#[cfg(test)] mod NAME { … }`; the names in `#[cfg(test)] mod NAME;` are collected.
fn without_test_modules(tokens: &[Token], test_modules: &mut Vec<String>) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        if let Some((name, body)) = test_module(tokens, at) {
            if is_sign(tokens, body, ';') {
                test_modules.push(name.to_owned());
                at = body.saturating_add(1);
            } else {
                at = skip_group(tokens, body, '{', '}');
            }
        } else {
            kept.push(token.clone());
            at = at.saturating_add(1);
        }
    }
    kept
}

/// The name of the test module that is declared at `at`, and where its body or `;` stands.
fn test_module(tokens: &[Token], at: usize) -> Option<(&str, usize)> {
    let condition = are_signs(tokens, at, "#[") && word(tokens, at.checked_add(2)?) == Some("cfg");
    let only_test = is_sign(tokens, at.checked_add(3)?, '(')
        && word(tokens, at.checked_add(4)?) == Some("test")
        && are_signs(tokens, at.checked_add(5)?, ")]");
    if !condition || !only_test {
        return None;
    }
    let mut next = at.checked_add(7)?;
    // Other attributes and the visibility may stand between.
    while is_sign(tokens, next, '#') {
        next = skip_group(tokens, next.checked_add(1)?, '[', ']');
    }
    if word(tokens, next) == Some("pub") {
        next = next.checked_add(1)?;
        if is_sign(tokens, next, '(') {
            next = skip_group(tokens, next, '(', ')');
        }
    }
    if word(tokens, next) != Some("mod") {
        return None;
    }
    let name = word(tokens, next.checked_add(1)?)?;
    Some((name, next.checked_add(2)?))
}

/// Cuts a text into tokens.
struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text, line: 1, tokens: Vec::new() }
    }

    fn run(mut self) -> Vec<Token> {
        while let Some(first) = self.rest.chars().next() {
            if self.rest.starts_with("//") {
                self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                self.block_comment();
            } else if let Some(hashes) = self.raw_string() {
                self.push(Kind::Literal);
                let end = format!("\"{}", "#".repeat(hashes));
                let open = self.rest.find('"').map_or(0, |at| at.saturating_add(1));
                self.take(open);
                self.take(self.rest.find(&end).map_or(self.rest.len(), |at| at.saturating_add(end.len())));
            } else if first == '"' {
                self.push(Kind::Literal);
                self.quoted('"');
            } else if first == '\'' {
                self.quote_or_lifetime();
            } else if first.is_alphanumeric() || first == '_' {
                self.word_or_number(first);
            } else {
                if !first.is_whitespace() {
                    self.push(Kind::Sign(first));
                }
                self.take(first.len_utf8());
            }
        }
        self.tokens
    }

    fn push(&mut self, kind: Kind) {
        self.tokens.push(Token { kind, line: self.line });
    }

    /// Moves on by `bytes`, counting lines.
    fn take(&mut self, bytes: usize) {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line = self.line.saturating_add(taken.matches('\n').count());
        self.rest = rest;
    }

    fn block_comment(&mut self) {
        let mut depth: usize = 0;
        while !self.rest.is_empty() {
            if self.rest.starts_with("/*") {
                depth = depth.saturating_add(1);
                self.take(2);
            } else if self.rest.starts_with("*/") {
                depth = depth.saturating_sub(1);
                self.take(2);
            } else {
                self.take(self.rest.chars().next().map_or(1, char::len_utf8));
            }
            if depth == 0 {
                break;
            }
        }
    }

    /// The number of `#` if a raw string begins here.
    fn raw_string(&self) -> Option<usize> {
        let body = ["r", "br", "cr"].iter().find_map(|prefix| self.rest.strip_prefix(prefix))?;
        let quote = body.trim_start_matches('#');
        quote.starts_with('"').then(|| body.len().saturating_sub(quote.len()))
    }

    /// Moves past a quoted text, minding escapes.
    fn quoted(&mut self, quote: char) {
        self.take(1);
        let mut escaped = false;
        while let Some(next) = self.rest.chars().next() {
            self.take(next.len_utf8());
            if escaped {
                escaped = false;
            } else if next == '\\' {
                escaped = true;
            } else if next == quote {
                break;
            }
        }
    }

    fn quote_or_lifetime(&mut self) {
        let mut following = self.rest.chars().skip(1);
        let (first, second) = (following.next(), following.next());
        if first == Some('\\') || second == Some('\'') {
            self.push(Kind::Literal);
            self.quoted('\'');
        } else {
            // A lifetime: its name becomes a word that no path begins with.
            self.take(1);
            let name = self.word_length();
            self.take(name);
        }
    }

    fn word_or_number(&mut self, first: char) {
        let length = self.word_length();
        let word = self.rest.get(..length).unwrap_or_default();
        let is_prefix =
            matches!(word, "b" | "c") && self.rest.get(length..).is_some_and(|it| it.starts_with('"'));
        if !is_prefix {
            let kind = if first.is_numeric() { Kind::Literal } else { Kind::Word(word.to_owned()) };
            self.push(kind);
        }
        self.take(length);
    }

    fn word_length(&self) -> usize {
        self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len())
    }
}

#[cfg(test)]
mod tests {
    use super::RustSource;

    fn paths(text: &str) -> Vec<String> {
        RustSource::parse(text).paths().iter().map(super::NamedPath::text).collect()
    }

    #[test]
    fn use_trees_are_spelled_out() {
        let found = paths("use std::{time::{self, Instant as I, Duration}, net::*, io};");
        for path in ["std::time", "std::time::Instant", "std::time::Duration", "std::net::*", "std::io"] {
            assert!(found.iter().any(|it| it == path), "{path} is not in {found:?}");
        }
        assert!(!found.iter().any(|it| it.ends_with("::I")), "{found:?}");
    }

    #[test]
    fn comments_strings_and_lifetimes_hold_no_paths() {
        let text = r####"
            // std::net::a
            /* std::net::b /* nested */ std::net::c */
            const A: &str = "std::net::d \" std::net::e";
            const B: &str = r#"std::net::f " "#;
            const C: &[u8] = b"std::net::g";
            const D: char = '"'; const E: char = '\''; const F: &'static str = "std::net::h";
            fn real() { std::net::real() }
        "####;
        let net: Vec<String> = paths(text).into_iter().filter(|path| path.contains("net")).collect();
        assert_eq!(net, ["std::net::real"]);
    }

    #[test]
    fn test_modules_are_left_out_and_what_follows_is_not() {
        let text = "
            fn a() { product::one() }
            #[cfg(test)]
            #[allow(clippy::unwrap_used)]
            mod tests { fn b() { hidden::two(); { hidden::three() } } }
            #[cfg(test)]
            pub(crate) mod outside;
            #[cfg(not(test))]
            mod real { fn d() { product::four() } }
        ";
        let source = RustSource::parse(text);
        let found: Vec<String> = source.paths().iter().map(super::NamedPath::text).collect();
        assert!(found.contains(&"product::one".to_owned()));
        assert!(found.contains(&"product::four".to_owned()));
        assert!(!found.iter().any(|path| path.starts_with("hidden")), "{found:?}");
        assert_eq!(source.test_modules, ["outside"]);
    }

    #[test]
    fn calls_without_arguments_are_told_apart() {
        let called = |text: &str| RustSource::parse(text).paths().first().unwrap().called_without_arguments;
        assert!(called("mpsc::channel()"));
        assert!(called("mpsc::channel::<Vec<u8>>()"));
        assert!(!called("mpsc::channel(8)"));
        assert!(!called("mpsc::channel"));
    }

    #[test]
    fn lines_are_counted() {
        let source = RustSource::parse("/*\n*/ \"\n\"\n\n a::b");
        assert_eq!(source.paths().first().unwrap().line, 5);
    }
}
