//! The text of a configuration, and the lines of its keys.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use toml::de::{DeArray, DeTable, DeValue};
use toml::{Deserializer, Spanned, Table};

use super::Config;
use super::mistakes::{Mistake, Mistakes, Place, shown_key, without_value};

/// The content of a text, without its mistakes.
pub(super) struct Document {
    pub(super) table: Table,
    /// The line of each key.
    pub(super) lines: BTreeMap<String, usize>,
    pub(super) mistakes: Mistakes,
}

impl Document {
    pub(super) fn read(text: &str) -> Self {
        let (root, broken) = DeTable::parse_recoverable(text);
        let span = root.span();
        let mut table = root.into_inner();
        let whole = table.clone();
        let mut mistakes = Mistakes::default();
        for error in broken.iter().take(MAX_MISTAKES) {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let words = format!("invalid TOML: {}", error.message());
            mistakes.add(Mistake { key: String::new(), place: Place::Line(line), words });
        }
        // In a broken text, further mistakes would only be consequences of the first.
        for _ in 0..if broken.is_empty() { MAX_MISTAKES } else { 0 } {
            let Err(error) =
                Config::deserialize(Deserializer::from(Spanned::new(span.clone(), table.clone())))
            else {
                break;
            };
            let at = error.span().map(|span| span.start);
            let found = at.and_then(|at| Some((line_of(text, at), find(&table, at)?)));
            let Some((line, path)) = found else {
                let words = without_value(error.message());
                mistakes.add(Mistake { key: String::new(), place: Place::Unknown, words });
                break;
            };
            // Its name in the whole text: earlier items of a list may have been removed.
            let key = at.and_then(|at| find(&whole, at)).map(|path| name(&path)).unwrap_or_default();
            mistakes.add(Mistake { key, place: Place::Line(line), words: without_value(error.message()) });
            leave_out(&mut table, &path);
        }
        let mut lines = BTreeMap::new();
        note_lines(text, &whole, "", &mut lines);
        let table = Table::deserialize(Deserializer::from(Spanned::new(span, table))).unwrap_or_default();
        Self { table, lines, mistakes }
    }
}

/// Further mistakes are not reported in the same run.
const MAX_MISTAKES: usize = 100;

/// A step on the path to a value.
enum Step {
    Key(String),
    Index(usize),
}

fn name(path: &[Step]) -> String {
    path.iter().fold(String::new(), |name, step| match step {
        Step::Key(key) if name.is_empty() => shown_key(key).into(),
        // Namespaces have arbitrary names.
        Step::Key(key) if name == "namespace" => format!("{name}.{key}"),
        Step::Key(key) => format!("{name}.{}", shown_key(key)),
        Step::Index(index) => format!("{name}[{index}]"),
    })
}

/// The innermost key or value at a byte of the text.
fn find(table: &DeTable<'_>, at: usize) -> Option<Vec<Step>> {
    table.iter().find_map(|(key, value)| {
        let below = find_in(value, at).or_else(|| key.span().contains(&at).then(Vec::new))?;
        Some([Step::Key(key.get_ref().to_string())].into_iter().chain(below).collect())
    })
}

fn find_in(value: &Spanned<DeValue<'_>>, at: usize) -> Option<Vec<Step>> {
    // The span of a section is its header only, so its content is searched separately.
    let below = match value.get_ref() {
        DeValue::Table(table) => find(table, at),
        DeValue::Array(values) => values.iter().enumerate().find_map(|(index, value)| {
            Some([Step::Index(index)].into_iter().chain(find_in(value, at)?).collect())
        }),
        _ => None,
    };
    below.or_else(|| value.span().contains(&at).then(Vec::new))
}

fn leave_out(table: &mut DeTable<'_>, path: &[Step]) {
    match path {
        [Step::Key(key)] => drop(table.remove(key.as_str())),
        [Step::Key(key), rest @ ..] => {
            if let Some(value) = table.get_mut(key.as_str()) {
                leave_out_of(value.get_mut(), rest);
            }
        }
        _ => {}
    }
}

fn leave_out_of(value: &mut DeValue<'_>, path: &[Step]) {
    match (value, path) {
        (DeValue::Table(table), path) => leave_out(table, path),
        (DeValue::Array(values), [Step::Index(index)]) => {
            let rest = std::mem::replace(values, DeArray::new()).into_iter().enumerate();
            *values = rest.filter(|(place, _)| place != index).map(|(_, value)| value).collect();
        }
        (DeValue::Array(values), [Step::Index(index), rest @ ..]) => {
            if let Some(value) = values.get_mut(*index) {
                leave_out_of(value.get_mut(), rest);
            }
        }
        _ => {}
    }
}

fn note_lines(text: &str, table: &DeTable<'_>, above: &str, lines: &mut BTreeMap<String, usize>) {
    for (key, value) in table {
        let key_name = key.get_ref();
        let name = if above.is_empty() { key_name.to_string() } else { format!("{above}.{key_name}") };
        lines.insert(name.clone(), line_of(text, key.span().start));
        match value.get_ref() {
            DeValue::Table(table) => note_lines(text, table, &name, lines),
            DeValue::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    let name = format!("{name}[{index}]");
                    lines.insert(name.clone(), line_of(text, value.span().start));
                    if let DeValue::Table(table) = value.get_ref() {
                        note_lines(text, table, &name, lines);
                    }
                }
            }
            _ => {}
        }
    }
}

/// The number of the line that contains a byte.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().iter().take(at);
    before.filter(|byte| **byte == b'\n').count().saturating_add(1)
}
