//! Alarms that people raise. The raiser watches who has them.

use std::time::Duration;

use futures_util::{Stream, stream};
use tokio::time::{Interval, MissedTickBehavior};
use wirehub_common::contract::Message as _;
use wirehub_demo_contract::{
    AlarmId, AlarmMessage, AlarmProgress, AlarmRecipient, Alarms, Nothing, Person, Progress, Raise,
    RaiseRequest, WatchAlarm, Withdraw, codes,
};
use wirehub_server::alarm::{self, Alarm, AlarmReport, AlarmState};
use wirehub_server::call::{CallContext, CallError};
use wirehub_server::namespace::{Access, Namespace};
use wirehub_server::{Builder, Hub};

use crate::identity::Names;
use crate::throttle::Throttle;
use crate::{bounded, direct, name, now_whole, out_of_bounds, user};

/// The people who raise alarms, with their pace.
struct Raisers(Throttle<String>);

/// Adds the alarms to a hub.
pub(crate) fn add(hub: Builder) -> Builder {
    let closed = Namespace::closed().subscribe(Access::TokenOnly);
    hub.namespace("alarm", closed)
        .state(Raisers(Throttle::new(Duration::from_secs(2), 5)))
        .call(Raise, raise)
        .call(Withdraw, withdraw)
        .call_stream(WatchAlarm, watch)
}

async fn raise(context: CallContext, request: RaiseRequest) -> Result<AlarmId, CallError> {
    let from = user(&context)?;
    let RaiseRequest { severity, text, to, ttl } = request;
    bounded("the text", &text, 1, 500)?;
    let ttl = ttl.unwrap_or(600);
    if !(10..=3600).contains(&ttl) {
        return Err(out_of_bounds("the time of the alarm is out of bounds: use 10 to 3600 seconds"));
    }
    to.as_deref().map_or(Ok(()), direct::check_user)?;
    context.state::<Raisers>()?.0.check(&*from, "these are many alarms: wait a few seconds")?;
    let message = AlarmMessage {
        severity,
        text,
        from: Some((*from).into()),
        name: name(&context),
        personal: to.is_some(),
        raised: now_whole(),
    };
    let alarm = Alarm::new(&Alarms::new(), &message).map_err(CallError::internal)?;
    let alarm = alarm.ttl(Duration::from_secs(ttl.into()));
    let alarm = if let Some(to) = to { alarm.for_users([to]) } else { alarm };
    let id = context.hub().raise(alarm).await.map_err(CallError::internal)?;
    Ok(AlarmId { id })
}

async fn withdraw(context: CallContext, request: AlarmId) -> Result<Nothing, CallError> {
    own(&context, &request.id)?;
    context.hub().withdraw(&request.id).await.map_err(CallError::internal)?;
    Ok(Nothing {})
}

/// The report on an alarm of the caller.
fn own(context: &CallContext, id: &str) -> Result<AlarmReport, CallError> {
    let user = user(context)?;
    let report = context.hub().alarm(id).filter(|report| {
        AlarmMessage::from_payload(&report.payload)
            .is_ok_and(|message| message.from.as_deref() == Some(&*user))
    });
    let words = "there is no such alarm of yours: it may have been forgotten";
    report.ok_or_else(|| CallError::application::<{ codes::NO_SUCH_ALARM }>(words))
}

async fn watch(
    context: CallContext,
    request: AlarmId,
) -> Result<impl Stream<Item = Result<AlarmProgress, CallError>> + Send, CallError> {
    own(&context, &request.id)?;
    let names = context.state::<Names>()?;
    let mut clock = tokio::time::interval(LOOK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watching =
        Watching { hub: context.hub().clone(), names: (*names).clone(), id: request.id, clock, last: None };
    Ok(stream::unfold(watching, async |mut watching| {
        let progress = watching.next().await?;
        Some((Ok(progress), watching))
    }))
}

/// The time between two looks at an alarm.
const LOOK: Duration = Duration::from_millis(100);

struct Watching {
    hub: Hub,
    names: Names,
    id: String,
    clock: Interval,
    last: Option<AlarmProgress>,
}

impl Watching {
    /// The progress at its next change. The one at the end of the alarm is the last.
    async fn next(&mut self) -> Option<AlarmProgress> {
        if self.last.as_ref().is_some_and(|last| last.over) {
            return None;
        }
        loop {
            self.clock.tick().await;
            let progress = progress(&self.hub.alarm(&self.id)?, &self.names);
            if self.last.as_ref() != Some(&progress) {
                self.last = Some(progress.clone());
                return Some(progress);
            }
        }
    }
}

fn progress(report: &AlarmReport, names: &Names) -> AlarmProgress {
    let mut recipients: Vec<_> = report.recipients.iter().collect();
    recipients.sort_by_key(|it| it.progress);
    let recipient = |it: &&alarm::AlarmRecipient| AlarmRecipient {
        user: (*it.user).into(),
        person: names.of(&it.user).map(|name| Person { name }),
        progress: match it.progress {
            alarm::AlarmProgress::Waiting => Progress::Waiting,
            alarm::AlarmProgress::Sent => Progress::Sent,
            alarm::AlarmProgress::Received => Progress::Received,
            // The crate may get more of them.
            _ => Progress::Acknowledged,
        },
    };
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    AlarmProgress {
        waiting: number(report.waiting),
        sent: number(report.sent.saturating_add(report.unlisted)),
        received: number(report.received),
        acknowledged: number(report.acknowledged),
        over: report.state != AlarmState::Active,
        recipients: recipients.iter().take(50).map(recipient).collect(),
    }
}
