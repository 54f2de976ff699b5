//! The test of the generated client is in `tests/roundtrip.rs`.
