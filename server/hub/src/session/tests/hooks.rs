//! Hooks: commands that wait for a decision of the application.

use super::*;
use crate::session::pending_answers::MAX_WAITING;

#[tokio::test(start_paused = true)]
async fn a_hook_that_hangs_fails_only_its_own_command() {
    let hub = Builder::open()
        .authorize_publish("b".parse().unwrap(), async |_, _| std::future::pending().await)
        .authorize_subscribe("b".parse().unwrap(), async |_, _| std::future::pending().await);
    let mut client = Client::connect(hub, 1024).await;
    let b = ChannelName::new("b").unwrap();
    let publish = |channel| Publish { channel, payload: Payload::json("1"), key: String::new() };
    client.send(Request::Publish(publish(b.clone()))).await;
    client.send(Request::Subscribe(Subscribe { channel: b, number: 1, position: None, history: 0 })).await;
    client.send(Request::Publish(publish(a()))).await;
    assert_eq!(client.frames().await.len(), 2, "the publication and the reply to it");
    assert_eq!(client.start.elapsed(), Duration::ZERO);
    for _ in 0..2 {
        let frames = client.frames().await;
        for frame in frames {
            let ServerFrame::Reply(reply) = frame else { panic!("{frame:?}") };
            assert_eq!(reply.result.unwrap_err().code, ErrorCode::UNAVAILABLE);
        }
        if client.start.elapsed() == Duration::from_secs(10) {
            return;
        }
    }
    panic!("it took {:?}", client.start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_kick_ends_a_subscription_that_is_being_decided_on() {
    let decide = Arc::new(tokio::sync::Notify::new());
    let hub = {
        let decide = Arc::clone(&decide);
        Builder::open().authenticate(async |_| Ok(Authenticated::user("ann"))).authorize_subscribe(
            "b".parse().unwrap(),
            move |_, _| {
                let decide = Arc::clone(&decide);
                async move {
                    decide.notified().await;
                    Ok(())
                }
            },
        )
    };
    let mut client = Client::connect(hub, 1024).await;
    let b = ChannelName::new("b").unwrap();
    client
        .send(Request::Subscribe(Subscribe { channel: b.clone(), number: 1, position: None, history: 0 }))
        .await;
    tokio::task::yield_now().await;
    let error = ErrorInfo::from_code(ErrorCode::PERMISSION_DENIED);
    assert_eq!(client.hub.unsubscribe_user("ann", &b, &error).await.unwrap(), 1);
    tokio::task::yield_now().await;
    decide.notify_one();
    let ServerFrame::Reply(reply) = client.frame().await else { panic!("no reply") };
    assert_eq!(reply.result, Err(error));
    assert_eq!(client.hub.local_subscribers(&b), 0);
}

#[tokio::test(start_paused = true)]
async fn lists_that_a_hook_allowed_are_made_when_there_is_room_for_them() {
    let allowed = Arc::new(Semaphore::new(1));
    let hub = {
        let allowed = Arc::clone(&allowed);
        Builder::open()
            .authenticate(async |_| Ok(Authenticated::user("ann").with_info(&"x".repeat(4000)).unwrap()))
            .default_namespace(Namespace::default().presence(Access::Everybody))
            .authorize_subscribe("a".parse().unwrap(), move |_, _| {
                let allowed = Arc::clone(&allowed);
                async move {
                    allowed.acquire().await.unwrap().forget();
                    Ok(())
                }
            })
    };
    let member = Client::connect(hub, 1 << 20).await;
    let mut reader = Client::open_at(member.hub.clone(), 256).await;
    reader.send(Request::Connect(Connect::default())).await;
    reader.frame().await;
    let presence = Request::Presence(Presence { channel: a(), counts_only: false, after: String::new() });
    let commands = CODEC.encode_command(&Command { id: 1, request: presence }).repeat(60);
    reader.socket.send(Message::Binary(commands.into())).await.unwrap();
    while allowed.available_permits() == 0 && member.hub.local_sessions() < 2 {
        tokio::task::yield_now().await;
    }
    allowed.add_permits(60);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let peers = member.hub.session_registry().all();
    let waiting = peers.iter().map(|peer| peer.mailbox.bytes()).max().unwrap();
    assert!((Limits::BATCH_BYTES..Limits::BATCH_BYTES + 10_000).contains(&waiting), "{waiting}");
    for _ in 0..60 {
        assert!(matches!(
            reader.frame().await,
            ServerFrame::Reply(Reply { result: Ok(ReplyBody::Presence(_)), .. })
        ));
    }
}

/// The most publications that were ever undecided, or accepted and waiting for a decision, at one moment: `bytes` each, from a
/// client that sends a hundred of them while nothing is decided.
async fn taken_while_undecided(bytes: usize, queue_bytes: usize) -> usize {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let hub = {
        let asked = Arc::clone(&asked);
        Builder::open().queue_bytes(queue_bytes).authorize_publish("b:*".parse().unwrap(), move |_, _| {
            asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            async { std::future::pending().await }
        })
    };
    let mut client = Client::connect(hub, 1 << 20).await;
    for number in 0..100 {
        let channel = ChannelName::new(&format!("b:{number}")).unwrap();
        let payload = Payload::bytes(vec![0; bytes]);
        client.send(Request::Publish(Publish { channel, payload, key: String::new() })).await;
    }
    // Less than the time after which a hook has failed.
    tokio::time::sleep(Duration::from_secs(5)).await;
    asked.load(std::sync::atomic::Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn a_session_with_many_undecided_commands_takes_no_more() {
    assert_eq!(taken_while_undecided(1, 1 << 20).await, MAX_WAITING);
}

#[tokio::test(start_paused = true)]
async fn a_session_with_large_undecided_commands_takes_no_more() {
    let taken = taken_while_undecided(1000, 10_000).await;
    assert!((10..13).contains(&taken), "{taken}");
}
