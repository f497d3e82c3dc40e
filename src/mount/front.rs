//! The side of the kernel: each question becomes a [`Request`] for the thread that answers. If that is gone, the question is dropped, and
//! a question that is dropped is answered with EIO.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::mpsc::Sender;

use fuser::{
    FileHandle, Filesystem, INodeNo, LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen,
    ReplyXattr,
};

/// A question of the kernel, and where its answer goes.
pub(super) enum Request {
    Attributes(u64, ReplyAttr),
    LinkTarget(u64, ReplyData),
    List(u64, u64, ReplyDirectory),
    Lookup(u64, Vec<u8>, ReplyEntry),
    Open(u64, ReplyOpen),
    OpenDirectory(u64, ReplyOpen),
    Read(u64, u64, u32, ReplyData),
    Xattr(u64, Vec<u8>, u32, ReplyXattr),
    XattrNames(u64, u32, ReplyXattr),
}

/// Passes questions on.
pub(super) struct Front(pub(super) Sender<Request>);

impl Front {
    fn ask(&self, request: Request) {
        let _ = self.0.send(request);
    }
}

impl Filesystem for Front {
    fn lookup(&self, _: &fuser::Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.ask(Request::Lookup(parent.0, name.as_bytes().to_vec(), reply));
    }

    fn getattr(&self, _: &fuser::Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        self.ask(Request::Attributes(ino.0, reply));
    }

    fn readlink(&self, _: &fuser::Request, ino: INodeNo, reply: ReplyData) {
        self.ask(Request::LinkTarget(ino.0, reply));
    }

    fn open(&self, _: &fuser::Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.ask(Request::Open(ino.0, reply));
    }

    fn read(
        &self,
        _: &fuser::Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.ask(Request::Read(ino.0, offset, size, reply));
    }

    fn opendir(&self, _: &fuser::Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        self.ask(Request::OpenDirectory(ino.0, reply));
    }

    fn readdir(&self, _: &fuser::Request, ino: INodeNo, _: FileHandle, offset: u64, reply: ReplyDirectory) {
        self.ask(Request::List(ino.0, offset, reply));
    }

    fn getxattr(&self, _: &fuser::Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        self.ask(Request::Xattr(ino.0, name.as_bytes().to_vec(), size, reply));
    }

    fn listxattr(&self, _: &fuser::Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        self.ask(Request::XattrNames(ino.0, size, reply));
    }
}

/// The kernel asks for the length first.
pub(super) fn answer_xattr(value: Result<Vec<u8>, fuser::Errno>, size: u32, reply: ReplyXattr) {
    match value {
        Err(errno) => reply.error(errno),
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.error(fuser::Errno::ERANGE),
        Ok(value) => reply.data(&value),
    }
}
