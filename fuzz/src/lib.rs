//! What the fuzz targets check. Each target in `fuzz_targets/` only hands its input over.

pub mod client;
pub mod codec;
