//! Patterns of the names of channels and calls.

use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;

use wirehub_common::ChannelName;

/// A name, or the beginning of names with a `*` behind it: `chat:lobby`, `chat:*`, `billing.*`, `*`. Names are those of
/// channels or of calls.
///
/// A name that begins with `@` belongs to Wirehub. Only a pattern that begins with `@` matches it; `*` does not.
///
/// ```
/// use wirehub_hub::Pattern;
///
/// let pattern: Pattern = "chat:*".parse()?;
/// assert!(pattern.matches("chat:lobby") && !pattern.matches("chatter"));
/// # Ok::<(), wirehub_hub::PatternError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern {
    beginning: Box<str>,
    is_whole: bool,
}

impl Pattern {
    /// Whether a name matches.
    pub fn matches(&self, name: &str) -> bool {
        if self.is_whole {
            *name == *self.beginning
        } else {
            name.starts_with(&*self.beginning) && (!name.starts_with('@') || self.beginning.starts_with('@'))
        }
    }
}

impl From<&ChannelName> for Pattern {
    /// Matches that channel alone.
    fn from(channel: &ChannelName) -> Self {
        Self { beginning: channel.as_str().into(), is_whole: true }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (beginning, is_whole) =
            text.strip_suffix('*').map_or((text, true), |beginning| (beginning, false));
        let is_name = !beginning.contains(|c: char| c == '*' || c.is_whitespace() || c.is_control());
        if !is_name || (is_whole && beginning.is_empty()) || beginning.len() > MAX_BYTES {
            return Err(PatternError);
        }
        Ok(Self { beginning: beginning.into(), is_whole })
    }
}

/// The most bytes of a channel's name.
const MAX_BYTES: usize = 255;

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.beginning, if self.is_whole { "" } else { "*" })
    }
}

/// The text is no [`Pattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternError;

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pattern is a name, or the beginning of one and a `*`: write chat:lobby, chat:*, billing.* or *")
    }
}

impl StdError for PatternError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(name)
    }

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_names() {
        assert!(matches("chat:lobby", "chat:lobby"));
        assert!(!matches("chat:lobby", "chat:lobby2"));
        assert!(matches("chat:*", "chat:lobby"));
        assert!(matches("chat:l*", "chat:lobby"));
        assert!(!matches("chat:*", "chatter"));
        assert!(!matches("billing.*", "billings"));
        assert!(matches("*", "anything"));
        assert!(!matches("*", "@ann"), "names of Wirehub have to be named");
        assert!(matches("@*", "@ann"));
        for bad in ["", "two words", "a*b", "**", "a\n*", &"x".repeat(256)] {
            assert_eq!(bad.parse::<Pattern>(), Err(PatternError), "{bad}");
        }
        assert_eq!("chat:*".parse::<Pattern>().unwrap().to_string(), "chat:*");
    }
}
