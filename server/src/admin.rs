//! The operators' page: live sessions and channels, and disconnecting.
//!
//! The page is static and holds no data. Everything it shows comes from the HTTP API, with a key that the operator
//! enters. No other origin and no other tab sees that key.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::get;

/// The operators' page at `/admin`: live sessions and channels, rates, disconnecting, publishing. Merge it into a
/// router beside [`api`](crate::api()), and use one of that API's keys in the page.
///
/// It loads nothing from other servers, runs only its own scripts, and cannot be framed.
///
/// ```
/// use wirehub_server::api::{ApiKey, ApiKeys, admin_page};
/// use wirehub_server::{Hub, api, router};
///
/// let hub = Hub::builder().build();
/// let keys = [ApiKey::new("0123456789abcdef0123456789abcdef")?];
/// let app = router(&hub).merge(api(&hub, ApiKeys::from_iter(keys))).merge(admin_page());
/// # let _ = app;
/// # Ok::<(), wirehub_server::api::ApiKeyError>(())
/// ```
pub fn admin_page() -> Router {
    FILES
        .iter()
        .fold(Router::new(), |router, (path, kind, text)| {
            let file = || std::future::ready(([(header::CONTENT_TYPE, *kind)], *text).into_response());
            router.route(path, get(file))
        })
        // Links in the page are relative to its own address, so a proxy may serve it at any path.
        .route("/admin/", get(|| std::future::ready(Redirect::permanent("../admin"))))
        .layer(middleware::from_fn(add_headers))
}

/// The path, the content type and the content of each file.
const FILES: &[(&str, &str, &str)] = &[
    ("/admin", HTML, include_str!("admin/index.html")),
    ("/admin/admin.css", "text/css; charset=utf-8", include_str!("admin/admin.css")),
    ("/admin/admin.js", SCRIPT, include_str!("admin/admin.js")),
    ("/admin/api.js", SCRIPT, include_str!("admin/api.js")),
    ("/admin/chart.js", SCRIPT, include_str!("admin/chart.js")),
    ("/admin/dialogs.js", SCRIPT, include_str!("admin/dialogs.js")),
    ("/admin/dom.js", SCRIPT, include_str!("admin/dom.js")),
    ("/admin/icon.svg", "image/svg+xml", include_str!("admin/icon.svg")),
    ("/admin/publish.js", SCRIPT, include_str!("admin/publish.js")),
    ("/admin/tables.js", SCRIPT, include_str!("admin/tables.js")),
];

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page may only load these files and send requests to this server.
const HEADERS: &[(&str, &str)] = &[
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    // Another version of the server has another page.
    ("cache-control", "no-cache"),
];

async fn add_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;

    async fn fetch(path: &str) -> Response {
        let request = Request::get(path).body(Body::empty()).unwrap();
        admin_page().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn every_file_goes_out_with_the_policy() {
        for (path, kind, _) in FILES {
            let response = fetch(path).await;
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            assert_eq!(response.headers()[header::CONTENT_TYPE], *kind);
            for (name, value) in HEADERS {
                assert_eq!(response.headers()[*name], *value, "{path}");
            }
        }
        assert_eq!(fetch("/admin/").await.headers()[header::LOCATION], "../admin");
        assert_eq!(fetch("/admin/nothing.js").await.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn every_file_that_a_file_refers_to_exists() {
        for (path, _, text) in FILES {
            for (before, base) in [("src=\"", "/"), ("href=\"", "/"), ("from './", "/admin/")] {
                for rest in text.split(before).skip(1) {
                    let name = rest.split(['"', '\'']).next().unwrap();
                    let target = format!("{base}{name}");
                    let is_there = name.starts_with('#') || FILES.iter().any(|(path, ..)| *path == target);
                    assert!(is_there, "{path} refers to {target}");
                }
            }
            assert!(!text.contains("innerHTML") && !text.contains("style=\""), "{path}");
        }
    }
}
