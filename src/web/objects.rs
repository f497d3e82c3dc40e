//! What is done with objects: storing, reading, looking, listing. Disks are asked on threads of their own.

use std::future::poll_fn;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hyper::StatusCode;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ACCEPT_RANGES, CONTENT_RANGE, HeaderMap, HeaderValue, IF_NONE_MATCH, RANGE};
use hyper::http::request::Parts;
use sha2::Digest as _;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Limits;
use super::accept::House;
use super::answer::{self, Answer};
use super::host::{Host, Name, Reserved};
use super::pieces::Pieces;
use super::refusal::Refusal;
use super::wanted::Wanted;
use crate::fsutil;
use crate::limits::RECEIVED_BYTES_MAX;
use crate::target::{Finished, ID_BYTES_MAX, ObjectName, Stage, Target as _};

pub(super) const LINES: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";
const JSON: &str = "application/json";
const ANOTHER: &str = "this host, its token or its folder is another now";
/// Of a body that comes.
const TAKEN_BYTES: usize = 64 * 1024;
/// What of one that goes stays in the page cache at most.
const DROPPED_BYTES: u64 = 32 * GIVEN_BYTES as u64;
/// Behind so much of one that comes it is looked what is free still: others may write there too.
const LOOK_BYTES: u64 = 1024 * 1024;
/// Of one that goes.
const GIVEN_BYTES: usize = 32 * 1024;

async fn on_disk<T: Send + 'static>(act: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    let failed = |_| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "a thread failed");
    spawn_blocking(act).await.map_err(failed)?
}

/// The next bytes of a body.
pub(super) async fn frame(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
    // There are no trailers: no body has chunks.
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}

/// What is here for a host.
pub(super) async fn about(host: Arc<Host>) -> Result<Answer, Refusal> {
    let about = on_disk(move || {
        let (name, quota, used) = (&host.name, host.quota, host.used()?);
        Ok(
            serde_json::json!({ "api": 1, "host": name, "quota": quota, "used": used, "object_max": RECEIVED_BYTES_MAX }),
        )
    });
    Ok(answer::with(StatusCode::OK, JSON, Pieces::words(format!("{}\n", about.await?))))
}

/// A body as the disk gives it, for as long as the host is let in.
fn pieces(
    (house, host): (Arc<House>, Arc<Host>),
    length: Option<u64>,
    mut source: impl FnMut() -> io::Result<Option<Bytes>> + Send + 'static,
) -> Pieces {
    Pieces::of_disk(length, move || if house.lets_in(&host) { source() } else { Err(io::Error::other(ANOTHER)) })
}

/// `NAME LENGTH` of each object, in no order, and `end COUNT`.
pub(super) async fn list(house: Arc<House>, host: Arc<Host>) -> Result<Answer, Refusal> {
    let asked = host.clone();
    let begin = move || {
        asked.is_ready()?;
        Ok(asked.folder.objects()?)
    };
    let mut objects = Some(on_disk(begin).await?);
    let mut count = 0_u32;
    let source = move || {
        let Some(listed) = &mut objects else { return Ok(None) };
        let mut lines = String::new();
        while lines.len() < GIVEN_BYTES {
            match listed.next() {
                Some(object) => {
                    let (name, length) = object.map_err(io::Error::other)?;
                    lines.push_str(&format!("{name} {length}\n"));
                    count = count.saturating_add(1);
                }
                None => {
                    lines.push_str(&format!("end {count}\n"));
                    objects = None;
                    break;
                }
            }
        }
        Ok(Some(lines.into()))
    };
    Ok(answer::with(StatusCode::OK, LINES, pieces((house, host), None, source)))
}

/// Whether an object is there, and how long it is.
pub(super) async fn look(host: Arc<Host>, name: Name) -> Result<Answer, Refusal> {
    let length = on_disk(move || length(&host, &name)).await?;
    Ok(answer::head(BYTES, Some(length)))
}

/// That a folder is not there is said of its objects and not of its id, which may come yet.
fn length(host: &Host, name: &Name) -> Result<u64, Refusal> {
    let absent = || Refusal::new(StatusCode::NOT_FOUND, "there is no such object");
    if *name != Name::Id {
        host.is_ready()?;
    }
    match (host.length(name), name) {
        (Err(refusal), Name::Id) if refusal.status == StatusCode::SERVICE_UNAVAILABLE => Err(absent()),
        (length, _) => length?.ok_or_else(absent),
    }
}

/// An object, or a part of it.
pub(super) async fn get(house: Arc<House>, host: Arc<Host>, name: Name, head: &Parts) -> Result<Answer, Refusal> {
    let wanted = head.headers.get(RANGE).map(Wanted::parse).transpose()?;
    let asked = host.clone();
    let open = move || {
        length(&asked, &name)?;
        if name == Name::Id {
            asked.sweep();
        }
        Ok(asked.folder.file(&name)?)
    };
    let (file, total) = on_disk(open).await?;
    let Some((mut at, end)) = wanted.as_ref().map_or(Some((0, total)), |wanted| wanted.of(total)) else {
        let mut answer = answer::words(StatusCode::RANGE_NOT_SATISFIABLE, "the object ends before");
        answer.headers_mut().insert(CONTENT_RANGE, value(&format!("bytes */{total}")));
        return Ok(answer);
    };
    let (begin, length) = (at, end - at);
    let source = move || {
        let left = usize::try_from(end - at).unwrap_or(GIVEN_BYTES).min(GIVEN_BYTES);
        if left == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; left];
        file.read_exact_at(&mut piece, at)?;
        at += left as u64;
        // Who reads his backups does not need them in memory here.
        if at == end || (at - begin).is_multiple_of(DROPPED_BYTES) {
            fsutil::drop_cache(&file, begin, at - begin);
        }
        Ok(Some(piece.into()))
    };
    let status = if wanted.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut answer = answer::with(status, BYTES, pieces((house, host), Some(length), source));
    if wanted.is_some() {
        let range = format!("bytes {begin}-{}/{total}", end.saturating_sub(1));
        answer.headers_mut().insert(CONTENT_RANGE, value(&range));
    }
    answer.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    Ok(answer)
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// What is told of a body before it comes.
struct Told {
    length: u64,
    sha256: Option<[u8; 32]>,
}

impl Told {
    fn read(headers: &HeaderMap, name: &Name) -> Result<Self, Refusal> {
        let refused = |status, words: &str| Err(Refusal::new(status, words));
        let only = |name| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
        };
        if headers.contains_key("transfer-encoding") {
            return refused(StatusCode::LENGTH_REQUIRED, "the length of an object is to be told: content-length");
        }
        let length = only("content-length").and_then(|length| length.parse().ok());
        let Some(length) = length else {
            return refused(StatusCode::LENGTH_REQUIRED, "the length of an object is to be told once: content-length");
        };
        if only(IF_NONE_MATCH.as_str()) != Some("*") {
            let words = "nothing is written over here, so say that it is not wanted: if-none-match: *";
            return refused(StatusCode::PRECONDITION_REQUIRED, words);
        }
        let most = if *name == Name::Id { ID_BYTES_MAX } else { RECEIVED_BYTES_MAX };
        if length > most {
            return refused(StatusCode::PAYLOAD_TOO_LARGE, &format!("an object has at most {most} bytes here"));
        }
        let sha256 = only("content-digest").and_then(sha256);
        if sha256.is_none() && headers.contains_key("content-digest") {
            return refused(StatusCode::BAD_REQUEST, "content-digest is to be one line: sha-256=:BASE64:");
        }
        let tells_contents = matches!(name, Name::Object(name) if name.tells_contents());
        if sha256.is_none() && !tells_contents {
            let words = "its name does not tell what it is, so say it: content-digest: sha-256=:BASE64:";
            return refused(StatusCode::BAD_REQUEST, words);
        }
        Ok(Self { length, sha256 })
    }
}

/// Of the header `content-digest` (RFC 9530), which may have others beside it.
fn sha256(value: &str) -> Option<[u8; 32]> {
    let of = |member: &str| member.trim().strip_prefix("sha-256=:")?.strip_suffix(':').map(str::to_owned);
    BASE64.decode(value.split(',').find_map(of)?).ok()?.try_into().ok()
}

fn garbled(what: &str) -> Refusal {
    Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, format!("what came is not what was sent: {what}"))
}

/// An object on its way: if it goes, its stage goes.
struct Upload {
    reserved: Reserved,
    stage: Stage,
    name: ObjectName,
    told: Told,
}

impl Upload {
    fn begin(host: Arc<Host>, name: ObjectName, told: Told) -> Result<Self, Refusal> {
        host.is_ready()?;
        let reserved = host.reserve(&name, told.length)?;
        let stage = reserved.host.folder.stage()?;
        let stage = if told.sha256.is_some() { stage.with_sha256() } else { stage };
        Ok(Self { reserved, stage, name, told })
    }

    fn take(mut self, bytes: &[u8]) -> Result<Self, Refusal> {
        let before = self.stage.length() / LOOK_BYTES;
        self.stage.write_received(bytes)?;
        if self.stage.length() / LOOK_BYTES > before {
            self.reserved.host.spares(0)?;
        }
        Ok(self)
    }

    /// Holds it against its length, its name and its digest, and stores it.
    fn finish(self) -> Result<(), Refusal> {
        if self.stage.length() != self.told.length {
            return Err(garbled("it has another length"));
        }
        if self.told.sha256.is_some() && self.stage.sha256() != self.told.sha256 {
            return Err(garbled("it has another SHA-256"));
        }
        let finished: Finished = self.stage.finish();
        if matches!(self.name, ObjectName::Chunk(key) if key != finished.sha1()) {
            return Err(garbled("it has another SHA-1 than its name says"));
        }
        self.reserved.store(&self.name, finished)
    }
}

/// An upload while its next bytes are waited for. Whoever gives it up then does not wait for a disk.
struct Waiting(Option<Upload>);

impl Drop for Waiting {
    fn drop(&mut self) {
        if let (Some(upload), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn_blocking(move || drop(upload)));
        }
    }
}

/// What was not let in any more while it sent is not stored.
fn still(house: &House, host: &Host) -> Result<(), Refusal> {
    let another = || Refusal::new(StatusCode::SERVICE_UNAVAILABLE, ANOTHER);
    house.lets_in(host).then_some(()).ok_or_else(another)
}

/// Stores an object that is not there yet.
pub(super) async fn put(
    house: &House,
    host: Arc<Host>,
    name: Name,
    head: &Parts,
    body: &mut Incoming,
) -> Result<Answer, Refusal> {
    let limits = house.limits;
    let told = Told::read(&head.headers, &name)?;
    let stored = || answer::words(StatusCode::CREATED, "stored");
    let mut buffer = Vec::with_capacity(TAKEN_BYTES);
    let Name::Object(name) = name else {
        fill(body, &mut buffer, limits).await?;
        let is_same = buffer.len() as u64 == told.length && told.sha256 == Some(sha2::Sha256::digest(&buffer).into());
        if !is_same {
            return Err(garbled("it has another SHA-256"));
        }
        still(house, &host)?;
        on_disk(move || Ok(host.folder.create_as(&buffer)?)).await?;
        return Ok(stored());
    };
    let known = host.clone();
    let mut waiting = Waiting(Some(on_disk(move || Upload::begin(host, name, told)).await?));
    loop {
        buffer.clear();
        fill(body, &mut buffer, limits).await?;
        still(house, &known)?;
        let Some(upload) = waiting.0.take() else { break };
        if buffer.is_empty() {
            on_disk(move || upload.finish()).await?;
            break;
        }
        let (upload, emptied) = on_disk(move || Ok((upload.take(&buffer)?, buffer))).await?;
        (waiting, buffer) = (Waiting(Some(upload)), emptied);
    }
    Ok(stored())
}

/// Waits for the next bytes of a body, so many that a disk is worth being asked; fewer at its end only.
async fn fill(body: &mut Incoming, buffer: &mut Vec<u8>, limits: Limits) -> Result<(), Refusal> {
    let filling = async {
        while buffer.len() < TAKEN_BYTES {
            match frame(body).await {
                Some(Ok(bytes)) => buffer.extend_from_slice(&bytes),
                Some(Err(_)) => return Err(Refusal::new(StatusCode::BAD_REQUEST, "the body was cut off")),
                None => break,
            }
        }
        Ok(())
    };
    let late = |_| Refusal::new(StatusCode::REQUEST_TIMEOUT, "the body did not come in time");
    timeout(limits.idle, filling).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_found_among_others() {
        let digest = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert!(sha256(&format!("sha-256=:{digest}:")).is_some());
        assert!(sha256(&format!("md5=:AAAA:, sha-256=:{digest}:")).is_some());
        for wrong in [digest, "", "sha-256=:AAAA:", &format!("sha-512=:{digest}:"), &format!("sha-256={digest}")] {
            assert_eq!(sha256(wrong), None, "{wrong}");
        }
    }
}
