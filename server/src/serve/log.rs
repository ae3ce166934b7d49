//! The log on standard error: its filter and its format.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use crate::Error;
use crate::config::{Config, LogFormat};

/// Changes the filter of the log, if [`start`] has set up the log.
pub(super) struct Handle(Option<Box<dyn Fn(EnvFilter) + Send + Sync>>);

impl Handle {
    pub(super) fn set(&self, filter: EnvFilter) {
        if let Some(change) = &self.0 {
            change(filter);
        }
    }
}

/// Sets up the log. A program with a log of its own keeps that one.
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
        // The log belongs to the program, so its filter stays.
        Self(begun.is_ok().then(|| Box::new(change) as _))
    }
}

/// The filter of the log. The environment takes precedence over the configuration, whose filter has to be valid even then.
pub(super) fn filter(config: &Config) -> Result<EnvFilter, Error> {
    let configured = config.log_filter()?;
    let variable = ["WIREHUB_LOG", "RUST_LOG"].into_iter().find(|name| std::env::var_os(name).is_some());
    let from_environment =
        variable.map(|name| EnvFilter::try_from_env(name).unwrap_or_else(|_| EnvFilter::new("info")));
    Ok(from_environment.unwrap_or(configured))
}
