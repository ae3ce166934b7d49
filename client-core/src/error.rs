//! Why something failed.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::{ChannelNameError, view};

#[cfg(feature = "handles")]
mod cause;

/// Why something failed: a code of the [one table](wirehub_common::code), words, and what caused it.
#[derive(Debug, Clone)]
pub struct Error(Box<Inner>);

// In a box: errors are rare, and results that may hold one are not.
#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    code: ErrorCode,
    words: Words,
    /// What `words` says that it is.
    text: String,
    temporary: bool,
    #[cfg(feature = "handles")]
    source: Option<alloc::sync::Arc<dyn core::error::Error + Send + Sync>>,
}

/// What is said of an error. The table is looked up when somebody reads: a program that shows errors in words of its own
/// does without it.
#[derive(Debug, Clone, Copy)]
enum Words {
    /// The words of the code.
    OfCode,
    /// The words of the code that the connection was closed with.
    OfClose(CloseCode),
    /// The words of the code, and what they are about.
    OfCodeAbout,
    /// Others.
    Own,
}

/// Who says that something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The server answered with an error.
    Server,
    /// The connection, or time.
    Connection,
    /// The caller asked for what can't be.
    Usage,
    /// A payload does not fit the contract.
    Payload,
}

impl Error {
    /// One of the codes of the table, in its words.
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

    /// The code, in other words.
    pub(crate) fn in_words(kind: ErrorKind, code: ErrorCode, words: impl Into<String>) -> Self {
        Self::new(kind, code, Words::Own, words.into())
    }

    /// The code in its words, and what they are about.
    pub(crate) fn about(kind: ErrorKind, code: ErrorCode, what: impl Into<String>) -> Self {
        Self::new(kind, code, Words::OfCodeAbout, what.into())
    }

    /// The connection was closed for good, without a word.
    pub(crate) fn closed_with(code: CloseCode) -> Self {
        Self::new(ErrorKind::Connection, ErrorCode::CLOSED, Words::OfClose(code), String::new())
    }

    /// For a token provider that will have no token any more, because the user signed out: the client ends.
    pub fn signed_out() -> Self {
        Self::from_code(ErrorKind::Usage, ErrorCode::UNAUTHORIZED)
    }

    /// Who says it.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Which error.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// What happened and what to do, for people.
    pub fn message(&self) -> Cow<'_, str> {
        match self.0.words {
            Words::OfCode => self.0.code.message().into(),
            Words::OfClose(code) => code.message().into(),
            Words::OfCodeAbout => [self.0.code.message(), ": ", &self.0.text].concat().into(),
            Words::Own => self.0.text.as_str().into(),
        }
    }

    /// The message, where it is not made of the words of the code.
    pub fn own_words(&self) -> Option<&str> {
        matches!(self.0.words, Words::Own).then_some(&self.0.text)
    }

    /// What the words of the code are about, where that is known: it stands behind them in the message.
    pub fn about_what(&self) -> Option<&str> {
        matches!(self.0.words, Words::OfCodeAbout).then_some(&self.0.text)
    }

    /// Whether a subscription or stream ends with this error. The only other one in it is a message that does not fit the
    /// contract, and more messages may come behind that.
    pub fn ends_stream(&self) -> bool {
        self.0.kind != ErrorKind::Payload
    }

    /// Whether the same may succeed later.
    pub fn is_temporary(&self) -> bool {
        self.0.temporary
    }
}

impl From<view::Error<'_>> for Error {
    fn from(info: view::Error<'_>) -> Self {
        // A server of few words leaves them to the table.
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
