//! The signals that end a program.

use crate::Error;
#[cfg(unix)]
use crate::ErrorKind;

/// The signals that end a program: SIGINT (Ctrl-C) and SIGTERM. Only Ctrl-C on systems other than Unix.
///
/// [`shutdown_signal`](crate::shutdown_signal) is enough for a program that stops at the first signal.
///
/// ```
/// # #[cfg(feature = "config")]
/// # async fn until_stopped() -> Result<(), wirehub_server::Error> {
/// use wirehub_server::serve::Signals;
///
/// let mut signals = Signals::new()?;
/// signals.next().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Signals {
    /// Listens for signals from now on. After this a signal no longer ends the process by itself. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`ErrorKind::System`]: the system refuses to deliver the signals.
    #[cfg(unix)]
    pub fn new() -> Result<Self, Error> {
        use tokio::signal::unix::{SignalKind, signal};

        let listen = |kind| {
            signal(kind)
                .map_err(|error| Error::with_source(ErrorKind::System, "cannot listen for signals", error))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for the next signal. The future may be dropped at any time: the next call then gets the signal.
    #[cfg(unix)]
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Listens for signals from now on.
    ///
    /// # Errors
    /// None.
    #[cfg(not(unix))]
    pub fn new() -> Result<Self, Error> {
        Ok(Self {})
    }

    /// Waits for the next signal.
    #[cfg(not(unix))]
    pub async fn next(&mut self) {
        // If this fails, no signal can come.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Waits for SIGINT (Ctrl-C) or SIGTERM; on systems other than Unix for Ctrl-C. It is for `axum::serve` or [`run`](crate::run),
/// which stop when it ends.
///
/// After the first poll a signal no longer ends the process by itself, neither the first one nor a later one, so the program
/// has to end. With the feature `config`, `serve::Signals` also delivers a second signal, from a user in a hurry. Without
/// permission to listen for signals the future never ends, and the log has the reason.
///
/// ```no_run
/// use wirehub_server::{Hub, Listener, router, run, shutdown_signal};
///
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::builder().build();
/// let listener = Listener::bind(&"127.0.0.1:8080".parse()?).await?;
/// run(listener, hub.clone(), router(&hub), shutdown_signal()).await;
/// # Ok(())
/// # }
/// ```
pub async fn shutdown_signal() {
    match Signals::new() {
        Ok(mut signals) => signals.next().await,
        Err(error) => {
            tracing::error!("this server cannot stop in order: {error}");
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::process::Command;
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn either_signal_that_ends_a_program_is_waited_for() {
        for signal in ["-TERM", "-INT"] {
            let mut stopping = pin!(shutdown_signal());
            // From here on the signal does not end the test.
            let is_pending = poll_fn(|cx| Poll::Ready(stopping.as_mut().poll(cx).is_pending())).await;
            assert!(is_pending);
            let sent = Command::new("kill").args([signal, &std::process::id().to_string()]).status().unwrap();
            assert!(sent.success());
            stopping.await;
        }
    }
}
