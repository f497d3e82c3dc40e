//! What a configuration may ask for, beside the bounds of the format in `crate::limits`. Everything read from the
//! file is held against a number from here.

use crate::limits;
pub(super) use crate::limits::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, RECIPIENTS_MAX};

/// Size of the file itself: more is refused before it is read.
pub(super) const FILE_BYTES_MAX: u64 = 1 << 20;
pub(super) const LINE_BYTES_MAX: usize = 16 << 10;
pub(super) const SECTIONS_MAX: usize = 1000;
/// Length of a chain of `inherit`, as in the original.
pub(super) const INHERIT_MAX: usize = 20;
/// FORMAT section 2: the name of a source begins the names of its backups.
pub(super) const NAME_BYTES_MAX: usize = 64;

pub(super) const CHUNK_BYTES_DEFAULT: u64 = 64 << 20;
pub(super) const PIECE_BYTES_MIN: u32 = limits::SEGMENT_BYTES as u32;
pub(super) const PIECE_BYTES_MAX: u32 = limits::PIECE_BYTES_MAX as u32;
pub(super) const BUFFERS_MIN: u32 = 2;
pub(super) const BUFFERS_MAX: u32 = 8;
pub(super) const BUFFERS_DEFAULT: u32 = 2;
pub(super) const CONNECTIONS_MAX: u32 = 16;
pub(super) const CONNECTIONS_DEFAULT: u32 = 4;
pub(super) const ZSTD_LEVEL_MIN: i32 = -7;
pub(super) const ZSTD_LEVEL_MAX: i32 = 19;

/// Rules of one source, ignore and accept together.
pub(super) const RULES_MAX: usize = 256;
/// Compiled size of one rule.
pub(super) const RULE_BYTES_MAX: usize = 256 << 10;
pub(super) const RULE_DEPTH_MAX: u32 = 64;

const _: () = assert!(CHUNK_BYTES_MIN <= CHUNK_BYTES_DEFAULT && CHUNK_BYTES_DEFAULT <= CHUNK_BYTES_MAX);
const _: () = assert!(PIECE_BYTES_MIN.is_power_of_two() && PIECE_BYTES_MAX.is_power_of_two());
const _: () = assert!(PIECE_BYTES_MIN as usize == limits::SEGMENT_BYTES);
const _: () = assert!(PIECE_BYTES_MAX as usize == limits::PIECE_BYTES_MAX);
const _: () = assert!(BUFFERS_MIN <= BUFFERS_DEFAULT && BUFFERS_DEFAULT <= BUFFERS_MAX);
const _: () = assert!(CONNECTIONS_DEFAULT <= CONNECTIONS_MAX);
const _: () = assert!((LINE_BYTES_MAX as u64) < FILE_BYTES_MAX);
