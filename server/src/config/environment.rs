//! Environment variables over a file.

use serde::Deserialize as _;
use toml::{Table, Value};

use super::Config;

/// The table of `text`, with each variable `WIREHUB_SECTION__KEY` in its place. Says which variable is wrong.
pub(super) fn over(text: &str, variables: impl Iterator<Item = (String, String)>) -> Result<Table, String> {
    let mut table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    for (name, value) in variables {
        let Some(path) = name.strip_prefix(PREFIX) else { continue };
        let path = path.to_ascii_lowercase();
        let Some((sections, last)) = path.rsplit_once(SEPARATOR) else { continue };
        let mut section = &mut table;
        for key in sections.split(SEPARATOR) {
            let entry = section.entry(key).or_insert_with(|| Value::Table(Table::new()));
            section = entry
                .as_table_mut()
                .ok_or_else(|| format!("{name}: `{key}` is no section of the configuration"))?;
        }
        section.insert(last.into(), meaning(&value));
        // Of each alone it is known whether it is right.
        Config::deserialize(table.clone()).map_err(|error| format!("{name}: {}", error.message()))?;
    }
    Ok(table)
}

/// A number, a list or the like as in TOML; all else is text.
fn meaning(value: &str) -> Value {
    let as_toml =
        format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    as_toml.unwrap_or_else(|| Value::String(value.into()))
}

const PREFIX: &str = "WIREHUB_";
const SEPARATOR: &str = "__";
