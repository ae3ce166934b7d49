//! A complete server: from a configuration and a hub to the end by a signal.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use axum::http::StatusCode;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::JoinError;

use crate::accept::Origin;
use crate::api::{ApiKeys, admin_page};
use crate::config::{Config, EngineKind, KeySets, RedisUrl};
use crate::{
    Builder, Error, ErrorKind, Hub, ListenAddress, Listener, LiveSettings, api, metrics, router, run,
    static_files,
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
    /// The configuration file. Without a file all settings come from the environment variables `WIREHUB_…`.
    pub config: Option<PathBuf>,
    /// The address of the server. Default: the address of the configuration, or 127.0.0.1:8080.
    pub listen: Option<ListenAddress>,
    /// The directory of static files, with `index.html` for `/`.
    pub static_files: Option<PathBuf>,
    /// The origins whose pages may connect, in addition to the server's own origin.
    pub allow_origins: Vec<Origin>,
    /// `true` if clients without a token may connect.
    pub anonymous: bool,
    /// The engine. Default: the engine of the configuration.
    pub engine: Option<EngineKind>,
    /// The directory of the engine on disk. Default: the directory of the configuration.
    pub data: Option<PathBuf>,
    /// The server of the engine in Redis, in place of the servers of the configuration.
    pub redis: Option<RedisUrl>,
    /// The time for which a stopped server still serves connected clients. See [`Builder::drain_delay`].
    pub drain_delay: Option<Duration>,
}

/// A program's own part of a server: tasks, routes, a page, and its own reason to stop.
///
/// ```no_run
/// use wirehub_server::serve::{Extension, Options};
/// use wirehub_server::{Hub, common::ChannelName, common::Payload};
///
/// /// Publishes the time, each second.
/// struct Clock;
///
/// impl Extension for Clock {
///     fn start(&mut self, hub: &Hub) -> axum::Router {
///         let hub = hub.clone();
///         tokio::spawn(async move {
///             let mut seconds = tokio::time::interval(std::time::Duration::from_secs(1));
///             for number in 0_u64.. {
///                 seconds.tick().await;
///                 let Ok(channel) = ChannelName::new("clock") else { return };
///                 drop(hub.publish_raw(&channel, Payload::json(number.to_string())));
///             }
///         });
///         axum::Router::new()
///     }
/// }
///
/// Options::default().serve_with(Hub::builder(), Clock)?;
/// # Ok::<(), wirehub_server::Error>(())
/// ```
pub trait Extension: Send + 'static {
    /// Called once within the server's runtime, when the hub is built and nothing is served yet. The routes are added to those of
    /// the server. A fallback in them is the page of a server without a directory of static files.
    fn start(&mut self, hub: &Hub) -> axum::Router;

    /// Called when the server listens at this address.
    fn listening(&mut self, _address: &ListenAddress) {}

    /// The server stops as by a signal when this is ready. Default: never.
    fn stopped(&mut self) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}

/// A server without a part of the program's own.
struct Nothing;

impl Extension for Nothing {
    fn start(&mut self, _: &Hub) -> axum::Router {
        axum::Router::new().fallback(no_page)
    }
}

impl Options {
    /// Serves a hub until SIGINT or SIGTERM, and blocks until then. A second signal ends the server at once, even during the
    /// drain delay. SIGHUP reloads the configuration. The server writes its address to standard output when it accepts
    /// connections. The log goes to standard error.
    ///
    /// The environment variables `WIREHUB_LOG` and `RUST_LOG`, or else the configuration, set the filter of the log: `debug`,
    /// or `wirehub=trace,info`.
    ///
    /// The exit code is a failure after a second signal.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] and [`ErrorKind::Config`]: the settings are wrong. Other kinds: the engine can't be started, the system
    /// refuses the address, a certificate can't be read, or the static files can't be read.
    pub fn serve(self, hub: Builder) -> Result<ExitCode, Error> {
        self.serve_with(hub, Nothing)
    }

    /// Like [`Self::serve`], with a part of the program's own.
    ///
    /// # Errors
    /// The same.
    pub fn serve_with(self, hub: Builder, mut extension: impl Extension) -> Result<ExitCode, Error> {
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
        let runtime = servers_runtime()?;
        let hub = match runtime.block_on(config.open_engine(hub)) {
            Ok(hub) => hub,
            Err(error) => {
                // Does not wait for the lookup of a name.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        let hub = {
            // So the records of the engine are loaded now, and not for the first session.
            let _entered = runtime.enter();
            hub.update(|live| self.apply_live(live)).build()
        };
        let api_keys = ApiKeys::from(config.api_keys()?);
        let own = {
            let _entered = runtime.enter();
            extension.start(&hub)
        };
        let mut app = router(&hub).merge(hub.echo()).merge(own);
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
        if let Some(directory) = folder {
            app = app.fallback_service(pages(directory)?);
        }
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
        let code = runtime.block_on(serve_until_signal(&reloader, app, &mut extension));
        // Does not wait for tasks that go on after the deadline.
        runtime.shutdown_background();
        code
    }

    fn configuration(&self, load: fn(&Path) -> Result<Config, Error>) -> Result<Config, Error> {
        let mut config = match &self.config {
            Some(path) => load(path)?,
            None => Config::from_environment()?,
        };
        config.allow_anonymous(self.anonymous);
        config.replace_engine(self.engine, self.data.clone(), self.redis.clone());
        if self.data.is_some() && config.engine() != EngineKind::Disk {
            let words = "--data is for the engine on disk: add --engine disk, or remove --data";
            return Err(Error::new(ErrorKind::Usage, words));
        }
        if self.redis.is_some() && config.engine() != EngineKind::Redis {
            let words = "--redis is for the engine in Redis: add --engine redis, or remove --redis";
            return Err(Error::new(ErrorKind::Usage, words));
        }
        #[cfg(feature = "redis")]
        if let Some(Err(words)) = self.redis.as_ref().map(RedisUrl::check) {
            return Err(Error::new(ErrorKind::Usage, format!("--redis: {words}")));
        }
        Ok(config)
    }

    /// Refuses an address that other machines can reach if every client would be admitted without an explicit setting.
    fn check_exposure(&self, config: &Config, listen: &ListenAddress) -> Result<(), Error> {
        if !config.anonymous() && !config.has_tokens() && !listen.is_local() {
            return Err(Error::new(
                ErrorKind::Usage,
                format!(
                    "{listen} can be reached from other machines, and every client would be admitted: add keys for tokens \
                     to the configuration, or --anonymous to admit every client, or listen on 127.0.0.1 behind a proxy"
                ),
            ));
        }
        Ok(())
    }

    /// Replaces settings of the configuration with those of the command line.
    fn apply_live(&self, live: &mut LiveSettings) {
        if let Some(delay) = self.drain_delay {
            live.drain_delay(delay);
        }
        for origin in &self.allow_origins {
            live.allow_origin(origin.clone());
        }
    }
}

/// The runtime of a server. On a single core a scheduler for many threads has a cost and no benefit.
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

async fn serve_until_signal(
    reloader: &Arc<Reloader>,
    app: axum::Router,
    extension: &mut impl Extension,
) -> Result<ExitCode, Error> {
    let mut signals = Signals::new()?;
    let mut hangups = Hangups::new(reloader.options.config.is_some())?;
    let mut listener = Listener::bind(&reloader.listen).await?;
    let scheme = if reloader.tls.is_some() { "https://" } else { "http://" };
    if let Some(tls) = &reloader.tls {
        listener = listener.with_tls(tls.clone());
    }
    let address = listener.address()?;
    extension.listening(&address);
    announce(scheme, &address)?;
    reloader.say_what_is_on(&address);
    let (stop, stopping) = tokio::sync::oneshot::channel();
    // In a task of its own, so that the thread that accepts a connection also serves it. This thread would only hand it over.
    let mut server = tokio::spawn(run(listener, reloader.hub.clone(), app, async {
        let _ = stopping.await;
    }));
    let stopped = extension.stopped();
    let twice = async {
        tokio::select! {
            () = signals.next() => {}
            () = stopped => {}
        }
        // The receiver is dropped only with the server.
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
    // The program ends even if something in the server blocks.
    let _ = tokio::time::timeout(AT_ONCE, server).await;
    tracing::warn!("stopped at once: connections were cut");
    Ok(ExitCode::FAILURE)
}

/// The time for a server to drop its connections when it ends at once.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The router of the static files, if their directory exists.
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

/// Announces to people and to waiting programs that the server accepts connections.
fn announce(scheme: &str, address: &ListenAddress) -> Result<(), Error> {
    let scheme = if matches!(address, ListenAddress::Tcp(_)) { scheme } else { "" };
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {scheme}{address}")
        .and_then(|()| out.flush())
        .map_err(|error| Error::with_source(ErrorKind::System, "cannot write to standard output", error))
}

/// The signals that make a server reload its configuration.
struct Hangups {
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    /// Without a configuration file the signal keeps its default meaning, a closed terminal.
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
