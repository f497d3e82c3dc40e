//! The core of the tests beside it (main.rs): what is stored, and that it comes back, whatever the CPU. cross/test runs it where a CPU is emulated; to
//! build all of them for each would take longer than to run these.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "tests")]
#![allow(dead_code, unused_imports, reason = "what others of main.rs use of the same modules")]

mod archives;
mod beginning;
mod belief;
mod conformance;
mod generated;
mod malice;
mod program;
mod round_trip;
mod support;
mod tree;
mod vectors;
