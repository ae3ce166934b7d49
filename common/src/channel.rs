//! Names of channels.

use core::borrow::Borrow;
use core::fmt;

/// The name of a channel: 1 to [`ChannelName::MAX_BYTES`] bytes of UTF-8 without white space, control
/// characters or `*`. The part before the first `:` is its [namespace](Self::namespace).
///
/// Cloning is cheap: the text is shared. (Without the feature `std` it is copied, which takes less code.)
///
/// ```
/// use wirehub_common::ChannelName;
///
/// let lobby = ChannelName::new("chat:lobby")?;
/// assert_eq!(lobby.namespace(), "chat");
/// assert!(ChannelName::new("no spaces").is_err());
/// # Ok::<(), wirehub_common::ChannelNameError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName(Text);

#[cfg(feature = "std")]
type Text = alloc::sync::Arc<str>;
/// A client has few names, and passes none between threads.
#[cfg(not(feature = "std"))]
type Text = alloc::string::String;

impl ChannelName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Parses a name.
    ///
    /// # Errors
    /// The error is the rule that the text breaks.
    pub fn new(name: &str) -> Result<Self, ChannelNameError> {
        Self::check(name)?;
        Ok(Self::checked(name))
    }

    /// Checks a text against the rules.
    pub(crate) fn check(name: &str) -> Result<(), ChannelNameError> {
        if name.is_empty() {
            return Err(ChannelNameError::Empty);
        }
        if name.len() > Self::MAX_BYTES {
            return Err(ChannelNameError::TooLong);
        }
        // Compares the last bytes, because Unicode's own tables are five times the code in a browser.
        let mut last = 0_u32;
        for byte in name.bytes() {
            last = last << 8 | u32::from(byte);
            let two = last & 0xffff;
            let three = last & 0xff_ffff;
            if matches!(byte, 0..=0x20 | b'*' | 0x7f)
                // U+0080 to U+00A0: control characters, including a line separator, and a space.
                || matches!(two, 0xc280..=0xc2a0)
                // U+1680, U+2000 to U+200A, U+2028, U+2029, U+202F, U+205F and U+3000: spaces and line separators.
                || matches!(three, 0xe19a80 | 0xe28080..=0xe2808a | 0xe280a8 | 0xe280a9 | 0xe280af | 0xe2819f | 0xe38080)
            {
                return Err(ChannelNameError::BadCharacter);
            }
        }
        Ok(())
    }

    /// A name that was [checked](Self::check) before, together with its frame.
    pub(crate) fn checked(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first `:`; empty if there is none.
    pub fn namespace(&self) -> &str {
        self.0.split_once(':').map_or("", |(namespace, _)| namespace)
    }
}

/// The rule of [`ChannelName`] that a text breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelNameError {
    /// It is empty.
    Empty,
    /// It has more than [`ChannelName::MAX_BYTES`] bytes.
    TooLong,
    /// It contains white space, a control character or `*`.
    BadCharacter,
    /// A parameter of a contract's channel is empty or contains `:` or `/`.
    BadParameter,
}

impl ChannelNameError {
    /// The problem and its remedy; without the feature `std` one text for all of them.
    pub const fn as_str(self) -> &'static str {
        if !cfg!(feature = "std") {
            return "a channel name has 1 to 255 bytes, and no white space, control character or `*`";
        }
        match self {
            Self::Empty => "the channel name is empty: use 1 to 255 bytes",
            Self::TooLong => "the channel name is too long: use at most 255 bytes",
            Self::BadCharacter => {
                "the channel name contains white space, a control character or `*`: remove it"
            }
            Self::BadParameter => {
                "a channel parameter is empty or contains `:` or `/`: use one or more other characters"
            }
        }
    }
}

impl fmt::Display for ChannelNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::error::Error for ChannelNameError {}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl AsRef<str> for ChannelName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for ChannelName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl core::str::FromStr for ChannelName {
    type Err = ChannelNameError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl TryFrom<&str> for ChannelName {
    type Error = ChannelNameError;

    fn try_from(name: &str) -> Result<Self, Self::Error> {
        Self::new(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_the_rules() {
        assert_eq!(ChannelName::new("").unwrap_err(), ChannelNameError::Empty);
        assert_eq!(ChannelName::new(&"x".repeat(256)).unwrap_err(), ChannelNameError::TooLong);
        for bad in ["a b", "a\tb", "a\nb", "a\0", "chat:*", "a\u{a0}b", "a\u{85}"] {
            assert_eq!(ChannelName::new(bad).unwrap_err(), ChannelNameError::BadCharacter, "{bad:?}");
        }
        for good in ["a", "chat:lobby", "@ann", "räume:küche", &"x".repeat(255)] {
            assert_eq!(ChannelName::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn every_character_is_held_against_the_rules() {
        for character in '\0'..=char::MAX {
            let is_good = !(character.is_whitespace() || character.is_control() || character == '*');
            for name in [format!("{character}"), format!("ä{character}b"), format!("\u{10280}{character}")] {
                assert_eq!(ChannelName::new(&name).is_ok(), is_good, "{name:?}");
            }
        }
    }

    #[test]
    fn the_namespace_ends_at_the_first_colon() {
        assert_eq!(ChannelName::new("a:b:c").unwrap().namespace(), "a");
        assert_eq!(ChannelName::new("news").unwrap().namespace(), "");
    }
}
