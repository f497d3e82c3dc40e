//! Whether a bucket locks what it is asked to lock (S3 API, "GetObjectLockConfiguration").
//!
//! Asked before the first object of a run is stored: there are servers that pass over a lock, and an owner would count on it when the box is stolen.

use std::sync::atomic::Ordering;

use super::answer::elements;
use super::client::Ask;
use super::{S3, no_s3};
use crate::target::body::Ranged as _;
use crate::target::error::{Error, ErrorKind};
use crate::target::http;
use crate::target::retry::Failed;

pub(super) const ADVICE: &str = "see `object_lock`: a bucket must be made with Object Lock, or have it turned on";

const MAY_NOT_ASK: &str = "allow s3:GetBucketObjectLockConfiguration for the bucket: docs/TARGETS.md has what a box must be allowed. See `object_lock`";

impl S3 {
    /// Fails if the bucket is said to lock what is stored, and does not say so itself.
    pub(super) fn locks(&self) -> Result<(), Error> {
        if self.client.bucket.lock.is_none() || self.is_asked_for_locks.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.ask_for_locks()?;
        self.is_asked_for_locks.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn ask_for_locks(&self) -> Result<(), Error> {
        let what = self.what("lock", &"what is stored");
        let locks_not = |why: &str| Error::new(ErrorKind::Denied, format!("{what}: {why}")).advise(ADVICE);
        self.retry.run(|_| {
            let ask = Ask { method: "GET", query: &[("object-lock", "")], ..Ask::default() };
            let mut answer = match self.client.ask(&ask, &[200], &what)? {
                Ok(answer) => answer,
                // Garage lets only owners ask, and passes over their locks and everybody's.
                Err(refusal) if refusal.status == 403 && refusal.code == "AccessDenied" => {
                    let why = format!("{what}: these credentials may not ask whether the bucket has Object Lock");
                    return Err(Error::new(ErrorKind::Denied, why).advise(MAY_NOT_ASK).into());
                }
                Err(refusal) if matches!(refusal.status, 405 | 501) => {
                    return Err(locks_not("the server knows no Object Lock").into());
                }
                Err(refusal) if refusal.says_that_there_is_no_lock() => {
                    return Err(locks_not("the bucket has no Object Lock").into());
                }
                Err(refusal) => return Err(refusal.failed(&what)),
            };
            let xml = http::text(&mut answer).map_err(http::cut(&what))?;
            // An element that is closed as it opens is none to `elements`.
            let (mut is_s3, mut is_enabled) = (xml.contains("<ObjectLockConfiguration"), false);
            let read = elements(&xml, |path, text| {
                is_s3 |= path == ["ListBucketResult"];
                is_enabled |= path == ["ObjectLockConfiguration", "ObjectLockEnabled"] && text == "Enabled";
                Ok(())
            });
            match (read, is_s3, is_enabled) {
                (Ok(()), true, true) => Ok(()),
                // A server that does not know the question lists the bucket.
                (Ok(()), true, false) => Err(locks_not("the bucket has no Object Lock").into()),
                _ => Err(Failed::ForNow(no_s3(&what), None)),
            }
        })
    }
}
