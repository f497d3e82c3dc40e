//! The system's ssh as a process: how it is called, its pipes, its end.
//!
//! It is asked nothing that only a person could answer, trusts no host key that is not known, and is not what Ctrl-C on our terminal
//! goes to. Whoever drops it has ended it.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::words::{Broken, spawn_failed};
use crate::limits::SSH_WORDS_BYTES_MAX;
use crate::provider::SshFolder;
use crate::target::error::ErrorKind;

/// How long a process that was told to end may take.
const END: Duration = Duration::from_secs(2);
const SLICE: Duration = Duration::from_millis(10);
/// What of our environment is ssh's business. No passphrase of ours is.
const ENVIRONMENT: [&str; 7] = ["HOME", "PATH", "USER", "LOGNAME", "SHELL", "TMPDIR", "SSH_AUTH_SOCK"];
/// Whatever the user's own configuration of ssh says.
const OPENSSH: [&str; 19] = [
    // No question, no host key on trust, no banner, nothing forwarded.
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "VerifyHostKeyDNS=no",
    "NoHostAuthenticationForLocalhost=no",
    "LogLevel=ERROR",
    "ForwardAgent=no",
    "ForwardX11=no",
    "ClearAllForwardings=yes",
    "PermitLocalCommand=no",
    "UpdateHostKeys=no",
    "RequestTTY=no",
    // A connection of its own, which ends with us.
    "ControlMaster=no",
    "ControlPath=none",
    // What is sent is sealed: it does not get smaller.
    "Compression=no",
    "ConnectTimeout=30",
    "ConnectionAttempts=1",
    "ServerAliveInterval=15",
    "ServerAliveCountMax=4",
    "TCPKeepAlive=yes",
];
/// Dropbear's client has few options and no file of its own; it passes over those of `-o` that it does not know.
const DROPBEAR: [&str; 5] = ["-T", "-K", "15", "-o", "BatchMode=yes"];

/// A running ssh.
pub(super) struct Ssh {
    child: Child,
    /// Nothing: it was told that no more comes.
    to: Option<ChildStdin>,
    from: ChildStdout,
    /// Nothing: it says no more.
    talk: Option<ChildStderr>,
    /// The end of what it said.
    words: Vec<u8>,
}

/// Which pipes have something to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    pub(super) to: bool,
    pub(super) from: bool,
    /// It has said something.
    pub(super) talk: bool,
}

impl Ssh {
    pub(super) fn start(at: &SshFolder) -> Result<Self, Broken> {
        let (program, arguments) = command(at)?;
        let mut command = Command::new(&program);
        command.args(arguments).env_clear().env("LC_ALL", "C").process_group(0);
        command.envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| spawn_failed(&program, &error))?;
        let pipes = child.stdin.take().zip(child.stdout.take()).zip(child.stderr.take());
        let Some(((to, from), talk)) = pipes else { return Err(Broken::new(ErrorKind::Io, "ssh has no pipes")) };
        let ssh = Self { child, to: Some(to), from, talk: Some(talk), words: Vec::new() };
        let set = |pipe: &dyn AsFd| fcntl(pipe.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK));
        let pipes: [Option<&dyn AsFd>; 3] = [
            Some(&ssh.from),
            ssh.to.as_ref().map(|to| to as &dyn AsFd),
            ssh.talk.as_ref().map(|talk| talk as &dyn AsFd),
        ];
        for pipe in pipes.into_iter().flatten() {
            set(pipe).map_err(io::Error::from)?;
        }
        Ok(ssh)
    }

    /// Waits until something can be written, if there is something to write, or read, if there is room; or until it is time.
    pub(super) fn wait(&mut self, writes: bool, reads: bool, most: Duration) -> io::Result<Ready> {
        let most = PollTimeout::try_from(most).unwrap_or(PollTimeout::ZERO);
        // A pipe at its end is always ready: who is not asked for anything must not be waited for.
        let from = reads.then(|| PollFd::new(self.from.as_fd(), PollFlags::POLLIN));
        let to = self.to.as_ref().filter(|_| writes).map(|to| PollFd::new(to.as_fd(), PollFlags::POLLOUT));
        let talk = self.talk.as_ref().map(|talk| PollFd::new(talk.as_fd(), PollFlags::POLLIN));
        let (reads, writes) = (usize::from(from.is_some()), usize::from(to.is_some()));
        let mut pipes: Vec<_> = from.into_iter().chain(to).chain(talk).collect();
        match poll(&mut pipes, most) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |pipes: &[PollFd<'_>]| pipes.iter().any(|pipe| pipe.any().unwrap_or_default());
        let (first, rest) = pipes.split_at(reads);
        let (second, _) = rest.split_at(writes);
        let (from, to) = (is_ready(first), is_ready(second));
        Ok(Ready { to, from, talk: self.listen() })
    }

    /// As much as it takes now.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.to {
            Some(to) => not_now(io::Write::write(to, bytes)),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// As much as there is now; at its end an error.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.from.read(buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            read => not_now(read),
        }
    }

    /// What it has said, kept to its end; whether that is more than before.
    fn listen(&mut self) -> bool {
        let (mut buffer, mut is_more) = ([0; 1024], false);
        while let Some(talk) = &mut self.talk {
            match talk.read(&mut buffer) {
                Ok(read @ 1..) => {
                    is_more = true;
                    self.words.extend(&buffer[..read]);
                    let most = self.words.len().saturating_sub(SSH_WORDS_BYTES_MAX);
                    self.words.drain(..most);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => self.talk = None,
            }
        }
        is_more
    }

    pub(super) fn words(&self) -> String {
        String::from_utf8_lossy(&self.words).into_owned()
    }

    /// No more comes from us: it ends by itself then.
    pub(super) fn hang_up(&mut self) {
        self.to = None;
    }

    /// Whether it is gone, of itself: the server or the network was, while nothing was asked.
    pub(super) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|ended| ended.is_some())
    }

    /// Waits for its end, which it has begun or is told to begin, and for its last words.
    pub(super) fn end(&mut self) -> Option<ExitStatus> {
        self.hang_up();
        let began = Instant::now();
        loop {
            let ended = self.child.try_wait().ok().flatten();
            self.listen();
            if ended.is_some() {
                return ended;
            }
            if began.elapsed() > END {
                return self.kill();
            }
            std::thread::sleep(SLICE);
        }
    }

    /// Ends it, and what it started itself.
    pub(super) fn kill(&mut self) -> Option<ExitStatus> {
        if let Ok(Some(ended)) = self.child.try_wait() {
            return Some(ended);
        }
        // It has not been waited for: the number is still its own.
        if let Ok(group) = i32::try_from(self.child.id()) {
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
        self.child.wait().ok()
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        self.end();
    }
}

/// Nothing now is no error.
fn not_now(done: io::Result<usize>) -> io::Result<usize> {
    match done {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        done => done,
    }
}

/// The program and what it is called with.
fn command(at: &SshFolder) -> Result<(PathBuf, Vec<OsString>), Broken> {
    let mut words = at.ssh_command.split_ascii_whitespace().map(OsString::from);
    let program = words.next().unwrap_or_else(|| "ssh".into());
    let found = find(&program).ok_or_else(|| spawn_failed(Path::new(&program), &io::ErrorKind::NotFound.into()))?;
    let words: Vec<_> = words.collect();
    let is_dropbear = is_dropbear(&found, &words);
    let mut arguments = words;
    let mut add = |texts: &[&OsStr]| arguments.extend(texts.iter().map(|text| (*text).to_owned()));
    if is_dropbear {
        DROPBEAR.iter().for_each(|text| add(&[text.as_ref()]));
        if at.known_hosts.is_some() {
            return Err(Broken::new(
                ErrorKind::Unreachable,
                "dropbear's client can't be told of a file of known hosts",
            )
            .advise("leave known_hosts out: it has its own, ~/.ssh/known_hosts")
            .for_good());
        }
    } else {
        add(&["-x".as_ref(), "-a".as_ref(), "-T".as_ref()]);
        OPENSSH.iter().for_each(|option| add(&["-o".as_ref(), option.as_ref()]));
    }
    if let Some(file) = &at.known_hosts {
        add(&["-o".as_ref(), "GlobalKnownHostsFile=/dev/null".as_ref(), "-o".as_ref()]);
        add(&[&joined(b"UserKnownHostsFile=\"", &as_it_is(file), b"\"")]);
    }
    if let Some(file) = &at.identity_file {
        if is_dropbear {
            add(&["-i".as_ref(), file.as_os_str()]);
        } else {
            // Not the keys of an agent: a server has enough after a few.
            add(&["-o".as_ref(), "IdentitiesOnly=yes".as_ref(), "-o".as_ref()]);
            // Of -i it would say that there is no file with two %.
            add(&[&joined(b"IdentityFile=\"", &as_it_is(file), b"\"")]);
        }
    }
    if let Some(port) = at.port {
        add(&["-p".as_ref(), port.to_string().as_ref()]);
    }
    if let Some(user) = &at.user {
        add(&["-l".as_ref(), user.as_ref()]);
    }
    add(&["-s".as_ref(), at.host.as_ref(), "sftp".as_ref()]);
    Ok((found, arguments))
}

/// Where `$PATH` has it.
fn find(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(program.into()).filter(|path: &PathBuf| path.exists());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin:/usr/sbin:/sbin".into());
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// On many routers `ssh` is a link to it.
fn is_dropbear(program: &Path, words: &[OsString]) -> bool {
    let is = |name: Option<&OsStr>| {
        name.is_some_and(|name| name.as_bytes().starts_with(b"dropbear") || name.as_bytes() == b"dbclient")
    };
    let real = program.canonicalize().unwrap_or_default();
    let is_option = |word: &OsString| word.as_bytes().starts_with(b"-");
    // Not what stands behind an option: a key may be called so.
    let is_of_one = |at: usize| is_option(&words[at]) || (at > 0 && is_option(&words[at - 1]));
    let is_called = |at: usize| !is_of_one(at) && is(Path::new(&words[at]).file_name());
    is(program.file_name()) || is(real.file_name()) || (0..words.len()).any(is_called)
}

/// ssh looks for `%` and what follows it in names of files.
fn as_it_is(file: &Path) -> OsString {
    let doubled =
        file.as_os_str().as_bytes().iter().flat_map(|byte| if *byte == b'%' { vec![b'%'; 2] } else { vec![*byte] });
    OsString::from_vec(doubled.collect())
}

fn joined(before: &[u8], text: &OsStr, after: &[u8]) -> OsString {
    OsString::from_vec([before, text.as_bytes(), after].concat())
}

#[cfg(test)]
mod tests {
    use super::super::of_test;
    use super::*;

    fn called(at: &SshFolder) -> String {
        let (_, arguments) = command(at).unwrap_or_else(|_| panic!());
        arguments.join(OsStr::new(" ")).into_string().unwrap()
    }

    #[test]
    fn ssh_is_called_so_that_it_asks_and_trusts_nobody() {
        let mut at = SshFolder { ssh_command: "/bin/sh -F x".into(), ..of_test() };
        let text = called(&at);
        assert!(
            text.starts_with("-F x -x -a -T -o BatchMode=yes -o StrictHostKeyChecking=yes -o VerifyHostKeyDNS=no"),
            "{text}"
        );
        assert!(text.ends_with("-o TCPKeepAlive=yes -s nas.lan sftp"), "{text}");
        at.known_hosts = Some("/a b/100%".into());
        at.identity_file = Some("/k%h".into());
        (at.port, at.user) = (Some(8022), Some("me".into()));
        let text = called(&at);
        let end = "-o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile=\"/a b/100%%\" -o IdentitiesOnly=yes -o IdentityFile=\"/k%%h\" -p 8022 -l me -s nas.lan sftp";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn dropbear_is_called_with_what_it_knows() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("ssh");
        let program = folder.path().join("dropbearmulti");
        std::fs::write(&program, "").unwrap();
        std::os::unix::fs::symlink(&program, &link).unwrap();
        let ssh_command = link.to_str().unwrap().to_owned();
        let mut at = SshFolder { ssh_command, identity_file: Some("/k%".into()), ..of_test() };
        assert_eq!(called(&at), "-T -K 15 -o BatchMode=yes -i /k% -s nas.lan sftp");
        at.known_hosts = Some("/k".into());
        assert!(command(&at).is_err());
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        assert!(is_dropbear(Path::new("/usr/bin/nice"), &words("-n 5 dbclient")));
        assert!(!is_dropbear(Path::new("/bin/sh"), &words("-i /root/.ssh/dropbear_key")), "a key");
    }
}
