//! Pieces into chunks. [`Packer`] lays new pieces one after the other into chunks of one size and says where each
//! lies; [`Compressor`] makes a piece smaller if that is worth it.
//!
//! Nothing is sealed here: what comes out is a stream of buffers with marks where a chunk ends.

mod compress;
mod packer;

pub use compress::Compressor;
pub use packer::{Buffer, Cut, Packer};
