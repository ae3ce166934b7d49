//! Names that bundlers derive from the content of a file. Browsers cache such files for a year without revalidation. A
//! doubtful name therefore does not count: its file is revalidated, which costs a round trip.

/// Returns whether a file is in a bundler's folder and its name contains a hash of its content, in the form of one of
/// these:
///
/// | bundler | name | hash |
/// | --- | --- | --- |
/// | Vite, Rollup | `index-BkZ1_x-9.js` | 8 characters of base64url |
/// | esbuild, Angular | `chunk-4QZ6JQ2N.js` | 8 characters of base32 |
/// | webpack, Parcel, Next.js | `main.3f2a1b9c.js`, `3f2a1b9c4d5e6f708192.png` | hexadecimal, 8 digits or more |
pub(super) fn is_named_by_content(path: &str) -> bool {
    let Some((folders, file)) = path.rsplit_once('/') else { return false };
    let is_of_bundler = folders.split('/').nth(1).is_some_and(|first| FOLDERS.contains(&first));
    let Some((mut stem, extension)) = file.rsplit_once('.') else { return false };
    while let Some(shorter) = INNER.iter().find_map(|inner| stem.strip_suffix(inner)) {
        stem = shorter;
    }
    let is_code = CODE.contains(&extension);
    is_of_bundler && (ends_with_hash(stem, is_code) || is_whole_hash(stem, is_code))
}

/// The output folders of bundlers.
const FOLDERS: [&str; 11] =
    ["assets", "static", "_next", "_nuxt", "_astro", "_app", "build", "dist", "chunks", "js", "css"];

/// Suffixes between a hash and the extension.
const INNER: [&str; 8] = [".js", ".mjs", ".cjs", ".css", ".chunk", ".min", ".bundle", ".worker"];

/// Kinds of files that people rarely name by hand in such folders.
const CODE: [&str; 6] = ["js", "mjs", "cjs", "css", "wasm", "map"];

/// `name-HASH` or `name.HASH`.
fn ends_with_hash(stem: &str, is_code: bool) -> bool {
    // Base64url contains a minus sign itself: eight characters are counted from the end.
    let tail = stem.len().checked_sub(SHORT).and_then(|at| stem.split_at_checked(at));
    let is_short = tail.is_some_and(|(before, tail)| {
        let has_name = before.strip_suffix(['-', '.']).is_some_and(|name| !name.is_empty());
        has_name && (is_base64(tail, is_code) || is_base32(tail, is_code))
    });
    let digits = stem.rsplit_once(['-', '.']).filter(|(name, _)| !name.is_empty());
    is_short || digits.is_some_and(|(name, digits)| !is_end_of_uuid(name, digits) && is_hex(digits, is_code))
}

/// `HASH` alone.
fn is_whole_hash(stem: &str, is_code: bool) -> bool {
    (stem.len() == SHORT && !stem.starts_with(['-', '_']) && is_base64(stem, is_code))
        || is_hex(stem, is_code)
}

const SHORT: usize = 8;

/// Upper and lower case in a disorder that neither words nor words with a number have.
fn is_base64(text: &str, is_code: bool) -> bool {
    let kinds = || text.bytes().map(Kind::of);
    let has = |kind| kinds().any(|it| it == Some(kind));
    let least = if is_code && (has(Kind::Digit) || has(Kind::Sign)) { 3 } else { 4 };
    kinds().all(|kind| kind.is_some()) && has(Kind::Upper) && has(Kind::Lower) && turns(text) >= least
}

fn is_base32(text: &str, is_code: bool) -> bool {
    text.bytes().all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'))
        && turns(text) >= if is_code { 2 } else { 3 }
}

/// A mix of digits and letters that does not begin with a year. Only the lengths that bundlers use.
fn is_hex(text: &str, is_code: bool) -> bool {
    let is_year = text.len() == SHORT && (text.starts_with("19") || text.starts_with("20"));
    [8, 10, 16, 20, 32, 40, 64].contains(&text.len())
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && !is_year
        && !is_uuid(text)
        && turns(text) >= if is_code { 2 } else { 3 }
}

/// Returns whether this is a UUID without dashes, which is not derived from the content. Its version and variant are at
/// fixed positions (RFC 9562, section 4).
fn is_uuid(text: &str) -> bool {
    let at = |place| text.as_bytes().get(place);
    text.len() == 32 && matches!((at(12), at(16)), (Some(b'1'..=b'8'), Some(b'8' | b'9' | b'a' | b'b')))
}

/// The same for the last group of a UUID.
fn is_end_of_uuid(name: &str, digits: &str) -> bool {
    digits.len() == 12 && name.rsplit('-').take(3).all(|group| group.len() == 4)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Upper,
    Lower,
    Digit,
    Sign,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        match byte {
            b'A'..=b'Z' => Some(Self::Upper),
            b'a'..=b'z' => Some(Self::Lower),
            b'0'..=b'9' => Some(Self::Digit),
            b'-' | b'_' => Some(Self::Sign),
            _ => None,
        }
    }
}

/// Counts the changes from one kind of character to another.
fn turns(text: &str) -> usize {
    let next = text.bytes().skip(1).map(Kind::of);
    text.bytes().map(Kind::of).zip(next).filter(|(one, other)| one != other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_a_hash_are_cached_for_ever() {
        for path in [
            // Vite and Rollup.
            "/assets/index-BkZ1_x-9.js",
            "/assets/index-D8b4DHJx.css",
            "/assets/index-n_ryQ3BS.css",
            "/assets/react-CHdo91hT.svg",
            "/assets/wirehub_bg-C8dQx1ab.wasm",
            "/assets/a/b-f40OySzR.js",
            "/assets/index-BkZ1_x-9.js.map",
            "/assets/index.3f2a1b9c.js",
            "/_nuxt/Bx1y2Z3a.js",
            "/_astro/index.DlZ3x9_Q.css",
            // webpack, Parcel, Next.js, Create React App.
            "/static/js/main.3f2a1b9c.js",
            "/static/js/787.28cb0dcd.chunk.js",
            "/static/css/main.f855e6bc.css.map",
            "/dist/main.3f2a1b9c4d5e6f708192.js",
            "/assets/3f2a1b9c4d5e6f708192.png",
            "/_next/static/chunks/117-2a1b3c4d5e6f7a8b.js",
            "/build/app.d41d8cd98f00b204e9800998ecf8427e.js",
            // esbuild and Angular.
            "/assets/chunk-4QZ6JQ2N.js",
            "/assets/index-NJ2TXJTY.css",
        ] {
            assert!(is_named_by_content(path), "{path}");
        }
    }

    #[test]
    fn names_given_by_people_are_revalidated() {
        for path in [
            "/index.html",
            "/index-BkZ1_x-9.js",
            "/photos/index-BkZ1_x-9.js",
            "/assets/",
            "/assets/index.js",
            "/assets/index",
            "/assets/logo-20250101.png",
            "/assets/report.20250101.pdf",
            "/assets/report-2025dec1.pdf",
            "/assets/20250101.js",
            "/assets/hero-1024x768.jpg",
            "/assets/photo-Portrait.jpg",
            "/assets/photo-PORTRAIT.jpg",
            "/assets/report-2025-Q1.1.pdf",
            "/assets/report-Q1-Q2-Q3.pdf",
            "/assets/dark-backdrop.css",
            "/assets/font-OpenSans.woff2",
            "/assets/page-HomePage.js",
            "/assets/page-HomePage.png",
            "/assets/phone-iPhone12.png",
            "/assets/icon-Galaxy_S.svg",
            "/assets/app-12345678.css",
            "/assets/app-v1-2-3-4.js",
            "/assets/jquery-3.7.1.min.js",
            "/assets/invoice-VERSION2.pdf",
            "/assets/song-MP3TRACK.ogg",
            "/assets/deadbeef.js",
            "/assets/black-00000000.svg",
            "/assets/avatar-550e8400-e29b-41d4-a716-4466554400ab.png",
            "/assets/avatar-550e8400e29b41d4a716446655440000.png",
            "/assets/-BkZ1_x9.js",
            "/assets/é-BkZ1_x-.js",
            "/assets/é.js",
            "/assets/.js",
        ] {
            assert!(!is_named_by_content(path), "{path}");
        }
    }
}
