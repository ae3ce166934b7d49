//! Reloading of the configuration of a running server.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Mutex as Turn;
use tokio::task::spawn_blocking;
use tracing_subscriber::EnvFilter;

use super::{Options, log};
use crate::api::{ApiKey, ApiKeys};
use crate::config::{Config, KeySets, Mistakes};
use crate::namespace::{Access, Namespace};
use crate::tls::LoadedCertificate;
use crate::webhooks::{EventQueue, Webhooks};
use crate::{Error, ErrorKind, Hub, ListenAddress, LiveSettings, Tls};

/// Applies changes of the configuration to a running server.
pub(super) struct Reloader {
    pub(super) options: Options,
    /// The settings of the program itself, before the configuration.
    pub(super) base: LiveSettings,
    /// The configuration at the start.
    pub(super) started: Config,
    /// The present configuration, if it differs from the one at the start.
    pub(super) in_force: Mutex<Option<Arc<Config>>>,
    pub(super) listen: ListenAddress,
    pub(super) hub: Hub,
    pub(super) events: Option<EventQueue>,
    pub(super) key_sets: Mutex<KeySets>,
    pub(super) api_keys: ApiKeys,
    pub(super) tls: Option<Tls>,
    pub(super) log: log::Handle,
    /// Held while files are read.
    pub(super) reading: Arc<Turn<()>>,
}

/// A configuration that has been read and checked.
struct Read {
    config: Config,
    live: LiveSettings,
    key_sets: KeySets,
    event_webhooks: Option<Webhooks>,
    api_keys: Vec<ApiKey>,
    filter: EnvFilter,
    certificate: Option<LoadedCertificate>,
}

/// The time for reading the configuration.
const READ_DEADLINE: Duration = Duration::from_secs(10);

impl Reloader {
    /// Reloads the configuration. If anything in it is wrong, everything stays as it was. The log has the result in both cases.
    pub(super) async fn reload(self: &Arc<Self>) {
        match self.read_in_time().await.map(|read| self.take_over(read)) {
            Ok(left) if left.is_empty() => tracing::info!("the configuration was reloaded and is in force"),
            Ok(left) => tracing::warn!(
                "the configuration was reloaded and is in force, except for these settings, which need a restart: {}",
                left.join(", ")
            ),
            Err(error) => tracing::error!("the configuration stays as it was: {error}"),
        }
    }

    /// Reads the configuration in a thread of its own, because a file may be a pipe, or on a disk that does not answer.
    async fn read_in_time(self: &Arc<Self>) -> Result<Read, Error> {
        let wrong = |words: &str| Error::new(ErrorKind::Config, words);
        let Ok(turn) = Arc::clone(&self.reading).try_lock_owned() else {
            return Err(wrong(
                "a file of the last reload is still being read: repair the file, or restart the server",
            ));
        };
        let this = Arc::clone(self);
        let reading = spawn_blocking(move || {
            let _turn = turn;
            this.read()
        });
        match tokio::time::timeout(READ_DEADLINE, reading).await {
            Ok(Ok(read)) => read,
            Ok(Err(_)) => Err(wrong("the reload panicked: see the log above")),
            Err(_) => Err(wrong(
                "it and its files could not be read within 10 s: use regular files on a disk that answers",
            )),
        }
    }

    fn read(&self) -> Result<Read, Error> {
        let config = self.options.configuration(Config::load_again)?;
        let mut mistakes = Mistakes::default();
        let in_force = self.in_force.lock().clone();
        config.check_for_start(&mut mistakes);
        config.check_against(in_force.as_deref().unwrap_or(&self.started), &mut mistakes);
        let mut key_sets = self.key_sets.lock().clone();
        let mut live = self.base.clone();
        config.apply_live(&mut live, &mut key_sets, &mut mistakes);
        let event_webhooks = config.event_webhooks(&mut mistakes);
        let api_keys = config.read_api_keys(&mut mistakes);
        let config = config.into_result(mistakes)?;
        self.options.check_exposure(&config, &self.listen)?;
        self.options.apply_live(&mut live);
        let filter = log::filter(&config)?;
        let certificate = match (&self.tls, config.tls_files()?) {
            (Some(tls), Some(files)) => Some(tls.read(files.certificate, files.key)?),
            _ => None,
        };
        Ok(Read { config, live, key_sets, event_webhooks, api_keys, filter, certificate })
    }

    /// Puts the new configuration in force. Returns the changed keys that need a restart.
    fn take_over(&self, read: Read) -> Vec<String> {
        let Read { config, live, key_sets, event_webhooks, api_keys, filter, certificate } = read;
        if let (Some(tls), Some(certificate)) = (&self.tls, certificate) {
            tls.use_certificate(certificate);
        }
        self.hub.update(|settings| *settings = live);
        if let (Some(events), Some(webhooks)) = (&self.events, &event_webhooks) {
            events.replace(webhooks);
        }
        key_sets.renew();
        *self.key_sets.lock() = key_sets;
        self.api_keys.replace(api_keys);
        self.log.set(filter);
        let left = self.started.changes_needing_restart(&config);
        *self.in_force.lock() = Some(Arc::new(config));
        left
    }

    /// Logs at the start which features are on, and which clients have access.
    pub(super) fn say_what_is_on(&self, address: &ListenAddress) {
        let config = &self.started;
        let tls = match (address, &self.tls) {
            (ListenAddress::Unix(_), _) => "a Unix socket",
            (_, Some(_)) => "with TLS",
            (_, None) => "without TLS",
        };
        tracing::info!("serving at {address}, {tls}");
        tracing::info!("{}", config.authentication_summary());
        tracing::info!("channels without a [namespace]: {}", in_words(self.hub.default_namespace()));
        let engine = format!("{:?}", self.hub.engine());
        let engine = engine.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
        tracing::info!("engine: {}", config.engine_summary(engine));
        for kind in config.idle_engine_sections() {
            tracing::warn!("[{kind}] has no effect: it needs engine = \"{kind}\"");
        }
        let off = config.disabled_limits();
        if !off.is_empty() {
            tracing::info!("limits without effect: {}", off.join(", "));
        }
    }
}

/// The rules of a namespace in words.
fn in_words(namespace: &Namespace) -> String {
    let name = |access| match access {
        Access::Everybody => "everybody",
        Access::Users => "users",
        _ => "clients with the right in their token",
    };
    format!("{} may subscribe, {} may publish", name(namespace.subscribe), name(namespace.publish))
}
