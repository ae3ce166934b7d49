//! Errors of the client.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::{ChannelNameError, view};

#[cfg(feature = "handles")]
mod cause;

/// An error: a code of the [one table](wirehub_common::code), a message, and its cause.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

// In a box, because errors are rare and results that may hold one are not.
#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    code: ErrorCode,
    words: Words,
    /// The text, as described by `words`.
    text: String,
    temporary: bool,
    #[cfg(feature = "handles")]
    source: Option<alloc::sync::Arc<dyn core::error::Error + Send + Sync>>,
}

/// The kind of message of an error. The table is read only when the message is: a program that shows errors in words of
/// its own does without the table.
#[derive(Debug, Clone, Copy)]
enum Words {
    /// The message of the code.
    OfCode,
    /// The message of the code with which the connection was closed.
    OfClose(CloseCode),
    /// The message of the code, and its subject.
    OfCodeAbout,
    /// Another message.
    Own,
}

/// The origin of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server answered with an error.
    Server,
    /// The connection, or a timeout.
    Connection,
    /// The caller asked for something impossible.
    Usage,
    /// A payload does not fit the contract.
    Payload,
}

impl Error {
    /// An error with one of the codes of the table and its message.
    pub fn from_code(kind: ErrorKind, code: ErrorCode) -> Self {
        Self::new(kind, code, Words::OfCode, String::new())
    }

    fn new(kind: ErrorKind, code: ErrorCode, words: Words, text: String) -> Self {
        Self(Box::new(Inner {
            kind,
            code,
            words,
            text,
            temporary: code.is_temporary(),
            #[cfg(feature = "handles")]
            source: None,
        }))
    }

    /// An error with this code and another message.
    pub(crate) fn in_words(kind: ErrorKind, code: ErrorCode, words: impl Into<String>) -> Self {
        Self::new(kind, code, Words::Own, words.into())
    }

    /// An error with this code, its message, and the subject of that.
    pub(crate) fn about(kind: ErrorKind, code: ErrorCode, what: impl Into<String>) -> Self {
        Self::new(kind, code, Words::OfCodeAbout, what.into())
    }

    /// The connection was closed for good, without a reason.
    pub(crate) fn closed_with(code: CloseCode) -> Self {
        Self::new(ErrorKind::Connection, ErrorCode::CLOSED, Words::OfClose(code), String::new())
    }

    /// For a token provider that will not return a token any more, because the user signed out. The client ends.
    pub fn signed_out() -> Self {
        Self::from_code(ErrorKind::Usage, ErrorCode::UNAUTHORIZED)
    }

    /// The origin of the error.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The code.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// A description of the error and its remedy, for people.
    pub fn message(&self) -> Cow<'_, str> {
        match self.0.words {
            Words::OfCode => self.0.code.message().into(),
            Words::OfClose(code) => code.message().into(),
            Words::OfCodeAbout => [self.0.code.message(), ": ", &self.0.text].concat().into(),
            Words::Own => self.0.text.as_str().into(),
        }
    }

    /// The message, unless it is made of the message of the code.
    pub fn own_words(&self) -> Option<&str> {
        matches!(self.0.words, Words::Own).then_some(&self.0.text)
    }

    /// The subject of the error, if known. It stands behind the message of the code.
    pub fn about_what(&self) -> Option<&str> {
        matches!(self.0.words, Words::OfCodeAbout).then_some(&self.0.text)
    }

    /// Whether a subscription or stream ends with this error. The only error that does not end it is a message that
    /// does not fit the contract: more messages may follow.
    pub fn ends_stream(&self) -> bool {
        self.0.kind != ErrorKind::Payload
    }

    /// Whether the same may succeed later.
    pub fn is_temporary(&self) -> bool {
        self.0.temporary
    }
}

impl From<view::ErrorInfo<'_>> for Error {
    fn from(info: view::ErrorInfo<'_>) -> Self {
        // A server may leave the message to the table.
        let message = info.message();
        let words = if message.is_empty() { Words::OfCode } else { Words::Own };
        let mut error = Self::new(ErrorKind::Server, info.code(), words, message.into());
        error.0.temporary = info.temporary();
        error
    }
}

impl From<ChannelNameError> for Error {
    fn from(error: ChannelNameError) -> Self {
        Self::in_words(ErrorKind::Usage, ErrorCode::BAD_REQUEST, error.as_str())
    }
}
