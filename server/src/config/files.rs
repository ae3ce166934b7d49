//! Configuration files, and the files named in them.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// The largest file that is read. A larger one is neither a configuration nor a key.
const MAX_BYTES: u64 = 1024 * 1024;

/// The whole content of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    contents(path).map_err(|error| format!("cannot read {}: {error}", shown(path)))
}

/// The same for a file that was read before. A pipe delivers its content only once and could block.
pub(super) fn contents_again(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.is_file() {
        return contents(path);
    }
    Err(io::Error::other("it cannot be read a second time: restart the server, or use a regular file"))
}

pub(super) fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB: this is the wrong file"));
    }
    Ok(bytes)
}

/// A path for messages. A secret written in place of a file name is not repeated: a missing file without a usual
/// extension may be one.
pub(super) fn shown(path: &Path) -> String {
    if is_shown(path) {
        return path.display().to_string();
    }
    match path.parent().filter(|folder| folder.is_dir()) {
        Some(folder) => format!("the file named here, in {}", folder.display()),
        None => "the file named here".into(),
    }
}

/// Returns whether messages contain the path itself.
pub(super) fn is_shown(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    path.symlink_metadata().is_ok() || EXTENSIONS.contains(&extension)
}

/// The usual extensions of files in configurations.
const EXTENSIONS: [&str; 10] = ["key", "pem", "crt", "cer", "cert", "der", "json", "jwks", "txt", "secret"];

/// The value of an environment variable. An invalid name may be a secret and is not repeated.
pub(super) fn variable_named(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| {
        let is_name = name.contains('_')
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        let shown = if is_name { name } else { "named here" };
        format!("the environment variable {shown} is not set, or is not text")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_place_of_a_name_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let in_words = |name: &str| read(&folder.path().join(name)).unwrap_err();
        assert!(in_words("token.key").contains("token.key"));
        for secret in ["c2VjcmV0/c2VjcmV0+w==", "0123456789abcdef", "-----BEGIN PRIVATE KEY-----\nMIIE\n"] {
            let words = in_words(secret);
            assert!(!words.contains(secret) && words.contains("cannot read"), "{words}");
        }
        assert!(variable_named("WIREHUB_TEST_UNSET").unwrap_err().contains("WIREHUB_TEST_UNSET"));
        for secret in ["hunter2", "JBSWY3DPEHPK3PXP", "0123456789abcdef"] {
            assert!(!variable_named(secret).unwrap_err().contains(secret));
        }
    }

    #[test]
    fn a_file_has_a_maximum_size() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(MAX_BYTES).unwrap();
        assert_eq!(read(file.path()).unwrap().len() as u64, MAX_BYTES);
        file.as_file().set_len(MAX_BYTES + 1).unwrap();
        assert!(read(file.path()).unwrap_err().contains("1 MiB"));
    }
}
