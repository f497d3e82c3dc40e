//! Everything that is tested from outside, in one binary: it links once and starts once.

mod layers;
mod vectors;
