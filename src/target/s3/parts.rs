//! A large object goes in parts, so that a cut costs one of them (S3 API, "Uploading and copying objects using multipart upload").
//!
//! It has its name only when all parts are there: the last request names them, and is refused like a PUT if the name is taken.

use quick_xml::escape::escape;

use super::answer;
use super::client::Ask;
use super::dialect::{SHA1, is_as_sealed};
use super::listing::PAGE_NAMES;
use super::refusal::Refusal;
use super::{Naming, S3, no_s3};
use crate::date::Utc;
use crate::digest::Sha1Hasher;
use crate::target::body::Ranged as _;
use crate::target::error::{Error, ErrorKind};
use crate::target::http::{self, header};
use crate::target::retry::Failed;
use crate::target::stage::Finished;
use crate::target::upload::Payload;

/// As many as there can be.
const PARTS_MAX: u64 = 10_000;
/// All of them are in memory until the last part is sent.
const ETAG_BYTES_MAX: usize = 256;
/// An upload that began so long ago is nobody's any more, on however slow a line.
const ABANDONED_SECONDS: i64 = 7 * 86_400;

/// An upload under way.
struct Upload<'a> {
    name: &'a str,
    id: String,
}

impl S3 {
    /// Stores a file under a name that has none. False: it has one; nothing: the server knows no parts.
    pub(super) fn store_in_parts(
        &self,
        name: &str,
        finished: &Finished,
        part_bytes: u64,
        what: &str,
    ) -> Result<Option<bool>, Error> {
        // What is left of others costs space, not safety: an error there is none of this object.
        self.is_swept.call_once(|| drop(self.sweep()));
        while self.dialect.has_parts() {
            let id = match self.begin(name, what) {
                Err(_) if !self.dialect.has_parts() => break,
                begun => begun?,
            };
            let upload = Upload { name, id };
            // As it was begun, so it goes on.
            let has_checksums = self.dialect.has_checksums();
            let sent = self.send(&upload, finished, part_bytes, what);
            let stored = sent.and_then(|parts| self.complete(&upload, &parts, finished, what));
            if !matches!(stored, Ok(true)) {
                let _ = self.abandon(&upload);
            }
            if stored.is_ok() || has_checksums == self.dialect.has_checksums() {
                return stored.map(Some);
            }
        }
        Ok(None)
    }

    fn begin(&self, name: &str, what: &str) -> Result<String, Error> {
        let had_checksums = self.dialect.has_checksums();
        self.retry.run(|_| {
            let mut answer = loop {
                let mut headers = self.kept_with_the_object();
                headers.extend(self.dialect.has_checksums().then(|| ("x-amz-checksum-algorithm", "SHA1".into())));
                let query = [("uploads", "")];
                let ask = Ask { method: "POST", name, query: &query, headers, body: Some(Payload::Text("")) };
                match self.client.ask(&ask, &[200], what)? {
                    Ok(answer) => break answer,
                    Err(refusal) if self.dialect.learns(&ask, &refusal) => {}
                    Err(refusal) => {
                        self.dialect.may_have_no_parts(&refusal, had_checksums);
                        return Err(self.of_storing(refusal).failed(what));
                    }
                }
            };
            let xml = http::text(&mut answer).map_err(http::cut(what))?;
            answer::upload_id(&xml).ok_or_else(|| no_answer(what))
        })
    }

    /// The parts, as the last request names them.
    fn send(&self, upload: &Upload<'_>, finished: &Finished, part_bytes: u64, what: &str) -> Result<String, Error> {
        let part_bytes = part_bytes.max(finished.length().div_ceil(PARTS_MAX));
        let mut parts = String::from("<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        let (mut offset, mut number, mut whole) = (0, 0, Sha1Hasher::default());
        while offset < finished.length() {
            let length = part_bytes.min(finished.length() - offset);
            number += 1;
            let payload = Payload::File { finished, offset, length };
            let (text, checksum) = (number.to_string(), self.dialect.checksum_of_part(payload, &mut whole, what)?);
            let headers = vec![checksum.clone()];
            let query = [("partNumber", text.as_str()), ("uploadId", &upload.id)];
            let ask = Ask { method: "PUT", name: upload.name, query: &query, headers, body: Some(payload) };
            let etag = self.retry.run(|_| {
                let answer = self.client.ask(&ask, &[200], what)?.map_err(|refusal| {
                    self.dialect.learns(&ask, &refusal);
                    refusal.failed(what)
                })?;
                let etag = header(&answer, "etag").map(str::to_owned);
                let is_held = checksum.0 != SHA1 || header(&answer, SHA1).is_some();
                http::drain(answer);
                if !is_held {
                    // Begun anew with what all servers know.
                    self.dialect.says_nothing();
                    let why = format!("{what}: the server says nothing of the checksum of a part");
                    return Err(Error::new(ErrorKind::Io, why).into());
                }
                etag.filter(|etag| etag.len() <= ETAG_BYTES_MAX).ok_or_else(|| no_answer(what))
            })?;
            let etag = escape(etag.as_str());
            parts.push_str(&format!("<Part><PartNumber>{text}</PartNumber><ETag>{etag}</ETag>"));
            if let (SHA1, checksum) = &checksum {
                parts.push_str(&format!("<ChecksumSHA1>{checksum}</ChecksumSHA1>"));
            }
            parts.push_str("</Part>");
            offset += length;
        }
        is_as_sealed(finished, whole, what)?;
        parts.push_str("</CompleteMultipartUpload>");
        Ok(parts)
    }

    /// Gives the object its name. False: another one has it.
    fn complete(&self, upload: &Upload<'_>, parts: &str, finished: &Finished, what: &str) -> Result<bool, Error> {
        let query = [("uploadId", upload.id.as_str())];
        self.retry.run(|tried| {
            // The first try may have done it, and its answer be lost.
            let has_it = || Ok(tried > 0 && self.came_through(upload.name, finished)?);
            let refused = |refusal: Refusal| match refusal.code.as_str() {
                "PreconditionFailed" => has_it(),
                "NoSuchUpload" if has_it()? => Ok(true),
                _ => Err(refusal.failed(what)),
            };
            let ask = || {
                let headers = vec![("content-type", "application/xml".into())];
                let body = Some(Payload::Text(parts));
                Ok(Ask { method: "POST", name: upload.name, query: &query, headers, body })
            };
            let (mut answer, is_sure) = match self.ask_for_name(upload.name, ask, &[200], what)? {
                Naming::Answered(answer, is_sure) => (answer, is_sure),
                Naming::Taken => return has_it(),
                Naming::Refused(refusal) => return refused(refusal),
            };
            // A server that takes long begins with 200 and says later that it failed.
            let xml = http::text(&mut answer).map_err(http::cut(what))?;
            match answer::completed(&xml) {
                Ok(true) => self.is_still(upload.name, finished, is_sure),
                Ok(false) => Err(no_answer(what)),
                Err(refusal) => refused(self.client.hushed(refusal)),
            }
        })
    }

    fn abandon(&self, upload: &Upload<'_>) -> Result<(), Error> {
        let what = self.what("give up", &upload.name);
        let ask = Ask { method: "DELETE", name: upload.name, query: &[("uploadId", &upload.id)], ..Ask::default() };
        self.retry.run(|_| match self.client.ask(&ask, &[200, 204], &what)? {
            Err(refusal) if refusal.code != "NoSuchUpload" => Err(refusal.failed(&what)),
            _ => Ok(()),
        })
    }

    /// Gives up uploads of ours that began long ago, as many as a page has: their parts are paid for, and nothing shows them.
    fn sweep(&self) -> Result<(), Error> {
        let what = self.what("list", &"uploads in parts");
        let query = [("uploads", ""), ("prefix", &*self.client.bucket.prefix), ("max-uploads", PAGE_NAMES)];
        let ask = Ask { method: "GET", query: &query, ..Ask::default() };
        let Ok(Ok(mut answer)) = self.client.ask(&ask, &[200], &what) else { return Ok(()) };
        let xml = http::text(&mut answer).map_err(|error| Error::io(what, error))?;
        // By the clock of the server: by a wrong one of this box, uploads of others that go on would be given up.
        let now = Utc::from_system(self.client.http.clock("")?).to_unix();
        let before = Utc::from_unix(now - ABANDONED_SECONDS);
        for (name, id) in answer::uploads(&xml, &self.client.bucket.prefix, before) {
            self.abandon(&Upload { name: &name, id })?;
        }
        Ok(())
    }
}

/// A 200 of something that does not know what was asked.
fn no_answer(what: &str) -> Failed {
    Failed::ForNow(no_s3(what), None)
}
