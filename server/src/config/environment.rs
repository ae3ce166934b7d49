//! Environment variables that override a file.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use toml::{Table, Value};

use super::Config;
use super::mistakes::{Mistake, Mistakes, Place, shown_key, without_value};

/// Sets each variable `WIREHUB_SECTION__KEY` in the table. An invalid one is noted and ignored. Returns the variable of
/// each key.
pub(super) fn put_over(
    table: &mut Table,
    variables: impl Iterator<Item = (String, String)>,
    mistakes: &mut Mistakes,
) -> BTreeMap<String, String> {
    let mut named = BTreeMap::new();
    for (variable, value) in variables {
        let Some(path) = variable.strip_prefix(PREFIX) else { continue };
        let path = path.to_ascii_lowercase();
        let (sections, last) = match path.rsplit_once(SEPARATOR) {
            Some((sections, last)) => (Some(sections), last),
            None if path == "engine" => (None, &*path),
            // Others, such as WIREHUB_LOG, are not of the configuration.
            None => continue,
        };
        let mut changed = table.clone();
        // Each variable is checked alone, so that a mistake is reported with its name.
        let put = put(&mut changed, sections, last, meaning(&value)).and_then(|()| {
            Config::deserialize(changed.clone()).map(drop).map_err(|error| without_value(error.message()))
        });
        match put {
            Ok(()) => {
                *table = changed;
                named.insert(path.replace(SEPARATOR, "."), variable);
            }
            Err(words) => mistakes.add(Mistake {
                key: path.split(SEPARATOR).map(shown_key).collect::<Vec<_>>().join("."),
                place: Place::Variable(variable),
                words,
            }),
        }
    }
    named
}

fn put(table: &mut Table, sections: Option<&str>, last: &str, value: Value) -> Result<(), String> {
    let mut section = table;
    for key in sections.into_iter().flat_map(|sections| sections.split(SEPARATOR)) {
        let entry = section.entry(key).or_insert_with(|| Value::Table(Table::new()));
        section = entry
            .as_table_mut()
            .ok_or_else(|| format!("`{}` is not a section of the configuration", shown_key(key)))?;
    }
    section.insert(last.into(), value);
    Ok(())
}

/// Numbers, lists and the like have the syntax of TOML; everything else is text.
fn meaning(value: &str) -> Value {
    let as_toml =
        format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    as_toml.unwrap_or_else(|| Value::String(value.into()))
}

const PREFIX: &str = "WIREHUB_";
const SEPARATOR: &str = "__";
