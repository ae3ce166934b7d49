//! The error's cause, and the whole error in one line, for applications.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use wirehub_common::PayloadError;
use wirehub_common::code::ErrorCode;

use super::{Error, ErrorKind};

impl Error {
    /// For a token provider that has no token for now. It will be asked again.
    pub fn token_unavailable(source: impl Into<Box<dyn core::error::Error + Send + Sync>>) -> Self {
        let mut error = Self::from_code(ErrorKind::Usage, ErrorCode::TOKEN_UNAVAILABLE);
        error.0.source = Some(source.into().into());
        error
    }
}

impl From<PayloadError> for Error {
    fn from(error: PayloadError) -> Self {
        let mut mismatch = Self::from_code(ErrorKind::Payload, ErrorCode::PAYLOAD_MISMATCH);
        mismatch.0.source = Some(Arc::new(error));
        mismatch
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message(), self.0.code)?;
        self.0.source.as_ref().map_or(Ok(()), |source| write!(f, ": {source}"))
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use wirehub_common::code::CloseCode;
    use wirehub_common::{ChannelName, view};

    use super::*;

    #[test]
    fn an_error_has_the_message_of_its_code_with_its_subject_or_a_message_of_its_own() {
        let of_code = Error::from_code(ErrorKind::Usage, ErrorCode::QUEUE_FULL);
        assert_eq!(of_code.message(), ErrorCode::QUEUE_FULL.message());
        assert_eq!((of_code.own_words(), of_code.about_what()), (None, None));
        assert_eq!((of_code.kind(), of_code.is_temporary()), (ErrorKind::Usage, true));

        let about = Error::about(ErrorKind::Server, ErrorCode::BAD_FRAME, "a text");
        assert_eq!(about.message(), [ErrorCode::BAD_FRAME.message(), ": a text"].concat());
        assert_eq!((about.own_words(), about.about_what()), (None, Some("a text")));

        let own = Error::in_words(ErrorKind::Server, ErrorCode::INTERNAL, "words");
        assert_eq!(
            (own.message().as_ref(), own.own_words(), own.about_what()),
            ("words", Some("words"), None)
        );
        assert_eq!(own.to_string(), format!("words ({})", ErrorCode::INTERNAL));

        let closed = Error::closed_with(CloseCode::SHUTDOWN);
        assert_eq!(closed.message(), CloseCode::SHUTDOWN.message());
        assert_eq!((closed.code(), closed.own_words()), (ErrorCode::CLOSED, None));
        let name = Error::from(ChannelName::new("two words").unwrap_err());
        assert_eq!((name.code(), name.is_temporary()), (ErrorCode::BAD_REQUEST, false));
        assert_eq!(Error::signed_out().code(), ErrorCode::UNAUTHORIZED);
    }

    #[test]
    fn an_error_without_a_message_has_that_of_its_code_and_the_server_decides_whether_it_is_temporary() {
        for (message, temporary) in [("", true), ("say no more", false)] {
            let info = wirehub_common::frame::ErrorInfo {
                code: ErrorCode::INTERNAL,
                message: message.into(),
                temporary,
            };
            let reply = wirehub_common::frame::Reply { id: 1, result: Err(info) };
            let frame = wirehub_common::frame::ServerFrame::Reply(reply);
            let frame = wirehub_common::Codec::Protobuf.encode_frame(&frame);
            let frame = view::Frames::new(&frame).next().unwrap().unwrap();
            let view::Body::Error(error) = frame.body else { panic!("no error") };
            let error = Error::from(error);
            assert_eq!(error.is_temporary(), temporary);
            assert_eq!(error.own_words(), (!message.is_empty()).then_some(message));
        }
    }

    #[test]
    fn the_cause_of_an_error_stands_behind_it() {
        let error = Error::token_unavailable("the network is down");
        assert_eq!(error.source().unwrap().to_string(), "the network is down");
        assert!(error.to_string().ends_with(": the network is down"), "{error}");
        assert!(Error::signed_out().source().is_none());
    }
}
