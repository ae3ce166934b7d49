//! Standard output of commands.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use wirehub_common::Payload;

/// Writes a line and flushes it.
pub(super) fn line(text: impl std::fmt::Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush())
}

/// Returns whether the error means that the reader of the output has ended, as `head` does. That is not a failure.
pub(super) fn is_unread(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Writes names and values, one pair per line.
pub(super) fn pairs(pairs: &[(&str, String)]) -> io::Result<()> {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default();
    pairs.iter().try_for_each(|(name, value)| line(format_args!("{name:width$}  {value}")))
}

/// Writes rows: on a terminal in columns with titles, otherwise separated by tabs and without titles.
pub(super) fn table<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let text = if io::stdout().is_terminal() { columns(titles, rows) } else { fields(rows) };
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Text of others for display. A terminal would obey control characters in it.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    if io::stdout().is_terminal() { harmless(text) } else { text.into() }
}

/// A time, in milliseconds since 1970, as in `2026-02-03T04:05:06.789Z`.
pub(super) fn moment(millis: u64) -> String {
    let (seconds, millis) = (millis / 1000, millis % 1000);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// The year, month and day of a number of days since 1970-01-01. It uses a calendar whose year begins in March, so that
/// the leap day is the last.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "the largest number of milliseconds is far from the bounds"
)]
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (400 * era + year_of_era + u64::from(month <= 2), month, day)
}

/// A payload as text. Payloads that are not text are shown in base64; an attachment as its head, a tab, and its bytes.
pub(super) fn text_of(payload: &Payload) -> String {
    let text = |data: &[u8]| std::str::from_utf8(data).map_or_else(|_| BASE64.encode(data), Into::into);
    match payload.attachment_parts() {
        Some((head, bytes)) => format!("{}\t{}", text(head), BASE64.encode(bytes)),
        None => text(&payload.data),
    }
}

/// Text without control characters, except line feeds and tabs.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if !text.contains(is_harmful) {
        return text.into();
    }
    let mut harmless = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            harmless.extend(c.escape_default());
        } else {
            harmless.push(c);
        }
    }
    harmless.into()
}

fn fields<const N: usize>(rows: &[[String; N]]) -> String {
    rows.iter().map(|row| format!("{}\n", row.join("\t"))).collect()
}

fn columns<const N: usize>(titles: [&str; N], rows: &[[String; N]]) -> String {
    let titles = titles.map(str::to_owned);
    let rows: Vec<[String; N]> = std::iter::once(&titles)
        .chain(rows)
        .map(|row| row.each_ref().map(|field| harmless(field).replace(['\n', '\t'], " ")))
        .collect();
    let width =
        |column| rows.iter().filter_map(|row| row.get(column)).map(|it: &String| it.chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or_default());
    let line = |row: &[String; N]| {
        let fields = row.iter().zip(widths).map(|(field, width)| format!("{field:width$}"));
        format!("{}\n", fields.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_get_columns_and_programs_get_fields() {
        let rows = [["a", "1"], ["l\u{1b}ö\nng", "22"]].map(|row| row.map(str::to_owned));
        assert_eq!(columns(["NAME", "N"], &rows), "NAME         N\na            1\nl\\u{1b}ö ng  22\n");
        assert_eq!(columns(["NAME", "N"], &[]), "NAME  N\n");
        assert_eq!(fields(&rows[..1]), "a\t1\n");
    }

    #[test]
    fn times_have_the_usual_format() {
        assert_eq!(moment(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(951_782_399_999), "2000-02-28T23:59:59.999Z");
        assert_eq!(moment(951_782_400_000), "2000-02-29T00:00:00.000Z");
        assert_eq!(moment(1_770_091_506_789), "2026-02-03T04:05:06.789Z");
        assert_eq!(moment(4_107_542_400_000), "2100-03-01T00:00:00.000Z");
        assert!(moment(u64::MAX).ends_with('Z'));
    }

    #[test]
    fn control_characters_of_others_do_not_reach_the_terminal() {
        assert_eq!(harmless("a\tb\nü"), "a\tb\nü");
        assert_eq!(harmless("\u{1b}[2Jü\u{9b}1m\r"), "\\u{1b}[2Jü\\u{9b}1m\\r");
    }
}
