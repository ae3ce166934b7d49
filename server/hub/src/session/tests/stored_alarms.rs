//! Alarms at an engine with records.

use wirehub_common::frame::{Acknowledge, Alarm as AlarmFrame};

use super::*;
use crate::alarm::{AlarmError, AlarmProgress, AlarmReport, AlarmState};
use crate::engine::storing::{StoreMode, StoringEngine};
use crate::engine::{Record, RecordKind};
use crate::unix_time::milliseconds;

/// A hub whose clients are the users that their tokens name. It has what an earlier hub with this engine has stored.
pub(super) fn hub_of(engine: &StoringEngine) -> Hub {
    with_users(Builder::open()).engine(engine.restarted()).build()
}

pub(super) fn with_users(builder: Builder) -> Builder {
    builder.authenticate(async |credentials| {
        Ok(match &*credentials.token {
            "" => Authenticated::anonymous(),
            user => Authenticated::user(user),
        })
    })
}

impl Client {
    pub(super) async fn connect_as(hub: &Hub, user: &str, instance: &str) -> Self {
        let mut client = Self::open_at(hub.clone(), 1 << 20).await;
        let (token, instance) = (user.into(), instance.into());
        client.send(Request::Connect(Connect { token, instance, ..Connect::default() })).await;
        let reply = client.frame().await;
        assert!(matches!(&reply, ServerFrame::Reply(Reply { result: Ok(_), .. })), "{reply:?}");
        client
    }

    pub(super) async fn acknowledge(&mut self, alarm: &str, received_only: bool) {
        self.send(Request::Acknowledge(Acknowledge { alarm: alarm.into(), received_only })).await;
    }

    /// The next frame; `None` if there is none for a second.
    pub(super) async fn next_frame(&mut self) -> Option<ServerFrame> {
        tokio::time::timeout(Duration::from_secs(1), self.frame()).await.ok()
    }

    pub(super) async fn alarm(&mut self) -> Option<AlarmFrame> {
        self.next_frame().await.map(|frame| match frame {
            ServerFrame::Push(Push::Alarm(alarm)) => *alarm,
            other => panic!("{other:?}"),
        })
    }

    pub(super) async fn result(&mut self) -> Option<Result<ReplyBody, ErrorInfo>> {
        self.next_frame().await.map(|frame| match frame {
            ServerFrame::Reply(reply) => reply.result,
            other => panic!("{other:?}"),
        })
    }
}

pub(super) fn fire() -> Alarm {
    Alarm::raw(a(), Payload::json("3"))
}

/// Everything in a report, to the millisecond.
fn content(report: AlarmReport) -> String {
    let AlarmReport { id, channel, payload, raised, ttl, state, recipients, .. } = report;
    let recipients: Vec<_> = recipients
        .iter()
        .map(|each| format!("{} {} {}", each.user, each.progress.as_str(), milliseconds(each.since)))
        .collect();
    let AlarmReport { waiting, sent, received, acknowledged, departed, unlisted, .. } = report;
    format!(
        "{id} {channel} {payload:?} {} {ttl:?} {state:?} {:?} {recipients:?}",
        milliseconds(raised),
        [waiting, sent, received, acknowledged, departed, unlisted]
    )
}

#[tokio::test(start_paused = true)]
async fn an_alarm_outlives_a_restart_with_its_ledger() {
    for mode in [StoreMode::AtOnce, StoreMode::Later] {
        let engine = StoringEngine::default();
        engine.set_mode(mode);
        let hub = hub_of(&engine);
        let ours = hub.raise(fire().for_users(["ann", "bob", "eve"])).await.unwrap();
        for (user, received_only) in [("ann", false), ("bob", true)] {
            let mut client = Client::connect_as(&hub, user, "").await;
            assert_eq!(client.alarm().await.unwrap().id, ours);
            client.acknowledge(&ours, received_only).await;
            assert_eq!(client.result().await, Some(Ok(ReplyBody::Acknowledged)));
        }
        let all = hub.raise(fire().ttl(Duration::from_secs(60))).await.unwrap();
        let mut anonymous = Client::connect_as(&hub, "", "secret").await;
        assert_eq!(anonymous.alarm().await.unwrap().id, all);
        anonymous.acknowledge(&all, false).await;
        assert_eq!(anonymous.result().await, Some(Ok(ReplyBody::Acknowledged)));

        let before = content(hub.alarm(&ours).unwrap());
        let after = hub_of(&engine);
        tokio::task::yield_now().await;
        after.restored().await.unwrap();
        assert_eq!(content(after.alarm(&ours).unwrap()), before);
        let of_all = after.alarm(&all).unwrap();
        assert_eq!((of_all.acknowledged, of_all.recipients.len()), (1, 1));
        assert_eq!(after.alarms().iter().map(|alarm| &alarm.id).collect::<Vec<_>>(), [&all, &ours]);
        for (user, instance, expected) in [
            ("ann", "", &[&all][..]),
            ("bob", "", &[&ours, &all]),
            ("eve", "", &[&ours, &all]),
            ("", "secret", &[]),
            ("", "", &[&all]),
        ] {
            let mut client = Client::connect_as(&after, user, instance).await;
            let mut active = Vec::new();
            while let Some(alarm) = client.alarm().await {
                // A client may still show what it has acknowledged: that is withdrawn.
                if !alarm.withdrawn {
                    assert!(alarm.ttl > Duration::from_secs(50), "{:?}", alarm.ttl);
                    active.push(alarm.id);
                }
            }
            assert_eq!(active.iter().collect::<Vec<_>>(), expected, "{user}{instance}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_alarm_does_not_come_back_after_a_restart() {
    let engine = StoringEngine::default();
    let hub = hub_of(&engine);
    let id = hub.raise(fire().for_users(["ann", "bob"])).await.unwrap();
    let mut ann = Client::connect_as(&hub, "ann", "").await;
    assert!(ann.alarm().await.is_some());
    ann.acknowledge(&id, true).await;
    assert_eq!(ann.result().await, Some(Ok(ReplyBody::Acknowledged)));
    assert!(hub.withdraw(&id).await.unwrap());
    assert!(!hub.withdraw(&id).await.unwrap());
    let after = hub_of(&engine);
    assert_eq!(after.alarm(&id).unwrap().state, AlarmState::Withdrawn);
    assert!(Client::connect_as(&after, "ann", "").await.alarm().await.unwrap().withdrawn);
    assert_eq!(Client::connect_as(&after, "bob", "").await.alarm().await, None);
}

#[tokio::test(start_paused = true)]
async fn raising_withdrawing_and_replies_wait_for_the_store() {
    let engine = StoringEngine::default();
    let hub = hub_of(&engine);
    let mut client = Client::connect_as(&hub, "ann", "").await;
    let mut other = Client::connect_as(&hub, "ann", "").await;
    engine.set_mode(StoreMode::Held);
    let mut raising = Box::pin(hub.raise(fire()));
    assert!(raising.as_mut().now_or_never().is_none());
    assert_eq!((client.alarm().await, hub.alarms().len()), (None, 0), "it is not sent yet");
    engine.set_mode(StoreMode::AtOnce);
    let id = raising.await.unwrap();
    let alarm = client.alarm().await.unwrap();
    assert_eq!((alarm.id, alarm.ttl), (id.clone(), Duration::from_secs(3600)));
    assert_eq!(other.alarm().await.unwrap().id, id);

    engine.set_mode(StoreMode::Held);
    client.acknowledge(&id, false).await;
    assert_eq!(client.result().await, None);
    assert_eq!(hub.alarm(&id).unwrap().acknowledged, 0);
    other.acknowledge(&id, true).await;
    assert_eq!(other.result().await, None);
    engine.set_mode(StoreMode::AtOnce);
    assert_eq!(client.result().await, Some(Ok(ReplyBody::Acknowledged)));
    let mut frames = [other.next_frame().await.unwrap(), other.next_frame().await.unwrap()];
    frames.sort_by_key(|frame| matches!(frame, ServerFrame::Reply(_)));
    assert!(
        matches!(&frames, [ServerFrame::Push(Push::Alarm(alarm)), ServerFrame::Reply(_)] if alarm.withdrawn)
    );
    let progress = |hub: &Hub| hub.alarm(&id).unwrap().recipients[0].progress;
    assert_eq!(progress(&hub), AlarmProgress::Acknowledged);
    assert_eq!(progress(&hub_of(&engine)), AlarmProgress::Acknowledged, "a receipt does not take it back");

    engine.set_mode(StoreMode::Held);
    let mut withdrawing = Box::pin(hub.withdraw(&id));
    assert!(withdrawing.as_mut().now_or_never().is_none());
    assert_eq!((client.alarm().await, hub.alarm(&id).unwrap().state), (None, AlarmState::Active));
    engine.set_mode(StoreMode::AtOnce);
    assert!(withdrawing.await.unwrap());
    assert!(client.alarm().await.unwrap().withdrawn);
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_is_carried_out_even_if_nobody_waits_for_it() {
    let engine = StoringEngine::default();
    let hub = hub_of(&engine);
    engine.set_mode(StoreMode::Held);
    assert!(Box::pin(hub.raise(fire())).now_or_never().is_none());
    engine.set_mode(StoreMode::AtOnce);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let id = hub.alarms().pop().unwrap().id;
    let mut client = Client::connect_as(&hub, "ann", "").await;
    assert!(client.alarm().await.is_some());
    engine.set_mode(StoreMode::Held);
    client.acknowledge(&id, false).await;
    assert_eq!(client.result().await, None);
    drop(client);
    tokio::time::sleep(Duration::from_secs(60)).await;
    engine.set_mode(StoreMode::AtOnce);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(hub.alarm(&id).unwrap().acknowledged, 1);
    engine.set_mode(StoreMode::Held);
    assert!(Box::pin(hub.withdraw(&id)).now_or_never().is_none());
    engine.set_mode(StoreMode::AtOnce);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(hub.alarm(&id).unwrap().state, AlarmState::Withdrawn);
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_is_an_error_of_the_request_and_changes_nothing() {
    let engine = StoringEngine::default();
    let hub = hub_of(&engine);
    let id = hub.raise(fire()).await.unwrap();
    let mut client = Client::connect_as(&hub, "ann", "").await;
    assert!(client.alarm().await.is_some());
    // It fails at once, and later after the change has been stored.
    for begins in [StoreMode::Failing, StoreMode::Held] {
        let fail = || async {
            tokio::task::yield_now().await;
            engine.set_mode(StoreMode::Failing);
        };
        engine.set_mode(begins);
        let (raised, ()) = tokio::join!(hub.raise(fire()), fail());
        assert!(matches!(raised, Err(AlarmError::Engine(_))), "{raised:?}");
        engine.set_mode(begins);
        let (withdrawn, ()) = tokio::join!(hub.withdraw(&id), fail());
        assert!(withdrawn.is_err());
        engine.set_mode(begins);
        client.acknowledge(&id, false).await;
        assert_eq!(client.result().await.is_none(), begins == StoreMode::Held);
        engine.set_mode(StoreMode::Failing);
        if begins == StoreMode::Held {
            let Some(Err(error)) = client.result().await else { panic!("no error") };
            assert_eq!((error.code, error.temporary), (ErrorCode::UNAVAILABLE, true));
        }
        let [report] = &hub.alarms()[..] else { panic!("the other one was not raised") };
        assert_eq!((&report.id, report.state, report.acknowledged), (&id, AlarmState::Active, 0));
    }
    engine.set_mode(StoreMode::AtOnce);
    client.acknowledge(&id, false).await;
    assert_eq!(client.result().await, Some(Ok(ReplyBody::Acknowledged)));
    assert!(hub.raise(fire()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn alarms_that_are_loaded_later_reach_the_sessions_that_are_there() {
    let engine = StoringEngine::default();
    let before = hub_of(&engine);
    let id = before.raise(fire()).await.unwrap();
    // The first try fails.
    engine.set_mode(StoreMode::Failing);
    let hub = hub_of(&engine);
    let mut client = Client::connect_as(&hub, "ann", "").await;
    assert_eq!(hub.missing(), ["engine".into()]);
    assert_eq!(client.alarm().await, None);
    client.acknowledge(&id, false).await;
    engine.set_mode(StoreMode::AtOnce);
    tokio::time::sleep(Duration::from_secs(5)).await;
    // Answers overtake alarms in a turn.
    let mut frames = [client.frame().await, client.frame().await];
    frames.sort_by_key(|frame| matches!(frame, ServerFrame::Reply(_)));
    let [ServerFrame::Push(Push::Alarm(alarm)), ServerFrame::Reply(reply)] = frames else {
        panic!("{frames:?}")
    };
    assert_eq!((alarm.id, reply.result), (id, Ok(ReplyBody::Acknowledged)));
    assert!(hub.missing().is_empty());
}

#[test]
fn without_a_runtime_the_first_session_begins_to_load() {
    let engine = StoringEngine::default();
    engine.set_mode(StoreMode::Later);
    let hub = hub_of(&engine);
    assert!(!hub.is_restored());
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut client = Client::connect_as(&hub, "ann", "").await;
        let id = hub.raise(fire()).await.unwrap();
        assert_eq!(client.alarm().await.unwrap().id, id);
        assert!(hub.is_restored());
    });
}

#[tokio::test(start_paused = true)]
async fn records_go_with_their_ledgers() {
    let engine = StoringEngine::default();
    let hub = hub_of(&engine);
    let ttl = Duration::from_secs(60);
    let id = hub.raise(fire().ttl(ttl)).await.unwrap();
    let mut client = Client::connect_as(&hub, "ann", "").await;
    assert!(client.alarm().await.is_some());
    client.acknowledge(&id, false).await;
    assert_eq!(client.result().await, Some(Ok(ReplyBody::Acknowledged)));
    let mut anonymous = Client::connect_as(&hub, "", "").await;
    assert!(anonymous.alarm().await.is_some());
    anonymous.acknowledge(&id, false).await;
    assert_eq!(anonymous.result().await, Some(Ok(ReplyBody::Acknowledged)));
    // No client can come back as the anonymous session.
    let keys = || engine.stored(RecordKind::Alarm).into_iter().map(|record| record.key).collect::<Vec<_>>();
    let key: Bytes = id.clone().into();
    assert_eq!(keys(), [key.clone(), [id.as_bytes(), b"\0uann"].concat().into()]);
    tokio::time::sleep(ttl + Duration::from_secs(3600 + 60)).await;
    assert_eq!(keys(), [key], "the recipients are forgotten");
    let report = hub_of(&engine).alarm(&id).unwrap();
    assert_eq!((report.acknowledged, report.departed, report.recipients.len()), (2, 2, 0));
    for _ in 0..1000 {
        hub.raise(fire()).await.unwrap();
    }
    assert!(!keys().contains(&id.into()), "it made room for a new one");
    assert_eq!(keys().len(), 1000);
    assert_eq!(hub_of(&engine).alarms().len(), 1000);
}

#[tokio::test(start_paused = true)]
async fn damaged_records_are_skipped() {
    let engine = StoringEngine::default();
    let hub = hub_of(&engine);
    let id = hub.raise(fire().for_users(["ann", "bob"])).await.unwrap();
    let mut client = Client::connect_as(&hub, "ann", "").await;
    assert!(client.alarm().await.is_some());
    client.acknowledge(&id, false).await;
    assert_eq!(client.result().await, Some(Ok(ReplyBody::Acknowledged)));
    let sound = engine.stored(RecordKind::Alarm);
    for (number, record) in sound.iter().enumerate() {
        for length in 0..record.value.len() {
            engine.overwrite(Record { value: record.value.slice(..length), ..record.clone() });
            let hub = hub_of(&engine);
            if number > 0 {
                assert_eq!(hub.alarm(&id).unwrap().waiting, 2, "the progress alone is lost");
            }
        }
        for at in 0..record.value.len() {
            let mut value = record.value.to_vec();
            value[at] ^= 0xff;
            engine.overwrite(Record { value: value.into(), ..record.clone() });
            hub_of(&engine);
        }
        engine.overwrite(record.clone());
    }
    for key in
        [&b""[..], b"\0", b"\0uann", b"\xff", b"x\0", b"x\0u\xff", b"x\0c1", b"x\0c\0\0\0\0\0\0\0\0", b"x\0?"]
    {
        engine.overwrite(Record { key: Bytes::from_static(key), ..sound[0].clone() });
    }
    assert_eq!(content(hub_of(&engine).alarm(&id).unwrap()), content(hub.alarm(&id).unwrap()));
    assert_eq!(hub_of(&engine).alarms().len(), 1);
}
