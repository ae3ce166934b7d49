//! The figures for `/metrics`.

use wirehub_hub::engine::{EngineMetric, EngineMetricValue};

use super::*;
use crate::Durability;

impl Subject {
    /// The present value of a figure.
    pub(super) fn figure(&self, name: &str) -> f64 {
        let metrics = self.engine.metrics();
        let metric = metrics.iter().find(|metric| metric.name == name).unwrap();
        match metric.value {
            EngineMetricValue::Counter(count) | EngineMetricValue::Gauge(count) => count as f64,
            EngineMetricValue::CounterOf(sum) | EngineMetricValue::GaugeOf(sum) => sum,
            _ => panic!("an unknown kind"),
        }
    }
}

#[tokio::test]
async fn the_work_of_the_writer_is_counted() {
    let subject = World::new().open();
    assert!(subject.engine.metrics().iter().all(EngineMetric::has_valid_name));
    for number in 0..3 {
        subject.publish("a", &number.to_string()).await;
        subject.publish("b", &number.to_string()).await;
    }
    assert_eq!(subject.figure("stored"), 6.0);
    assert!(subject.figure("batches") >= 6.0);
    assert!(subject.figure("syncs") >= 6.0);
    assert!(subject.figure("sync_seconds") > 0.0);
    assert_eq!(subject.figure("cached_channels"), 2.0);
    assert!(subject.figure("cached_bytes") > 0.0);
    assert!(subject.figure("free_bytes") > 0.0);
    for quiet in ["waiting_requests", "waiting_bytes", "refused", "damaged_channels"] {
        assert_eq!(subject.figure(quiet), 0.0, "{quiet}");
    }
    while subject.figure("disk_bytes") == 0.0 {
        subject.settle().await;
    }
}

#[tokio::test]
async fn data_that_a_loss_of_power_would_lose_is_shown() {
    let safe = World::new().open();
    safe.publish("a", "on the disk").await;
    assert_eq!((safe.figure("unsynced_bytes"), safe.figure("unsynced_seconds")), (0.0, 0.0));

    let world = World::new().with(|it| it.durability(Durability::Interval(Duration::from_secs(60))));
    let subject = world.open();
    subject.publish("a", &"x".repeat(1000)).await;
    let (bytes, seconds) = (subject.figure("unsynced_bytes"), subject.figure("unsynced_seconds"));
    assert!(bytes > 1000.0, "{bytes}");
    assert!(seconds > 0.0, "{seconds}");
    subject.publish("a", "y").await;
    assert!(subject.figure("unsynced_bytes") > bytes);
    assert!(subject.figure("unsynced_seconds") > seconds, "it is the age of the oldest one");

    let world = World::new().with(|it| it.durability(Durability::Interval(Duration::from_millis(1))));
    let subject = world.open();
    subject.publish("a", "x").await;
    while subject.figure("unsynced_bytes") > 0.0 {
        subject.settle().await;
    }
    assert!(subject.figure("syncs") > 0.0);
}

#[tokio::test]
async fn refused_requests_are_counted() {
    let world = World::new().with(|options| options.free_bytes(u64::MAX));
    let subject = world.open();
    for _ in 0..3 {
        subject.publishing("a", "x", "", HISTORY).await.unwrap_err();
    }
    assert_eq!(subject.figure("refused"), 3.0);
    // No request may wait.
    let world = World::new().with(|options| options.queue_requests(0));
    let subject = world.open();
    subject.publishing("a", "x", "", HISTORY).await.unwrap_err();
    assert_eq!(subject.figure("refused"), 1.0);
}
