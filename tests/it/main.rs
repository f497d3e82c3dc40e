//! Everything that is tested from outside, in one binary: it links once and starts once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that fails panics")]

mod archives;
mod cli;
mod docs;
mod interop;
mod layers;
mod program;
mod tree;
mod vectors;
