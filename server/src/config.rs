//! The configuration of a server program: a TOML file, overridden by environment variables.
//!
//! Unknown keys are errors, with the place and the likely correction. All mistakes are reported at once. An environment
//! variable `WIREHUB_SECTION__KEY` overrides `key` in `[section]`. Secrets are in files of their own or in environment
//! variables and never appear in output: no error repeats a value.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use toml::Table;
use tracing_subscriber::EnvFilter;

use self::document::Document;
use self::engine::DiskSection;
pub use self::engine::EngineKind;
use self::files::{is_shown, read, shown, variable_named};
pub(crate) use self::key_sets::KeySets;
use self::limits::LimitsSection;
pub(crate) use self::mistakes::Mistakes;
use self::mistakes::Source;
use self::namespace::NamespaceSection;
use self::redis::RedisSection;
pub use self::redis::RedisUrl;
use self::tokens::TokensSection;
use self::units::{Bytes, Span};
use self::webhooks::WebhooksSection;
use crate::accept::{Origin, TrustedProxy};
use crate::api::ApiKey;
use crate::jwt::Signer;
use crate::webhooks::{EventQueue, Webhooks};
use crate::{Builder, Error, ErrorKind, Hub, ListenAddress, LiveSettings, Tls};

mod changes;
mod document;
mod engine;
mod environment;
mod files;
mod guard;
mod key_sets;
mod limits;
mod mistakes;
mod namespace;
mod redis;
mod secret;
mod summary;
mod tokens;
mod units;
mod webhooks;

/// The file that `wirehub config init` writes: every setting with its default.
pub const TEMPLATE: &str = include_str!("config/template.toml");

/// The configuration of a server.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    engine: EngineKind,
    disk: DiskSection,
    redis: RedisSection,
    server: ServerSection,
    limits: LimitsSection,
    proxy: ProxySection,
    tls: Option<TlsSection>,
    api: ApiSection,
    admin: AdminSection,
    tokens: Option<TokensSection>,
    webhooks: WebhooksSection,
    namespace: BTreeMap<String, NamespaceSection>,
    /// The whole configuration as written, for comparison with another one.
    #[serde(skip)]
    written: Written,
    #[serde(skip)]
    source: Source,
}

/// A configuration as written. Its text for debugging is hidden: an address may contain a password.
#[derive(Default)]
struct Written(Table);

impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Written(…)")
    }
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
    node_name: Option<String>,
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

/// The format of the log's lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For programs: one JSON object per line.
    Json,
}

impl Config {
    /// Reads a file, overridden by the environment. Relative paths in it start at its folder.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: every mistake, with its place and the correction.
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::parse(&text_of(path, files::contents(path))?, std::env::vars(), path)
    }

    /// The same for a file that was read before, by a running server.
    pub(crate) fn load_again(path: &Path) -> Result<Self, Error> {
        Self::parse(&text_of(path, files::contents_again(path))?, std::env::vars(), path)
    }

    /// Reads the configuration from the environment alone.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn from_environment() -> Result<Self, Error> {
        Self::parse("", std::env::vars(), Path::new("the environment"))
    }

    /// Checks a file, together with the environment and every file that it names, as a starting server does.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: every mistake.
    pub fn check(path: &Path) -> Result<(), Error> {
        let (config, mut mistakes) =
            Self::parse_all(&text_of(path, files::contents(path))?, std::env::vars(), path);
        let mut later = Mistakes::default();
        config.check_for_start(&mut later);
        later.take("tls", config.tls());
        later.take("server.static", config.check_static_files());
        config.read_api_keys(&mut later);
        config.apply_all(Hub::builder(), &mut KeySets::default(), &mut later);
        mistakes = mistakes.and(later);
        config.source.check(mistakes, ())
    }

    fn parse(
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
        path: &Path,
    ) -> Result<Self, Error> {
        let (config, mistakes) = Self::parse_all(text, variables, path);
        config.source.check(mistakes, ())?;
        Ok(config)
    }

    /// Returns the valid part, and every mistake.
    fn parse_all(
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
        path: &Path,
    ) -> (Self, Mistakes) {
        // The file is checked alone first, so that its mistakes are reported with their lines.
        let Document { mut table, lines, mut mistakes } = Document::read(text);
        let named = environment::put_over(&mut table, variables, &mut mistakes);
        let mut config: Self = match table.clone().try_into() {
            Ok(config) => config,
            Err(error) => {
                let error: toml::de::Error = error;
                mistakes.note("", mistakes::without_value(error.message()));
                Self::default()
            }
        };
        config.written = Written(table);
        config.source = Source::new(path, lines, named);
        config.resolve();
        (config, mistakes)
    }

    /// Makes relative paths start at the folder of the file.
    fn resolve(&mut self) {
        let folder = self.source.folder();
        self.disk.resolve(folder);
        let files = self.tokens.iter_mut().flat_map(TokensSection::files);
        let tls = self.tls.iter_mut().flat_map(|tls| [&mut tls.certificate, &mut tls.key]);
        let files = files.chain([&mut self.server.static_files]);
        let files = files.chain(self.api.keys.iter_mut().map(|key| &mut key.file));
        for path in files.flatten().chain(tls).chain(self.webhooks.files()).chain(self.redis.files()) {
            *path = folder.join(&*path);
        }
    }

    /// The address to listen on, if configured.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: the address is invalid.
    pub fn listen(&self) -> Result<Option<ListenAddress>, Error> {
        let Some(text) = &self.server.listen else { return Ok(None) };
        let words = "invalid address: write it as 127.0.0.1:8080, [::1]:8080 or unix:/run/wirehub.sock";
        text.parse().map(Some).map_err(|_: Error| self.source.wrong("server.listen", words))
    }

    /// Reads the keys of the HTTP API. Without keys the API is not served.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: a key cannot be read, or is invalid.
    pub fn api_keys(&self) -> Result<Vec<ApiKey>, Error> {
        let mut mistakes = Mistakes::default();
        let keys = self.read_api_keys(&mut mistakes);
        self.source.check(mistakes, keys)
    }

    pub(crate) fn read_api_keys(&self, mistakes: &mut Mistakes) -> Vec<ApiKey> {
        let keys = self.api.keys.iter().enumerate();
        keys.filter_map(|(index, key)| mistakes.take(format!("api.keys[{index}]"), key.read())).collect()
    }

    /// Returns whether keys of the HTTP API are configured.
    pub(crate) fn has_api(&self) -> bool {
        !self.api.keys.is_empty()
    }

    /// Returns whether the operators' page is served.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: the page is enabled, but no key of the HTTP API is configured.
    pub fn admin(&self) -> Result<bool, Error> {
        self.check_admin().map_err(|words| self.source.wrong("admin.enabled", words))?;
        Ok(self.admin.enabled)
    }

    fn check_admin(&self) -> Result<(), &'static str> {
        if self.admin.enabled && !self.has_api() {
            return Err(
                "the page needs a key of the HTTP API, and none is configured: add one as [[api.keys]]",
            );
        }
        Ok(())
    }

    /// Reads the certificate, if configured.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`].
    pub fn tls(&self) -> Result<Option<Tls>, Error> {
        let Some(files) = self.tls_files()? else { return Ok(None) };
        Tls::from_files(files.certificate, files.key).map(Some)
    }

    /// The directory of static files, if configured. It exists.
    pub(crate) fn checked_static_files(&self) -> Result<Option<&Path>, Error> {
        self.check_static_files().map_err(|words| self.source.wrong("server.static", words))?;
        Ok(self.static_files())
    }

    fn check_static_files(&self) -> Result<(), String> {
        let Some(directory) = self.static_files() else { return Ok(()) };
        match std::fs::metadata(directory) {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            Ok(_) => Err(format!("{} is not a directory", shown(directory))),
            Err(error) => Err(format!("cannot read {}: {error}", shown(directory))),
        }
    }

    /// The files of the certificate, if configured.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`]: a configured path is not a file name.
    pub(crate) fn tls_files(&self) -> Result<Option<TlsFiles<'_>>, Error> {
        let Some(TlsSection { certificate, key }) = &self.tls else { return Ok(None) };
        // Other problems with the files are reported with their names.
        for path in [certificate, key].into_iter().filter(|path| !is_shown(path)) {
            std::fs::metadata(path).map_err(|error| {
                Error::new(ErrorKind::Tls, format!("cannot read {}: {error}", shown(path)))
            })?;
        }
        Ok(Some(TlsFiles { certificate, key }))
    }

    /// The log filter, which the environment may override.
    pub(crate) fn log_filter(&self) -> Result<EnvFilter, Error> {
        self.parse_log_filter().map_err(|words| self.source.wrong("server.log", words))
    }

    fn parse_log_filter(&self) -> Result<EnvFilter, &'static str> {
        EnvFilter::try_new(self.server.log.as_deref().unwrap_or("info")).map_err(|_| {
            "invalid log filter: write error, warn, info, debug or trace, or for example wirehub=trace,info"
        })
    }

    /// Checks the settings that a server uses only when it starts, so that the next start succeeds.
    pub(crate) fn check_for_start(&self, mistakes: &mut Mistakes) {
        if let Some(listen) = &self.server.listen {
            let words = "invalid address: write it as 127.0.0.1:8080, [::1]:8080 or unix:/run/wirehub.sock";
            mistakes.take("server.listen", listen.parse::<ListenAddress>().map_err(|_| words));
        }
        mistakes.take("server.log", self.parse_log_filter());
        mistakes.take("admin.enabled", self.check_admin());
        self.check_redis(mistakes);
        self.namespaces(mistakes);
    }

    /// Checks that no access becomes open only because a setting of the running configuration `old` is missing here.
    pub(crate) fn check_against(&self, old: &Self, mistakes: &mut Mistakes) {
        guard::check(old, self, mistakes);
    }

    /// Returns the configuration if there are no mistakes.
    pub(crate) fn into_result(self, mistakes: Mistakes) -> Result<Self, Error> {
        self.source.check(mistakes, ())?;
        Ok(self)
    }

    /// The keys that differ in `new` and that a running server cannot apply.
    pub(crate) fn changes_needing_restart(&self, new: &Self) -> Vec<String> {
        changes::needing_restart(&self.written.0, &new.written.0)
    }

    /// The directory of static files, if configured.
    pub fn static_files(&self) -> Option<&Path> {
        self.server.static_files.as_deref()
    }

    /// Admits clients without a token, whatever the file says.
    pub(crate) fn allow_anonymous(&mut self, anonymous: bool) {
        self.server.anonymous |= anonymous;
    }

    /// Creates a signer of tokens that the server accepts, with the first key that is a secret.
    ///
    /// # Errors
    /// [`ErrorKind::Config`]: no key is a secret, or it cannot be read.
    pub fn signer(&self) -> Result<Signer, Error> {
        let Some(tokens) = &self.tokens else {
            return Err(self.source.wrong("tokens", "the section is missing: add it, with a key"));
        };
        tokens.signer().map_err(|(key, words)| self.source.wrong(&key, words))
    }

    /// Returns whether clients without a token are admitted.
    pub fn anonymous(&self) -> bool {
        self.server.anonymous
    }

    /// Returns whether `/metrics` is served.
    pub fn metrics(&self) -> bool {
        self.server.metrics
    }

    /// The format of the log.
    pub fn log_format(&self) -> LogFormat {
        self.server.log_format
    }

    /// Returns whether tokens are verified.
    pub fn has_tokens(&self) -> bool {
        self.tokens.is_some() || self.webhooks.know_clients()
    }

    /// Applies the configuration to a hub. Reads the keys of tokens, and opens the engine; the one in Redis connects. An engine that
    /// the program has given to the builder is never replaced.
    ///
    /// # Errors
    /// [`ErrorKind::Config`], with the name of the invalid key. [`ErrorKind::Engine`]: the engine's data can't be opened, or its
    /// servers can't be used.
    pub async fn apply(&self, hub: Builder) -> Result<Builder, Error> {
        let (hub, _) = self.apply_observed(hub, &mut KeySets::default())?;
        self.open_engine(hub).await
    }

    /// As [`Self::apply`], without the engine. Also returns the queue of events for a backend, if configured, and updates `key_sets`.
    pub(crate) fn apply_observed(
        &self,
        hub: Builder,
        key_sets: &mut KeySets,
    ) -> Result<(Builder, Option<EventQueue>), Error> {
        let mut mistakes = Mistakes::default();
        let applied = self.apply_all(hub, key_sets, &mut mistakes);
        self.source.check(mistakes, applied)
    }

    fn apply_all(
        &self,
        hub: Builder,
        key_sets: &mut KeySets,
        mistakes: &mut Mistakes,
    ) -> (Builder, Option<EventQueue>) {
        self.check_engine(&hub, mistakes);
        let mut hub = hub.update(|live| self.apply_live(live, key_sets, mistakes));
        if let Some(name) = self.server.node_name.as_deref().filter(|name| !name.is_empty()) {
            hub = hub.node_name(name);
        }
        for (name, namespace) in self.namespaces(mistakes) {
            hub = hub.namespace(name, namespace);
        }
        let webhook = self.webhooks.events(mistakes);
        let events = webhook.map(|it| it.webhooks.events(it.webhook, it.kinds));
        if let Some(events) = &events {
            hub = hub.observe(events.clone());
        }
        (hub, events)
    }

    fn namespaces(&self, mistakes: &mut Mistakes) -> Vec<(&str, crate::namespace::Namespace)> {
        let sections = self.namespace.iter();
        let namespace = |(name, section): (&'_ String, &NamespaceSection)| {
            mistakes.take(format!("namespace.{name}"), section.namespace(name))
        };
        let made: Vec<_> = sections.clone().map(namespace).collect();
        sections.zip(made).filter_map(|((name, _), made)| Some((name.as_str(), made?))).collect()
    }

    /// The webhooks that send events to a backend, if configured. Reads the secret.
    pub(crate) fn event_webhooks(&self, mistakes: &mut Mistakes) -> Option<Webhooks> {
        self.webhooks.events(mistakes).map(|events| events.webhooks)
    }

    /// The part of [`Self::apply`] that can also change in a running hub. `key_sets` holds the key sets in force; it has those
    /// of this configuration afterwards.
    pub(crate) fn apply_live(
        &self,
        live: &mut LiveSettings,
        key_sets: &mut KeySets,
        mistakes: &mut Mistakes,
    ) {
        let before = std::mem::take(key_sets);
        for (index, origin) in self.server.allow_origins.iter().enumerate() {
            let origin = mistakes.take(format!("server.allow_origins[{index}]"), origin.parse::<Origin>());
            if let Some(origin) = origin {
                live.allow_origin(origin);
            }
        }
        for (index, proxy) in self.proxy.trusted.iter().enumerate() {
            let proxy = mistakes.take(format!("proxy.trusted[{index}]"), proxy.parse::<TrustedProxy>());
            if let Some(proxy) = proxy {
                live.trust_proxy(proxy);
            }
        }
        if let Some(delay) = self.server.drain_delay {
            live.drain_delay(delay.duration());
        }
        self.limits.apply_live(live);
        if let Some(tokens) = &self.tokens {
            if let Some(grace) = tokens.grace() {
                live.token_grace(grace);
            }
            if !self.webhooks.know_clients() {
                let (verifier, named) = tokens.verifier(self.server.anonymous, &before, mistakes);
                if !named.is_empty() {
                    live.readiness_check("key set", verifier.readiness());
                }
                *key_sets = named;
                live.authenticate(verifier.hook());
            } else if !tokens.keys.is_empty() {
                let words = "with [webhooks.connect] the backend authenticates clients: remove this, or [webhooks.connect]";
                mistakes.note("tokens.keys", words);
            }
        }
        self.webhooks.apply_live(live, mistakes);
    }
}

/// The text of a configuration file.
fn text_of(path: &Path, contents: io::Result<Vec<u8>>) -> Result<String, Error> {
    let message = |what: &str| format!("cannot read the configuration {}: {what}", path.display());
    let bytes = contents.map_err(|error| {
        let what = if error.kind() == io::ErrorKind::NotFound {
            "create one with `wirehub config init`"
        } else {
            "make it readable for this user"
        };
        Error::with_source(ErrorKind::Config, message(what), error)
    })?;
    String::from_utf8(bytes)
        .map_err(|_| Error::new(ErrorKind::Config, message("it is not UTF-8 text: save it as UTF-8")))
}

impl ApiKeySection {
    fn read(&self) -> Result<ApiKey, String> {
        let key = match (&self.file, &self.env) {
            (Some(path), None) => String::from_utf8(read(path)?).unwrap_or_default(),
            (None, Some(variable)) => variable_named(variable)?,
            _ => {
                return Err(
                    "a key is in a `file` or in the environment variable `env`: write one of these".into()
                );
            }
        };
        ApiKey::new(key.trim_end()).map_err(|error| error.to_string())
    }
}

/// A time as people write it: `25s`, `1h`.
///
/// # Errors
/// The message shows the format.
pub fn parse_time(text: &str) -> Result<Duration, String> {
    Span::parse(text)
        .map(Span::duration)
        .ok_or_else(|| format!("{text:?} is not a time: write it as 250ms, 25s, 5m, 1h or 7d"))
}

/// A number of bytes as people write it: `128B`, `64KiB`.
///
/// # Errors
/// The message shows the format.
pub fn parse_size(text: &str) -> Result<usize, String> {
    Bytes::parse(text)
        .map(Bytes::count)
        .ok_or_else(|| format!("{text:?} is not a size: write it as 128B, 64KiB or 1MiB"))
}

#[cfg(test)]
mod tests;
