//! Secrets, which are in a file of their own or in an environment variable.

use std::path::PathBuf;

use serde::Deserialize;

use super::files::{read, variable_named};

/// `{ file = "…" }` or `{ env = "…" }`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretSection {
    file: Option<PathBuf>,
    env: Option<String>,
}

impl SecretSection {
    /// The file, if the secret is in one.
    pub(super) fn file(&mut self) -> Option<&mut PathBuf> {
        self.file.as_mut()
    }

    /// The secret, without the line feed with which editors end a file; `None` unless it has exactly one place.
    pub(super) fn read(&self) -> Option<Result<Vec<u8>, String>> {
        let secret = match (&self.file, &self.env) {
            (Some(path), None) => read(path),
            (None, Some(variable)) => variable_named(variable).map(String::into_bytes),
            _ => return None,
        };
        Some(secret.map(|mut secret| {
            secret.truncate(secret.trim_ascii_end().len());
            secret
        }))
    }
}
