//! Every bound of the program in one place, with its unit in its name.
//!
//! Readers hold these before they allocate; FORMAT.md section 9 repeats the ones that are part of
//! the format. The assertions at the end are the relations that the code relies on.

/// Plaintext bytes of a segment, the unit that is sealed and can be opened alone.
pub const SEGMENT_BYTES: usize = 64 * 1024;
/// Bytes that an AEAD adds to a segment.
pub const TAG_BYTES: usize = 16;
/// Largest piece, and the size of each buffer that file contents pass through.
pub const PIECE_BYTES_MAX: usize = 1024 * 1024;
/// Smallest and largest payload of a chunk.
pub const CHUNK_BYTES_MIN: u64 = 1024 * 1024;
/// See [`CHUNK_BYTES_MIN`].
pub const CHUNK_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Recipients of one object.
pub const RECIPIENTS_MAX: usize = 32;
/// Largest header of a sealed object: prefix, stanzas, commitment.
pub const HEADER_BYTES_MAX: usize = 12 + 84 * RECIPIENTS_MAX + 32;
/// One YAML document of a metafile.
pub const DOCUMENT_BYTES_MAX: usize = 2 * 1024 * 1024;
/// Mappings and lists in each other in a document.
pub const YAML_DEPTH_MAX: usize = 8;
/// Items of one `chunks` list; a file with more is written in parts.
pub const ITEMS_PER_DOCUMENT: usize = 1024;
/// Extended attributes that are kept of one entry, names and values together (Linux allows 64 KiB a list and a value).
pub const XATTR_BYTES_MAX: usize = 128 * 1024;
/// A link target (Linux: PATH_MAX).
pub const LINK_BYTES_MAX: usize = 4096;
/// A path relative to the root: far beyond PATH_MAX, since the walk never hands the kernel a whole path.
pub const PATH_BYTES_MAX: usize = 128 * 1024;
/// The name of a user or a group (Linux: LOGIN_NAME_MAX).
pub const OWNER_NAME_BYTES_MAX: usize = 256;
/// Levels of directories.
pub const DEPTH_MAX: usize = 100_000;
/// Text of a footer.
pub const FOOTER_BYTES_MAX: usize = 4096;
/// What is left of a backup that was removed: its footer and four lines.
pub const TOMBSTONE_BYTES_MAX: u64 = 2 * FOOTER_BYTES_MAX as u64;
/// log2 of the largest zstd window that is read.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// log2 of the window that a metafile is written with: 256 KiB, for the sake of the writer's memory.
pub const METAFILE_WINDOW_LOG: u32 = 18;
/// Names of one directory that are sorted in memory; more of them spill to the disk.
pub const NAMES_BYTES_MAX: usize = 512 * 1024;
/// Directories that are kept open above the one that is walked or restored.
pub const OPEN_DIRECTORIES_MAX: usize = 48;
/// A secret key file or a known_boxes file.
pub const KEY_FILE_BYTES_MAX: u64 = 64 * 1024;
/// scrypt memory that a locked key may ask for.
pub const SCRYPT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The file of a time zone (the largest there are have 4 KiB).
pub const ZONE_FILE_BYTES_MAX: u64 = 64 * 1024;
/// A file of trusted certificates (Debian's has 220 KiB).
pub const CA_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// An answer of a server that is read as a whole: a page of 1,000 names, an error.
pub const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// A packet of SFTP (OpenSSH: SFTP_MAX_MSG_LENGTH).
pub const SFTP_PACKET_BYTES_MAX: usize = 256 * 1024;
/// The end of what ssh says.
pub const SSH_WORDS_BYTES_MAX: usize = 4096;
/// Names in a folder on a server that are read before it is given up.
pub const LISTED_NAMES_MAX: usize = 10_000_000;
/// One listing of a WebDAV server, which has no pages: ten million names.
pub const LISTING_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;
/// Bytes of one tag or one text of it, which are in memory together.
pub const XML_EVENT_BYTES_MAX: usize = 64 * 1024;
/// The text of one element: a name, percent-encoded.
pub const XML_TEXT_BYTES_MAX: usize = 8 * 1024;
/// The longest object that another host may store here: a chunk at its largest, sealed and padded, is well below.
pub const RECEIVED_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// Backups, and what is left of removed ones, that another host may have here: commands of this box list them in memory, some 150 bytes each.
pub const RECEIVED_LINKS_MAX: u64 = 20_000;
/// What other hosts leave free on a disk of this box, or a twentieth of it if that is less: it has uses of its own for it.
pub const KEPT_FREE_BYTES: u64 = 1024 * 1024 * 1024;
/// A line of a listing: a name of at most 64 letters, a day, a number, a length.
pub const LISTED_LINE_BYTES_MAX: u64 = 256;
/// Names of Google Drive whose ids are remembered.
pub const DRIVE_IDS_KNOWN_MAX: usize = 1024;
/// Tries of one request.
pub const RETRY_TRIES: u32 = 7;
/// What a run waits in all before second tries.
pub const RETRY_BUDGET_SECONDS: u64 = 3600;
/// A server's wish to be left alone is respected up to this.
pub const RETRY_AFTER_SECONDS_MAX: u64 = 120;
/// A clock that shows less was not set: 2026-11-01, before the release of this version. Every release may raise it.
pub const CLOCK_SECONDS_MIN: i64 = 1_793_491_200;

const _: () = assert!(PIECE_BYTES_MAX.is_multiple_of(SEGMENT_BYTES));
const _: () = assert!(CHUNK_BYTES_MIN >= PIECE_BYTES_MAX as u64);
const _: () = assert!(CHUNK_BYTES_MAX + CHUNK_BYTES_MAX / 4 < RECEIVED_BYTES_MAX);
const _: () = assert!(CHUNK_BYTES_MIN.is_multiple_of(SEGMENT_BYTES as u64));
// An escaped byte is at most four characters, an item at most 96: an entry with everything at its worst (path, hardlink, link target,
// attributes, items, and 4 KiB for the rest) is still a document that the reader takes.
const _: () = assert!(
    4 * (2 * PATH_BYTES_MAX + LINK_BYTES_MAX + XATTR_BYTES_MAX) + 96 * ITEMS_PER_DOCUMENT + 4096 < DOCUMENT_BYTES_MAX
);
/// Chunks that one listing of a target is held against: 40 bytes each, before a run has its buffers.
pub const LISTED_CHUNKS: usize = 65_536;
