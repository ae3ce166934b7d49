//! The contract of a hub also binds its own application.

use wirehub_common::frame::Connect;
use wirehub_common::{Payload, PayloadErrorKind};
use wirehub_server::SessionId;
use wirehub_server::alarm::{Alarm, AlarmError};
use wirehub_server::auth::Authenticated;

use crate::support::{CODECS, Client, Server, call, name, open_hub};

wirehub_common::contract! {
    contract Ours = "ours";
    /// Numbers.
    channel Numbers = "numbers": u32;
    /// Messages for a user.
    channel Own { user } = "@{user}": u32;
    /// Doubles a number.
    call Double = "double": fn(u32) -> u32;
    /// A call that is forwarded.
    call Passed = "passed.on": fn(u32) -> u32;
}

wirehub_common::contract! {
    contract Others = "others";
    /// Texts in place of numbers.
    channel Texts = "numbers": String;
    /// A channel that the hub's contract lacks.
    channel More = "more": u32;
    /// A call with other types.
    call DoubleText = "double": fn(String) -> String;
    /// A call with another kind of response.
    stream Doubles = "double": fn(u32) -> u32;
    /// A call that the hub's contract lacks.
    call Triple = "triple": fn(u32) -> u32;
}

fn hub() -> wirehub_server::Builder {
    open_hub()
        .contract::<Ours>()
        .authenticate(async |credentials| Ok(Authenticated::user(credentials.token)))
        .call_any("*".parse().unwrap(), async |_, call| Ok(call.payload))
}

#[tokio::test]
async fn the_application_publishes_only_what_the_contract_allows() {
    let server = Server::start(hub().build()).await;
    let hub = &server.hub;
    let kind =
        |result: Result<_, wirehub_common::PayloadError>| result.map(drop).err().map(|error| error.kind());
    let decode = Some(PayloadErrorKind::Decode);
    let channel = Some(PayloadErrorKind::Channel);
    assert_eq!(kind(hub.publish(&Numbers::new(), &1)), None);
    assert_eq!(kind(hub.publish(&Texts::new(), &"one".into())), decode);
    assert_eq!(kind(hub.publish(&More::new(), &1)), channel);
    assert_eq!(kind(hub.publish_raw(&name("numbers"), Payload::json("1"))), None);
    assert_eq!(kind(hub.publish_raw(&name("numbers"), Payload::json("{}"))), decode);
    assert_eq!(kind(hub.publish_once(&name("more"), Payload::json("1"), "key")), channel);
    assert_eq!(kind(hub.send_to_user("ann", Payload::json("1"))), None);
    assert_eq!(kind(hub.send_to_user("ann", Payload::json("{}"))), decode);
    for channel in [name("more"), Numbers::new().name().clone()] {
        let alarm = Alarm::raw(channel, Payload::json("{}"));
        assert!(matches!(hub.raise(alarm).await, Err(AlarmError::Payload(_))));
    }
    let nobody = Alarm::raw(name("numbers"), Payload::json("1")).for_users([] as [&str; 0]);
    assert!(matches!(hub.raise(nobody).await, Err(AlarmError::Nobody)));
    let unnamed = Alarm::raw(name("numbers"), Payload::json("1")).for_users(["ann", ""]);
    assert!(matches!(hub.raise(unnamed).await, Err(AlarmError::User(_))));
    hub.broadcast(Payload::json("{}")).await.unwrap();
}

#[tokio::test]
async fn the_application_subscribes_sessions_only_to_channels_of_the_contract() {
    let server = Server::start(hub().build()).await;
    for codec in CODECS {
        let mut client = Client::open(&server, codec).await;
        let connect = Connect { token: "ann".into(), ..Connect::default() };
        let session: SessionId = client.connected(connect).await.session.parse().unwrap();
        assert!(!server.hub.subscribe_session(session, &name("more")).await.unwrap());
        assert!(server.hub.subscribe_session(session, &name("numbers")).await.unwrap());
        assert_eq!(client.error(call("passed.on", Payload::json("{}"))).await, 114);
        assert_eq!(client.error(call("triple", Payload::json("1"))).await, 104, "whatever pattern fits");
        client.ok(call("passed.on", Payload::json("1"))).await;
    }
}

#[test]
fn a_handler_outside_of_the_contract_is_refused_when_the_hub_is_built() {
    let error = |builder: wirehub_server::Builder| builder.try_build().err().map(|error| error.to_string());
    assert_eq!(error(hub().call(Double, async |_, number| Ok(number))), None);
    for (refused, words) in [
        (error(hub().call(Triple, async |_, number| Ok(number))), "triple"),
        (error(hub().call(DoubleText, async |_, text| Ok(text))), "double"),
        (
            error(hub().call_stream(Doubles, async |_, number| Ok(futures_util::stream::iter([Ok(number)])))),
            "double",
        ),
    ] {
        let refused = refused.unwrap();
        assert!(refused.contains(words) && refused.contains("contract"), "{refused}");
    }
    // Without a contract everything is allowed. The contract may also be set after the handler.
    assert_eq!(error(open_hub().call(Triple, async |_, number| Ok(number))), None);
    let late = open_hub().call(Double, async |_, number| Ok(number)).contract::<Ours>();
    assert_eq!(error(late), None);
    assert_eq!(Ours::NAME, "ours");
}
