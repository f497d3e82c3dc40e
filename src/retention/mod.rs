//! Which backups stay and which go, and how one goes so that nothing is lost at any moment: docs/RETENTION.md.
//!
//! Only backups that this box made and remembers are touched: of no other does it know what they need. A removed backup leaves a signed
//! tombstone. Its chunks stay until they are collected.

mod error;
mod prune;
mod rules;
mod times;

pub use error::Error;
pub use prune::{Plan, Planned, Pruning};
pub use rules::{Rule, decide};
