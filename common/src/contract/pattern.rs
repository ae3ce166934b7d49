//! Channel patterns: `chat:{room}`.
//!
//! A parameter stands for one or more characters other than `:` and `/`, and is followed by one of these or by the end.
//! So a name fits a pattern in only one way.

use alloc::string::String;
use alloc::vec::Vec;

use crate::{ChannelName, ChannelNameError};

/// Whether `pattern` is well-formed and has exactly these parameters, in this order. For a compile-time check.
pub const fn is_valid(pattern: &str, parameters: &[&str]) -> bool {
    let mut rest = pattern.as_bytes();
    let mut parameters = parameters;
    if rest.is_empty() {
        return false;
    }
    while let [byte, behind @ ..] = rest {
        rest = behind;
        match byte {
            b'{' => {
                let [name, others @ ..] = parameters else { return false };
                parameters = others;
                let Some(found_behind) = behind_parameter(rest, name) else { return false };
                if !matches!(found_behind, [] | [b':' | b'/', ..]) {
                    return false;
                }
                rest = found_behind;
            }
            b'}' | b'*' | 0..=b' ' | 0x7f => return false,
            _ => {}
        }
    }
    parameters.is_empty()
}

/// The index of the parameter with this name in a [valid](is_valid) pattern.
pub const fn place(pattern: &str, parameter: &str) -> usize {
    let mut rest = pattern.as_bytes();
    let mut place = 0_usize;
    while let [byte, found_behind @ ..] = rest {
        rest = found_behind;
        if *byte == b'{' {
            if behind_parameter(rest, parameter).is_some() {
                return place;
            }
            place = place.saturating_add(1);
        }
    }
    // An invalid pattern is reported elsewhere.
    0
}

/// The rest of a pattern behind a parameter at the beginning of `rest` that has this name, in its Rust form; `None` if
/// it has another one.
const fn behind_parameter<'a>(rest: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut name = match name.as_bytes() {
        // A keyword.
        [b'r', b'#', bare @ ..] => bare,
        name => name,
    };
    let mut rest = rest;
    while let [expected, name_behind @ ..] = name {
        let [found, found_behind @ ..] = rest else { return None };
        if *expected != *found {
            return None;
        }
        name = name_behind;
        rest = found_behind;
    }
    match rest {
        [b'}', found_behind @ ..] => Some(found_behind),
        _ => None,
    }
}

/// The name of a [valid](is_valid) pattern with `values` in place of the parameters.
///
/// # Errors
/// A value is empty or contains `:` or `/`, or the result is not a channel name.
pub fn fill(pattern: &str, values: &[&str]) -> Result<ChannelName, ChannelNameError> {
    if values.iter().any(|value| value.is_empty() || value.contains([':', '/'])) {
        return Err(ChannelNameError::BadParameter);
    }
    let mut name = String::with_capacity(pattern.len());
    let mut values = values.iter();
    let mut rest = pattern;
    while let Some((before, behind)) = rest.split_once('{') {
        name.push_str(before);
        name.push_str(values.next().ok_or(ChannelNameError::BadParameter)?);
        rest = behind.split_once('}').map_or("", |(_, behind)| behind);
    }
    name.push_str(rest);
    ChannelName::new(&name)
}

/// The values of the parameters in `name`, if it fits the pattern.
pub fn parse<'a>(pattern: &str, name: &'a str) -> Option<Vec<&'a str>> {
    let mut values = Vec::new();
    let (mut pattern, mut name) = (pattern, name);
    while let Some((before, behind)) = pattern.split_once('{') {
        name = name.strip_prefix(before)?;
        let (value, rest) = name.split_at(name.find([':', '/']).unwrap_or(name.len()));
        if value.is_empty() {
            return None;
        }
        values.push(value);
        name = rest;
        pattern = behind.split_once('}')?.1;
    }
    (pattern == name).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_checked_against_their_parameters() {
        assert!(is_valid("news", &[]));
        assert!(is_valid("chat:{room}", &["room"]));
        assert!(is_valid("game:{id}/{player}:moves", &["id", "player"]));
        assert!(is_valid("feed:{type}", &["r#type"]));
        for (pattern, parameters) in [
            ("", &[][..]),
            ("chat:{room}", &[]),
            ("chat:{room}", &["other"]),
            ("chat:{room}", &["room", "more"]),
            ("chat:{room", &["room"]),
            ("chat:room}", &[]),
            ("chat:{a}{b}", &["a", "b"]),
            ("chat:{a}-b", &["a"]),
            ("white space", &[]),
            ("chat:*", &[]),
        ] {
            assert!(!is_valid(pattern, parameters), "{pattern}");
        }
    }

    #[test]
    fn a_parameter_is_found_by_its_whole_name() {
        let pattern = "a:{idle}/{id}:{type}";
        assert_eq!(["idle", "id", "r#type"].map(|name| place(pattern, name)), [0, 1, 2]);
    }

    #[test]
    fn filling_and_parsing_are_inverse() {
        let pattern = "game:{id}/{player}:moves";
        let name = fill(pattern, &["7", "ann"]).unwrap();
        assert_eq!(name.as_str(), "game:7/ann:moves");
        assert_eq!(parse(pattern, name.as_str()).unwrap(), ["7", "ann"]);
        for other in ["game:7/ann", "game:/ann:moves", "game:7/ann:moves:x", "x"] {
            assert_eq!(parse(pattern, other), None, "{other}");
        }
        for bad in ["", "a:b", "a/b", "a b", "*"] {
            assert!(fill("chat:{room}", &[bad]).is_err(), "{bad}");
        }
    }
}
