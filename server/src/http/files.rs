//! Static files: a page beside the hub.

use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use tower_http::compression::CompressionLayer;
use tower_http::services::ServeDir;

/// Serves the files of a directory, `index.html` for the directory itself. To be the fallback of an application's
/// router.
///
/// Files are to be asked for anew each time (which costs no transfer where they are unchanged), save those in
/// `assets/` that bundlers name by a hash of their content: they never change. What gets smaller by it goes out compressed
/// by gzip to those who take that.
pub fn static_files(directory: impl AsRef<Path>) -> Router {
    Router::new()
        .fallback_service(ServeDir::new(directory))
        .layer(CompressionLayer::new())
        .layer(middleware::from_fn(add_headers))
}

async fn add_headers(request: Request, next: Next) -> Response {
    let forever = is_named_by_content(request.uri().path());
    let mut response = next.run(request).await;
    let cache = if forever && !response.status().is_client_error() {
        HeaderValue::from_static("public, max-age=31536000, immutable")
    } else {
        HeaderValue::from_static("no-cache")
    };
    response.headers_mut().insert(header::CACHE_CONTROL, cache);
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// `/assets/name-HASH.ext`, with a hash of eight characters of base64url, as Vite and Rollup write it. A word of
/// eight small letters is more likely a word.
fn is_named_by_content(path: &str) -> bool {
    let Some(file) = path.strip_prefix("/assets/") else { return false };
    let Some((stem, _)) = file.rsplit_once('.') else { return false };
    let Some((separator, hash)) = stem
        .len()
        .checked_sub(9)
        .and_then(|at| stem.split_at_checked(at))
        .and_then(|(_, tail)| tail.split_at_checked(1))
    else {
        return false;
    };
    separator == "-"
        && hash.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && !hash.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_hash_are_kept_for_ever() {
        for path in
            ["/assets/index-BkZ1_x-9.js", "/assets/wirehub_bg-C8dQx1ab.wasm", "/assets/a/b-12345678.css"]
        {
            assert!(is_named_by_content(path), "{path}");
        }
        for path in [
            "/index.html",
            "/index-BkZ1_x-9.js",
            "/assets/index.js",
            "/assets/dark-backdrop.css",
            "/assets/-BkZ1_x9.js",
            "/assets/é-BkZ1_x-.js",
        ] {
            assert!(!is_named_by_content(path), "{path}");
        }
    }
}
