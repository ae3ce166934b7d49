//! What commands write to standard output.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use wirehub_common::Payload;

/// Writes a line, which is out when this returns.
pub(super) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())
}

/// Text that came from elsewhere, as it is written: a terminal would obey the control characters in it.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if io::stdout().is_terminal() { harmless(text) } else { text.into() }
}

/// Text for people: what is no text is written in base64.
pub(super) fn text_of(payload: &Payload) -> String {
    std::str::from_utf8(&payload.data).map_or_else(|_| BASE64.encode(&payload.data), Into::into)
}

/// Text without control characters but the ends of lines and tabs.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(is_harmful) {
        return text.into();
    }
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            harmless.extend(c.escape_default());
        } else {
            harmless.push(c);
        }
    }
    harmless.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_given_no_commands_of_strangers() {
        assert_eq!(harmless("a\tb\nü"), "a\tb\nü");
        assert_eq!(harmless("\u{1b}[2Jü\u{9b}1m\r"), "\\u{1b}[2Jü\\u{9b}1m\\r");
    }
}
