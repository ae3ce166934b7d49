//! Which calls are meant.

use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;

/// A call's name, or the beginning of names with a `*` behind it: `billing.refund`, `billing.*`, `*`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallPattern {
    beginning: Box<str>,
    is_whole: bool,
}

impl CallPattern {
    /// Whether a call is meant.
    pub fn matches(&self, name: &str) -> bool {
        if self.is_whole { *name == *self.beginning } else { name.starts_with(&*self.beginning) }
    }
}

impl FromStr for CallPattern {
    type Err = CallPatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (beginning, is_whole) =
            text.strip_suffix('*').map_or((text, true), |beginning| (beginning, false));
        let is_name = !beginning.contains(|c: char| c == '*' || c.is_whitespace() || c.is_control());
        if !is_name || (is_whole && beginning.is_empty()) {
            return Err(CallPatternError);
        }
        Ok(Self { beginning: beginning.into(), is_whole })
    }
}

impl fmt::Display for CallPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.beginning, if self.is_whole { "" } else { "*" })
    }
}

/// A text that is no [`CallPattern`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallPatternError;

impl fmt::Display for CallPatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a pattern is a call's name, or the beginning of one and a `*`: write billing.refund, billing.* or *")
    }
}

impl StdError for CallPatternError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_name_or_the_beginning_of_names() {
        let matches = |pattern: &str, name: &str| pattern.parse::<CallPattern>().unwrap().matches(name);
        assert!(matches("billing.refund", "billing.refund"));
        assert!(!matches("billing.refund", "billing.refunds"));
        assert!(matches("billing.*", "billing.refund"));
        assert!(!matches("billing.*", "billings"));
        assert!(matches("*", "anything"));
        for bad in ["", "two words", "a*b", "**", "a\n*"] {
            assert_eq!(bad.parse::<CallPattern>(), Err(CallPatternError), "{bad}");
        }
        assert_eq!("billing.*".parse::<CallPattern>().unwrap().to_string(), "billing.*");
    }
}
