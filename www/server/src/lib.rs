//! The demo page's server: a hub with the demo's contract and its two calls. It is the reference example of a typed
//! server.
//!
//! ```no_run
//! use wirehub_server::{Listener, run};
//!
//! # async fn demo() -> Result<(), wirehub_server::Error> {
//! let hub = wirehub_demo::builder().build();
//! let listener = Listener::bind(&"127.0.0.1:8080".parse()?).await?;
//! run(listener, hub.clone(), hub.router(), std::future::pending()).await;
//! # Ok(())
//! # }
//! ```

use std::time::Duration;

use wirehub_demo_contract::{ChatRoom, Demo, Echo, EchoResponse, RoomInfo, Rooms, RoomsResponse};
use wirehub_server::common::contract::Channel as _;
use wirehub_server::{Builder, History, Hub, Namespace};

/// A hub that speaks the demo's contract, answers its calls, and keeps what was said in the last hour.
pub fn builder() -> Builder {
    Hub::builder()
        .contract::<Demo>()
        .namespace("chat", Namespace::default().history(History::new(100, Duration::from_secs(3600))))
        .call::<Echo, _, _>(async |_, request| Ok(EchoResponse { text: request.text }))
        .call::<Rooms, _, _>(async |context, _| Ok(RoomsResponse { rooms: rooms(context.hub()) }))
}

/// The rooms with somebody in them, in alphabetical order.
fn rooms(hub: &Hub) -> Vec<RoomInfo> {
    let mut rooms: Vec<_> = hub
        .channels()
        .into_iter()
        .filter_map(|(channel, people)| {
            let room = ChatRoom::parse(&channel)?;
            Some(RoomInfo { name: room.room().into(), people: u32::try_from(people).unwrap_or(u32::MAX) })
        })
        .collect();
    rooms.sort_by(|a, b| a.name.cmp(&b.name));
    rooms
}
