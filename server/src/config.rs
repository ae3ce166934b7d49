//! The configuration of a server as a program: a TOML file, environment variables over it, and what they mean.
//!
//! Every key is known: one that is written wrongly is an error that says where, and which ones there are. An environment
//! variable `WIREHUB_SECTION__KEY` takes the place of `key` in `[section]`. Secrets stand in files of their own, or in
//! environment variables, and are shown nowhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Table;

pub(crate) use self::key_sets::KeySets;
use self::limits::LimitsSection;
use self::tokens::TokensSection;
use self::units::{Bytes, Span};
use self::webhooks::WebhooksSection;
use crate::jwt::Signer;
use crate::webhooks::{EventQueue, Webhooks};
use crate::{
    Access, ApiKey, Builder, Error, ErrorKind, History, ListenAddress, Namespace, Origin, Overflow, Tls,
};

mod changes;
mod environment;
mod key_sets;
mod limits;
mod tokens;
mod units;
mod webhooks;

/// The file that `wirehub config init` writes: everything there is, with what holds without it.
pub const TEMPLATE: &str = include_str!("config/template.toml");

/// What a server is told.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    server: ServerSection,
    limits: LimitsSection,
    proxy: ProxySection,
    tls: Option<TlsSection>,
    api: ApiSection,
    admin: AdminSection,
    tokens: Option<TokensSection>,
    webhooks: WebhooksSection,
    namespace: BTreeMap<String, NamespaceSection>,
    /// All of it as it was written, to be compared with another one.
    #[serde(skip)]
    written: Table,
}

/// The files of a certificate and its key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TlsFiles<'a> {
    pub(crate) certificate: &'a Path,
    pub(crate) key: &'a Path,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ServerSection {
    listen: Option<String>,
    #[serde(rename = "static")]
    static_files: Option<PathBuf>,
    allow_origins: Vec<String>,
    anonymous: bool,
    metrics: bool,
    drain_delay: Option<Span>,
    log: Option<String>,
    log_format: LogFormat,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ProxySection {
    trusted: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsSection {
    certificate: PathBuf,
    key: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ApiSection {
    keys: Vec<ApiKeySection>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AdminSection {
    enabled: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiKeySection {
    file: Option<PathBuf>,
    env: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NamespaceSection {
    history_size: Option<usize>,
    history_ttl: Option<Span>,
    history_bytes: Option<Bytes>,
    urgent: bool,
    subscribe: Option<Who>,
    publish: Option<Who>,
    presence: Option<Who>,
    join_leave: Option<Span>,
    overflow: Option<OverflowName>,
}

/// What becomes of messages that a session does not take fast enough.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OverflowName {
    Disconnect,
    DropOldest,
    Latest,
}

/// How lines of the log are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: a JSON object a line.
    Json,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Who {
    Everybody,
    Users,
    Bearers,
}

impl Config {
    /// Reads a file, and the environment over it. Files that it names are looked for from its own folder on.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: what is wrong, where, and what would be right.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).map_err(|error| {
            let message = format!(
                "cannot read the configuration {}: write one by `wirehub config init`",
                path.display()
            );
            Error::with_source(ErrorKind::Config, message, error)
        })?;
        Self::parse(&text, std::env::vars(), path)
    }

    /// What the environment says, without a file.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn from_environment() -> Result<Self, Error> {
        Self::parse("", std::env::vars(), Path::new("the environment"))
    }

    fn parse(
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
        path: &Path,
    ) -> Result<Self, Error> {
        let wrong = |error: String| Error::new(ErrorKind::Config, format!("{}: {error}", path.display()));
        // Alone first: what is wrong in the file is told with its line.
        toml::from_str::<Self>(text).map_err(|error| wrong(error.to_string()))?;
        let table = environment::over(text, variables).map_err(wrong)?;
        let mut config: Self =
            table.clone().try_into().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
        config.written = table;
        config.resolve(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    /// Makes relative paths begin at the file's folder.
    fn resolve(&mut self, folder: &Path) {
        let files = self.tokens.iter_mut().flat_map(TokensSection::files);
        let tls = self.tls.iter_mut().flat_map(|tls| [&mut tls.certificate, &mut tls.key]);
        let files = files.chain([&mut self.server.static_files]);
        let files = files.chain(self.api.keys.iter_mut().map(|key| &mut key.file));
        for path in files.flatten().chain(tls).chain(self.webhooks.files()) {
            *path = folder.join(&*path);
        }
    }

    /// Where to listen, if it says so.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: it is no address.
    pub fn listen(&self) -> Result<Option<ListenAddress>, Error> {
        let parse = |text: &String| text.parse().map_err(|error| in_key("server.listen", error));
        self.server.listen.as_ref().map(parse).transpose()
    }

    /// The keys of the HTTP API; without any it is not served. Reads them.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: one can't be read, or is none.
    pub fn api_keys(&self) -> Result<Vec<ApiKey>, Error> {
        let keys = self.api.keys.iter().enumerate();
        keys.map(|(index, key)| key.read().map_err(|error| in_key(&format!("api.keys[{index}]"), error)))
            .collect()
    }

    /// Whether it names keys of the HTTP API.
    pub(crate) fn has_api(&self) -> bool {
        !self.api.keys.is_empty()
    }

    /// Whether the page for operators is served.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: it should be, and there is no key that one could show it.
    pub fn admin(&self) -> Result<bool, Error> {
        if self.admin.enabled && !self.has_api() {
            let words = "the page asks for a key of the HTTP API, and there is none: add one as [[api.keys]]";
            return Err(in_key("admin.enabled", words));
        }
        Ok(self.admin.enabled)
    }

    /// The certificate to show, if it names one. Reads it.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`].
    pub fn tls(&self) -> Result<Option<Tls>, Error> {
        self.tls_files().map(|files| Tls::from_files(files.certificate, files.key)).transpose()
    }

    /// The files of the certificate to show, if it names one.
    pub(crate) fn tls_files(&self) -> Option<TlsFiles<'_>> {
        self.tls.as_ref().map(|TlsSection { certificate, key }| TlsFiles { certificate, key })
    }

    /// Checks what a server looks at only when it starts: it must be able to, next time.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with the key that is wrong.
    pub(crate) fn check_for_start(&self) -> Result<(), Error> {
        self.listen()?;
        self.admin()?;
        self.namespace.iter().try_for_each(|(name, section)| section.namespace(name).map(drop))
    }

    /// The keys that are different in `new` and that a server which runs with this configuration can't take over.
    pub(crate) fn changes_that_take_a_restart(&self, new: &Self) -> Vec<String> {
        changes::that_take_a_restart(&self.written, &new.written)
    }

    /// The directory of static files, if it names one.
    pub fn static_files(&self) -> Option<&Path> {
        self.server.static_files.as_deref()
    }

    /// Lets in who has no token, whatever the file says.
    pub(crate) fn allow_anonymous(&mut self, anonymous: bool) {
        self.server.anonymous |= anonymous;
    }

    /// Makes tokens that the server will take: by the first key that is a secret.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: there is none, or it can't be read.
    pub fn signer(&self) -> Result<Signer, Error> {
        let tokens = self
            .tokens
            .as_ref()
            .ok_or_else(|| in_key("tokens", "the section is not there: add it, with a key"))?;
        tokens.signer()
    }

    /// Whether everybody is let in without a token.
    pub fn anonymous(&self) -> bool {
        self.server.anonymous
    }

    /// Whether `/metrics` is served.
    pub fn metrics(&self) -> bool {
        self.server.metrics
    }

    /// What to log, as `WIREHUB_LOG` says it, and how.
    pub fn log(&self) -> (Option<&str>, LogFormat) {
        (self.server.log.as_deref(), self.server.log_format)
    }

    /// Whether tokens are looked at.
    pub fn has_tokens(&self) -> bool {
        self.tokens.is_some() || self.webhooks.know_clients()
    }

    /// Puts what it says into a hub. Reads the keys of tokens.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with the key that is wrong.
    pub fn apply(&self, hub: Builder) -> Result<Builder, Error> {
        self.apply_observed(hub, &mut KeySets::default()).map(|(hub, _)| hub)
    }

    /// Gives also what tells a backend what happens, if it says that one is told; and the key sets that it names.
    pub(crate) fn apply_observed(
        &self,
        hub: Builder,
        key_sets: &mut KeySets,
    ) -> Result<(Builder, Option<EventQueue>), Error> {
        let mut hub = self.apply_live(hub, key_sets)?;
        for (name, section) in &self.namespace {
            hub = hub.namespace(name.as_str(), section.namespace(name)?);
        }
        let telling = self.webhooks.events()?;
        let events = telling.map(|telling| telling.webhooks.events(telling.webhook, telling.kinds));
        if let Some(events) = &events {
            hub = hub.observe(events.clone());
        }
        Ok((hub, events))
    }

    /// Who tells a backend what happens, if it says that one is told. Reads the secret.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with the key that is wrong.
    pub(crate) fn teller(&self) -> Result<Option<Webhooks>, Error> {
        Ok(self.webhooks.events()?.map(|telling| telling.webhooks))
    }

    /// The part of [`Self::apply`] that [`Hub::reload`](crate::Hub::reload) takes over. Goes on with those of the key sets
    /// that it names too, and puts those that it names in their place.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn apply_live(&self, mut hub: Builder, key_sets: &mut KeySets) -> Result<Builder, Error> {
        let before = std::mem::take(key_sets);
        for origin in &self.server.allow_origins {
            let origin: Origin = origin.parse().map_err(|error| in_key("server.allow_origins", error))?;
            hub = hub.allow_origin(origin);
        }
        for proxy in &self.proxy.trusted {
            hub = hub.trust_proxy(proxy.parse().map_err(|error| in_key("proxy.trusted", error))?);
        }
        if let Some(delay) = self.server.drain_delay {
            hub = hub.drain_delay(delay.duration());
        }
        hub = self.limits.apply(hub);
        if let Some(tokens) = &self.tokens {
            if let Some(grace) = tokens.grace() {
                hub = hub.token_grace(grace);
            }
            if !self.webhooks.know_clients() {
                let (verifier, named) = tokens.verifier(self.server.anonymous, &before)?;
                if !named.is_empty() {
                    hub = hub.need("key set", verifier.readiness());
                }
                *key_sets = named;
                hub = hub.authenticate(verifier.hook());
            } else if !tokens.keys.is_empty() {
                let words = "with [webhooks.connect] the backend says who clients are: leave one of both out";
                return Err(in_key("tokens.keys", words));
            }
        }
        self.webhooks.apply(hub)
    }
}

impl NamespaceSection {
    fn namespace(&self, name: &str) -> Result<Namespace, Error> {
        let mut namespace = Namespace::default();
        match (self.history_size, self.history_ttl) {
            (Some(size @ 1..), Some(ttl)) => {
                let history = History::new(size, ttl.duration());
                let bytes = self.history_bytes.map_or(history.bytes, Bytes::count);
                namespace = namespace.history(history.with_bytes(bytes));
            }
            (None | Some(0), None) if self.history_bytes.is_none() => {}
            _ => {
                let words = "history takes both `history_size`, at least 1, and `history_ttl`: write for instance 100 and \"1h\"";
                return Err(in_key(&format!("namespace.{name}"), words));
            }
        }
        if self.urgent {
            namespace = namespace.urgent();
        }
        if let Some(who) = self.subscribe {
            namespace = namespace.subscribe(who.access());
        }
        if let Some(who) = self.publish {
            namespace = namespace.publish(who.access());
        }
        if let Some(who) = self.presence {
            namespace = namespace.presence(who.access());
        }
        if let Some(grace) = self.join_leave {
            if self.presence.is_none() {
                let words = "`join_leave` is for those who may see who is there: say who by `presence`";
                return Err(in_key(&format!("namespace.{name}"), words));
            }
            namespace = namespace.join_leave(grace.duration());
        }
        if let Some(overflow) = self.overflow {
            if matches!(overflow, OverflowName::Latest) && self.history_size.is_some() {
                let words = "with `overflow = \"latest\"` clients would recover from the history what they did not get: \
                             leave one of both out";
                return Err(in_key(&format!("namespace.{name}"), words));
            }
            namespace = namespace.overflow(overflow.policy());
        }
        Ok(namespace)
    }
}

impl OverflowName {
    fn policy(self) -> Overflow {
        match self {
            Self::Disconnect => Overflow::Disconnect,
            Self::DropOldest => Overflow::DropOldest,
            Self::Latest => Overflow::Latest,
        }
    }
}

impl ApiKeySection {
    fn read(&self) -> Result<ApiKey, String> {
        let key = match (&self.file, &self.env) {
            (Some(path), None) => String::from_utf8(read(path)?).unwrap_or_default(),
            (None, Some(variable)) => variable_named(variable)?,
            _ => {
                return Err(
                    "a key is in a `file` or in the environment variable `env`: write one of them".into()
                );
            }
        };
        ApiKey::new(key.trim_end()).map_err(|error| error.to_string())
    }
}

/// A time as people write it: `25s`, `1h`.
///
/// # Errors
/// Says how it is written.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    Span::parse(text)
        .map(Span::duration)
        .ok_or_else(|| format!("{text:?} is no time: write one as 250ms, 25s, 5m, 1h or 7d"))
}

/// A number of bytes as people write it: `128B`, `64KiB`.
///
/// # Errors
/// Says how it is written.
pub fn parse_size(text: &str) -> Result<usize, String> {
    Bytes::parse(text)
        .map(Bytes::count)
        .ok_or_else(|| format!("{text:?} is no size: write one as 128B, 64KiB or 1MiB"))
}

fn variable_named(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("the environment variable {name} is not set, or is no text"))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

impl Who {
    fn access(self) -> Access {
        match self {
            Self::Everybody => Access::Everybody,
            Self::Users => Access::Users,
            Self::Bearers => Access::Bearers,
        }
    }
}

fn in_key(key: &str, error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Config, format!("`{key}`: {error}"))
}

#[cfg(test)]
mod tests;
