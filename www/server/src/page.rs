//! The page within the program.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use ring::digest::{SHA256, digest};

/// A file of the page.
struct PageFile {
    path: &'static str,
    content: &'static [u8],
    gzip: Option<&'static [u8]>,
}

/// The build script wrote them.
static FILES: &[PageFile] = include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// A file with the headers that are always the same.
struct Served {
    content: &'static [u8],
    gzip: Option<&'static [u8]>,
    tag: HeaderValue,
    media: HeaderValue,
    is_document: bool,
    is_forever: bool,
}

static SERVED: LazyLock<HashMap<&'static str, Served>> = LazyLock::new(|| served(FILES));

/// Everything of the page is its own, except for the sockets. The page itself has the same policy in its head, for servers that
/// send none.
const POLICY: &str = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:; \
                      connect-src 'self' ws: wss:; object-src 'none'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'";

/// `true` if the page is in this program.
pub fn has_page() -> bool {
    !FILES.is_empty()
}

/// The page's files, as the fallback of a router. A program without the page says how to build one that has it.
pub fn page() -> Router {
    Router::new().fallback(async |request: Request| {
        if !has_page() {
            let words = "This program was built without the demo's page. Build it with the page by `cargo xtask program`, or start \
                         the server with --static DIR.\n";
            return (StatusCode::NOT_FOUND, words).into_response();
        }
        respond(&SERVED, request.method(), request.uri().path(), request.headers())
    })
}

fn served(files: &'static [PageFile]) -> HashMap<&'static str, Served> {
    let file = |file: &'static PageFile| {
        let hash = digest(&SHA256, file.content);
        let hash: String = hash.as_ref().iter().take(12).map(|byte| format!("{byte:02x}")).collect();
        let extension = file.path.rsplit_once('.').map_or("", |(_, extension)| extension);
        let tag = HeaderValue::try_from(format!("\"{hash}\"")).unwrap_or(HeaderValue::from_static("\"-\""));
        let served = Served {
            content: file.content,
            gzip: file.gzip,
            tag,
            media: HeaderValue::from_static(media(extension)),
            is_document: extension == "html",
            // The bundler puts a hash of the content into these names.
            is_forever: file.path.starts_with("/assets/"),
        };
        (file.path, served)
    };
    files.iter().map(file).collect()
}

fn media(extension: &str) -> &'static str {
    match extension {
        "html" => "text/html; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "wasm" => "application/wasm",
        "json" | "map" => "application/json",
        "webmanifest" => "application/manifest+json",
        "txt" => "text/plain; charset=utf-8",
        "woff2" => "font/woff2",
        "mp3" => "audio/mpeg",
        "ogg" => "audio/ogg",
        "wav" => "audio/wav",
        _ => "application/octet-stream",
    }
}

fn respond(
    files: &HashMap<&'static str, Served>,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
) -> Response {
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let path = if path == "/" { "/index.html" } else { path };
    let Some(file) = files.get(path) else {
        return (StatusCode::NOT_FOUND, [(header::CACHE_CONTROL, "no-store")], "There is no such file.\n")
            .into_response();
    };
    let gzip = file.gzip.filter(|_| accepts_gzip(headers));
    let mut response = if is_known(headers, &file.tag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let content = gzip.unwrap_or(file.content);
        let body = if method == Method::HEAD { Body::empty() } else { Bytes::from_static(content).into() };
        let mut response = Response::new(body);
        response.headers_mut().insert(header::CONTENT_LENGTH, content.len().into());
        response
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, file.media.clone());
    if gzip.is_some() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if file.gzip.is_some() {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    let caching = if file.is_forever { "public, max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::ETAG, file.tag.clone());
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if file.is_document {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    response
}

/// A tag in the list of the client's is that of this file. Both forms have the same tag, which is weak in comparison (RFC 9110,
/// section 13.1.2).
fn is_known(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = known.flat_map(|list| list.split(',')).map(|known| known.trim().trim_start_matches("W/"));
    tags.any(|known| known == "*" || known.as_bytes() == tag.as_bytes())
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = accepted.flat_map(|list| list.split(','));
    codings.any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let is_refused = matches!(quality.replace(' ', "").as_str(), "q=0" | "q=0.0" | "q=0.00" | "q=0.000");
        name.trim().eq_ignore_ascii_case("gzip") && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    static FILES: &[PageFile] = &[
        PageFile { path: "/index.html", content: b"<!doctype html>", gzip: Some(b"compressed") },
        PageFile { path: "/assets/app-BkZ1_x-9.js", content: b"start()", gzip: None },
    ];

    fn get(path: &str, headers: &[(&'static str, &str)]) -> Response {
        request(&Method::GET, path, headers)
    }

    fn request(method: &Method, path: &str, headers: &[(&'static str, &str)]) -> Response {
        let headers =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        respond(&served(FILES), method, path, &headers)
    }

    fn header_of(response: &Response, name: &str) -> String {
        response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    async fn body_of(response: Response) -> Bytes {
        response.into_body().collect().await.unwrap().to_bytes()
    }

    #[tokio::test]
    async fn the_page_comes_with_its_policy_and_is_checked_again_each_time() {
        let response = get("/", &[]);
        assert_eq!(header_of(&response, "content-type"), "text/html; charset=utf-8");
        assert!(header_of(&response, "content-security-policy").contains("frame-ancestors 'none'"));
        assert_eq!(header_of(&response, "cache-control"), "no-cache");
        let tag = header_of(&response, "etag");
        assert_eq!(body_of(response).await, "<!doctype html>");
        let again = get("/", &[("if-none-match", &format!("\"other\", W/{tag}"))]);
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(body_of(again).await, "");
    }

    #[tokio::test]
    async fn a_compressed_form_is_for_clients_that_take_it() {
        let response = get("/index.html", &[("accept-encoding", "br, gzip")]);
        assert_eq!(header_of(&response, "content-encoding"), "gzip");
        assert_eq!(body_of(response).await, "compressed");
        for refusing in ["br", "gzip;q=0", "gzip; q=0.0"] {
            let response = get("/index.html", &[("accept-encoding", refusing)]);
            assert_eq!(header_of(&response, "content-encoding"), "", "{refusing}");
            assert_eq!(header_of(&response, "vary"), "accept-encoding");
        }
    }

    #[tokio::test]
    async fn a_file_with_a_hash_in_its_name_is_cached_for_ever() {
        let response = get("/assets/app-BkZ1_x-9.js", &[]);
        assert_eq!(header_of(&response, "cache-control"), "public, max-age=31536000, immutable");
        let head = request(&Method::HEAD, "/assets/app-BkZ1_x-9.js", &[]);
        assert_eq!(header_of(&head, "content-length"), "7");
        assert_eq!(body_of(head).await, "");
    }

    #[test]
    fn nothing_else_is_served() {
        for path in ["/none", "/../Cargo.toml", "/assets/", "/assets/../index.html"] {
            assert_eq!(get(path, &[]).status(), StatusCode::NOT_FOUND, "{path}");
        }
        assert_eq!(request(&Method::POST, "/", &[]).status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
