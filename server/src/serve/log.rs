//! What is logged to standard error, and how.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::Error;
use crate::config::{Config, LogFormat};

/// Changes what is logged, in a program whose log [`start`] has set up.
pub(super) struct Handle(Option<Box<dyn Fn(EnvFilter) + Send + Sync>>);

impl Handle {
    pub(super) fn set(&self, filter: EnvFilter) {
        if let Some(change) = &self.0 {
            change(filter);
        }
    }
}

/// Begins to log. A program that has set its own log up keeps it.
pub(super) fn start(config: &Config) -> Result<Handle, Error> {
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter(config)?)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    Ok(match config.log_format() {
        LogFormat::Text => {
            let log = log.with_filter_reloading();
            let handle = log.reload_handle();
            Handle::of(&log.try_init(), move |filter| {
                let _ = handle.reload(filter);
            })
        }
        LogFormat::Json => {
            let log = log.json().with_filter_reloading();
            let handle = log.reload_handle();
            Handle::of(&log.try_init(), move |filter| {
                let _ = handle.reload(filter);
            })
        }
    })
}

impl Handle {
    fn of<E>(begun: &Result<(), E>, change: impl Fn(EnvFilter) + Send + Sync + 'static) -> Self {
        // The other log is not ours to change.
        Self(begun.is_ok().then(|| Box::new(change) as _))
    }
}

/// What is to be logged: the environment goes before the configuration, which has to be right all the same.
pub(super) fn filter(config: &Config) -> Result<EnvFilter, Error> {
    let configured = config.log_filter()?;
    let variable = ["WIREHUB_LOG", "RUST_LOG"].into_iter().find(|name| std::env::var_os(name).is_some());
    let from_environment =
        variable.map(|name| EnvFilter::try_from_env(name).unwrap_or_else(|_| EnvFilter::new("info")));
    Ok(from_environment.unwrap_or(configured))
}
