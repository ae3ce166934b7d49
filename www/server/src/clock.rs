//! The server's clock, as a stream.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::time::MissedTickBehavior;
use wirehub_demo_contract::{Tick, TicksRequest};
use wirehub_server::call::CallError;

use crate::NO_SUCH_PERIOD;

/// The allowed periods, in milliseconds.
const PERIODS: RangeInclusive<u32> = 20..=60_000;

pub(crate) fn period(request: &TicksRequest) -> Result<Duration, CallError> {
    if PERIODS.contains(&request.every) {
        return Ok(Duration::from_millis(request.every.into()));
    }
    let (least, most) = PERIODS.into_inner();
    Err(CallError::application::<NO_SUCH_PERIOD>(format!("use a period of {least} to {most} ms")))
}

/// Ticks until it is dropped. It is polled as fast as the client receives the ticks. A tick that can't be sent in time
/// is skipped, and the next one is late.
pub(crate) fn ticks(period: Duration) -> impl Stream<Item = Result<Tick, CallError>> + Send {
    let mut clock = tokio::time::interval(period);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    stream::unfold((clock, 1_u32), async |(mut clock, number)| {
        let due = clock.tick().await;
        let late = due.elapsed().as_secs_f64() * 1000.0;
        Some((Ok(Tick { number, late }), (clock, number.saturating_add(1))))
    })
}
