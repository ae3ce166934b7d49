//! Tokens: the user and lifetime of a session, and the actions of the application and its token provider.

use std::time::Duration;

use wirehub_client_core::{Core, Error, Time, TokenRequest};

use crate::random::Random;

/// The claims of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) user: String,
    /// By the world's clock.
    pub(crate) expires: Time,
    /// Later tokens of a client have higher serials.
    pub(crate) serial: u64,
}

impl Token {
    /// Its text: the fields with bars between them.
    pub(crate) fn text(&self) -> String {
        format!("{}|{}|{}", self.user, self.expires.since(Time::ZERO).as_micros(), self.serial)
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut fields = text.split('|');
        let mut next = || fields.next().expect("a field");
        let user = next().to_owned();
        let expires = Time::from_micros(next().parse().unwrap());
        Self { user, expires, serial: next().parse().unwrap() }
    }
}

/// The tokens of one client.
#[derive(Debug)]
pub(crate) struct Wallet {
    random: Random,
    /// The suffix of its users' names.
    number: u32,
    is_other_user: bool,
    serial: u64,
    pub(crate) has_provider: bool,
    /// The question that is open.
    open: Option<TokenRequest>,
    /// The answers of the provider, including late ones, with their times. Without a token it fails.
    answers: Vec<(Time, TokenRequest, Option<Token>)>,
    /// The time at which the application sets a token that the client waits for.
    gives_at: Option<Time>,
    /// The token that has to be in force in the end.
    pub(crate) newest: Option<Token>,
    /// From now on tokens are valid, and are returned at once.
    is_calm: bool,
}

impl Wallet {
    pub(crate) fn new(number: u32, random: Random) -> Self {
        Self {
            random,
            number,
            is_other_user: false,
            serial: 0,
            has_provider: number.is_multiple_of(2),
            open: None,
            answers: Vec::new(),
            gives_at: None,
            newest: None,
            is_calm: false,
        }
    }

    /// A token of the current user; it may have expired.
    pub(crate) fn make(&mut self, now: Time) -> Token {
        self.serial += 1;
        let expires = match self.is_calm {
            true => now.after(Duration::from_secs(3600)),
            false if self.random.one_in(10) => now,
            false => now.after(self.random.between(2_000, 60_000)),
        };
        let of = if self.is_other_user { "other" } else { "user" };
        Token { user: format!("{of}{}", self.number), expires, serial: self.serial }
    }

    pub(crate) fn calm(&mut self) {
        self.is_calm = true;
    }

    /// The time of the next action.
    pub(crate) fn due(&self) -> Option<Time> {
        self.answers.iter().map(|(at, ..)| *at).chain(self.gives_at).min()
    }

    /// The provider is asked. Its answer is fixed at once, and returned later.
    pub(crate) fn ask(&mut self, now: Time, request: TokenRequest) {
        let (longest, fails) = if self.is_calm { (500, false) } else { (15_000, self.random.one_in(5)) };
        let token = (!fails).then(|| self.make(now));
        self.open = Some(request);
        self.answers.push((now.after(self.random.between(1, longest)), request, token));
    }

    /// The client was notified that there is no token: the provider failed, or was too slow.
    pub(crate) fn gave_up(&mut self) {
        self.open = None;
    }

    /// The client waits for a token.
    pub(crate) fn expired(&mut self, now: Time) {
        let longest = if self.is_calm { 500 } else { 10_000 };
        self.gives_at = Some(now.after(self.random.between(1, longest)));
    }

    /// The application sets another token, of the same user or of another one.
    pub(crate) fn give(&mut self, now: Time, local: Time, core: &mut Core) {
        self.gives_at = None;
        self.is_other_user ^= !self.is_calm && self.random.one_in(4);
        let token = self.make(now);
        core.set_token(local, token.text());
        self.open = None;
        self.newest = Some(token);
    }

    /// Performs the actions that are due.
    pub(crate) fn tend(&mut self, now: Time, local: Time, core: &mut Core) {
        if self.gives_at.is_some_and(|at| at <= now) {
            self.give(now, local, core);
        }
        while let Some(index) = self.answers.iter().position(|(at, ..)| *at <= now) {
            let (_, request, token) = self.answers.remove(index);
            if self.open == Some(request) {
                self.open = None;
                if token.is_some() {
                    self.newest.clone_from(&token);
                }
            }
            let answer = token.map(|token| token.text());
            core.handle_token(local, request, answer.ok_or_else(|| Error::token_unavailable("for now")));
        }
    }
}
