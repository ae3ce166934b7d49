//! The checks of the fuzz targets. Each target in `fuzz_targets/` only passes its input on.

pub mod client;
pub mod codec;
