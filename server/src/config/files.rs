//! The files that a configuration names, and itself.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// The largest file that is read: more is no configuration, and no key.
const MAX_BYTES: u64 = 1024 * 1024;

/// All of a file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    contents(path).map_err(|error| format!("cannot read {}: {error}", shown(path)))
}

/// The same of one that is read not for the first time. A pipe says each thing once, and it may be long in coming.
pub(super) fn contents_again(path: &Path) -> io::Result<Vec<u8>> {
    if fs::metadata(path)?.is_file() {
        return contents(path);
    }
    Err(io::Error::other("it is no file that can be read again: restart the server, or give it a file"))
}

pub(super) fn contents(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(io::Error::other("it has more than 1 MiB: this is no file of the kind"));
    }
    Ok(bytes)
}

/// What a path is called in words. A secret that was written where its file's name belongs is not repeated: what is not
/// there, and is not called as such files are, may be one.
pub(super) fn shown(path: &Path) -> String {
    if is_shown(path) {
        return path.display().to_string();
    }
    match path.parent().filter(|folder| folder.is_dir()) {
        Some(folder) => format!("the file that it names in {}", folder.display()),
        None => "the file that it names".into(),
    }
}

/// Whether a path is called by its name in words.
pub(super) fn is_shown(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    path.symlink_metadata().is_ok() || EXTENSIONS.contains(&extension)
}

/// Those of the files that configurations name.
const EXTENSIONS: [&str; 10] = ["key", "pem", "crt", "cer", "cert", "der", "json", "jwks", "txt", "secret"];

/// The value of an environment variable. A name that is none may be a secret, and is not repeated.
pub(super) fn variable_named(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| {
        let is_name = name.contains('_')
            && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        let shown = if is_name { name } else { "that it names" };
        format!("the environment variable {shown} is not set, or is no text")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_the_place_of_a_name_is_not_repeated() {
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
    fn a_file_has_a_bound() {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(MAX_BYTES).unwrap();
        assert_eq!(read(file.path()).unwrap().len() as u64, MAX_BYTES);
        file.as_file().set_len(MAX_BYTES + 1).unwrap();
        assert!(read(file.path()).unwrap_err().contains("1 MiB"));
    }
}
