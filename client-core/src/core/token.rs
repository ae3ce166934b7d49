//! Tokens: a fixed one, or tokens from a provider.
//!
//! The provider is asked in three cases: before the first connect; when nine tenths of a token's time have passed or
//! the server demands a new one; and once more when the server refuses a token that was not fetched for that attempt.
//! Otherwise the token is kept, so that clients that come back together do not all ask for a new one.
//!
//! A token that the application sets takes effect at once, in any phase. An attempt with an older token is made anew. A
//! session gets the token by `refresh`; if it belongs to another user, a new session takes its place. A client without
//! a provider whose token has expired waits for a new one.

use alloc::string::String;
use core::time::Duration;

use wirehub_common::code::{CloseCode, ErrorCode};
use wirehub_common::compose;
use wirehub_common::view::Body;

use super::Core;
use super::connection::Link;
use crate::time::Span;
use crate::{ClientState, Error, ErrorKind, Listener, Time};

/// The id of a question to the token provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenRequest(pub(crate) u32);

impl TokenRequest {
    /// The question as a number: unique within its client.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The question with this number, for a driver that passes numbers to another language.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }
}

/// The state of the client's token.
#[derive(Debug)]
pub(super) struct Tokens {
    /// The token to connect with; `None` if the provider has to be asked first.
    current: Option<String>,
    /// Whether it was fetched since the last connect.
    fresh: bool,
    /// Whether the application set it without being asked.
    given: bool,
    /// The open question.
    asked: Option<TokenRequest>,
    /// The deadline of its answer.
    answer_due: Time,
    /// The `refresh` in flight. There is only one at a time, so that the newest token is in force in the end.
    refreshing: Option<u32>,
    /// Whether the token is newer than the one in flight.
    replaced: bool,
    /// The time to send the token again after the server could not check it.
    resend_at: Time,
    /// The time to ask again within this connection.
    refresh_at: Time,
}

impl Tokens {
    pub(super) const fn new() -> Self {
        Self {
            current: None,
            fresh: false,
            given: false,
            asked: None,
            answer_due: Time::NEVER,
            refreshing: None,
            replaced: false,
            resend_at: Time::NEVER,
            refresh_at: Time::NEVER,
        }
    }

    /// Sets the first token: the fixed one, which is also the first one of a client with a provider.
    pub(super) fn begin(&mut self, fixed: &str, provided: bool) {
        self.current = (!provided || !fixed.is_empty()).then(|| fixed.into());
    }

    /// No answer is awaited any more.
    fn answered(&mut self) {
        self.asked = None;
        self.answer_due = Time::NEVER;
    }

    pub(super) fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    pub(super) fn is_refreshing(&self, command: u32) -> bool {
        self.refreshing == Some(command)
    }

    pub(super) fn deadline(&self) -> Time {
        self.answer_due.min(self.refresh_at).min(self.resend_at)
    }

    /// The connection of the `refresh` and of the timers is lost.
    pub(super) fn connection_lost(&mut self) {
        self.refreshing = None;
        self.replaced = false;
        self.resend_at = Time::NEVER;
        self.refresh_at = Time::NEVER;
    }

    /// The token was accepted.
    pub(super) fn connected(&mut self) {
        self.fresh = false;
    }

    /// The session's token has expired. The next attempt needs another one, unless a newer one has arrived since.
    pub(super) fn session_expired(&mut self) {
        if !self.fresh {
            self.current = None;
        }
    }

    /// Drops every question.
    pub(super) fn clear(&mut self) {
        self.current = None;
        self.answered();
        self.connection_lost();
    }
}

impl<L: Listener> Core<L> {
    /// The token provider's answer. The answer to an older question is ignored. After a temporary error the provider is
    /// asked again later; any other error ends the client.
    pub fn handle_token(&mut self, now: Time, request: TokenRequest, token: Result<String, Error>) {
        if self.tokens.asked != Some(request) {
            return;
        }
        self.tokens.answered();
        match token {
            Ok(token) => self.use_token(now, token, false),
            Err(error) if error.is_temporary() => self.token_delayed(now, error),
            Err(error) => self.refuse(error),
        }
    }

    /// Replaces the token, for the current connection or attempt and for later ones. If it belongs to another user, a
    /// session of that user takes the place of the current one. A question to the provider that is open at that moment
    /// needs no answer any more.
    pub fn set_token(&mut self, now: Time, token: String) {
        self.tokens.answered();
        self.use_token(now, token, true);
    }

    /// Whether the client waits for [`set_token`](Self::set_token): its token has expired, and there is no provider.
    pub fn needs_token(&self) -> bool {
        matches!(self.link, Link::Authorizing) && !self.config.provides_tokens
    }

    /// Asks the provider, unless it is being asked.
    pub(super) fn ask_for_token(&mut self, now: Time) {
        self.tokens.refresh_at = Time::NEVER;
        if self.config.provides_tokens && self.tokens.asked.is_none() {
            let request = TokenRequest(self.next_id());
            self.tokens.asked = Some(request);
            self.tokens.answer_due = now.after(self.config.connect_timeout);
            self.listener.token_needed(request);
        }
    }

    /// Plans the next question to the provider, before the token expires. It expires after `ttl`; zero stands for
    /// never.
    pub(super) fn plan_refresh(&mut self, now: Time, ttl: Duration) {
        if self.config.provides_tokens && !ttl.is_zero() {
            // However short-lived its tokens are, a provider is not asked too often.
            let delay = Span::from_micros((Span::from(ttl).micros() / 10).wrapping_mul(9));
            self.tokens.refresh_at = now.plus(delay.max(REFRESH_AT_EARLIEST));
        }
    }

    pub(super) fn check_token_deadlines(&mut self, now: Time) {
        if self.tokens.answer_due <= now {
            self.tokens.answered();
            let words =
                "the token provider did not answer in time: make it return a token or an error sooner";
            self.token_delayed(now, Error::in_words(ErrorKind::Usage, ErrorCode::TOKEN_UNAVAILABLE, words));
        }
        if self.tokens.refresh_at <= now {
            self.ask_for_token(now);
        }
        if self.tokens.resend_at <= now {
            self.send_token();
        }
    }

    /// The server refused `connect`. Returns whether a new token may help.
    pub(super) fn may_need_new_token(&mut self, error: &Error) -> bool {
        if !self.config.provides_tokens || !is_about_token(error) {
            return false;
        }
        self.tokens.current = None;
        // A token that was fetched for this attempt and has expired comes from a wrong clock. Asking at once would go
        // on forever.
        !core::mem::take(&mut self.tokens.fresh)
    }

    /// Handles the answer to `refresh`.
    pub(super) fn handle_refreshed(&mut self, now: Time, answer: Body<'_>) {
        self.tokens.refreshing = None;
        if core::mem::take(&mut self.tokens.replaced) {
            // The result of the older one does not matter.
            return self.send_token();
        }
        let Body::Error(error) = answer else {
            self.tokens.fresh = false;
            if let Body::Refreshed(refreshed) = answer {
                self.plan_refresh(now, refreshed.token_ttl());
            }
            return;
        };
        let error = Error::from(error);
        if error.code() == ErrorCode::UNAUTHORIZED {
            self.take_to_new_session(now);
        } else if error.code() == ErrorCode::TOKEN_EXPIRED {
            self.tokens.fresh = false;
            self.token_delayed(now, error);
        } else {
            if error.is_temporary() {
                self.tokens.resend_at = now.plus(ASK_AGAIN).plus(self.backoff.spread(ASK_AGAIN));
            }
            self.listener.error(error);
        }
    }

    /// The session does not accept the token, because it belongs to another user or is invalid. A new session decides
    /// which.
    fn take_to_new_session(&mut self, now: Time) {
        let reason = "the new token needs a new session";
        if self.tokens.given || self.is_stable(now) {
            self.drop_transport(CloseCode::SUPERSEDED, reason);
            self.forget_connection();
            self.enter(
                ClientState::Reconnecting,
                Some(CloseCode::SUPERSEDED),
                reason,
                Some(Span::from_millis(0)),
            );
            self.open(now);
        } else {
            // The provider may return tokens of different users in turn.
            self.break_off(now, CloseCode::SUPERSEDED);
        }
    }

    /// The server refused `connect` because the token has expired, and there is no provider.
    pub(super) fn wait_for_token(&mut self, error: Error) {
        let reason = "the token has expired: set a new one with set_token";
        self.drop_transport(CloseCode::SUPERSEDED, "");
        self.forget_connection();
        self.link = Link::Authorizing;
        self.listener.error(error);
        self.enter(self.state_between(), Some(CloseCode::TOKEN_EXPIRED), reason, None);
    }

    /// The server or the provider refuses this client for good.
    pub(super) fn refuse(&mut self, error: Error) {
        let code = CloseCode::UNAUTHORIZED;
        self.drop_transport(code, "");
        let reason = String::from(error.own_words().unwrap_or_default());
        self.failure = Some(error);
        self.end(code, &reason, Some(ErrorCode::CLOSED));
    }

    fn use_token(&mut self, now: Time, token: String, given: bool) {
        let is_new = self.tokens.current.as_deref() != Some(&token);
        self.tokens.current = Some(token);
        self.tokens.fresh = true;
        self.tokens.given = given;
        match self.link {
            Link::Up { .. } => self.send_token(),
            Link::Authorizing => self.open(now),
            // The session would belong to the user of the older token.
            Link::Greeting { .. } if is_new => {
                self.drop_transport(CloseCode::SUPERSEDED, "");
                self.forget_connection();
                self.open(now);
            }
            // The token is read when it is needed.
            _ => {}
        }
    }

    /// Sends the token to the session, after the one in flight is answered.
    fn send_token(&mut self) {
        self.tokens.resend_at = Time::NEVER;
        if self.tokens.refreshing.is_some() {
            self.tokens.replaced = true;
            return;
        }
        let id = self.next_id();
        let frame = compose::refresh(id, self.tokens.current().unwrap_or_default());
        self.send_transient(frame);
        self.tokens.refreshing = Some(id);
    }

    /// There is no token for now. The next attempt, or the open connection, asks again later.
    fn token_delayed(&mut self, now: Time, error: Error) {
        self.listener.error(error);
        if matches!(self.link, Link::Authorizing) {
            self.retry(now, None, "");
        } else if self.is_up() {
            self.tokens.refresh_at = now.plus(ASK_AGAIN).plus(self.backoff.spread(ASK_AGAIN));
        }
    }
}

const REFRESH_AT_EARLIEST: Span = Span::from_millis(1000);

/// Within an open connection the provider is asked again after this time, and up to as much more.
const ASK_AGAIN: Span = Span::from_millis(5000);

fn is_about_token(error: &Error) -> bool {
    matches!(error.code(), ErrorCode::UNAUTHORIZED | ErrorCode::TOKEN_EXPIRED)
}
