//! What lies in `buildroot` for the boxes.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("buildroot")
}

pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("buildroot/{path}: {error}"))
}
