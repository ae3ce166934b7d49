#![allow(clippy::arithmetic_side_effects)]

use std::fs;
use std::io::Read as _;

use axum::body::to_bytes;
use axum::http::Method;
use flate2::read::GzDecoder;
use tempfile::TempDir;

use super::*;

mod properties;

struct Site {
    folder: TempDir,
    router: Router,
}

impl Site {
    /// The content of each file is its own name, many times.
    fn new(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("www");
        fs::create_dir(&root).unwrap();
        let site = Self { router: static_files(&root), folder };
        for name in files {
            site.write(name, &name.repeat(1000));
        }
        site
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("www").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        fs::write(self.path(name), text).unwrap();
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let (head, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        (head.status, head.headers, to_bytes(body, usize::MAX).await.unwrap().into())
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        self.ask(Method::GET, path, headers).await
    }

    async fn status(&self, path: &str) -> StatusCode {
        self.get(path, &[]).await.0
    }
}

const GZIP: (&str, &str) = ("accept-encoding", "gzip, deflate, br");

fn decompressed(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test]
async fn only_existing_files_may_be_cached_and_errors_never() {
    let site = Site::new(&[
        "index.html",
        "assets/index-BkZ1_x-9.js",
        "assets/logo-20250101.png",
        "assets/sub-4QZ6JQ2N.js/x",
    ]);
    let cache = async |path: &str, headers: &[(&str, &str)]| {
        let (status, headers, _) = site.get(path, headers).await;
        (status.as_u16(), headers[header::CACHE_CONTROL].to_str().unwrap().to_owned())
    };
    let forever = || "public, max-age=31536000, immutable".to_owned();
    let hashed = "/assets/index-BkZ1_x-9.js";
    assert_eq!(cache(hashed, &[]).await, (200, forever()));
    assert_eq!(cache(hashed, &[("if-none-match", "*")]).await, (304, forever()));
    assert_eq!(cache(hashed, &[("range", "bytes=0-9")]).await, (206, forever()));
    assert_eq!(cache(hashed, &[("range", "bytes=999999-")]).await, (416, "no-store".into()));
    assert_eq!(cache(hashed, &[("if-match", "\"other\"")]).await, (412, "no-store".into()));
    assert_eq!(cache("/assets/gone-BkZ1_x-9.js", &[]).await, (404, "no-store".into()));
    assert_eq!(cache("/assets/sub-4QZ6JQ2N.js", &[]).await, (307, "no-cache".into()));
    assert_eq!(cache("/assets/logo-20250101.png", &[]).await, (200, "no-cache".into()));
    assert_eq!(cache("/", &[]).await, (200, "no-cache".into()));
    let (status, headers, _) = site.ask(Method::POST, hashed, &[]).await;
    assert_eq!((status.as_u16(), &headers[header::CACHE_CONTROL]), (405, &"no-store".parse().unwrap()));
}

#[tokio::test]
async fn hidden_and_outside_files_are_not_served() {
    let site = Site::new(&[
        "index.html",
        ".env",
        ".git/config",
        "sub/.htpasswd",
        "sub/a..b.txt",
        ".well-known/security.txt",
        ".well-known/.hidden",
        "sub/.well-known/x",
    ]);
    fs::write(site.folder.path().join("secret.txt"), "secret").unwrap();
    for path in ["/index.html", "/.well-known/security.txt", "/sub/a..b.txt"] {
        assert_eq!(site.status(path).await, StatusCode::OK, "{path}");
    }
    for path in [
        "/.env",
        "/%2eenv",
        "/.git/config",
        "/.git/",
        "/sub/.htpasswd",
        "/.well-known/.hidden",
        "/sub/.well-known/x",
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/.well-known/../../secret.txt",
        "/index.html%00",
        "/%ff",
        "//index.html",
        "/sub\\..\\..\\secret.txt",
    ] {
        let (status, headers, body) = site.get(path, &[]).await;
        assert_eq!((status, body.len()), (StatusCode::NOT_FOUND, 0), "{path}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store", "{path}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_within_the_folder_only() {
    use std::os::unix::fs::symlink;

    let site = Site::new(&["index.html", "releases/1/page.html"]);
    let outside = site.folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret.txt"), "secret ".repeat(1000)).unwrap();
    symlink(outside.join("secret.txt"), site.path("link.txt")).unwrap();
    symlink("../outside", site.path("folder")).unwrap();
    symlink("releases/1", site.path("current")).unwrap();
    symlink("loop", site.path("loop")).unwrap();
    // The name of the outside folder begins with the name of the served one.
    fs::create_dir(site.folder.path().join("www2")).unwrap();
    fs::write(site.folder.path().join("www2/x.txt"), "secret").unwrap();
    symlink("../www2/x.txt", site.path("near.txt")).unwrap();
    assert_eq!(site.status("/current/page.html").await, StatusCode::OK);
    for path in ["/link.txt", "/folder/secret.txt", "/folder/", "/folder", "/loop", "/near.txt"] {
        for headers in [&[][..], &[GZIP], &[("range", "bytes=0-9")]] {
            for method in [Method::GET, Method::HEAD] {
                let (status, _, body) = site.ask(method, path, headers).await;
                assert_eq!((status, body.len()), (StatusCode::NOT_FOUND, 0), "{path}");
            }
        }
    }
    // The directory itself is a link, as deployments make it.
    let live = site.folder.path().join("live");
    symlink(site.path("releases/1"), &live).unwrap();
    let live = Site { router: static_files(&live), folder: tempfile::tempdir().unwrap() };
    assert_eq!(live.status("/page.html").await, StatusCode::OK);
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_is_not_served_and_does_not_block() {
    let site = Site::new(&["index.html"]);
    let made = std::process::Command::new("mkfifo").arg(site.path("pipe.txt")).status().unwrap();
    assert!(made.success());
    assert_eq!(site.status("/pipe.txt").await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_redirect_goes_to_the_same_server() {
    let site = Site::new(&["assets/x", "evil.example/x"]);
    for (path, location) in [
        ("/assets", "/assets/"),
        ("/assets?a=//evil.example", "/assets/?a=//evil.example"),
        ("http://evil.example/assets", "/assets/"),
    ] {
        let (status, headers, _) = site.get(path, &[("host", "a.example")]).await;
        assert_eq!(status, StatusCode::TEMPORARY_REDIRECT, "{path}");
        assert_eq!(headers[header::LOCATION], location, "{path}");
    }
    for path in [
        "//evil.example",
        "//evil.example/..",
        "///evil.example",
        "/%2fevil.example",
        "//evil.example/%2e%2e",
    ] {
        let (status, headers, _) = site.get(path, &[]).await;
        assert_eq!((status, headers.get(header::LOCATION)), (StatusCode::NOT_FOUND, None), "{path}");
    }
}

#[tokio::test]
async fn a_file_is_compressed_once_for_everybody_until_it_changes() {
    let site = Site::new(&["main.js"]);
    let text = "main.js".repeat(1000);
    let first = site.get("/main.js", &[GZIP]).await;
    assert_eq!(first.1[header::CONTENT_ENCODING], "gzip");
    assert_eq!(first.1[header::VARY], "accept-encoding");
    assert_eq!(first.1[header::CONTENT_TYPE], "text/javascript");
    assert_eq!(first.1[header::CONTENT_LENGTH], first.2.len().to_string());
    assert_eq!(decompressed(&first.2), text);
    let tag = first.1[header::ETAG].to_str().unwrap();
    let (status, ..) = site.get("/main.js", &[GZIP, ("if-none-match", tag)]).await;
    assert_eq!(status, StatusCode::NOT_MODIFIED);
    let (_, headers, body) = site.ask(Method::HEAD, "/main.js", &[GZIP]).await;
    assert_eq!((&headers[header::CONTENT_LENGTH], body.len()), (&first.1[header::CONTENT_LENGTH], 0));

    // The same bytes at the same address: a second compression would have allocated others.
    let folder = Folder::new(&site.path("")).compressing();
    let bytes = async || {
        let path = site.path("main.js");
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        let version = compressed::Version { file: path.clone(), modified, length: text.len() as u64 };
        folder.compressed(&path, version).await.unwrap()
    };
    let (one, other) = tokio::join!(bytes(), bytes());
    assert!(std::ptr::eq(one.as_ptr(), other.as_ptr()) && std::ptr::eq(one.as_ptr(), bytes().await.as_ptr()));

    site.write("main.js", &"changed ".repeat(1000));
    assert_eq!(decompressed(&site.get("/main.js", &[GZIP]).await.2), "changed ".repeat(1000));
}

#[tokio::test]
async fn parts_and_incompressible_files_are_sent_as_they_are() {
    let site = Site::new(&["main.js", "picture.png", "sub/index.html"]);
    site.write("short.js", "let a;");
    site.write("with.js", &"plain ".repeat(1000));
    site.write("with.js.gz", "made by somebody else");
    site.write("with.js.br", "made by another");
    let (status, headers, body) = site.get("/main.js", &[GZIP, ("range", "bytes=7-13")]).await;
    assert_eq!((status, &*body), (StatusCode::PARTIAL_CONTENT, &b"main.js"[..]));
    assert!(!headers.contains_key(header::CONTENT_ENCODING));
    assert_eq!(headers[header::VARY], "accept-encoding");
    for (path, headers) in [
        ("/main.js", &[][..]),
        ("/main.js", &[("accept-encoding", "gzip;q=0")]),
        ("/picture.png", &[GZIP]),
        ("/short.js", &[GZIP]),
        ("/with.js.gz", &[GZIP]),
    ] {
        let (status, headers, _) = site.get(path, headers).await;
        assert_eq!((status, headers.get(header::CONTENT_ENCODING)), (StatusCode::OK, None), "{path}");
    }
    for (accepted, body) in [("gzip", "made by somebody else"), ("br, gzip", "made by another")] {
        let (_, _, got) = site.get("/with.js", &[("accept-encoding", accepted)]).await;
        assert_eq!(String::from_utf8(got).unwrap(), body);
    }
    assert_eq!(site.get("/sub/", &[GZIP]).await.1[header::CONTENT_ENCODING], "gzip");
    assert_eq!(site.get("/main.js.gz", &[GZIP]).await.0, StatusCode::NOT_FOUND, "it is no file");
    // The rest of a file that may have changed.
    let (status, _, body) = site.get("/main.js", &[("range", "bytes=7-13"), ("if-range", "\"old\"")]).await;
    assert_eq!((status, body.len()), (StatusCode::OK, 7000));
}
