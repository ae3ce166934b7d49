//! Backups by name.

use wirehub_hub::engine::{BackupError, BackupState, Backups};

use super::*;

impl Subject {
    /// Waits for the end of the newest backup.
    async fn backed_up(&self) -> BackupState {
        loop {
            match self.engine.latest().unwrap().state {
                BackupState::Running => tokio::task::yield_now().await,
                state => return state,
            }
        }
    }
}

#[tokio::test]
async fn a_backup_gets_a_folder_of_its_own_and_replaces_nothing() {
    let world = World::new();
    let folder = world.folder.path().join("backups");
    let world = world.with(|options| options.backups(&folder));
    let subject = world.open();
    subject.publish_with_key("a", "1", "key").await;
    assert_eq!(subject.engine.latest(), None);
    // Left behind by a killed process.
    std::fs::create_dir_all(folder.join(".incomplete/store")).unwrap();
    std::fs::write(folder.join(".incomplete/store/1"), "rest").unwrap();
    subject.engine.begin("one").unwrap();
    assert_eq!(subject.backed_up().await, BackupState::Done);
    subject.publish("a", "2").await;
    subject.engine.begin("one").unwrap();
    let BackupState::Failed(reason) = subject.backed_up().await else { panic!("it was replaced") };
    assert!(reason.contains("exists already"), "{reason}");
    for wrong in ["", "..", ".hidden", "a/b", "/a", "a\\b", "a b", &"x".repeat(101)] {
        assert_eq!(subject.engine.begin(wrong), Err(BackupError::Name), "{wrong}");
    }
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["one"], "nothing else is left there");
    let copy = Subject::open(&folder.join("one"), world.options.clone()).unwrap();
    assert_eq!(copy.history("a").await, [(1, "1".to_owned())]);
    assert_eq!(copy.publish_with_key("a", "repeat", "key").await.offset, 1);
}

#[tokio::test]
async fn a_backup_leaves_the_server_its_free_space() {
    let world = World::new();
    let folder = world.folder.path().join("backups");
    // Publishes are refused, too; reading goes on.
    let world = world.with(|options| options.backups(&folder).free_bytes(u64::MAX));
    let subject = world.open();
    subject.engine.begin("one").unwrap();
    let BackupState::Failed(reason) = subject.backed_up().await else { panic!("there is no room") };
    assert!(reason.contains("are free, and the backup needs"), "{reason}");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "nothing is left");
}

#[tokio::test]
async fn without_a_folder_for_them_there_are_no_backups() {
    assert!(World::new().open().engine.backups().is_none());
}

#[tokio::test]
async fn channels_that_are_made_during_a_backup_share_nothing_with_later_ones() {
    let world = World::new();
    let folder = world.folder.path().join("backups");
    let world = world.with(|options| options.backups(&folder));
    let subject = world.open();
    subject.publish("first", "1").await;
    subject.engine.begin("one").unwrap();
    let mut made = 0;
    while subject.engine.latest().unwrap().state == BackupState::Running {
        subject.publish(&format!("made:{made}"), &made.to_string()).await;
        made += 1;
    }
    assert_eq!(subject.backed_up().await, BackupState::Done);
    let copy = Subject::open(&folder.join("one"), world.options.clone()).unwrap();
    copy.publish("new", "new").await;
    for number in 0..made {
        let history = copy.history(&format!("made:{number}")).await;
        assert!(history.is_empty() || history == [(1, number.to_string())], "{number}: {history:?}");
    }
    assert_eq!(copy.history("new").await, [(1, "new".to_owned())]);
}
