//! What is in the bucket, a page at a time.

use super::client::Ask;
use super::{S3, answer};
use crate::limits::LISTED_NAMES_MAX;
use crate::target::error::{Error, ErrorKind};
use crate::target::http;
use crate::target::retry::Failed;
use crate::target::{ObjectName, Target as _};

/// Names of a page: with all that is said of them, far below what an answer may have.
pub(super) const PAGE_NAMES: &str = "500";
/// Pages without a name, one after the other: what was deleted makes some.
const EMPTY_PAGES_MAX: u32 = 1000;

impl S3 {
    /// Calls back for every object of ours whose name begins like that. A server that does not look at all of a prefix sends others, too.
    pub(super) fn pages(
        &self,
        beginning: &str,
        each: &mut dyn FnMut(ObjectName, u64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let what = format!("can't list {}", self.describe());
        let failed = |why: &str| Error::new(ErrorKind::Io, format!("{what}: {why}"));
        let folder = &*self.client.bucket.prefix;
        let prefix = format!("{folder}{beginning}");
        let mut next: Option<String> = None;
        let (mut last, mut empty, mut count) = (String::new(), 0, 0);
        loop {
            // No folders of others, whose names not every server has in order.
            let mut pairs =
                vec![("delimiter", "/"), ("list-type", "2"), ("max-keys", PAGE_NAMES), ("prefix", &*prefix)];
            pairs.extend(next.as_deref().map(|token| ("continuation-token", token)));
            let page = self.retry.run(|_| {
                let ask = Ask { method: "GET", query: &pairs, ..Ask::default() };
                let mut answer = self.client.ask(&ask, &[200], &what)?.map_err(|refusal| refusal.failed(&what))?;
                let xml = http::text(&mut answer).map_err(http::cut(&what))?;
                answer::page(&xml, folder).map_err(|why| Failed::ForNow(failed(&why), None))
            })?;
            // Sorted by key, page by page: one that goes back would come for ever.
            let is_empty = page.keys.is_none() && page.folders == 0;
            if let Some((first, end)) = page.keys {
                if first <= last {
                    return Err(failed("the server sends the same page again"));
                }
                last = end;
            }
            count += page.objects.len() + page.folders;
            if count > LISTED_NAMES_MAX {
                return Err(failed(&format!("it has more than {LISTED_NAMES_MAX} names")));
            }
            for (name, length) in page.objects {
                each(name, length)?;
            }
            if page.next.is_some() && page.next == next {
                return Err(failed("the server sends the same page again"));
            }
            empty = if is_empty { empty + 1 } else { 0 };
            if empty > EMPTY_PAGES_MAX {
                return Err(failed("the server sends empty pages and no end"));
            }
            next = match page.next {
                Some(next) => Some(next),
                None => return Ok(()),
            };
        }
    }
}
