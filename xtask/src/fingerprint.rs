//! Detection of changes: a hash over inputs, stored next to the outputs made from them.

use std::{
    collections::BTreeSet,
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::project::Project;

/// Folders with built or installed files, which are never sources.
const NOT_SOURCES: &[&str] = &["target", "node_modules", "dist", ".git"];

/// A hash over files and facts. It is not for security: the worst effect of a collision is a stale build.
#[derive(Debug, Default)]
pub(crate) struct Fingerprint {
    hasher: DefaultHasher,
}

impl Fingerprint {
    /// Adds a fact, such as a tool's version.
    #[must_use]
    pub(crate) fn fact(mut self, fact: impl Hash) -> Self {
        fact.hash(&mut self.hasher);
        self
    }

    /// Adds a file, or every source below a folder: its relative name and content. A missing file counts as such.
    pub(crate) fn sources(self, project: &Project, relative: &str) -> Result<Self> {
        self.sources_without(project, relative, &[])
    }

    /// The same without the files below `except`, named from the root.
    pub(crate) fn sources_without(
        mut self,
        project: &Project,
        relative: &str,
        except: &[&str],
    ) -> Result<Self> {
        let except: Vec<PathBuf> = except.iter().map(|path| project.path(path)).collect();
        let mut files = BTreeSet::new();
        collect(&project.path(relative), &except, &mut files)
            .with_context(|| format!("cannot list the sources in {relative}"))?;
        (relative, files.len()).hash(&mut self.hasher);
        for file in files {
            file.strip_prefix(project.root()).unwrap_or(&file).hash(&mut self.hasher);
            fs::read(&file)
                .with_context(|| format!("cannot read {}", file.display()))?
                .hash(&mut self.hasher);
        }
        Ok(self)
    }

    /// Completes the fingerprint of the output called `name`.
    pub(crate) fn finish(self, project: &Project, name: &str) -> Stamp {
        Stamp {
            path: project.scratch_dir().join("fingerprints").join(name),
            value: format!("{:016x}\n", self.hasher.finish()),
        }
    }
}

/// A finished fingerprint, and the path of the last build's fingerprint.
#[derive(Debug)]
pub(crate) struct Stamp {
    path: PathBuf,
    value: String,
}

impl Stamp {
    /// Whether `outputs` all exist and were made from these inputs.
    pub(crate) fn is_current(&self, outputs: &[PathBuf]) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|last| last == self.value)
            && outputs.iter().all(|output| output.exists())
    }

    /// Marks the outputs as about to change: until [`Stamp::record`], they are not current.
    pub(crate) fn invalidate(&self) -> Result<()> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.path.display()))
            }
            _ => Ok(()),
        }
    }

    /// Records that the outputs were made from these inputs.
    pub(crate) fn record(&self) -> Result<()> {
        let folder = self.path.parent().context("a stamp is in a folder")?;
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&self.path, &self.value))
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn collect(path: &Path, except: &[PathBuf], files: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.insert(path.to_path_buf());
    } else if path.is_dir() {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let is_source = !NOT_SOURCES.iter().any(|name| entry.file_name() == *name);
            if is_source && !except.contains(&entry.path()) {
                collect(&entry.path(), except, files)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Fingerprint, Stamp};
    use crate::{project::Project, scratch::Scratch};

    fn stamp(project: &Project) -> Stamp {
        let sources = Fingerprint::default().fact("v1").sources_without(project, "src", &["src/tests"]);
        sources.unwrap().finish(project, "thing")
    }

    #[test]
    fn a_changed_new_or_removed_source_is_noticed_and_a_built_one_is_not() {
        let scratch = Scratch::new("fingerprint");
        let project = Project::at(scratch.path());
        scratch.write("src/a.rs", "one");
        scratch.write("out", "");
        let outputs = [project.path("out")];

        assert!(!stamp(&project).is_current(&outputs), "never recorded");
        stamp(&project).record().unwrap();
        assert!(stamp(&project).is_current(&outputs));
        assert!(!stamp(&project).is_current(&[project.path("missing")]));

        scratch.write("src/node_modules/x.js", "installed");
        scratch.write("src/tests/x.rs", "left out");
        assert!(stamp(&project).is_current(&outputs));
        scratch.write("src/b/c.rs", "new");
        assert!(!stamp(&project).is_current(&outputs));
        stamp(&project).record().unwrap();
        scratch.write("src/a.rs", "two");
        assert!(!stamp(&project).is_current(&outputs));
    }

    #[test]
    fn an_invalidated_stamp_is_not_current() {
        let scratch = Scratch::new("fingerprint-invalid");
        let project = Project::at(scratch.path());
        let stamp = stamp(&project);
        stamp.invalidate().unwrap();
        stamp.record().unwrap();
        assert!(stamp.is_current(&[]));
        stamp.invalidate().unwrap();
        assert!(!stamp.is_current(&[]));
    }
}
