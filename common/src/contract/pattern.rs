//! Channel patterns: `chat:{room}`.
//!
//! A parameter stands for one or more characters other than `:` and `/`, and is followed by one of these or by the
//! end: so a name fits a pattern in one way only.

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
                let mut name = name.as_bytes();
                while let [expected, name_behind @ ..] = name {
                    let [found, found_behind @ ..] = rest else { return false };
                    if *expected != *found {
                        return false;
                    }
                    name = name_behind;
                    rest = found_behind;
                }
                match rest {
                    [b'}'] | [b'}', b':' | b'/', ..] => {}
                    _ => return false,
                }
                let [_, found_behind @ ..] = rest else { return false };
                rest = found_behind;
            }
            b'}' | b'*' | 0..=b' ' | 0x7f => return false,
            _ => {}
        }
    }
    parameters.is_empty()
}

/// The name that comes of putting `values` for the parameters of a [valid](is_valid) pattern.
///
/// # Errors
/// A value is empty or has `:` or `/` in it, or the whole is no channel name.
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
