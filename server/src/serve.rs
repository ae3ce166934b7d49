//! A whole server: from a configuration and a hub to the end that a signal tells.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use axum::http::StatusCode;
use parking_lot::Mutex;
use tokio::task::JoinError;

use crate::accept::Origin;
use crate::api::{ApiKeys, admin_page};
use crate::config::{Config, KeySets};
use crate::{
    Builder, Error, ErrorKind, ListenAddress, Listener, LiveSettings, api, metrics, router, run, static_files,
};

mod log;
mod reload;

use self::reload::Reloader;

pub use crate::signals::Signals;

/// The settings of a server's command line. They take precedence over the configuration.
///
/// ```no_run
/// use std::process::ExitCode;
/// use wirehub_server::{Hub, serve::Options};
///
/// fn main() -> ExitCode {
///     let options = Options { config: Some("wirehub.toml".into()), ..Options::default() };
///     options.serve(Hub::builder()).unwrap_or_else(|error| {
///         eprintln!("error: {error}");
///         ExitCode::FAILURE
///     })
/// }
/// ```
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The configuration file. Without one the settings come from the environment variables `WIREHUB_…` alone.
    pub config: Option<PathBuf>,
    /// Where to listen. 127.0.0.1:8080 without this, unless the configuration has an address.
    pub listen: Option<ListenAddress>,
    /// The directory of static files, with `index.html` for `/`.
    pub static_files: Option<PathBuf>,
    /// The origins whose pages may connect, beside the server's own.
    pub allow_origins: Vec<Origin>,
    /// Whether clients without a token may connect.
    pub anonymous: bool,
    /// How long the server goes on for connected clients when it is stopped: see [`Builder::drain_delay`].
    pub drain_delay: Option<Duration>,
}

impl Options {
    /// Serves a hub until SIGINT or SIGTERM, and blocks until then; a second signal ends the server at once, also during the
    /// drain delay. SIGHUP reads the configuration again. The address is written to standard output as soon as connections are
    /// accepted; the log goes to standard error.
    ///
    /// The environment variables `WIREHUB_LOG` and `RUST_LOG`, or else the configuration, choose what is logged: `debug`, or
    /// `wirehub=trace,info`.
    ///
    /// The exit code is a failure after a second signal.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] and [`ErrorKind::Config`]: the settings are wrong. Other kinds: the system refuses the address, a
    /// certificate or the static files can't be read.
    pub fn serve(self, hub: Builder) -> Result<ExitCode, Error> {
        let config = self.configuration(Config::load)?;
        let log = log::start(&config)?;
        let listen = match &self.listen {
            Some(listen) => listen.clone(),
            None => config.listen()?.unwrap_or(DEFAULT_ADDRESS),
        };
        self.check_exposure(&config, &listen)?;
        let base = hub.live().clone();
        let mut key_sets = KeySets::default();
        let (hub, events) = config.apply_observed(hub, &mut key_sets)?;
        let hub = hub.update(|live| self.apply_live(live)).build();
        let api_keys = ApiKeys::from(config.api_keys()?);
        let mut app = router(&hub).merge(hub.echo());
        if config.has_api() {
            app = app.merge(api(&hub, api_keys.clone()));
        }
        if config.admin()? {
            app = app.merge(admin_page());
        }
        if config.metrics() {
            app = app.merge(metrics(&hub));
        }
        let folder = match &self.static_files {
            Some(directory) => Some(directory.as_path()),
            None => config.checked_static_files()?,
        };
        let app = match folder {
            Some(directory) => app.fallback_service(pages(directory)?),
            None => app.fallback(no_page),
        };
        let runtime = servers_runtime()?;
        let tls = config.tls()?;
        let reloader = Arc::new(Reloader {
            options: self,
            base,
            started: config,
            in_force: Mutex::default(),
            listen,
            hub,
            events,
            key_sets: key_sets.into(),
            api_keys,
            tls,
            log,
            reading: Arc::default(),
        });
        let code = runtime.block_on(serve_until_signal(&reloader, app));
        // What is left after the deadline is not waited for.
        runtime.shutdown_background();
        code
    }

    fn configuration(&self, load: fn(&Path) -> Result<Config, Error>) -> Result<Config, Error> {
        let mut config = match &self.config {
            Some(path) => load(path)?,
            None => Config::from_environment()?,
        };
        config.allow_anonymous(self.anonymous);
        Ok(config)
    }

    /// Lets nobody in unasked.
    fn check_exposure(&self, config: &Config, listen: &ListenAddress) -> Result<(), Error> {
        if !config.anonymous() && !config.has_tokens() && !listen.is_local() {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "{listen} can be reached from other machines, and everybody would be let in: add keys for tokens to \
                     the configuration, or --anonymous if that is meant, or listen on 127.0.0.1 and put a proxy before it"
                ),
            ));
        }
        Ok(())
    }

    /// Puts the settings of the command line in the place of the configuration's.
    fn apply_live(&self, live: &mut LiveSettings) {
        if let Some(delay) = self.drain_delay {
            live.drain_delay(delay);
        }
        for origin in &self.allow_origins {
            live.allow_origin(origin.clone());
        }
    }
}

/// Where there is one core a scheduler for many threads costs and gives nothing.
fn servers_runtime() -> Result<tokio::runtime::Runtime, Error> {
    let mut builder = match available_parallelism() {
        Ok(cores) if cores.get() == 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    (builder.enable_all().build())
        .map_err(|error| Error::with_source(ErrorKind::System, "cannot start the runtime", error))
}

const DEFAULT_ADDRESS: ListenAddress =
    ListenAddress::Tcp(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080)));

async fn serve_until_signal(reloader: &Arc<Reloader>, app: axum::Router) -> Result<ExitCode, Error> {
    let mut signals = Signals::new()?;
    let mut hangups = Hangups::new(reloader.options.config.is_some())?;
    let mut listener = Listener::bind(&reloader.listen).await?;
    let scheme = if reloader.tls.is_some() { "https://" } else { "http://" };
    if let Some(tls) = &reloader.tls {
        listener = listener.with_tls(tls.clone());
    }
    let address = listener.address()?;
    announce(scheme, &address)?;
    reloader.say_what_is_on(&address);
    let (stop, stopping) = tokio::sync::oneshot::channel();
    // A task of its own: so connections are taken by a thread that serves them, where this one would only hand them over.
    let mut server = tokio::spawn(run(listener, reloader.hub.clone(), app, async {
        let _ = stopping.await;
    }));
    let twice = async {
        signals.next().await;
        // The receiver is gone only when the server is.
        let _ = stop.send(());
        signals.next().await;
    };
    let reloading = async {
        loop {
            hangups.next().await;
            reloader.reload().await;
        }
    };
    tokio::select! {
        never = reloading => never,
        served = &mut server => match served.map_err(JoinError::try_into_panic) {
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            _ => return Ok(ExitCode::SUCCESS),
        },
        () = twice => {}
    }
    server.abort();
    // Where something in it does not give way the program ends without it.
    let _ = tokio::time::timeout(AT_ONCE, server).await;
    tracing::warn!("stopped at once: connections were cut");
    Ok(ExitCode::FAILURE)
}

/// How long a server has to let go of its connections when it is to end at once.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The static files, if they are there.
fn pages(directory: &Path) -> Result<axum::Router, Error> {
    let metadata = std::fs::metadata(directory).map_err(|error| {
        let message =
            format!("cannot read the directory {}: build the page, or correct --static", directory.display());
        Error::with_source(ErrorKind::StaticFiles, message, error)
    })?;
    if !metadata.is_dir() {
        let message = format!("{} is no directory: correct --static", directory.display());
        return Err(Error::new(ErrorKind::StaticFiles, message));
    }
    Ok(static_files(directory))
}

async fn no_page() -> (StatusCode, &'static str) {
    let words = "There is no page here. Clients connect to /ws; to serve a page, start the server with --static DIR.\n";
    (StatusCode::NOT_FOUND, words)
}

/// Tells, for people and for programs that wait for it, that connections are accepted from now on.
fn announce(scheme: &str, address: &ListenAddress) -> Result<(), Error> {
    let scheme = if matches!(address, ListenAddress::Tcp(_)) { scheme } else { "" };
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {scheme}{address}")
        .and_then(|()| out.flush())
        .map_err(|error| Error::with_source(ErrorKind::System, "cannot write to standard output", error))
}

/// The signals by which a server is told to read its configuration again.
struct Hangups {
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    /// Without a configuration to read the signal keeps its meaning: the terminal is gone.
    #[cfg(unix)]
    fn new(is_wanted: bool) -> Result<Self, Error> {
        let listen = || tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup());
        let hangup = is_wanted
            .then(listen)
            .transpose()
            .map_err(|error| Error::with_source(ErrorKind::System, "cannot listen for signals", error))?;
        Ok(Self { hangup })
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        match &mut self.hangup {
            Some(hangup) => drop(hangup.recv().await),
            None => std::future::pending().await,
        }
    }

    #[cfg(not(unix))]
    fn new(_: bool) -> Result<Self, Error> {
        Ok(Self {})
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        std::future::pending().await
    }
}
