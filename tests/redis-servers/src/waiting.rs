//! Waiting for the state of another program.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// The time limit for an expected state: long enough for a busy machine, and never used up by a test that passes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two questions.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until the answer is `Ok`.
///
/// # Panics
/// With `what` and the last error after [`PATIENCE`].
pub async fn until<T, E: Display>(what: impl Display, mut ask: impl AsyncFnMut() -> Result<T, E>) -> T {
    // Not tokio's clock, which a test may have stopped.
    let started = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(reason) if started.elapsed() > PATIENCE => {
                panic!("{what}: not within {PATIENCE:?}: {reason}")
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
