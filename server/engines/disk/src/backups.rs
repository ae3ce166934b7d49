//! Backups by name, in the folder that the options name.

use std::path::Path;
use std::sync::Arc;

use wirehub_hub::engine::{Backup, BackupError, BackupState, check_backup_name};

use crate::directory::{Directory, Purpose, remove_folder, sync_folder};
use crate::error::{DiskError, DiskErrorKind};
use crate::shared::Shared;

/// Begins a backup on a thread of its own.
pub(crate) fn begin(shared: &Arc<Shared>, folder: &Path, name: &str) -> Result<(), BackupError> {
    check_backup_name(name)?;
    let mut latest = shared.backup.lock();
    if latest.as_ref().is_some_and(|latest| latest.state == BackupState::Running) {
        return Err(BackupError::Busy);
    }
    let (of, folder, new) = (Arc::clone(shared), folder.to_owned(), name.to_owned());
    let work = move || {
        let made = std::panic::AssertUnwindSafe(|| make(&of, &folder, &new));
        let made = std::panic::catch_unwind(made).unwrap_or_else(|_| {
            Err(DiskError::new(DiskErrorKind::Unavailable, "the storage panicked: see the log"))
        });
        let state = match made {
            Ok(()) => {
                tracing::info!(backup = new, "the backup is complete");
                BackupState::Done
            }
            Err(error) => {
                tracing::error!(%error, backup = new, "the backup failed");
                BackupState::Failed(error.to_string())
            }
        };
        *of.backup.lock() = Some(Backup { name: new, state });
    };
    std::thread::Builder::new()
        .name("wirehub-disk-backup".into())
        .spawn(work)
        .map_err(|_| BackupError::System)?;
    *latest = Some(Backup { name: name.to_owned(), state: BackupState::Running });
    Ok(())
}

/// Makes a backup under another name, which a killed process may leave behind, and then gives it its own.
fn make(shared: &Shared, folder: &Path, name: &str) -> Result<(), DiskError> {
    std::fs::create_dir_all(folder).map_err(|error| DiskError::io(folder, error))?;
    let target = folder.join(name);
    if target.symlink_metadata().is_ok() {
        return Err(DiskError::new(
            DiskErrorKind::Refused,
            format!("{}: this exists already: use another name for each backup", target.display()),
        ));
    }
    let incomplete = folder.join(INCOMPLETE);
    if incomplete.exists() {
        if let Err(error) = Directory::open(&incomplete, Purpose::Use)
            && error.kind() == DiskErrorKind::InUse
        {
            return Err(error);
        }
        remove_folder(&incomplete)?;
    }
    let made = crate::copy::backup(shared, &incomplete).and_then(|()| {
        std::fs::rename(&incomplete, &target)
            .and_then(|()| sync_folder(folder))
            .map_err(|error| DiskError::io(&target, error))
    });
    if made.is_err() {
        // The first failure is the one to report.
        let _ = remove_folder(&incomplete);
    }
    made
}

/// The folder of a backup that is being made. No backup has a name that begins with a dot.
const INCOMPLETE: &str = ".incomplete";
