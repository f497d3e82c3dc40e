//! Everything that is tested from outside, in one binary: it links once and starts once.

mod archives;
mod cli;
mod interop;
mod layers;
mod program;
mod tree;
mod vectors;
