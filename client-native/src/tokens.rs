//! The token provider of a client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use wirehub_client_core::{Driver, Error, TokenRequest};

type TokenFuture = Pin<Box<dyn Future<Output = Result<String, Error>> + Send>>;

/// A function that returns tokens.
pub(crate) type Provider = Box<dyn Fn() -> TokenFuture + Send>;

/// The provider, if there is one, and the question it is answering.
pub(crate) struct Tokens {
    provider: Option<Provider>,
    asked: Option<(TokenRequest, TokenFuture)>,
}

impl Tokens {
    pub(crate) fn new(provider: Option<Provider>) -> Self {
        Self { provider, asked: None }
    }

    /// Asks a new question, which makes the older one void, and passes on an answer. Ready if one of these happened.
    pub(crate) fn poll(&mut self, driver: &Driver, context: &mut Context<'_>) -> Poll<()> {
        if let Some(request) = driver.poll_token_request() {
            self.asked = self.provider.as_ref().map(|provider| (request, provider()));
            return Poll::Ready(());
        }
        let Some((request, answer)) = &mut self.asked else { return Poll::Pending };
        let token = ready!(answer.as_mut().poll(context));
        driver.handle_token(*request, token);
        self.asked = None;
        Poll::Ready(())
    }
}
