//! One client of a world, and the record of its events.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use wirehub_client_core::{
    ClientState, CommandId, Config, Core, Event, Outcome, SubscribeOptions, SubscriptionId, Time,
};
use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::frame::{Part, Position, Push, ServerFrame};
use wirehub_common::{Assembler, ChannelName, Codec, Payload};

use crate::alarms::{name_of, number_of};
use crate::line::Line;
use crate::random::Random;
use crate::server::{Message, RESPONSES, Server};
use crate::tokens::Wallet;

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) core: Core,
    /// The transport that the core has asked for.
    pub(crate) connection: Option<u64>,
    /// The line between it and the server.
    pub(crate) line: Option<Line>,
    pub(crate) received: Received,
    subscriptions: BTreeMap<SubscriptionId, Record>,
    commands: BTreeMap<CommandId, Wish>,
    /// The progress of commands: their connection, the sent bytes and the total.
    progress: BTreeMap<CommandId, (Option<u64>, usize, usize)>,
    /// Distinguishes its messages from those of other clients.
    number: u32,
    messages: u64,
    /// The messages that the server confirmed as published.
    published: Vec<Message>,
    /// How many publishes ended in doubt.
    pub(crate) in_doubt: usize,
    /// The end and the beginning of its sleep.
    asleep: Option<(Time, Time)>,
    /// Whether its clock stands still meanwhile.
    clock_stops: bool,
    /// How far its clock is behind.
    lag: Duration,
    /// How many commands ended with another error than a cancellation.
    pub(crate) failed: usize,
    /// How often a subscription came back without every missed message.
    pub(crate) gaps: usize,
    /// The time of its last connect.
    pub(crate) connected_at: Time,
    /// Its tokens, in worlds with tokens.
    pub(crate) wallet: Option<Wallet>,
    /// The alarms that are shown: raised, not ended, and not acknowledged.
    shown: BTreeSet<u64>,
    /// The alarms whose acknowledgement the server confirmed.
    acknowledged: BTreeSet<u64>,
    /// Whether it asks for the members of its channels.
    watches: bool,
    /// Whether the server forgets no message.
    keeps_all: bool,
    /// The newest message of each channel with history: its position and its number.
    newest: BTreeMap<ChannelName, (Position, u64)>,
    /// The time at which it began to open its last transport, by its own clock.
    opened_at: Time,
    /// How many transports in a row were short-lived.
    short_lived: u32,
}

/// The bytes received over the line, for the balance.
#[derive(Debug, Default)]
pub(crate) struct Received {
    parts: Assembler,
    /// The publications that have arrived.
    publications: BTreeSet<(ChannelName, u64)>,
    /// How many bytes of whole frames arrived for the first time.
    pub(crate) useful: usize,
    /// How many bytes the server sent.
    pub(crate) sent: usize,
    /// How many connections ended.
    pub(crate) ended: usize,
}

impl Received {
    /// Parts of an earlier connection are useless.
    pub(crate) fn connected(&mut self) {
        self.parts.clear();
    }

    pub(crate) fn take(&mut self, message: &Bytes) {
        for frame in Codec::Protobuf.decode_frames(message) {
            match frame.unwrap() {
                ServerFrame::Part(Part { stream, data, left }) => {
                    if let Some(whole) = self.parts.take(stream, &data, left, usize::MAX).unwrap() {
                        let frame = Codec::Protobuf.decode_frame(&whole).unwrap();
                        self.count(&frame, whole.len());
                    }
                }
                frame => self.count(&frame, Codec::Protobuf.encode_frame(&frame).len()),
            }
        }
    }

    fn count(&mut self, frame: &ServerFrame, bytes: usize) {
        let is_new = match frame {
            ServerFrame::Push(Push::Publication(publication)) => {
                self.publications.insert((publication.channel.clone(), publication.time))
            }
            _ => true,
        };
        self.useful += if is_new { bytes } else { 0 };
    }
}

/// The purpose of a command.
#[derive(Debug, Clone, Copy)]
enum Wish {
    Publish(Message),
    Call,
    /// The next response.
    Stream(u64),
    Acknowledge(u64),
    /// The members of the channel of this subscription.
    Presence(SubscriptionId),
}

/// The events of a subscription.
#[derive(Debug)]
struct Record {
    channel: ChannelName,
    /// Whether it begins with the first message that was ever published.
    has_all: bool,
    /// The epoch of its offsets.
    epoch: String,
    /// The last publication.
    last: Option<u64>,
    /// Whether it has been confirmed over the current connection.
    confirmed: bool,
    /// Whether publications may be missing before the next one.
    may_jump: bool,
    /// Whether a gap was reported, so that publications have to be missing.
    has_to_jump: bool,
    /// The other sessions in the channel, as far as they were reported.
    there: BTreeSet<String>,
    /// Whether they have to be requested.
    is_unsure: bool,
}

impl Client {
    pub(crate) fn new(
        number: u32,
        seed: u64,
        line: Option<Line>,
        watches: bool,
        keeps_all: bool,
        wallet: Option<Wallet>,
    ) -> Self {
        let config = Config::new()
            .client(format!("client{number}"), "")
            .provides_tokens(wallet.as_ref().is_some_and(|wallet| wallet.has_provider))
            .send_queue(4096);
        let mut core = Core::new(config, seed);
        let wallet = wallet.map(|mut wallet| {
            if !wallet.has_provider {
                wallet.give(Time::ZERO, Time::ZERO, &mut core);
            }
            wallet
        });
        Self {
            wallet,
            shown: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            watches,
            keeps_all,
            newest: BTreeMap::new(),
            opened_at: Time::ZERO,
            short_lived: 0,
            number,
            messages: 0,
            published: Vec::new(),
            in_doubt: 0,
            asleep: None,
            clock_stops: seed.is_multiple_of(2),
            lag: Duration::ZERO,
            core,
            connection: None,
            line,
            received: Received::default(),
            subscriptions: BTreeMap::new(),
            commands: BTreeMap::new(),
            progress: BTreeMap::new(),
            failed: 0,
            gaps: 0,
            connected_at: Time::ZERO,
        }
    }

    /// The time on its own clock.
    pub(crate) fn local(&self, now: Time) -> Time {
        Time::since_origin(now.since(Time::ZERO) - self.lag)
    }

    /// The time of its next timer, by the world's clock.
    pub(crate) fn next_timer(&self) -> Option<Time> {
        match self.asleep {
            Some((_, until)) => Some(until),
            None => {
                let own = self.core.poll_timeout().map(|time| time.after(self.lag));
                let tokens = self.wallet.as_ref().and_then(Wallet::due);
                own.into_iter().chain(tokens).min()
            }
        }
    }

    pub(crate) fn asleep_until(&self) -> Option<Time> {
        self.asleep.map(|(_, until)| until)
    }

    /// The laptop is closed.
    pub(crate) fn sleep(&mut self, now: Time, duration: Duration) {
        self.asleep.get_or_insert((now, now.after(duration)));
    }

    pub(crate) fn wake(&mut self, now: Time) {
        if let Some((since, _)) = self.asleep.take()
            && self.clock_stops
        {
            self.lag += now.since(since);
        }
    }

    /// Its timer has fired.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        let local = self.local(now);
        self.core.handle_timeout(local);
        self.take_events(now);
        if let Some(wallet) = &mut self.wallet {
            wallet.tend(now, local, &mut self.core);
        }
    }

    /// It opens a transport.
    pub(crate) fn opens(&mut self, now: Time) {
        self.opened_at = self.local(now);
    }

    /// The user of its session, or of its last one.
    pub(crate) fn user(&self) -> &str {
        self.core.user()
    }

    /// Performs a random action of an application.
    pub(crate) fn act(&mut self, world: Time, random: &mut Random, channels: &[ChannelName]) {
        let now = self.local(world);
        if let Some(wallet) = self.wallet.as_mut().filter(|_| random.one_in(12)) {
            return wallet.give(world, now, &mut self.core);
        }
        if let Some(&alarm) = self.shown.first().filter(|_| random.one_in(4)) {
            let acknowledge = self.core.acknowledge(now, &name_of(alarm), None);
            return self.began(acknowledge, Wish::Acknowledge(alarm));
        }
        let channel = &channels[random.below(channels.len() as u64) as usize];
        let timeout = Some(random.between(50, 30_000));
        match random.below(10) {
            0..=4 => {
                self.messages += 1;
                let message = Message { client: self.number, number: self.messages };
                let padding = match self.line {
                    Some(_) if random.one_in(4) => random.below(150_000),
                    _ => random.below(600),
                };
                let payload = message.to_payload(padding as usize);
                let publish = self.core.publish(now, channel, &payload, timeout);
                self.began(publish, Wish::Publish(message));
            }
            5 if random.one_in(2) => {
                let large = self.line.is_some() && random.one_in(4);
                let payload = Payload::bytes(vec![0; if large { random.below(150_000) } else { 1 } as usize]);
                let call = self.core.call(now, "echo", &payload, timeout);
                self.began(call, Wish::Call);
            }
            5 => {
                let call = self.core.call_stream(now, "count", &Payload::json("1"), timeout);
                self.began(call, Wish::Stream(0));
            }
            6 => {
                if let Some(&command) = self.commands.keys().next() {
                    self.core.cancel(command);
                }
            }
            // The page reports `online`, on a line on which a part takes less time than the server has for an answer.
            7 if self.line.as_ref().is_some_and(|line| line.down() > 160_000) => {
                self.core.check_connection(now);
            }
            // The page is shown again.
            7 if self.line.is_none() && random.one_in(2) => self.core.reconnect_now(now),
            7 => {
                let subscription = self.subscriptions.keys().next().copied();
                if let Some(subscription) = subscription.filter(|_| random.one_in(3)) {
                    self.core.unsubscribe(subscription);
                }
            }
            _ => {
                if self.line.is_some() {
                    // Over slow lines nothing may come twice, also not because the application wants it.
                    return self.subscribe(now, channel, SubscribeOptions::new());
                }
                let history = match random.below(4) {
                    0 => u32::MAX,
                    1 => random.below(30) as u32,
                    _ => 0,
                };
                let newest = self.newest.get(channel).filter(|_| random.one_in(3));
                let since = newest.map(|(position, _)| position.clone());
                self.subscribe(now, channel, SubscribeOptions::new().history(history).since(since));
            }
        }
    }

    pub(crate) fn subscribe(&mut self, now: Time, channel: &ChannelName, options: SubscribeOptions) {
        let has_all = self.keeps_all && options.history == u32::MAX && options.since.is_none();
        // It goes on behind a message that it had in an earlier subscription.
        let last = options.since.as_ref().map(|_| self.newest[channel].1);
        match self.core.subscribe_with(channel, options) {
            Ok(subscription) => {
                let channel = channel.clone();
                let record = Record {
                    channel,
                    has_all,
                    epoch: String::new(),
                    last,
                    confirmed: false,
                    may_jump: last.is_none(),
                    has_to_jump: false,
                    there: BTreeSet::new(),
                    is_unsure: false,
                };
                self.subscriptions.insert(subscription, record);
                if self.watches {
                    self.core.watch_members(now, subscription);
                }
            }
            Err(error) => assert_eq!(error.code(), ErrorCode::ALREADY_SUBSCRIBED),
        }
    }

    fn began(&mut self, command: Result<CommandId, wirehub_client_core::Error>, wish: Wish) {
        match command {
            Ok(command) => {
                assert!(self.commands.insert(command, wish).is_none(), "each command has its own id");
            }
            Err(error) => assert_eq!(error.code(), ErrorCode::QUEUE_FULL),
        }
    }

    /// Takes the core's events, and checks its promises.
    pub(crate) fn take_events(&mut self, now: Time) {
        while let Some(event) = self.core.poll_event() {
            match event {
                Event::Response { command, payload } => {
                    let Some(Wish::Stream(next)) = self.commands.get_mut(&command) else {
                        panic!("it has not ended")
                    };
                    assert_eq!(payload, Payload::json(next.to_string()), "in order");
                    *next += 1;
                }
                Event::Progress { command, sent, total } => {
                    assert!(self.commands.contains_key(&command), "it has not ended");
                    assert!(sent <= total, "{sent} of {total}");
                    let before = self.progress.insert(command, (self.connection, sent, total));
                    if let Some((connection, earlier, _)) = before {
                        assert!(connection != self.connection || earlier < sent, "{earlier}, then {sent}");
                    }
                }
                Event::Completed { command, result } => {
                    let wish = self.commands.remove(&command).expect("a command ends once");
                    let progress = self.progress.remove(&command);
                    if let (Ok(_), Some((_, sent, total))) = (&result, progress) {
                        assert_eq!(sent, total, "all of it was sent");
                    }
                    let code = result.as_ref().err().map(wirehub_client_core::Error::code);
                    match (wish, &result) {
                        (Wish::Publish(message), Ok(Outcome::Published(Some(_)))) => {
                            self.published.push(message);
                        }
                        (Wish::Acknowledge(alarm), Ok(Outcome::Acknowledged)) => {
                            self.shown.remove(&alarm);
                            self.acknowledged.insert(alarm);
                        }
                        (Wish::Presence(subscription), result) => {
                            if let Some(record) = self.subscriptions.get_mut(&subscription) {
                                record.note_members(result, self.core.session());
                            }
                        }
                        (Wish::Acknowledge(_), Err(error)) => assert!(
                            matches!(error.code(), ErrorCode::UNKNOWN_ALARM | ErrorCode::CANCELLED),
                            "an acknowledgement waits for as long as it takes: {error}"
                        ),
                        (Wish::Call, Ok(Outcome::Called(_))) | (_, Err(_)) => {}
                        (Wish::Stream(next), Ok(Outcome::Streamed)) => assert_eq!(next, RESPONSES),
                        other => panic!("{other:?}"),
                    }
                    let is_publish = matches!(wish, Wish::Publish(_));
                    self.in_doubt += usize::from(is_publish && code == Some(ErrorCode::CONNECTION_LOST));
                    let has_reason = [ErrorCode::CANCELLED, ErrorCode::UNKNOWN_ALARM];
                    self.failed += usize::from(code.is_some_and(|code| !has_reason.contains(&code)));
                }
                Event::Epoch { subscription, epoch } => {
                    let record = self.subscriptions.get_mut(&subscription).expect("it has not ended");
                    assert_ne!(record.epoch, epoch, "it changes");
                    record.epoch = epoch;
                }
                Event::Subscribed { subscription, recovery } => {
                    let record = self.subscriptions.get_mut(&subscription).expect("it has not ended");
                    record.confirmed = true;
                    record.may_jump |= recovery.is_gap();
                    record.has_to_jump = false;
                    record.there.clear();
                    record.is_unsure = self.watches;
                    self.gaps += usize::from(recovery.is_gap());
                }
                Event::Members { subscription, error } => {
                    assert!(self.subscriptions.contains_key(&subscription) && error.is_none());
                }
                Event::Joined { subscription, member } => {
                    let record = self.subscriptions.get_mut(&subscription).expect("it has not ended");
                    record.there.insert(member.session);
                }
                Event::Left { subscription, member } => {
                    let record = self.subscriptions.get_mut(&subscription).expect("it has not ended");
                    record.there.remove(&member.session);
                }
                Event::Alarm(alarm) => {
                    let number = number_of(&alarm.id);
                    if alarm.withdrawn {
                        assert!(self.shown.remove(&number), "the end of an alarm that is not shown");
                    } else {
                        assert!(!self.acknowledged.contains(&number), "it was acknowledged");
                        assert!(self.shown.insert(number), "an alarm is reported once");
                    }
                }
                Event::TokenNeeded(request) => {
                    self.wallet.as_mut().expect("there are no tokens").ask(now, request);
                }
                Event::Error(error) if error.code() == ErrorCode::TOKEN_UNAVAILABLE => {
                    self.wallet.as_mut().expect("there are no tokens").gave_up();
                }
                Event::Error(error) if error.code() == ErrorCode::TOKEN_EXPIRED => {
                    assert!(self.wallet.is_some(), "there are no tokens");
                }
                Event::Gap { subscription, .. } => {
                    let record = self.subscriptions.get_mut(&subscription).expect("it has not ended");
                    assert!(record.confirmed, "before that it is the recovery that tells");
                    record.may_jump = true;
                    record.has_to_jump = true;
                    record.has_all &= record.last.is_some();
                    self.gaps += 1;
                }
                Event::Publication { subscription, publication } => {
                    let record = self.subscriptions.get_mut(&subscription).expect("it has not ended");
                    assert_eq!(publication.channel, record.channel);
                    assert!(record.confirmed, "a message of an older subscription");
                    if publication.offset != 0 {
                        let position = Position { offset: publication.offset, epoch: record.epoch.clone() };
                        self.newest.insert(record.channel.clone(), (position, publication.time));
                    }
                    record.receive(publication.time);
                }
                Event::Unsubscribed { subscription, error } => {
                    assert!(error.is_none(), "this server ends no subscription");
                    self.subscriptions.remove(&subscription).expect("it ends once");
                }
                Event::State(change) => {
                    if change.state == ClientState::Connected {
                        self.connected_at = now;
                    } else {
                        // A publication before the next confirmation would belong to an older subscription.
                        for record in self.subscriptions.values_mut() {
                            record.confirmed = false;
                        }
                    }
                    if let Some(delay) = change.retry_in {
                        self.check_pace(now, change.code, delay);
                    }
                    if let Some(wallet) = &mut self.wallet
                        && self.core.needs_token()
                    {
                        wallet.expired(now);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        self.request_members(now);
    }

    /// A server that closes every connection soon is not asked again and again without a pause.
    fn check_pace(&mut self, now: Time, code: Option<CloseCode>, delay: Duration) {
        // The application set a token of another user.
        if code == Some(CloseCode::SUPERSEDED) && delay.is_zero() {
            return;
        }
        assert!(delay <= Duration::from_secs(20));
        let is_short = self.local(now).since(self.opened_at) < Duration::from_secs(5);
        self.short_lived = if is_short { self.short_lived + 1 } else { 1 };
        if self.short_lived > 1 {
            assert!(delay >= Duration::from_millis(500), "{delay:?} after {} short lives", self.short_lived);
        }
    }

    fn request_members(&mut self, now: Time) {
        let now = self.local(now);
        let unsure = self.subscriptions.iter().filter(|(_, record)| record.is_unsure);
        for (id, channel) in unsure.map(|(&id, record)| (id, record.channel.clone())).collect::<Vec<_>>() {
            if let Ok(command) = self.core.presence(now, &channel, Some(Duration::MAX)) {
                self.began(Ok(command), Wish::Presence(id));
                self.subscriptions.get_mut(&id).unwrap().is_unsure = false;
            }
        }
    }

    /// Every command has ended, and nothing is missing.
    pub(crate) fn check_at_rest(&self, now: Time, server: &Server) {
        let session = server.session(self.connection.expect("a connection")).expect("a session");
        if let Some(wallet) = &self.wallet {
            assert_eq!(session.token, wallet.newest, "the newest token holds");
        }
        assert_eq!(session.user, self.core.user());
        for &alarm in &self.shown {
            assert!(
                server.ledger.is_active(now, self.core.user(), alarm),
                "{alarm} is over, and nobody told"
            );
        }
        for &alarm in &self.acknowledged {
            assert!(server.ledger.is_acknowledged(alarm), "a confirmed acknowledgement is in the ledger");
        }
        assert!(
            self.published.iter().all(|&message| server.has_carried_out(message)),
            "what the server said it has published, it has"
        );
        assert_eq!(self.core.state(), ClientState::Connected);
        assert!(self.commands.is_empty(), "each command ends: {:?}", self.commands);
        for (&subscription, record) in &self.subscriptions {
            assert_eq!(
                record.last,
                Some(server.published(&record.channel)),
                "the newest message came: {record:?}"
            );
            if self.watches {
                let mut there = server.members(&record.channel);
                let kept = self.core.members(subscription).expect("it was read");
                let mut kept: Vec<_> = kept.iter().map(|member| member.session.clone()).collect();
                kept.sort();
                there.sort();
                assert_eq!(kept, there, "the list keeps itself");
                there.retain(|session| session != self.core.session());
                assert_eq!(record.there, there.into_iter().collect(), "every member change was reported");
            }
        }
    }
}

impl Record {
    fn note_members(&mut self, result: &Result<Outcome, wirehub_client_core::Error>, own: &str) {
        match result {
            Ok(Outcome::Presence(list)) => {
                let others = list.members.iter().filter(|member| member.session != own);
                self.there.extend(others.map(|member| member.session.clone()));
            }
            // After a lost connection the subscription is confirmed anew.
            Err(error) => self.is_unsure = error.code() == ErrorCode::CANCELLED,
            other => panic!("{other:?}"),
        }
    }

    fn receive(&mut self, publication: u64) {
        assert!(!self.has_all || self.last.is_some() || publication == 1, "it begins with {publication}");
        if let Some(last) = self.last {
            assert!(publication > last, "{publication} after {last}: out of order, or twice");
            assert!(
                self.may_jump || publication == last + 1,
                "{publication} after {last}: a hole nobody told of"
            );
            assert!(!self.has_to_jump || publication > last + 1, "a gap that is none before {publication}");
        }
        self.last = Some(publication);
        self.may_jump = false;
        self.has_to_jump = false;
    }
}
