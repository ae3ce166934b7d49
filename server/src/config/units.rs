//! Times and sizes as people write them.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

/// A time: `"250ms"`, `"25s"`, `"5m"`, `"1h"`, `"7d"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(Duration);

/// A size: a number of bytes, or `"64KiB"`, `"1MiB"`, `"1GiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bytes(usize);

impl Span {
    pub(super) fn duration(self) -> Duration {
        self.0
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        number.checked_mul(milliseconds).map(Duration::from_millis).map(Self)
    }
}

impl Bytes {
    pub(super) fn count(self) -> usize {
        self.0
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split(text)?;
        let bytes = match unit {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        usize::try_from(number.checked_mul(bytes)?).ok().map(Self)
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom("this is not a time: write it as \"250ms\", \"25s\", \"5m\", \"1h\" or \"7d\"")
        })
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "the value must be a size: a number of bytes, or text such as \"64KiB\" or \"1MiB\""
        )]
        enum Shape {
            Number(usize),
            Text(String),
        }
        match Shape::deserialize(deserializer)? {
            Shape::Number(bytes) => Ok(Self(bytes)),
            Shape::Text(text) => Self::parse(&text).ok_or_else(|| {
                D::Error::custom("this is not a size: write it as 65536, \"64KiB\", \"1MiB\" or \"1GiB\"")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        let parse = |text| Span::parse(text).map(|span| span.0.as_millis());
        assert_eq!(
            ["250ms", "25s", "5m", "1h", "7d", "0s"].map(parse),
            [250, 25_000, 300_000, 3_600_000, 604_800_000, 0].map(Some)
        );
        assert_eq!(
            ["", "25", "s", "1.5s", "-1s", "1y", "99999999999999999999s", "18446744073709551615d"].map(parse),
            [None; 8]
        );
    }

    #[test]
    fn sizes_have_one_or_are_bytes() {
        let parse = |text| Bytes::parse(text).map(|bytes| bytes.0);
        assert_eq!(
            ["5", "5B", "64KiB", "1 MiB", "2GiB"].map(parse),
            [5, 5, 65_536, 1 << 20, 2 << 30].map(Some)
        );
        assert_eq!(["", "KiB", "1kb", "1.5MiB", "99999999999999999999GiB"].map(parse), [None; 5]);
    }
}
