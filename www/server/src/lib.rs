//! The demo page's server: a hub with the demo's contract, its calls and its stream. It is the reference example of a
//! typed server.
//!
//! ```no_run
//! use wirehub_server::{Listener, run, router};
//!
//! # async fn demo() -> Result<(), wirehub_server::Error> {
//! let hub = wirehub_demo::builder().build();
//! let listener = Listener::bind(&"127.0.0.1:8080".parse()?).await?;
//! run(listener, hub.clone(), router(&hub), std::future::pending()).await;
//! # Ok(())
//! # }
//! ```

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::time::MissedTickBehavior;
use wirehub_demo_contract::{
    ChatRoom, Demo, Echo, EchoResponse, RoomInfo, Rooms, RoomsResponse, Tick, Ticks, TicksRequest,
};
use wirehub_server::call::CallError;
use wirehub_server::namespace::{History, Namespace};
use wirehub_server::{Builder, Hub};

/// The error code for a period that is not supported.
pub const NO_SUCH_PERIOD: u16 = 1000;

/// The allowed periods of the clock, in milliseconds.
const PERIODS: RangeInclusive<u32> = 20..=60_000;

/// A hub with the demo's contract. It answers its calls, and keeps the messages of the last hour.
pub fn builder() -> Builder {
    Hub::builder()
        .contract::<Demo>()
        .namespace("chat", Namespace::default().history(History::new(100, Duration::from_secs(3600))))
        .call(Echo, async |_, request| Ok(EchoResponse { text: request.text }))
        .call(Rooms, async |context, _| Ok(RoomsResponse { rooms: rooms(context.hub()) }))
        .call_stream(Ticks, async |_, request| Ok(ticks(period(&request)?)))
}

/// The rooms with members, in alphabetical order.
fn rooms(hub: &Hub) -> Vec<RoomInfo> {
    let mut rooms: Vec<_> = hub
        .local_channels()
        .into_iter()
        .filter_map(|(channel, people)| {
            let room = ChatRoom::parse(&channel)?;
            Some(RoomInfo { name: room.room().into(), people: u32::try_from(people).unwrap_or(u32::MAX) })
        })
        .collect();
    rooms.sort_by(|a, b| a.name.cmp(&b.name));
    rooms
}

fn period(request: &TicksRequest) -> Result<Duration, CallError> {
    if PERIODS.contains(&request.every) {
        return Ok(Duration::from_millis(request.every.into()));
    }
    let (least, most) = PERIODS.into_inner();
    Err(CallError::application::<NO_SUCH_PERIOD>(format!("use a period of {least} to {most} ms")))
}

/// Ticks until it is dropped. It is polled as fast as the client receives the ticks. A tick that can't be sent in time
/// is skipped, and the next one is late.
fn ticks(period: Duration) -> impl Stream<Item = Result<Tick, CallError>> + Send {
    let mut clock = tokio::time::interval(period);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    stream::unfold((clock, 1_u32), async |(mut clock, number)| {
        let due = clock.tick().await;
        let late = due.elapsed().as_secs_f64() * 1000.0;
        Some((Ok(Tick { number, late }), (clock, number.saturating_add(1))))
    })
}
