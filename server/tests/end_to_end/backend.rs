//! An HTTP backend that a test plays.

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use parking_lot::Mutex;
use ring::hmac;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A backend on a free port. It records its requests.
pub(crate) struct Backend {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<ReceivedRequest>>>,
    serving: JoinHandle<()>,
}

/// A received request.
#[derive(Debug, Clone)]
pub(crate) struct ReceivedRequest {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl ReceivedRequest {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap().to_str().unwrap()
    }

    /// Returns whether it has a valid signature.
    pub(crate) fn is_signed(&self, secret: &[u8]) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let signed = [self.header("wirehub-timestamp").as_bytes(), b".", &self.body].concat();
        let hex = self.header("wirehub-signature").strip_prefix("v1=").unwrap();
        let tag: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        hmac::verify(&key, &signed, &tag).is_ok()
    }
}

impl Backend {
    /// A backend with this answer. The answer is dropped if its client has gone.
    pub(crate) async fn start<F, A, R>(answer: F) -> Self
    where
        F: Fn(ReceivedRequest) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = R> + Send,
        R: IntoResponse,
    {
        Self::start_at("127.0.0.1:0", answer).await
    }

    pub(crate) async fn start_at<F, A, R>(address: &str, answer: F) -> Self
    where
        F: Fn(ReceivedRequest) -> A + Clone + Send + Sync + 'static,
        A: Future<Output = R> + Send,
        R: IntoResponse,
    {
        let listener = TcpListener::bind(address).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<ReceivedRequest>>> = Arc::default();
        let all = Arc::clone(&asked);
        let app = Router::new().fallback(move |request: Request| {
            let (answer, all) = (answer.clone(), Arc::clone(&all));
            async move {
                let (head, body) = request.into_parts();
                let body = to_bytes(body, usize::MAX).await.unwrap();
                let asked = ReceivedRequest { path: head.uri.path().into(), headers: head.headers, body };
                all.lock().push(asked.clone());
                let response: Response = answer(asked).await.into_response();
                response
            }
        });
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, asked, serving }
    }

    /// Its requests, in order.
    pub(crate) fn requests(&self) -> Vec<ReceivedRequest> {
        self.asked.lock().clone()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
