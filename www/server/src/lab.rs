//! The lab: the server as an adversary of its own clients.

use std::collections::HashMap;
use std::process;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior};
use wirehub_common::code::CloseCode;
use wirehub_demo_contract::{
    Cut, ExpireToken, Lab, LabMessage, Load, LoadRequest, LoadResponse, Nothing, Restart, RestartResponse,
    ServerFacts, ServerFactsResponse, codes,
};
use wirehub_server::call::{CallContext, CallError};
use wirehub_server::namespace::{Access, History, Namespace};
use wirehub_server::{Builder, Hub};

use crate::restart::RestartWish;
use crate::throttle::Throttle;
use crate::{is_running, now, now_whole, out_of_bounds, too_often, user};

/// The time for the answer of a call, before the server ends the connection.
const ANSWER: Duration = Duration::from_millis(100);

/// The most loads at once.
const LOADS: usize = 4;

/// The most runs whose numbers are remembered.
const RUNS: usize = 1_000;

struct Laboratory {
    started: u64,
    wish: Option<RestartWish>,
    restarts: Throttle<()>,
    runs: Mutex<HashMap<String, Run>>,
}

#[derive(Debug, Default)]
struct Run {
    /// The last number of the server.
    number: u32,
    is_running: bool,
}

/// Adds the lab to a hub. Without a wish no client can restart the server.
pub(crate) fn add(hub: Builder, wish: Option<RestartWish>) -> Builder {
    let history = History::new(20_000, Duration::from_secs(600)).with_bytes(32 * 1024 * 1024);
    let laboratory = Arc::new(Laboratory {
        started: now_whole(),
        wish,
        restarts: Throttle::new(Duration::from_secs(5), 1),
        runs: Mutex::default(),
    });
    hub.namespace("lab", Namespace::open().publish(Access::Users).history(history))
        .state(laboratory)
        .call(ServerFacts, facts)
        .call(Restart, restart)
        .call(Load, load)
        .call(ExpireToken, async |context, _| {
            user(&context)?;
            disturb(&context, Disturbance::TokenExpires);
            Ok(Nothing {})
        })
        .call(Cut, async |context, _| {
            disturb(&context, Disturbance::LineBreaks);
            Ok(Nothing {})
        })
}

fn laboratory(context: &CallContext) -> Result<Arc<Laboratory>, CallError> {
    Ok(Arc::clone(&*context.state::<Arc<Laboratory>>()?))
}

/// The way in which a session ends.
enum Disturbance {
    /// By a close with the code of expired tokens.
    TokenExpires,
    /// Without a close.
    LineBreaks,
}

/// Ends the session of a caller, after the answer.
fn disturb(context: &CallContext, disturbance: Disturbance) {
    let (hub, session) = (context.hub().clone(), context.session());
    tokio::spawn(async move {
        tokio::time::sleep(ANSWER).await;
        let ended = match disturbance {
            Disturbance::TokenExpires => {
                hub.disconnect(session, CloseCode::TOKEN_EXPIRED, "the lab has ended the token").await
            }
            Disturbance::LineBreaks => hub.abort_connection(session).await,
        };
        if let Err(error) = ended {
            tracing::debug!("a session of the lab is not ended: {error}");
        }
    });
}

async fn facts(context: CallContext, _: Nothing) -> Result<ServerFactsResponse, CallError> {
    let laboratory = laboratory(&context)?;
    let hub = context.hub();
    let counts = hub.counts();
    Ok(ServerFactsResponse {
        version: env!("CARGO_PKG_VERSION").into(),
        started: laboratory.started,
        process: process::id(),
        durable: hub.engine().records().is_some(),
        restart: laboratory.wish.is_some() && is_from_here(&context),
        sessions: u32::try_from(hub.local_sessions()).unwrap_or(u32::MAX),
        published: counts.publications,
        delivered: counts.deliveries,
        largest: crate::MESSAGE_BYTES,
    })
}

/// `true` for a client on this machine. The address of a client behind a trusted proxy is its own, and a proxy that is not trusted
/// is on another machine or was set up by the operator of this one.
fn is_from_here(context: &CallContext) -> bool {
    context.address().is_some_and(|address| address.is_loopback())
}

async fn restart(context: CallContext, _: Nothing) -> Result<RestartResponse, CallError> {
    let laboratory = laboratory(&context)?;
    let Some(wish) = laboratory.wish.clone().filter(|_| is_from_here(&context)) else {
        let words =
            "this server restarts only for clients on its own machine: run `wirehub serve --demo` on yours";
        return Err(CallError::application::<{ codes::NO_RESTART }>(words));
    };
    laboratory.restarts.check(&(), "the server was restarted a moment ago: wait a few seconds")?;
    tokio::spawn(async move {
        tokio::time::sleep(ANSWER).await;
        wish.make();
    });
    Ok(RestartResponse { after: u32::try_from(ANSWER.as_millis()).unwrap_or(u32::MAX) })
}

async fn load(context: CallContext, request: LoadRequest) -> Result<LoadResponse, CallError> {
    user(&context)?;
    let LoadRequest { run, messages, rate, filler } = request;
    let is_fine = (1..=100_000).contains(&messages) && (1..=10_000).contains(&rate) && filler <= 16_384;
    let channel = Lab::new(&run).ok().filter(|_| is_fine && run.len() <= 64);
    let Some(channel) = channel else {
        let words = "the load is out of bounds: use 1 to 100,000 messages, 1 to 10,000 a second, up to 16,384 characters more";
        return Err(out_of_bounds(words));
    };
    let laboratory = laboratory(&context)?;
    let first = laboratory.begin(&run, messages)?;
    let sender = format!("server-{}", laboratory.started);
    let response = LoadResponse { sender: sender.clone(), first };
    let hub = context.hub().clone();
    tokio::spawn(async move {
        let filler = "x".repeat(usize::try_from(filler).unwrap_or_default());
        send(&hub, &channel, (&sender, first, messages), rate, &filler).await;
        laboratory.end(&run);
    });
    Ok(response)
}

/// Publishes numbered messages at a rate.
async fn send(
    hub: &Hub,
    channel: &Lab,
    (sender, first, messages): (&str, u32, u32),
    rate: u32,
    filler: &str,
) {
    let mut clock = tokio::time::interval(Duration::from_millis(10));
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Instant::now();
    let mut sent = 0_u32;
    while sent < messages && is_running(hub) {
        clock.tick().await;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is at most the number of messages"
        )]
        let due = (begun.elapsed().as_secs_f64() * f64::from(rate)).min(f64::from(messages)) as u32;
        let message =
            |number| LabMessage { sender: sender.into(), number, sent: now(), filler: filler.into() };
        let numbers = first.saturating_add(sent)..first.saturating_add(due);
        let published: Result<Vec<_>, _> =
            numbers.map(|number| hub.publish(channel, &message(number))).collect();
        // No number is left out: a load that the engine can't store ends.
        let stored = match published {
            Ok(published) => try_join_all(published).await.map(drop).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        if let Err(error) = stored {
            tracing::warn!("a load of the lab has ended: {error}");
            return;
        }
        sent = due.max(sent);
    }
}

impl Laboratory {
    /// Reserves the numbers of a load. Returns the first one.
    fn begin(&self, run: &str, messages: u32) -> Result<u32, CallError> {
        let mut runs = self.runs.lock();
        if runs.values().filter(|run| run.is_running).count() >= LOADS {
            return Err(too_often("the server is busy with other loads: wait for their end"));
        }
        if runs.len() >= RUNS && !runs.contains_key(run) {
            return Err(too_often("the server has had too many runs: restart it, or go on with one of them"));
        }
        let entry = runs.entry(run.into()).or_default();
        if entry.is_running {
            return Err(too_often("the run has a load already: wait for its end"));
        }
        let first = entry.number.saturating_add(1);
        *entry = Run { number: entry.number.saturating_add(messages), is_running: true };
        Ok(first)
    }

    fn end(&self, run: &str) {
        if let Some(run) = self.runs.lock().get_mut(run) {
            run.is_running = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_a_run_go_on() {
        let laboratory =
            Laboratory { started: 0, wish: None, restarts: Throttle::new(ANSWER, 1), runs: Mutex::default() };
        assert_eq!(laboratory.begin("a", 10).ok(), Some(1));
        assert!(laboratory.begin("a", 10).is_err(), "it has a load");
        assert_eq!(laboratory.begin("b", 10).ok(), Some(1));
        laboratory.end("a");
        assert_eq!(laboratory.begin("a", 5).ok(), Some(11));
        for run in ["c", "d"] {
            assert!(laboratory.begin(run, 1).is_ok());
        }
        assert!(laboratory.begin("e", 1).is_err(), "these are too many at once");
    }
}
