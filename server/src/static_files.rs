//! Static files: a page beside the hub.

use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use percent_encoding::percent_decode_str;
use tower::ServiceExt as _;
use tower_http::services::ServeDir;
use tower_http::services::fs::DefaultServeDirFallback;

use self::folder::{Folder, can_be_compressed};
use self::names::is_named_by_content;

mod compressed;
mod folder;
mod names;

/// Serves the files of a directory, `index.html` for the directory itself. To be the fallback of an application's
/// router.
///
/// Files are to be asked for anew each time (which costs no transfer where they are unchanged), save those in the
/// folders of bundlers, such as `assets/`, whose names are known to have a hash of their content: they never change.
/// Errors are not to be kept.
///
/// Text, scripts and modules go out compressed to those who take that: from a file with `.br` or `.gz` behind its name where
/// there is one, or else compressed by gzip, once, and kept in up to 64 MiB of memory as long as it is asked for. Files of more
/// than 16 MiB, and parts that are asked for by `Range`, go out as they are.
///
/// Names that begin with a dot are not served, save what is in `.well-known/`; nor is what a link outside of the directory
/// stands for.
pub fn static_files(directory: impl AsRef<Path>) -> Router {
    let files = Files::new(directory.as_ref());
    Router::new().fallback(move |request: Request| files.clone().serve(request))
}

#[derive(Clone)]
struct Files {
    plain: ServeDir<DefaultServeDirFallback, Folder>,
    compressed: ServeDir<DefaultServeDirFallback, Folder>,
}

impl Files {
    fn new(directory: &Path) -> Self {
        let folder = Folder::new(directory);
        let plain = ServeDir::with_backend(directory, folder.clone());
        let compressed = ServeDir::with_backend(directory, folder.compressing());
        Self { plain, compressed: compressed.precompressed_br().precompressed_gzip() }
    }

    async fn serve(self, mut request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let mut response = if is_servable(&path) {
            simplify(&mut request);
            // What is compressed is made as a whole: not for a few bytes of it.
            let is_whole = !request.headers().contains_key(header::RANGE);
            let is_variant = path.ends_with(".gz") || path.ends_with(".br");
            let files = if is_whole && !is_variant { self.compressed } else { self.plain };
            let served = files.oneshot(request).await.unwrap_or_else(|never| match never {});
            served.map(Body::new)
        } else {
            StatusCode::NOT_FOUND.into_response()
        };
        let (status, headers) = (response.status(), response.headers_mut());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(how_long_to_keep(&path, status)));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if status.is_success() && can_be_compressed(Path::new(&path)) {
            headers.entry(header::VARY).or_insert(HeaderValue::from_static("accept-encoding"));
        }
        response
    }
}

/// Leaves what files are found by.
fn simplify(request: &mut Request) {
    // A redirect goes to where the request came, whatever host it named.
    if let Some(path) = request.uri().path_and_query() {
        *request.uri_mut() = Uri::from(path.clone());
    }
    let headers: &mut HeaderMap = request.headers_mut();
    // Whether a part still fits what the client has is not looked at: it gets the whole (RFC 9110, section 13.1.5).
    if headers.contains_key(header::IF_RANGE) {
        headers.remove(header::RANGE);
    }
}

/// Whether a path may be one of a file: with nothing in it that begins with a dot, and nothing by which another host could be
/// meant, or another folder.
fn is_servable(path: &str) -> bool {
    let Ok(path) = percent_decode_str(path).decode_utf8() else { return false };
    let Some(path) = path.strip_prefix('/') else { return false };
    let path = path.strip_prefix(".well-known/").unwrap_or(path);
    let is_name = |name: &str| {
        !name.is_empty() && !name.starts_with('.') && !name.contains(|it: char| it == '\\' || it.is_control())
    };
    // The last is empty where a directory is asked for.
    path.strip_suffix('/').unwrap_or(path).split('/').all(is_name) || path.is_empty()
}

fn how_long_to_keep(path: &str, status: StatusCode) -> &'static str {
    let is_there = status.is_success() || status == StatusCode::NOT_MODIFIED;
    if is_there && is_named_by_content(path) {
        "public, max-age=31536000, immutable"
    } else if is_there || status.is_redirection() {
        "no-cache"
    } else {
        "no-store"
    }
}

#[cfg(test)]
mod tests;
