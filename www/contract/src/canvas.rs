//! The shared canvas. Coordinates are parts of its width and height: 0 to 1.

use serde::{Deserialize, Serialize};
use wirehub_common::contract::Schema;

/// The way of a pointer since the message before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Cursor {
    /// The name of the person.
    pub name: String,
    /// The points, the oldest first: up to 64. None: the pointer has left the canvas.
    pub points: Vec<CursorPoint>,
    /// `true` while the pointer draws.
    pub drawing: bool,
}

/// A point of a pointer's way.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Schema)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct CursorPoint {
    /// From the left.
    pub x: f64,
    /// From the top.
    pub y: f64,
    /// The time since the point before, in milliseconds.
    pub after: u32,
}

/// A change of a drawing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Schema)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub enum Drawing {
    /// A stroke, or a piece of one: pieces with the same id follow each other, and the last point of one is the first of the
    /// next.
    Stroke {
        /// The sender chose the id: 1 to 64 characters.
        id: String,
        /// The number of the page's series colour: 1 to 6.
        color: u8,
        /// The width as a part of the canvas's width.
        width: f64,
        /// `x` and `y` of each point, one after the other: up to 1,000 points.
        points: Vec<f64>,
    },
    /// A stroke is taken away.
    Erase {
        /// The stroke's id.
        id: String,
    },
    /// Everything is taken away.
    Clear {},
}
