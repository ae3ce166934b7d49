//! What applications see of an error beside its code: what caused it, and all of it in one line.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use wirehub_common::PayloadError;
use wirehub_common::code::ErrorCode;

use super::{Error, ErrorKind};

impl Error {
    /// For a token provider that has no token for now: it will be asked again.
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
