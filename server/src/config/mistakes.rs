//! The mistakes in a configuration: all of them at once, each with its place and the correction. Messages never contain
//! values: any value may be a secret in the wrong place.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind};

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    /// The full name of the key concerned; empty if it concerns no key.
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) words: String,
}

/// The place of a mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// Determined later, from the key.
    Unknown,
    Line(usize),
    /// The environment variable of this name.
    Variable(String),
}

/// All mistakes found so far.
#[derive(Debug, Default)]
pub(crate) struct Mistakes(Vec<Mistake>);

impl Mistakes {
    /// Returns the value, or notes the mistake.
    pub(crate) fn take<T, E: fmt::Display>(
        &mut self,
        key: impl Into<String>,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.note(key, error)).ok()
    }

    /// Adds a mistake, unless it is known.
    pub(crate) fn note(&mut self, key: impl Into<String>, words: impl fmt::Display) {
        self.add(Mistake { key: key.into(), place: Place::Unknown, words: words.to_string() });
    }

    pub(super) fn add(&mut self, mistake: Mistake) {
        if !self.0.contains(&mistake) {
            self.0.push(mistake);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the mistakes in `later`, except consequences of known ones, whose settings were removed.
    pub(super) fn and(mut self, later: Self) -> Self {
        let known: Vec<String> = self.0.iter().map(|mistake| mistake.key.clone()).collect();
        let follows = |key: &str| known.iter().any(|known| known.is_empty() || is_below(known, key));
        self.0.extend(later.0.into_iter().filter(|mistake| !follows(&mistake.key)));
        self
    }
}

/// Returns whether `name` is `section` or something in it.
fn is_below(name: &str, section: &str) -> bool {
    name.strip_prefix(section)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.') || rest.starts_with('['))
}

/// The source of a configuration. It knows the places of keys.
#[derive(Debug, Default)]
pub(super) struct Source {
    path: PathBuf,
    /// The line of each key.
    lines: BTreeMap<String, usize>,
    /// The environment variable of each key that has one.
    variables: BTreeMap<String, String>,
}

impl Source {
    pub(super) fn new(
        path: &Path,
        lines: BTreeMap<String, usize>,
        variables: BTreeMap<String, String>,
    ) -> Self {
        Self { path: path.into(), lines, variables }
    }

    /// The folder at which relative paths start.
    pub(super) fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// Returns the result, if there are no mistakes.
    pub(super) fn check<T>(&self, mistakes: Mistakes, made: T) -> Result<T, Error> {
        if mistakes.is_empty() { Ok(made) } else { Err(self.error(mistakes)) }
    }

    /// The error for one key.
    pub(super) fn wrong(&self, key: &str, words: impl fmt::Display) -> Error {
        let mut mistakes = Mistakes::default();
        mistakes.note(key, words);
        self.error(mistakes)
    }

    fn error(&self, Mistakes(mut mistakes): Mistakes) -> Error {
        for mistake in &mut mistakes {
            if mistake.place == Place::Unknown {
                mistake.place = self.place(&mistake.key);
            }
        }
        mistakes.sort_by(|one, other| one.place.cmp(&other.place));
        let mut words = format!("{}: ", self.path.display());
        if let [only] = &*mistakes {
            let _ = write!(words, "{only}");
        } else {
            let _ = write!(words, "{} mistakes", mistakes.len());
            for mistake in &mistakes {
                let _ = write!(words, "\n  {mistake}");
            }
        }
        Error::new(ErrorKind::Config, words)
    }

    /// The place of a key, or of the section that contains it.
    fn place(&self, key: &str) -> Place {
        let mut name = key;
        loop {
            if let Some(variable) = self.variables.get(name) {
                return Place::Variable(variable.clone());
            }
            if let Some(line) = self.lines.get(name) {
                return Place::Line(*line);
            }
            match name.rfind(['.', '[']).and_then(|end| name.get(..end)) {
                Some(above) => name = above,
                None => return Place::Unknown,
            }
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unknown => {}
            Place::Line(line) => write!(f, "line {line}: ")?,
            Place::Variable(name) => write!(f, "{name}: ")?,
        }
        if !self.key.is_empty() {
            write!(f, "`{}`: ", self.key)?;
        }
        f.write_str(&self.words)
    }
}

/// Translates a message of the parser, without the value that it quotes.
pub(super) fn without_value(message: &str) -> String {
    let message = message.trim();
    let (what, expected) = message.rsplit_once(", expected ").unwrap_or((message, ""));
    let names = || quoted(expected);
    if let Some(rest) = what.strip_prefix("unknown field ") {
        let unknown = quoted(rest).next().unwrap_or_default();
        return match nearest(unknown, names()) {
            Some(name) => format!("unknown key: did you mean `{name}`?"),
            None => format!("unknown key: write one of {}", listed(names())),
        };
    }
    if let Some(rest) = what.strip_prefix("unknown variant ") {
        let unknown = quoted(rest).next().unwrap_or_default();
        return match nearest(unknown, names()) {
            Some(name) => {
                format!("unknown value: did you mean \"{name}\"? Write one of {}", listed(names()))
            }
            None => format!("unknown value: write one of {}", listed(names())),
        };
    }
    if let Some(rest) = what.strip_prefix("missing field ") {
        return format!("`{}` is missing: add it", quoted(rest).next().unwrap_or_default());
    }
    if what.starts_with("invalid ") && !expected.is_empty() {
        return match expected {
            "a string" | "path string" => "the value must be a string, in quotes".into(),
            "a boolean" => "the value must be true or false".into(),
            "a sequence" => "the value must be a list, as in [\"a\", \"b\"]".into(),
            "a map" => TAKES_A_TABLE.into(),
            structure if structure.starts_with("struct ") => TAKES_A_TABLE.into(),
            number if number.starts_with('u') => "the value must be a whole number, 0 or more".into(),
            _ => "the value has the wrong type".into(),
        };
    }
    if what.starts_with("wanted exactly 1 element") {
        return "the value must be a word, in quotes".into();
    }
    // Messages of this program's own types.
    message.into()
}

const TAKES_A_TABLE: &str = "the value must be a table, as in { file = \"a.key\" }, or a section of its own";

/// The name of an unknown key, if it looks like one. It may be a secret otherwise.
pub(super) fn shown_key(name: &str) -> &str {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if name.len() <= 24 && name.bytes().all(is_plain) { name } else { "…" }
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split('`').skip(1).step_by(2)
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none here".into() } else { names.join(", ") }
}

/// The name that was probably meant, if there is a similar one.
pub(super) fn nearest<'a>(unknown: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |name: &str| {
        let whole = strsim::damerau_levenshtein(unknown, name);
        // A part of a name, as in `origins`.
        let is_part = unknown.len() >= 4 && name.contains(unknown);
        if is_part { whole.min(1) } else { whole }
    };
    let near = names.map(|name| (distance(name), name)).min_by_key(|(distance, _)| *distance)?;
    (near.0 <= unknown.len().div_ceil(3).min(4)).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_parser_quotes_is_not_repeated() {
        for (message, words) in [
            ("invalid type: string \"hush, expected a\", expected struct SecretSection", "a table"),
            ("invalid type: integer `5`, expected a string", "a string, in quotes"),
            ("invalid value: integer `-5`, expected u32", "0 or more"),
            ("unknown variant `hush`, expected one of `text`, `json`", "`text`, `json`"),
            (
                "unknown variant `token-onyl`, expected one of `users`, `token-only`",
                "did you mean \"token-only\"?",
            ),
            ("unknown field `lisen`, expected one of `listen`, `static`", "did you mean `listen`?"),
            ("unknown field `hush`, expected `file` or `env`", "write one of `file`, `env`"),
            ("missing field `key`", "`key` is missing"),
        ] {
            let told = without_value(message);
            assert!(told.contains(words) && !told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn the_nearest_name_is_one_that_is_near() {
        let names = ["listen", "allow_origins", "anonymous", "metrics"];
        let near = |unknown| nearest(unknown, names.into_iter());
        assert_eq!(near("lisen"), Some("listen"));
        assert_eq!(near("origins"), Some("allow_origins"));
        assert_eq!(near("anonymus"), Some("anonymous"));
        assert_eq!(near("tokens"), None);
        assert_eq!(near(""), None);
    }

    #[test]
    fn consequences_of_a_mistake_are_not_reported() {
        let mistakes = |keys: &[&str]| {
            let mut mistakes = Mistakes::default();
            keys.iter().for_each(|key| mistakes.note(*key, "no"));
            mistakes
        };
        let all = mistakes(&["tokens.keys[0].file"]).and(mistakes(&[
            "tokens.keys[0]",
            "tokens.keys[1]",
            "server.listen",
        ]));
        let keys: Vec<_> = all.0.iter().map(|mistake| &*mistake.key).collect();
        assert_eq!(keys, ["tokens.keys[0].file", "tokens.keys[1]", "server.listen"]);
    }
}
