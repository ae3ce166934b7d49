//! A configuration that is read again while the server runs.

use parking_lot::Mutex;

use super::{ServeOptions, log};
use crate::config::{Config, KeySets};
use crate::webhooks::EventQueue;
use crate::{ApiKeys, Builder, Error, Hub, ListenAddress, Tls};

/// Carries what has changed in the configuration into a server that runs.
pub(super) struct Reloader {
    pub(super) options: ServeOptions,
    /// What the program itself had said before the configuration.
    pub(super) base: Builder,
    /// What the server was started with.
    pub(super) started: Config,
    pub(super) listen: ListenAddress,
    pub(super) hub: Hub,
    pub(super) events: Option<EventQueue>,
    pub(super) key_sets: Mutex<KeySets>,
    pub(super) api_keys: ApiKeys,
    pub(super) tls: Option<Tls>,
    pub(super) log: log::Handle,
}

impl Reloader {
    /// Reads the configuration anew. Where anything in it is wrong all stays as it was. Either way the log tells.
    pub(super) fn reload(&self) {
        match self.try_reload() {
            Ok(left) if left.is_empty() => tracing::info!("the configuration was read again and is in force"),
            Ok(left) => tracing::warn!(
                "the configuration was read again and is in force, but for what takes a restart: {}",
                left.join(", ")
            ),
            Err(error) => tracing::error!("the configuration stays as it was: {error}"),
        }
    }

    /// Gives the keys that have changed and take a restart.
    fn try_reload(&self) -> Result<Vec<String>, Error> {
        let config = self.options.configuration()?;
        config.check_for_start()?;
        self.options.check_exposure(&config, &self.listen)?;
        let mut key_sets = self.key_sets.lock().clone();
        let settings = config.apply_live(self.base.fork(), &mut key_sets)?;
        let settings = self.options.apply(settings);
        let teller = config.teller()?;
        let api_keys = config.api_keys()?;
        let filter = log::filter(&config)?;
        // The last that can fail.
        if let Some(tls) = &self.tls
            && let Some(files) = config.tls_files()
        {
            tls.replace(files.certificate, files.key)?;
        }
        self.hub.reload(settings);
        if let (Some(events), Some(webhooks)) = (&self.events, &teller) {
            events.replace(webhooks);
        }
        key_sets.renew();
        *self.key_sets.lock() = key_sets;
        self.api_keys.replace(api_keys);
        self.log.set(filter);
        Ok(self.started.changes_that_take_a_restart(&config))
    }
}
