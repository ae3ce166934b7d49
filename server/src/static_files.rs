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

/// Serves the files of a directory, and `index.html` for a directory. Use it as the fallback of an application's
/// router.
///
/// Browsers revalidate every file on each use, which costs no transfer if it is unchanged. Files in the output folders
/// of bundlers, such as `assets/`, have a hash of their content in the name and are cached for ever. Errors are not
/// cached.
///
/// Text, scripts and modules are compressed for clients that accept it. A file with `.br` or `.gz` appended to its name
/// is used if there is one. Otherwise the file is compressed with gzip once, and kept in memory (at most 64 MiB) while
/// it is in use. Files of more than 16 MiB, and parts requested by `Range`, are not compressed.
///
/// Names that begin with a dot are not served, except those in `.well-known/`. Links to files outside the directory are
/// not followed.
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
            // Compression works on whole files and is not worth it for a part.
            let is_whole = !request.headers().contains_key(header::RANGE);
            let is_variant = path.ends_with(".gz") || path.ends_with(".br");
            let files = if is_whole && !is_variant { self.compressed } else { self.plain };
            let served = files.oneshot(request).await.unwrap_or_else(|never| match never {});
            served.map(Body::new)
        } else {
            StatusCode::NOT_FOUND.into_response()
        };
        let (status, headers) = (response.status(), response.headers_mut());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache_control(&path, status)));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if status.is_success() && can_be_compressed(Path::new(&path)) {
            headers.entry(header::VARY).or_insert(HeaderValue::from_static("accept-encoding"));
        }
        response
    }
}

/// Leaves only what selects the file.
fn simplify(request: &mut Request) {
    // A redirect goes to the same server, whatever host the request names.
    if let Some(path) = request.uri().path_and_query() {
        *request.uri_mut() = Uri::from(path.clone());
    }
    let headers: &mut HeaderMap = request.headers_mut();
    // `If-Range` is not evaluated: the client gets the whole file (RFC 9110, section 13.1.5).
    if headers.contains_key(header::IF_RANGE) {
        headers.remove(header::RANGE);
    }
}

/// Returns whether a path may name a file: no part begins with a dot, and nothing in it could mean another host or
/// another folder.
fn is_servable(path: &str) -> bool {
    let Ok(path) = percent_decode_str(path).decode_utf8() else { return false };
    let Some(path) = path.strip_prefix('/') else { return false };
    let path = path.strip_prefix(".well-known/").unwrap_or(path);
    let is_name = |name: &str| {
        !name.is_empty() && !name.starts_with('.') && !name.contains(|it: char| it == '\\' || it.is_control())
    };
    // The last part is empty for a directory.
    path.strip_suffix('/').unwrap_or(path).split('/').all(is_name) || path.is_empty()
}

fn cache_control(path: &str, status: StatusCode) -> &'static str {
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
