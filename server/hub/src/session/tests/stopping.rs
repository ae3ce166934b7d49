//! A stop of the hub: calls in flight end first, within the deadline.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_stop_past_its_deadline_cuts_a_close_short() {
    let client = Client::connect(Builder::open(), 64).await;
    client.hub.publish_raw(&a(), Payload::bytes(vec![0; 1000])).unwrap();
    client.hub.shutdown(Duration::from_secs(2)).await;
    client.session.await.unwrap();
    assert_eq!(client.start.elapsed().as_secs(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_calls_in_flight_and_leaves_new_commands_to_the_next_connection() {
    let finish = Arc::new(tokio::sync::Notify::new());
    let hub = {
        let finish = Arc::clone(&finish);
        Builder::open().call_any("slow".parse().unwrap(), move |_, call| {
            let finish = Arc::clone(&finish);
            async move {
                finish.notified().await;
                Ok(call.payload)
            }
        })
    };
    let mut client = Client::connect(hub, 1024).await;
    let stop = call_and_stop(&mut client, "slow", 30).await;
    tokio::task::yield_now().await;
    let publish =
        |key: &str| Request::Publish(Publish { channel: a(), payload: Payload::json("1"), key: key.into() });
    // The client sends it again after the reconnect, because of its key.
    client.send(publish("k")).await;
    // Nobody sends this one again.
    client.send(publish("")).await;
    expect_unavailable(&mut client).await;
    assert_eq!(client.start.elapsed(), Duration::ZERO);
    finish.notify_one();
    assert!(matches!(
        client.frame().await,
        ServerFrame::Reply(Reply { result: Ok(ReplyBody::Called(_)), .. })
    ));
    assert!(matches!(client.frame().await, ServerFrame::Push(Push::Disconnect(_))));
    assert_eq!(client.close_code().await, 3000);
    drop(client);
    stop.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_a_call_no_longer_than_its_deadline_and_says_good_bye() {
    let hub = Builder::open().call_any("never".parse().unwrap(), |_, _| std::future::pending());
    let mut client = Client::connect(hub, 1024).await;
    let stop = call_and_stop(&mut client, "never", 10).await;
    assert!(matches!(client.frame().await, ServerFrame::Push(Push::Disconnect(_))));
    assert_eq!(client.close_code().await, 3000);
    assert_eq!(client.elapsed(), Duration::from_secs(9));
    drop(client);
    stop.await.unwrap();
}

wirehub_common::contract! {
    contract Streams = "streams";
    stream Watch = "watch": fn(u32) -> u32;
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_streams_at_once_and_says_that_they_may_begin_again() {
    let hub = Builder::open()
        .contract::<Streams>()
        .call_stream(Watch, async |_, _| Ok(futures_util::stream::pending()));
    let mut client = Client::connect(hub, 1024).await;
    let stop = call_and_stop(&mut client, "watch", 10).await;
    expect_unavailable(&mut client).await;
    assert!(matches!(client.frame().await, ServerFrame::Push(Push::Disconnect(_))));
    assert_eq!(client.close_code().await, 3000);
    assert_eq!(client.start.elapsed(), Duration::ZERO);
    drop(client);
    stop.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_cancelled_does_not_hold_a_stop_up() {
    let hub = Builder::open().call_any("never".parse().unwrap(), |_, _| std::future::pending());
    let mut client = Client::connect(hub, 1024).await;
    let stop = call_and_stop(&mut client, "never", 10).await;
    tokio::task::yield_now().await;
    client.send(Request::Cancel(Cancel { command: 1 })).await;
    let frames = [client.frame().await, client.frame().await, client.frame().await];
    assert!(frames.iter().any(|frame| matches!(frame, ServerFrame::Push(Push::Disconnect(_)))), "{frames:?}");
    assert_eq!(client.close_code().await, 3000);
    assert_eq!(client.start.elapsed(), Duration::ZERO);
    drop(client);
    stop.await.unwrap();
}

/// Calls a procedure, and begins a stop with a deadline of that many seconds.
async fn call_and_stop(client: &mut Client, name: &str, deadline: u64) -> JoinHandle<()> {
    let call = Call { name: name.into(), payload: Payload::json("1"), key: String::new() };
    client.send(Request::Call(call)).await;
    tokio::task::yield_now().await;
    let hub = client.hub.clone();
    tokio::spawn(async move { hub.shutdown(Duration::from_secs(deadline)).await })
}

async fn expect_unavailable(client: &mut Client) {
    let ServerFrame::Reply(Reply { result: Err(error), .. }) = client.frame().await else {
        panic!("no error")
    };
    assert_eq!((error.code, error.temporary), (ErrorCode::UNAVAILABLE, true));
}
