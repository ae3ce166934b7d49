//! Properties that hold for any path.

use std::path::Component;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;

use super::*;

/// Folders, names and ways out of them, in every notation.
fn path() -> impl Strategy<Value = String> {
    let pieces = select(vec![
        "/",
        "/",
        "/",
        "//",
        "%2f",
        "%2F",
        "..",
        ".",
        "%2e",
        "%2E%2e",
        "%252e",
        "\\",
        "%5c",
        "%00",
        "%ff",
        "%",
        "?",
        "#",
        "~",
        "assets",
        "sub",
        ".well-known",
        ".hidden",
        ".env",
        "secret.txt",
        "index.html",
        "www",
        "out",
        "index-BkZ1_x-9.js",
        "chunk-4QZ6JQ2N.js",
        "é",
        "%C3%A9",
        ":",
        "@",
        "http://",
        ".gz",
        ".br",
    ]);
    prop_oneof![vec(pieces, 0..8).prop_map(|pieces| format!("/{}", pieces.concat())), "/[ -~]{0,30}",]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// The operating system gets no path that leaves the folder or names a hidden file.
    #[test]
    fn a_served_path_names_a_visible_file_in_the_folder(path in path()) {
        if !is_servable(&path) {
            return Ok(());
        }
        let decoded = percent_decode_str(&path).decode_utf8().unwrap().into_owned();
        let inside = Path::new(decoded.trim_start_matches('/'));
        for (index, component) in inside.components().enumerate() {
            let Component::Normal(name) = component else {
                return Err(TestCaseError::fail(format!("{path}: {component:?}")));
            };
            let name = name.to_str().unwrap();
            prop_assert!(!name.starts_with('.') || (index == 0 && name == ".well-known"), "{}", path);
            prop_assert!(!name.contains(['\\', '\0']));
        }
    }

    /// The path contains a bundler's folder, and the file's name contains, after its beginning or as a whole, a long
    /// and mixed part.
    #[test]
    fn a_name_that_is_cached_for_ever_contains_a_hash(
        path in prop_oneof![
            path(),
            "/(assets|static|dist|js|photos)(/sub)?/([a-z]{0,5}[.-])?[a-zA-Z0-9_-]{6,12}(\\.(js|min))?\\.(js|css|png|map)",
            "/(assets|build|images)/([a-z]{0,5}[.-])?[a-f0-9]{7,41}\\.(js|css|png|map)",
        ],
    ) {
        if !is_named_by_content(&path) {
            return Ok(());
        }
        let segments: Vec<_> = path.split('/').collect();
        prop_assert!(segments.len() >= 3, "{}", path);
        prop_assert!(!["photos", "images"].contains(&segments[1]), "{}", path);
        let file = segments.last().unwrap();
        let is_of_hash = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        let is_hash = |text: &str| {
            let has = |kind: fn(&u8) -> bool| text.as_bytes().iter().any(kind);
            let is_mixed = has(u8::is_ascii_digit) as u8
                + has(u8::is_ascii_lowercase) as u8
                + has(u8::is_ascii_uppercase) as u8;
            text.len() >= 8 && text.as_bytes().iter().all(is_of_hash) && is_mixed >= 2
        };
        let parts = || file.split('.').rev().skip(1);
        // The last eight characters, since base64url contains a sign that is also in names; or everything after the
        // last sign.
        let is_in = |part: &str| {
            let last = part.len().checked_sub(8).and_then(|at| part.get(at..)).is_some_and(is_hash);
            last || part.rsplit('-').next().is_some_and(is_hash)
        };
        prop_assert!(parts().any(is_in), "{}", path);
    }
}

#[test]
fn nothing_outside_or_hidden_is_served_and_only_existing_files_are_cached() {
    let site = Site::new(&[
        "index.html",
        "assets/index.html",
        "assets/index-BkZ1_x-9.js",
        "assets/chunk-4QZ6JQ2N.js",
        "sub/index-BkZ1_x-9.js",
        ".well-known/index.html",
        "é",
    ]);
    let hidden =
        [".env", ".hidden/index.html", "assets/.env", "sub/.well-known/index.html", ".well-known/.env"];
    for name in hidden {
        site.write(name, "SECRET");
    }
    fs::write(site.folder.path().join("secret.txt"), "SECRET").unwrap();
    fs::write(site.folder.path().join("index.html"), "SECRET").unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(site.folder.path(), site.path("out")).unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(512));
    let result = runner.run(&path(), |path| {
        if path.parse::<Uri>().is_err() {
            return Ok(());
        }
        let (status, headers, body) = runtime.block_on(site.get(&path, &[]));
        prop_assert!(!String::from_utf8_lossy(&body).contains("SECRET"), "{}", path);
        let kept = headers[header::CACHE_CONTROL].to_str().unwrap();
        if kept.contains("immutable") {
            let uri: Uri = path.parse().unwrap();
            prop_assert!(status == StatusCode::OK && is_named_by_content(uri.path()), "{} {}", path, status);
            prop_assert!(
                uri.path().ends_with("/index-BkZ1_x-9.js") || uri.path().ends_with("/chunk-4QZ6JQ2N.js")
            );
            prop_assert!(uri.path().starts_with("/assets/"), "{}", path);
        }
        Ok(())
    });
    result.unwrap();
}
