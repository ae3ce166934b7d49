//! Readings as columns of numbers, so that a page reads them without an object for each point.
//!
//! Everything is little-endian. `S` is the number of series and `R` the number of rows:
//!
//! | at | type | content |
//! | --- | --- | --- |
//! | 0 | `u8` | the version of this layout: 1 |
//! | 1 | `u8` | `S` |
//! | 2 | `u16` | `R` |
//! | 4 | `u32` | the number of the first row: rows of a source are numbered from 1 since the server's start |
//! | 8 | `f64` | the time of the first row, in milliseconds since 1970 |
//! | 16 | `f32` × `R` | the time of each row after the first, in milliseconds |
//! | 16 + 4 `R` | `f32` × `R` × `S` | a column for each series, in the order of [`MeterSource::series`] |
//!
//! A value that could not be read is NaN. In TypeScript a column is a `Float32Array` on a copy of the payload (`slice()`), because
//! the payload itself may begin at any byte of its buffer.

use std::fmt;

use bytes::{BufMut as _, BytesMut};
use serde::{Deserialize, Serialize};
use wirehub_common::contract::{Binary, Schema};

const VERSION: u8 = 1;
const HEAD: usize = 16;

/// See [`DescribeMeters`](crate::DescribeMeters).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Meters {
    /// The sources: `server`, 60 readings a second, and `machine`, 5 readings a second.
    pub sources: Vec<MeterSource>,
}

/// A source of readings: `metrics:{name}`, `latest:{name}` and `trail:{name}` are its channels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct MeterSource {
    /// The name in the channels.
    pub name: String,
    /// The name for people.
    pub title: String,
    /// The readings per second.
    pub rate: f64,
    /// The series, in the order of the columns.
    pub series: Vec<Series>,
}

/// A series of readings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Series {
    /// The name, such as `cpu` or `cpu-0`.
    pub name: String,
    /// The name for people, such as `CPU` or `Core 1`.
    pub title: String,
    /// The unit: `%`, `bytes`, `bytes/s`, `/s`, `ms` or empty for a count.
    pub unit: String,
    /// The series with the same group have one scale: `cpu`, `memory`, `network`, `messages`, `traffic`,
    /// `sessions`, `delay`.
    pub group: String,
    /// The largest possible value, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(optional))]
    pub most: Option<f64>,
}

/// Readings of a source: rows of times, columns of values.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// The number of the first row.
    pub first: u32,
    /// The time of the first row, in milliseconds since 1970.
    pub time: f64,
    /// The time of each row after the first, in milliseconds.
    pub times: Vec<f32>,
    /// A column for each series, each as long as `times`.
    pub columns: Vec<Vec<f32>>,
}

impl Frame {
    /// The payload.
    ///
    /// # Errors
    /// It has no row, more than 65,535 rows or 255 columns, or columns of different lengths.
    pub fn encode(&self) -> Result<Binary, FrameError> {
        let rows = u16::try_from(self.times.len()).map_err(|_| FrameError)?;
        let series = u8::try_from(self.columns.len()).map_err(|_| FrameError)?;
        if rows == 0 || self.columns.iter().any(|column| column.len() != self.times.len()) {
            return Err(FrameError);
        }
        let mut out = BytesMut::with_capacity(size(rows, series));
        out.put_u8(VERSION);
        out.put_u8(series);
        out.put_u16_le(rows);
        out.put_u32_le(self.first);
        out.put_f64_le(self.time);
        for value in self.times.iter().chain(self.columns.iter().flatten()) {
            out.put_f32_le(*value);
        }
        Ok(Binary(out.freeze()))
    }

    /// The readings in a payload.
    ///
    /// # Errors
    /// The payload has another layout.
    pub fn decode(payload: &Binary) -> Result<Self, FrameError> {
        let bytes: &[u8] = &payload.0;
        let (&[VERSION, series, rows_low, rows_high], rest) = bytes.split_first_chunk().ok_or(FrameError)?
        else {
            return Err(FrameError);
        };
        let (first, rest) = rest.split_first_chunk().ok_or(FrameError)?;
        let (time, values) = rest.split_first_chunk().ok_or(FrameError)?;
        let rows = u16::from_le_bytes([rows_low, rows_high]);
        if rows == 0 || bytes.len() != size(rows, series) {
            return Err(FrameError);
        }
        let mut columns = values.chunks_exact(usize::from(rows).saturating_mul(4)).map(|column| {
            let (values, _) = column.as_chunks();
            values.iter().map(|value| f32::from_le_bytes(*value)).collect()
        });
        Ok(Self {
            first: u32::from_le_bytes(*first),
            time: f64::from_le_bytes(*time),
            times: columns.next().ok_or(FrameError)?,
            columns: columns.collect(),
        })
    }
}

/// The size of a payload. It fits into 64 MiB.
fn size(rows: u16, series: u8) -> usize {
    let columns = usize::from(series).saturating_add(1);
    columns.saturating_mul(usize::from(rows)).saturating_mul(4).saturating_add(HEAD)
}

/// The payload is not a [`Frame`], or the frame is no payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameError;

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the readings have another layout: the page and the server are of different versions, reload the page")
    }
}

impl std::error::Error for FrameError {}

#[cfg(test)]
mod tests {
    #![allow(clippy::arithmetic_side_effects)]

    use super::*;

    fn frame() -> Frame {
        Frame {
            first: 7,
            time: 1_760_000_000_000.5,
            times: vec![0.0, 16.5, 33.25],
            columns: vec![vec![1.0, 2.0, 3.0], vec![-0.5, f32::MAX, 0.25]],
        }
    }

    #[test]
    fn readings_are_the_same_after_their_way() {
        assert_eq!(Frame::decode(&frame().encode().unwrap()), Ok(frame()));
    }

    #[test]
    fn the_layout_is_the_one_that_pages_read() {
        let bytes = frame().encode().unwrap().0;
        assert_eq!(bytes.len(), 16 + 4 * 3 * 3);
        assert_eq!(bytes[..8], [1, 2, 3, 0, 7, 0, 0, 0]);
        assert_eq!(bytes[8..16], 1_760_000_000_000.5_f64.to_le_bytes());
        assert_eq!(bytes[16..20], 0.0_f32.to_le_bytes());
        assert_eq!(bytes[20..24], 16.5_f32.to_le_bytes());
        assert_eq!(bytes[28..32], 1.0_f32.to_le_bytes(), "the first column is behind the times");
        assert_eq!(bytes[40..44], (-0.5_f32).to_le_bytes());
    }

    #[test]
    fn a_value_that_could_not_be_read_is_nan() {
        let frame = Frame { columns: vec![vec![f32::NAN]], times: vec![0.0], ..frame() };
        assert!(Frame::decode(&frame.encode().unwrap()).unwrap().columns[0][0].is_nan());
    }

    #[test]
    fn no_other_bytes_are_readings() {
        let bytes = frame().encode().unwrap().0;
        for end in 0..bytes.len() {
            assert_eq!(Frame::decode(&Binary(bytes.slice(..end))), Err(FrameError), "{end}");
        }
        let mut newer = bytes.to_vec();
        newer[0] = 2;
        assert_eq!(Frame::decode(&Binary(newer.into())), Err(FrameError));
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert_eq!(Frame::decode(&Binary(longer.into())), Err(FrameError));
    }

    #[test]
    fn columns_have_the_same_length() {
        let ragged = Frame { columns: vec![vec![1.0]], ..frame() };
        assert_eq!(ragged.encode().map(|_| ()), Err(FrameError));
        let empty = Frame { times: vec![], columns: vec![], ..frame() };
        assert_eq!(empty.encode().map(|_| ()), Err(FrameError));
    }
}
