//! A view of the readable part of a storage, for a check or a repair.
//!
//! The storage changes its files when it opens them: it cuts journals, writes tables, and removes files that it does not know. So
//! it opens a folder of its own, with copies of the journals and of the lists of tables, and with links to the tables, which are
//! never changed in place. Everything that would keep the storage from opening is left out of the view.

use std::cell::OnceCell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::check::{Problem, options};
use crate::directory::{Directory, remove_folder};
use crate::error::{DiskError, DiskErrorKind};
use crate::journal::{self, End};
use crate::layout::{self, List};
use crate::store::Store;

/// The readable part of a storage.
pub(crate) struct View {
    pub(crate) store: Store,
    /// The damaged or missing files.
    pub(crate) problems: Vec<Problem>,
    /// The incomplete end of a journal, in which nothing was acknowledged.
    pub(crate) notes: Vec<Problem>,
    /// `true` if any channel may have lost something.
    pub(crate) has_lost: bool,
    _scratch: Scratch,
}

impl View {
    pub(crate) fn open(directory: &Directory) -> Result<Self, DiskError> {
        let source = directory.store();
        let scratch = Scratch(directory.scratch()?);
        let mut building = Building {
            source: &source,
            scratch: &scratch.0,
            blank: OnceCell::new(),
            problems: Vec::new(),
            notes: Vec::new(),
            has_lost: false,
        };
        let folder = scratch.0.join("store");
        let questionable = building.fill(&folder, &[])?;
        let store = match Store::create(&folder, &options()) {
            // The storage can't open one of the damaged tables.
            Err(error) if error.kind() == DiskErrorKind::Corrupt && !questionable.is_empty() => {
                remove_folder(&folder)?;
                (building.problems, building.notes) = (Vec::new(), Vec::new());
                building.fill(&folder, &questionable)?;
                Store::create(&folder, &options())
            }
            store => store,
        };
        let store = store.map_err(|error| beyond_repair(&source, error))?.shown_as(&source);
        let Building { problems, notes, has_lost, .. } = building;
        Ok(Self { store, problems, notes, has_lost, _scratch: scratch })
    }
}

struct Building<'a> {
    source: &'a Path,
    scratch: &'a Path,
    /// An empty storage.
    blank: OnceCell<PathBuf>,
    problems: Vec<Problem>,
    notes: Vec<Problem>,
    has_lost: bool,
}

impl Building<'_> {
    /// Fills the folder of the view. Some keyspaces are left empty. Returns those with damaged tables.
    fn fill(&mut self, folder: &Path, without: &[usize]) -> Result<Vec<usize>, DiskError> {
        create(folder)?;
        let version = layout::check_version(self.source);
        self.note(version)?;
        for (name, content) in [("version", layout::VERSION.as_slice()), ("lock", &[])] {
            let path = folder.join(name);
            fs::write(&path, content).map_err(|error| DiskError::io(&path, error))?;
        }
        let mut questionable = Vec::new();
        for keyspace in layout::keyspaces() {
            let (from, to) = (layout::folder(self.source, keyspace), layout::folder(folder, keyspace));
            create(&to.join("tables"))?;
            let (list, is_damaged) = self.readable(&from)?;
            // Without the right names nothing is found.
            let is_unusable = without.contains(&keyspace) || (is_damaged && keyspace == layout::NAMES);
            let list = list.filter(|_| !is_unusable);
            match list {
                Some(list) => link(&from, &to, &list)?,
                None => {
                    self.has_lost |= keyspace != layout::NAMES;
                    let blank = layout::folder(self.blank()?, keyspace);
                    link(&blank, &to, &List::read(&blank)?)?;
                }
            }
            if is_damaged {
                questionable.push(keyspace);
            }
        }
        self.journals(folder)?;
        Ok(questionable)
    }

    /// The list of a keyspace if its files are there, and `true` if one of its tables is damaged.
    fn readable(&mut self, keyspace: &Path) -> Result<(Option<List>, bool), DiskError> {
        let list = List::read(keyspace);
        let Some(list) = self.note(list)? else { return Ok((None, false)) };
        let (mut is_missing, mut is_damaged) = (false, false);
        for table in &list.tables {
            let presence = table.check_presence();
            if self.note(presence)?.is_none() {
                is_missing = true;
                continue;
            }
            let content = table.verify();
            is_damaged |= self.note(content)?.is_none();
        }
        Ok(((!is_missing).then_some(list), is_damaged))
    }

    fn journals(&mut self, folder: &Path) -> Result<(), DiskError> {
        if self.note(journal::check_presence(self.source))?.is_none() {
            self.has_lost = true;
        }
        journal::for_each(self.source, |path, bytes, journal, end| {
            match end {
                End::Whole => {}
                End::Incomplete(offset) => self.notes.push(Problem {
                    path: path.to_owned(),
                    description: format!(
                        "the last batch is incomplete from byte {offset} on, and not part of the data"
                    ),
                }),
                End::Damaged(offset) => {
                    self.has_lost = true;
                    self.note::<()>(Err(journal::damaged(path, offset)))?;
                }
            }
            let readable = match end {
                End::Damaged(_) => journal::readable(bytes, &journal),
                _ => bytes
                    .get(..journal.batches.last().map_or(0, |last| last.end))
                    .unwrap_or_default()
                    .to_vec(),
            };
            let to = folder.join(path.file_name().unwrap_or_default());
            fs::write(&to, readable).map_err(|error| DiskError::io(&to, error))
        })
    }

    /// Damage becomes a problem; everything else stays an error.
    fn note<T>(&mut self, result: Result<T, DiskError>) -> Result<Option<T>, DiskError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == DiskErrorKind::Corrupt => {
                self.problems.push(Problem::from_error(self.source, &error));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn blank(&self) -> Result<&Path, DiskError> {
        if let Some(blank) = self.blank.get() {
            return Ok(blank);
        }
        let blank = self.scratch.join("blank");
        drop(Store::create(&blank, &options())?);
        Ok(self.blank.get_or_init(|| blank))
    }
}

/// Copies the list of a keyspace, and links its tables.
fn link(from: &Path, to: &Path, list: &List) -> Result<(), DiskError> {
    let current = from.join("current");
    for path in [&current, &list.path] {
        let target = to.join(path.file_name().unwrap_or_default());
        fs::copy(path, &target).map_err(|error| DiskError::io(path, error))?;
    }
    for table in &list.tables {
        let target = to.join("tables").join(table.path.file_name().unwrap_or_default());
        link_file(&table.path, &target).map_err(|error| DiskError::io(&table.path, error))?;
    }
    Ok(())
}

#[cfg(unix)]
fn link_file(from: &Path, to: &Path) -> io::Result<()> {
    // Also to another file system.
    std::os::unix::fs::symlink(fs::canonicalize(from)?, to)
}

#[cfg(not(unix))]
fn link_file(from: &Path, to: &Path) -> io::Result<()> {
    fs::hard_link(from, to).or_else(|_| fs::copy(from, to).map(drop))
}

fn create(folder: &Path) -> Result<(), DiskError> {
    fs::create_dir_all(folder).map_err(|error| DiskError::io(folder, error))
}

fn beyond_repair(path: &Path, error: DiskError) -> DiskError {
    if error.kind() != DiskErrorKind::Corrupt {
        return error;
    }
    let message = format!(
        "{}: this damage can't be repaired: restore a backup, or move the data directory away to begin with an empty one",
        path.display()
    );
    DiskError::corrupt(message).with(error)
}

/// A folder that is removed at the end.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove_folder(&self.0) {
            tracing::warn!(%error, "a temporary folder was left behind");
        }
    }
}
