//! `[redis]`.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::secret::SecretSection;
use super::units::Span;

/// The address of a Redis server. It may contain a password, so its text for debugging is hidden.
#[cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "it is checked, and only the engine in Redis reads it")
)]
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct RedisUrl(String);

impl FromStr for RedisUrl {
    // A parser of the command line would repeat the text in its error. It is checked later.
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(…)")
    }
}

/// `[redis]`.
#[cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "it is checked, and only the engine in Redis reads it")
)]
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RedisSection {
    url: Option<RedisUrl>,
    sentinels: Option<Vec<RedisUrl>>,
    /// For `sentinels`.
    master: Option<String>,
    cluster: Option<Vec<RedisUrl>>,
    user: Option<String>,
    password: Option<SecretSection>,
    /// For `sentinels`.
    sentinel_user: Option<String>,
    sentinel_password: Option<SecretSection>,
    authorities: Option<PathBuf>,
    prefix: Option<String>,
    acknowledge: Option<AcknowledgeSetting>,
    connect_timeout: Option<Span>,
    answer_timeout: Option<Span>,
}

/// `"master"`, `"replicas:N"` or `"disks:N"`.
#[cfg_attr(
    not(feature = "redis"),
    allow(dead_code, reason = "it is checked, and only the engine in Redis reads it")
)]
#[derive(Debug, Clone, Copy)]
enum AcknowledgeSetting {
    Master,
    Replicas(u32),
    Disks(u32),
}

impl<'de> Deserialize<'de> for AcknowledgeSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let setting = match text.split_once(':') {
            None => (text == "master").then_some(Self::Master),
            Some(("replicas", count)) => count.parse().ok().filter(|count| *count > 0).map(Self::Replicas),
            Some(("disks", count)) => count.parse().ok().map(Self::Disks),
            Some(_) => None,
        };
        setting.ok_or_else(|| {
            D::Error::custom(
                "this is no moment of an acknowledgement: write \"master\", \"replicas:1\" or \"disks:1\", with a number of replicas",
            )
        })
    }
}

impl RedisSection {
    /// Replaces the servers by this one.
    pub(super) fn set_url(&mut self, url: RedisUrl) {
        self.url = Some(url);
        (self.sentinels, self.master, self.cluster) = (None, None, None);
        (self.sentinel_user, self.sentinel_password) = (None, None);
    }

    /// The files in this section.
    pub(super) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let secrets = [&mut self.password, &mut self.sentinel_password];
        secrets.into_iter().flatten().filter_map(SecretSection::file).chain(&mut self.authorities)
    }

    /// `true` if the section has a setting.
    pub(super) fn is_set(&self) -> bool {
        let Self { url, sentinels, master, cluster, user, sentinel_user, prefix, .. } = self;
        let lists = [sentinels.is_some(), cluster.is_some(), url.is_some(), self.authorities.is_some()];
        let texts = [master, user, sentinel_user, prefix].map(Option::is_some);
        let secrets = [&self.password, &self.sentinel_password].map(Option::is_some);
        let times = [self.connect_timeout, self.answer_timeout].map(|time| time.is_some());
        [&lists[..], &texts, &secrets, &times, &[self.acknowledge.is_some()]].concat().contains(&true)
    }
}

#[cfg(feature = "redis")]
mod options {
    use std::time::Duration;

    use wirehub_redis::{Acknowledge, RedisEngine, RedisOptions};

    use super::super::files::read;
    use super::super::mistakes::Mistakes;
    use super::{AcknowledgeSetting, RedisSection, RedisUrl, SecretSection};
    use crate::outbound::Trust;
    use crate::{Error, ErrorKind};

    impl RedisUrl {
        /// The reason why this is no address, without the address.
        pub(crate) fn check(&self) -> Result<(), String> {
            RedisOptions::single(&self.0).map(drop).map_err(|error| error.to_string())
        }
    }

    impl RedisSection {
        /// The servers in words, for the log.
        pub(in super::super) fn summary(&self) -> String {
            let options = self.servers(&mut Mistakes::default());
            options.map(|options| options.to_string()).unwrap_or_default()
        }

        /// The settings of the engine. Reads the passwords and the authorities. `None` if there are mistakes.
        pub(in super::super) fn options(&self, mistakes: &mut Mistakes) -> Option<RedisOptions> {
            let servers = self.servers(mistakes);
            let password = self.secret("redis.password", &self.password, mistakes);
            let sentinel_password = self.secret("redis.sentinel_password", &self.sentinel_password, mistakes);
            let authorities = self.authorities(mistakes);
            let connect_timeout = time("redis.connect_timeout", self.connect_timeout, mistakes);
            let answer_timeout = time("redis.answer_timeout", self.answer_timeout, mistakes);
            let mut options = servers?;
            if let Some(user) = &self.user {
                options = options.user(user);
            }
            if let Some(password) = password? {
                options = options.password(password);
            }
            options = options.sentinel_login(self.sentinel_user.clone(), sentinel_password?);
            if let Some(pem) = authorities? {
                options = options.authorities(pem);
            }
            if let Some(acknowledge) = self.acknowledge {
                options = options.acknowledge(match acknowledge {
                    AcknowledgeSetting::Master => Acknowledge::Master,
                    AcknowledgeSetting::Replicas(replicas) => Acknowledge::Replicas(replicas),
                    AcknowledgeSetting::Disks(replicas) => Acknowledge::Disks(replicas),
                });
            }
            if let Some(timeout) = connect_timeout? {
                options = options.connect_timeout(timeout);
            }
            if let Some(timeout) = answer_timeout? {
                options = options.answer_timeout(timeout);
            }
            Some(options)
        }

        /// The servers, and the prefix of the keys in them.
        fn servers(&self, mistakes: &mut Mistakes) -> Option<RedisOptions> {
            let servers = match (&self.url, &self.sentinels, &self.cluster) {
                (Some(url), None, None) => mistakes.take("redis.url", RedisOptions::single(&url.0)),
                (None, Some(sentinels), None) => {
                    let addresses = addresses("redis.sentinels", sentinels, mistakes);
                    if self.master.is_none() {
                        let words = "the name under which the Sentinels know the master is missing: add for example master = \"mymaster\"";
                        mistakes.note("redis.master", words);
                    }
                    let options = RedisOptions::sentinel(addresses?, self.master.as_deref()?);
                    mistakes.take("redis.sentinels", options)
                }
                (None, None, Some(cluster)) => {
                    let addresses = addresses("redis.cluster", cluster, mistakes);
                    mistakes.take("redis.cluster", RedisOptions::cluster(addresses?))
                }
                (None, None, None) => {
                    let words = "no server is named: write `url`, or `sentinels` with `master`, or `cluster`";
                    mistakes.note("redis.url", words);
                    None
                }
                _ => {
                    let words = "it has more than one of `url`, `sentinels` and `cluster`: remove the others";
                    mistakes.note("redis", words);
                    None
                }
            };
            if self.sentinels.is_none() {
                for (key, is_set) in [
                    ("redis.master", self.master.is_some()),
                    ("redis.sentinel_user", self.sentinel_user.is_some()),
                    ("redis.sentinel_password", self.sentinel_password.is_some()),
                ] {
                    if is_set {
                        mistakes.note(key, "it is for Sentinels: remove it, or add `sentinels`");
                    }
                }
            }
            match &self.prefix {
                // Also beside other mistakes, so that all are reported at once.
                Some(prefix) => {
                    let check = RedisOptions::single("redis://localhost").and_then(|it| it.prefix(prefix));
                    mistakes.take("redis.prefix", check)?;
                    servers?.prefix(prefix).ok()
                }
                None => servers,
            }
        }

        fn secret(
            &self,
            key: &str,
            secret: &Option<SecretSection>,
            mistakes: &mut Mistakes,
        ) -> Option<Option<String>> {
            let Some(secret) = secret else { return Some(None) };
            let words = "a password is in a file or in an environment variable: write { file = \"redis.key\" } or { env = \"REDIS_PASSWORD\" }";
            let secret = secret.read().unwrap_or_else(|| Err(words.into())).and_then(|secret| {
                let words = "the password is empty, or is not text: write it again";
                String::from_utf8(secret).ok().filter(|secret| !secret.is_empty()).ok_or_else(|| words.into())
            });
            mistakes.take(key, secret).map(Some)
        }

        fn authorities(&self, mistakes: &mut Mistakes) -> Option<Option<Vec<u8>>> {
            let Some(path) = &self.authorities else { return Some(None) };
            let lists = [&self.sentinels, &self.cluster].into_iter().flatten().flatten();
            if !self.url.iter().chain(lists).any(|url| url.0.starts_with("rediss://")) {
                let words =
                    "the connections are without TLS: write rediss:// in place of redis://, or remove this";
                mistakes.note("redis.authorities", words);
            }
            let pem = mistakes.take("redis.authorities", read(path))?;
            let checked = Trust::only(&pem).map_err(|error| format!("{}: {error}", path.display()));
            mistakes.take("redis.authorities", checked)?;
            Some(Some(pem))
        }

        /// Connects. The options are those of this section.
        pub(in super::super) async fn connect(options: RedisOptions) -> Result<RedisEngine, Error> {
            RedisEngine::connect(options).await.map_err(|error| {
                let kind = match error.kind() {
                    wirehub_redis::ErrorKind::Settings => ErrorKind::Config,
                    _ => ErrorKind::Engine,
                };
                Error::with_source(kind, "cannot start the engine in Redis", error)
            })
        }
    }

    /// The addresses, if each of them is one.
    fn addresses<'a>(key: &str, urls: &'a [RedisUrl], mistakes: &mut Mistakes) -> Option<Vec<&'a str>> {
        let checked: Vec<_> = urls
            .iter()
            .enumerate()
            .map(|(index, url)| mistakes.take(format!("{key}[{index}]"), url.check()).map(|()| &*url.0))
            .collect();
        checked.into_iter().collect()
    }

    fn time(key: &str, time: Option<super::Span>, mistakes: &mut Mistakes) -> Option<Option<Duration>> {
        let Some(time) = time.map(super::Span::duration) else { return Some(None) };
        if time.is_zero() {
            mistakes.note(key, "it must be positive: write for example \"1s\"");
            return None;
        }
        Some(Some(time))
    }
}
