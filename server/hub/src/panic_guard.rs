//! Guarded calls into the application's code. A panic there is logged, and ends only that call.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt as _;
use wirehub_common::code::ErrorCode;
use wirehub_common::frame::ErrorInfo;

/// The application's code panicked. The panic is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Panicked;

/// Calls the application's code. `subject` is its name in the log.
pub(crate) fn guarded<T>(subject: &str, call: impl FnOnce() -> T) -> Result<T, Panicked> {
    // The state that the panic interrupted belongs to the application, and is not used here any more.
    catch_unwind(AssertUnwindSafe(call)).map_err(|panic| log_panic(subject, &*panic))
}

/// The same for a future. `call` makes the future, and may panic as well.
pub(crate) async fn guarded_future<F: Future>(
    subject: &str,
    call: impl FnOnce() -> F,
) -> Result<F::Output, Panicked> {
    let future = guarded(subject, call)?;
    AssertUnwindSafe(future).catch_unwind().await.map_err(|panic| log_panic(subject, &*panic))
}

fn log_panic(subject: &str, panic: &(dyn Any + Send)) -> Panicked {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words");
    tracing::error!("{subject} panicked: {text}");
    Panicked
}

impl From<Panicked> for ErrorInfo {
    fn from(Panicked: Panicked) -> Self {
        Self::from_code(ErrorCode::INTERNAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls the application in its destructor, as a session does.
    struct Teller;

    impl Drop for Teller {
        fn drop(&mut self) {
            assert_eq!(guarded("a test", || panic!("again")), Err::<(), _>(Panicked));
        }
    }

    #[test]
    fn a_panic_that_comes_while_another_one_unwinds_goes_no_further() {
        let unwound = catch_unwind(|| {
            let _teller = Teller;
            panic!("first");
        });
        assert!(unwound.is_err());
        assert_eq!(guarded("a test", || 7), Ok(7));
    }

    #[tokio::test]
    async fn a_future_is_guarded_from_its_making_on() {
        let made = || -> std::future::Ready<()> { panic!("{}", "no future") };
        assert_eq!(guarded_future("a test", made).await, Err(Panicked));
        assert_eq!(guarded_future("a test", || async { panic!("late") }).await, Err::<(), _>(Panicked));
        assert_eq!(guarded_future("a test", || async { 7 }).await, Ok(7));
    }
}
