//! A hub with the engine on disk, across a restart.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use wirehub_common::{ChannelName, Payload};
use wirehub_disk::{DiskEngine, DiskOptions};
use wirehub_hub::Hub;
use wirehub_hub::alarm::{Alarm, AlarmState};
use wirehub_hub::namespace::{History, Namespace};

fn hub(folder: &Path) -> Hub {
    let kept = Namespace::open().history(History::new(100, Duration::from_secs(3600)));
    let engine = DiskEngine::open(folder, DiskOptions::default()).unwrap();
    Hub::builder().default_namespace(kept).engine(engine).build()
}

#[tokio::test]
async fn alarms_and_positions_are_the_same_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let news = ChannelName::new("news").unwrap();
    let first = hub(folder.path());
    let alarm =
        Alarm::raw(news.clone(), Payload::json("\"smoke\"")).for_users(["ann"]).ttl(Duration::from_secs(600));
    let id = first.raise(alarm.clone()).await.unwrap();
    let withdrawn = first.raise(alarm).await.unwrap();
    assert!(first.withdraw(&withdrawn).await.unwrap());
    let position = first.publish_raw(&news, Payload::json("1")).unwrap().await.unwrap().unwrap();
    first.shutdown(Duration::ZERO).await;
    // The directory belongs to the first hub until it is stopped.
    let second = hub(folder.path());
    let report = second.alarm(&id).unwrap();
    assert_eq!((report.waiting, &report.payload), (1, &Payload::json("\"smoke\"")));
    assert_eq!(second.alarm(&withdrawn).unwrap().state, AlarmState::Withdrawn);
    let next = second.publish_raw(&news, Payload::json("2")).unwrap().await.unwrap().unwrap();
    assert_eq!((next.offset, &next.epoch), (2, &position.epoch));
    let page = second.history(&news, Some(position), 10, false).await.unwrap().unwrap();
    assert_eq!(page.publications.len(), 1);
}
