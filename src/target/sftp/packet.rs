//! Packets of SFTP, version 3 (draft-ietf-secsh-filexfer-02): those that are needed, and what OpenSSH added to them (its file PROTOCOL).
//!
//! What a server sends is read within its bounds; what does not fit is nothing, and never a panic.

use crate::limits::SFTP_PACKET_BYTES_MAX;

pub(super) const VERSION: u32 = 3;
pub(super) const PACKET_INIT: u8 = 1;
pub(super) const PACKET_VERSION: u8 = 2;
/// A number, and nothing else before what is asked: `SSH_FXP_INIT` has it where others have their id.
const INIT_BYTES: u32 = 5;

/// To write to a file that may be there.
pub(super) const WRITE: u32 = 0x02;
pub(super) const READ: u32 = 0x01;
pub(super) const CREATE: u32 = 0x08;
/// With [`CREATE`]: it must not be there.
pub(super) const EXCLUSIVE: u32 = 0x20;
const HAS_PERMISSIONS: u32 = 0x04;
/// Of what is made: its owner's only, as a stage of a folder is.
const PERMISSIONS: u32 = 0o600;

/// What a server calls an open file or folder.
pub(super) type Handle = Vec<u8>;

/// What is asked of a server.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ask<'a> {
    Close(&'a [u8]),
    Fstat(&'a [u8]),
    /// `fsync@openssh.com`.
    Fsync(&'a [u8]),
    /// `hardlink@openssh.com`: from, to.
    Link(&'a [u8], &'a [u8]),
    MakeFolder(&'a [u8]),
    Open(&'a [u8], u32),
    OpenFolder(&'a [u8]),
    /// Offset, length.
    Read(&'a [u8], u64, u32),
    ReadFolder(&'a [u8]),
    Remove(&'a [u8]),
    Rename(&'a [u8], &'a [u8]),
    /// `statvfs@openssh.com`.
    Space(&'a [u8]),
    Stat(&'a [u8]),
    Write(&'a [u8], u64, &'a [u8]),
}

impl Ask<'_> {
    /// Appends the packet.
    pub(super) fn write(&self, id: u32, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend([0; 4]);
        let kind = match self {
            Self::Open(..) => 3,
            Self::Close(_) => 4,
            Self::Read(..) => 5,
            Self::Write(..) => 6,
            Self::Fstat(_) => 8,
            Self::OpenFolder(_) => 11,
            Self::ReadFolder(_) => 12,
            Self::Remove(_) => 13,
            Self::MakeFolder(_) => 14,
            Self::Stat(_) => 17,
            Self::Rename(..) => 18,
            Self::Fsync(_) | Self::Link(..) | Self::Space(_) => 200,
        };
        out.push(kind);
        out.extend(id.to_be_bytes());
        match self {
            Self::Fsync(_) => text(out, b"fsync@openssh.com"),
            Self::Link(..) => text(out, b"hardlink@openssh.com"),
            Self::Space(_) => text(out, b"statvfs@openssh.com"),
            _ => {}
        }
        match self {
            Self::Close(one) | Self::Fstat(one) | Self::Fsync(one) | Self::OpenFolder(one) => text(out, one),
            Self::ReadFolder(one) | Self::Remove(one) | Self::Space(one) | Self::Stat(one) => text(out, one),
            Self::Link(from, to) | Self::Rename(from, to) => {
                text(out, from);
                text(out, to);
            }
            Self::MakeFolder(path) => {
                text(out, path);
                out.extend(0u32.to_be_bytes());
            }
            Self::Open(path, flags) => {
                text(out, path);
                out.extend(flags.to_be_bytes());
                out.extend(HAS_PERMISSIONS.to_be_bytes());
                out.extend(PERMISSIONS.to_be_bytes());
            }
            Self::Read(handle, offset, length) => {
                text(out, handle);
                out.extend(offset.to_be_bytes());
                out.extend(length.to_be_bytes());
            }
            Self::Write(handle, offset, bytes) => {
                text(out, handle);
                out.extend(offset.to_be_bytes());
                text(out, bytes);
            }
        }
        let length = u32::try_from(out.len() - begin - 4).unwrap_or_default();
        out[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Whether a server may have to wait for its disk before it answers.
    pub(super) fn is_slow(&self) -> bool {
        matches!(self, Self::Close(_) | Self::Fsync(_) | Self::Link(..) | Self::Rename(..))
    }
}

/// The first packet.
pub(super) fn init() -> Vec<u8> {
    let mut out = INIT_BYTES.to_be_bytes().to_vec();
    out.push(PACKET_INIT);
    out.extend(VERSION.to_be_bytes());
    out
}

/// Strings, paths, handles, data.
fn text(out: &mut Vec<u8>, bytes: &[u8]) {
    // None of ours is that long.
    out.extend(u32::try_from(bytes.len()).unwrap_or_default().to_be_bytes());
    out.extend(bytes);
}

/// What a server answered.
#[derive(Debug)]
pub(super) enum Answer {
    Attributes(Attributes),
    Data(Vec<u8>),
    Handle(Handle),
    Names(Vec<(Vec<u8>, Attributes)>),
    /// Bytes that are free.
    Space(u64),
    Status(Status),
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) code: Code,
    /// The server's words, cut to a line.
    pub(super) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    Ok,
    End,
    NoSuchFile,
    Denied,
    /// The server has lost a connection of its own.
    Lost,
    Unsupported,
    /// `SSH_FX_FAILURE`, and all others that say no more.
    Failure,
}

/// What is known of a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) length: Option<u64>,
    pub(super) mode: Option<u32>,
    /// Seconds since 1970.
    pub(super) modified: Option<u32>,
}

impl Attributes {
    pub(super) fn is_folder(&self) -> bool {
        // Who does not tell what it is has told that it is there.
        self.mode.is_none_or(|mode| mode & 0o170_000 == 0o040_000)
    }
}

impl Answer {
    /// The id and the answer of a packet behind its length; nothing if it is malformed.
    pub(super) fn parse(packet: &[u8]) -> Option<(u32, Self)> {
        let mut fields = Fields(packet);
        let kind = fields.byte()?;
        let id = fields.number()?;
        let answer = match kind {
            101 => Self::Status(fields.status()?),
            102 => Self::Handle(fields.text()?.to_vec()),
            103 => Self::Data(fields.text()?.to_vec()),
            104 => Self::Names(fields.names()?),
            105 => Self::Attributes(fields.attributes()?),
            201 => Self::Space(fields.space()?),
            _ => return None,
        };
        Some((id, answer))
    }
}

/// What a server says that it has beyond version 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) fsync: bool,
    pub(super) link: bool,
    pub(super) space: bool,
}

impl Extensions {
    /// Of the first packet behind its length; nothing if it is none, or of another version.
    pub(super) fn parse(packet: &[u8]) -> Option<Self> {
        let mut fields = Fields(packet);
        if fields.byte()? != PACKET_VERSION || fields.number()? != VERSION {
            return None;
        }
        let mut found = Self::default();
        while !fields.0.is_empty() {
            let (name, _data) = (fields.text()?, fields.text()?);
            match name {
                b"fsync@openssh.com" => found.fsync = true,
                b"hardlink@openssh.com" => found.link = true,
                b"statvfs@openssh.com" => found.space = true,
                _ => {}
            }
        }
        Some(found)
    }
}

/// The length in front of a packet; nothing if it can't be one.
pub(super) fn length(bytes: [u8; 4]) -> Option<usize> {
    let length = usize::try_from(u32::from_be_bytes(bytes)).ok()?;
    (5..=SFTP_PACKET_BYTES_MAX).contains(&length).then_some(length)
}

/// What is left to read of a packet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn long(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(text)
    }

    fn status(&mut self) -> Option<Status> {
        let code = match self.number()? {
            0 => Code::Ok,
            1 => Code::End,
            2 => Code::NoSuchFile,
            3 => Code::Denied,
            6 | 7 => Code::Lost,
            8 => Code::Unsupported,
            _ => Code::Failure,
        };
        // Some servers leave the words out.
        let message = String::from_utf8_lossy(self.text().unwrap_or_default()).into_owned();
        let message = message.lines().next().unwrap_or_default().chars().take(200).collect();
        Some(Status { code, message })
    }

    fn names(&mut self) -> Option<Vec<(Vec<u8>, Attributes)>> {
        let mut names = Vec::new();
        for _ in 0..self.number()? {
            let (name, _for_people) = (self.text()?, self.text()?);
            names.push((name.to_vec(), self.attributes()?));
        }
        Some(names)
    }

    fn attributes(&mut self) -> Option<Attributes> {
        let flags = self.number()?;
        let has = |flag: u32| flags & flag != 0;
        let length = if has(0x01) { Some(self.long()?) } else { None };
        if has(0x02) {
            let _user_and_group = self.long()?;
        }
        let mode = if has(HAS_PERMISSIONS) { Some(self.number()?) } else { None };
        let _read = if has(0x08) { Some(self.number()?) } else { None };
        let modified = if has(0x08) { Some(self.number()?) } else { None };
        if has(0x8000_0000) {
            for _ in 0..self.number()? {
                let _kind_and_data = (self.text()?, self.text()?);
            }
        }
        Some(Attributes { length, mode, modified })
    }

    /// Size of a block, of a fragment, fragments in all, free ones, those that are free for us.
    fn space(&mut self) -> Option<u64> {
        let [_, fragment, _, _, free] = [self.long()?, self.long()?, self.long()?, self.long()?, self.long()?];
        Some(fragment.saturating_mul(free))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_as_the_draft_has_them() {
        let mut out = Vec::new();
        Ask::Read(b"h", 0x0102_0304_0506_0708, 32_768).write(9, &mut out);
        assert_eq!(out, b"\0\0\0\x16\x05\0\0\0\x09\0\0\0\x01h\x01\x02\x03\x04\x05\x06\x07\x08\0\0\x80\0");
        out.clear();
        Ask::Open(b"a/b", WRITE | CREATE | EXCLUSIVE).write(1, &mut out);
        assert_eq!(out, b"\0\0\0\x18\x03\0\0\0\x01\0\0\0\x03a/b\0\0\0\x2a\0\0\0\x04\0\0\x01\x80");
        out.clear();
        Ask::Fsync(b"h").write(2, &mut out);
        assert_eq!(out, b"\0\0\0\x1f\xc8\0\0\0\x02\0\0\0\x11fsync@openssh.com\0\0\0\x01h");
        assert_eq!(init(), b"\0\0\0\x05\x01\0\0\0\x03");
    }

    #[test]
    fn answers_are_read() {
        let (id, status) = Answer::parse(b"e\0\0\0\x07\0\0\0\x02\0\0\0\x05gone\n\0\0\0\x02en").unwrap();
        let Answer::Status(status) = status else { panic!("{status:?}") };
        assert_eq!((id, status.code, status.message.as_str()), (7, Code::NoSuchFile, "gone"));
        let attributes = b"i\0\0\0\x01\x80\0\0\x0f\0\0\0\0\0\0\x10\0\0\0\0\x01\0\0\0\x02\0\0\x81\xa4\0\0\0\x03\0\0\0\x04\0\0\0\x01\0\0\0\x01a\0\0\0\x01b";
        let Some((1, Answer::Attributes(found))) = Answer::parse(attributes) else { panic!() };
        assert_eq!((found.length, found.mode, found.modified), (Some(4096), Some(0o100_644), Some(4)));
        assert!(!found.is_folder() && Attributes::default().is_folder());
        let names = b"h\0\0\0\x01\0\0\0\x01\0\0\0\x01x\0\0\0\x02-r\0\0\0\x01\0\0\0\0\0\0\0\x05";
        let Some((1, Answer::Names(names))) = Answer::parse(names) else { panic!() };
        assert_eq!((names[0].0.as_slice(), names[0].1.length), (&b"x"[..], Some(5)));
        let version = b"\x02\0\0\0\x03\0\0\0\x11fsync@openssh.com\0\0\0\x011\0\0\0\x01x\0\0\0\0";
        assert_eq!(Extensions::parse(version), Some(Extensions { fsync: true, ..Extensions::default() }));
    }

    #[test]
    fn what_is_malformed_is_nothing() {
        let whole = b"h\0\0\0\x01\0\0\0\x01\0\0\0\x01x\0\0\0\x02-r\0\0\0\x01\0\0\0\0\0\0\0\x05";
        for end in 0..whole.len() {
            assert!(Answer::parse(&whole[..end]).is_none(), "{end}");
        }
        let many = b"h\0\0\0\x01\xff\xff\xff\xff\0\0\0\x01x";
        assert!(Answer::parse(many).is_none(), "a count is no reason to allocate");
        assert!(Answer::parse(b"g\0\0\0\x01\xff\xff\xff\xff").is_none());
        assert!(Answer::parse(b"z\0\0\0\x01").is_none());
        for bytes in [*b"SSH-", [0, 0, 0, 4], [0xff; 4]] {
            assert_eq!(length(bytes), None);
        }
        assert_eq!(Extensions::parse(b"\x02\0\0\0\x02"), None, "an older version");
        assert_eq!(Extensions::parse(b"\x02\0\0\0\x03\0\0\0\x09x"), None);
    }
}
