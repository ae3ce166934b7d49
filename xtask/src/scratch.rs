//! A folder for one test, removed afterwards.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
};

#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// An empty folder; `name` must be unique to the test.
    pub(crate) fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("wirehub-xtask-{}-{name}", process::id()));
        fs::create_dir_all(&path).unwrap();
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a file and the folders above it.
    pub(crate) fn write(&self, relative: &str, text: &str) {
        let path = self.path.join(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
