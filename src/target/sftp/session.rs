//! A session: what is asked over one ssh, and what is answered, with as much in flight as the caller wants.
//!
//! One thread at a time uses it. What waits in memory is bounded: what is to be sent is at most a packet more than [`OUT_BYTES`], what has
//! come is what was asked for. It waits for nothing for ever, and not at all when the run is to stop.

use std::time::{Duration, Instant};

use super::packet::{self, Answer, Ask, Code, Extensions, Handle, Status};
use super::ssh::Ssh;
use super::words::{self, Broken};
use crate::limits::SFTP_PACKET_BYTES_MAX;
use crate::provider::SshFolder;
use crate::target::error::ErrorKind;
use crate::target::way::Way;

/// Bytes that wait to be sent before more is taken.
const OUT_BYTES: usize = 64 * 1024;
const READ_BYTES: usize = 32 * 1024;
/// How long a signal may have to wait.
const SLICE: Duration = Duration::from_millis(100);
/// A server that has to wait for its disk may take so many times longer.
const SLOW: u32 = 5;
/// How long a run that is to stop still waits, to clean up behind itself.
const GRACE: Duration = Duration::from_secs(5);

/// A refusal, or the end of the session.
#[derive(Debug)]
pub(super) enum Fail {
    Refused(Status),
    Broken(Broken),
}

impl From<Broken> for Fail {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

#[derive(Debug)]
struct Pending {
    id: u32,
    is_slow: bool,
    /// Nobody wants the answer any more.
    is_abandoned: bool,
}

/// One ssh.
pub(super) struct Session {
    ssh: Ssh,
    pub(super) extensions: Extensions,
    out: Vec<u8>,
    sent: usize,
    /// What has come and is not yet a whole packet.
    input: Vec<u8>,
    pending: Vec<Pending>,
    /// Answers that came before those that were waited for.
    early: Vec<(u32, Answer)>,
    next_id: u32,
    patience: Duration,
    way: Way,
    /// Until then a stop is not heard.
    deaf_until: Option<Instant>,
    is_broken: bool,
}

impl Session {
    /// Starts ssh, and waits until the server speaks SFTP.
    pub(super) fn open(at: &SshFolder, patience: Duration, way: Way) -> Result<Self, Broken> {
        let mut session = Self {
            ssh: Ssh::start(at)?,
            extensions: Extensions::default(),
            out: packet::init(),
            sent: 0,
            input: Vec::new(),
            pending: Vec::new(),
            early: Vec::new(),
            next_id: 0,
            patience,
            way,
            deaf_until: None,
            is_broken: true,
        };
        let deadline = Instant::now() + patience.saturating_mul(SLOW);
        let first = loop {
            if Instant::now() > deadline {
                return Err(session.broken(Lost::Stalled));
            }
            match session.packet() {
                Ok(Some(packet)) => break packet,
                Ok(None) => {}
                Err(_) => return Err(words::not_sftp(&session.input)),
            }
            let moved = session.pump(session.patience, true);
            // Dropbear's client asks on the terminal, and would wait.
            if words::is_question(&session.ssh.words()) {
                session.ssh.kill();
                return Err(words::not_begun(&session.ssh.words(), None, at));
            }
            match moved {
                Err(Lost::Cut) => {
                    let ended = session.ssh.end();
                    return Err(words::not_begun(&session.ssh.words(), ended, at));
                }
                moved => moved.map_err(|lost| session.broken(lost))?,
            }
        };
        session.extensions = Extensions::parse(&first).ok_or_else(|| words::not_sftp(&first))?;
        session.is_broken = false;
        Ok(session)
    }

    /// Whether it can be used again.
    pub(super) fn is_usable(&mut self) -> bool {
        !self.is_broken && !self.ssh.has_ended()
    }

    /// From now on, for a moment, what must be cleaned up is, although the run is to stop.
    pub(super) fn be_deaf(&mut self) {
        self.deaf_until = Some(Instant::now() + GRACE);
    }

    /// As before.
    pub(super) fn hear(&mut self) {
        self.deaf_until = None;
    }

    /// No more is asked.
    pub(super) fn hang_up(&mut self) {
        self.ssh.hang_up();
    }

    /// Sends a question; its answer is asked for later.
    pub(super) fn ask(&mut self, ask: &Ask<'_>) -> Result<u32, Broken> {
        while self.out.len() - self.sent > OUT_BYTES {
            self.turn()?;
        }
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        ask.write(id, &mut self.out);
        self.pending.push(Pending { id, is_slow: ask.is_slow(), is_abandoned: false });
        Ok(id)
    }

    /// Any answer that is still wanted, the earliest first.
    pub(super) fn any(&mut self) -> Result<(u32, Answer), Broken> {
        if !self.early.is_empty() {
            return Ok(self.early.remove(0));
        }
        loop {
            if let Some(answer) = self.come()? {
                return Ok(answer);
            }
            self.turn()?;
        }
    }

    /// The answer to one question.
    pub(super) fn answer(&mut self, id: u32) -> Result<Answer, Broken> {
        loop {
            if let Some(at) = self.early.iter().position(|(early, _)| *early == id) {
                return Ok(self.early.remove(at).1);
            }
            match self.come()? {
                Some(answer) => self.early.push(answer),
                None => self.turn()?,
            }
        }
    }

    /// Asks and waits.
    pub(super) fn call(&mut self, ask: &Ask<'_>) -> Result<Answer, Fail> {
        let id = self.ask(ask)?;
        match self.answer(id)? {
            Answer::Status(status) if status.code != Code::Ok => Err(Fail::Refused(status)),
            answer => Ok(answer),
        }
    }

    /// What is asked has no other answer than that it is done.
    pub(super) fn done(&mut self, ask: &Ask<'_>) -> Result<(), Fail> {
        match self.call(ask)? {
            Answer::Status(_) => Ok(()),
            _ => Err(self.odd().into()),
        }
    }

    /// Opens a file or a folder.
    pub(super) fn handle(&mut self, ask: &Ask<'_>) -> Result<Handle, Fail> {
        match self.call(ask)? {
            Answer::Handle(handle) => Ok(handle),
            _ => Err(self.odd().into()),
        }
    }

    /// What is in flight is not waited for, and a handle is closed without waiting.
    pub(super) fn abandon(&mut self, handle: &[u8]) {
        let _ = self.ask(&Ask::Close(handle));
        // As far as that goes at once. The rest goes with what is asked next.
        if let Ok(wrote) = self.ssh.write(&self.out[self.sent..]) {
            self.took(wrote);
        }
        self.early.clear();
        self.pending.iter_mut().for_each(|pending| pending.is_abandoned = true);
    }

    /// An answer that does not fit what was asked: nothing that follows can be trusted.
    pub(super) fn odd(&mut self) -> Broken {
        self.is_broken = true;
        Broken::new(ErrorKind::Io, "the server's answer is not one to what was asked")
    }

    /// The next whole packet as an answer, if it is here.
    fn come(&mut self) -> Result<Option<(u32, Answer)>, Broken> {
        loop {
            let packet = match self.packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => return Ok(None),
                Err(_) => return Err(self.odd()),
            };
            let Some((id, answer)) = Answer::parse(&packet) else { return Err(self.odd()) };
            let Some(at) = self.pending.iter().position(|pending| pending.id == id) else { return Err(self.odd()) };
            if !self.pending.remove(at).is_abandoned {
                return Ok(Some((id, answer)));
            }
        }
    }

    /// Takes a whole packet off what has come.
    fn packet(&mut self) -> Result<Option<Vec<u8>>, Malformed> {
        let Some(head) = self.input.first_chunk() else { return Ok(None) };
        let end = 4 + packet::length(*head).ok_or(Malformed)?;
        if self.input.len() < end {
            return Ok(None);
        }
        let packet = self.input[4..end].to_vec();
        self.input.drain(..end);
        Ok(Some(packet))
    }

    /// Waits for something to move.
    fn turn(&mut self) -> Result<(), Broken> {
        let is_slow = self.pending.iter().any(|pending| pending.is_slow);
        let patience = if is_slow { self.patience.saturating_mul(SLOW) } else { self.patience };
        self.pump(patience, false).map_err(|lost| self.broken(lost))
    }

    /// `hears`: words of ssh count, too. They are no sign of life of the server's disk.
    fn pump(&mut self, patience: Duration, hears: bool) -> Result<(), Lost> {
        let began = Instant::now();
        loop {
            let is_deaf = self.deaf_until.map(|until| Instant::now() < until);
            match is_deaf {
                Some(true) => {}
                Some(false) => return Err(Lost::Stalled),
                None if self.way.is_stopped() => return Err(Lost::Stopped),
                None => {}
            }
            let has_room = self.input.len() < SFTP_PACKET_BYTES_MAX + READ_BYTES;
            let ready =
                self.ssh.wait(self.sent < self.out.len(), has_room, SLICE.min(patience)).map_err(|_| Lost::Cut)?;
            let mut moved = 0;
            if ready.from {
                let at = self.input.len();
                self.input.resize(at + READ_BYTES, 0);
                let read = self.ssh.read(&mut self.input[at..]);
                self.input.truncate(at + read.as_ref().copied().unwrap_or_default());
                moved += read.map_err(|_| Lost::Cut)?;
            }
            if ready.to {
                let wrote = self.ssh.write(&self.out[self.sent..]).map_err(|_| Lost::Cut)?;
                self.took(wrote);
                moved += wrote;
            }
            self.way.passed(moved);
            if moved > 0 || hears && ready.talk {
                return Ok(());
            }
            if began.elapsed() > patience {
                return Err(Lost::Stalled);
            }
        }
    }

    /// So much of what is to be sent is on its way.
    fn took(&mut self, bytes: usize) {
        self.sent += bytes;
        // While there is always something to send it must not become more and more.
        if self.sent == self.out.len() || self.sent >= OUT_BYTES {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }

    fn broken(&mut self, lost: Lost) -> Broken {
        match lost {
            // Nothing is wrong with it.
            Lost::Stopped => return Broken::new(ErrorKind::Stopped, "interrupted").for_good(),
            Lost::Stalled => {
                self.is_broken = true;
                return Broken::new(ErrorKind::Unreachable, "no answer in time")
                    .advise("is the network there, and does the server run?");
            }
            Lost::Cut => self.is_broken = true,
        }
        self.ssh.end();
        words::cut(&self.ssh.words())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_broken {
            self.ssh.kill();
        }
    }
}

/// What has come can't be a packet.
struct Malformed;

enum Lost {
    Cut,
    Stalled,
    Stopped,
}
