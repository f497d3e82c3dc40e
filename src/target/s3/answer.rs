//! What S3 answers: pages of listings, and of uploads in parts.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::refusal::Refusal;
use crate::date::Utc;
use crate::target::ObjectName;

/// A page of a listing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) objects: Vec<(ObjectName, u64)>,
    /// Asks for the next page, if there is one.
    pub(super) next: Option<String>,
    /// The first and the last key, whosever they are.
    pub(super) keys: Option<(String, String)>,
    /// How many folders of others it has, in whatever order.
    pub(super) folders: usize,
}

/// Reads a page of `ListObjectsV2`. Names below the prefix that are none of ours are left out.
pub(super) fn page(xml: &str, prefix: &str) -> Result<Page, String> {
    let mut page = Page::default();
    let (mut key, mut size, mut is_truncated, mut token, mut is_listing) = (None, None, None, None, false);
    elements(xml, |path, text| {
        match path {
            ["ListBucketResult"] => is_listing = true,
            ["ListBucketResult", "EncodingType"] if !text.is_empty() => return Err("its names are encoded".into()),
            ["ListBucketResult", "IsTruncated"] => {
                is_truncated = Some(text.parse().map_err(|_| format!("whether there is more is {text:?}"))?);
            }
            ["ListBucketResult", "NextContinuationToken"] => token = Some(text.to_owned()),
            ["ListBucketResult", "CommonPrefixes"] => page.folders += 1,
            ["ListBucketResult", "Contents", "Key"] => key = Some(text.to_owned()),
            ["ListBucketResult", "Contents", "Size"] => {
                size = Some(text.parse().map_err(|_| format!("an object's size is {text:?}"))?);
            }
            ["ListBucketResult", "Contents"] => {
                let (Some(key), Some(size)) = (key.take(), size.take()) else {
                    return Err("an object has no key or no size".into());
                };
                let Some(name) = key.strip_prefix(prefix) else {
                    return Err(format!("it has {key:?}, which was not asked for"));
                };
                page.objects.extend(ObjectName::parse(name).map(|name| (name, size)));
                let (first, last) = page.keys.take().unwrap_or_else(|| (key.clone(), String::new()));
                if key <= last {
                    return Err(format!("{key:?} is behind {last:?}"));
                }
                page.keys = Some((first, key));
            }
            _ => {}
        }
        Ok(())
    })?;
    // Half a page is no page: what is missing would be taken for gone.
    match (is_listing, is_truncated, token) {
        (false, ..) => Err("it is no listing".into()),
        (_, None, _) => Err("it does not say whether there is more".into()),
        (_, Some(true), None) => Err("there is more, and it does not say where".into()),
        (_, Some(true), token) => Ok(Page { next: token, ..page }),
        (_, Some(false), Some(token)) if !token.is_empty() => Err("there is no more, and it says where".into()),
        (_, Some(false), _) => Ok(page),
    }
}

/// The id of an upload in parts that was begun.
pub(super) fn upload_id(xml: &str) -> Option<String> {
    let mut id = None;
    let read = elements(xml, |path, text| {
        if path == ["InitiateMultipartUploadResult", "UploadId"] {
            id = Some(text.to_owned());
        }
        Ok(())
    });
    read.ok().and(id).filter(|id| !id.is_empty())
}

/// Whether an upload in parts is said to be complete, or what is said instead.
pub(super) fn completed(xml: &str) -> Result<bool, Refusal> {
    let (mut is_completed, mut refusal) = (false, Refusal::of(200));
    let read = elements(xml, |path, text| {
        is_completed |= path == ["CompleteMultipartUploadResult"];
        refusal.element(path, text);
        Ok(())
    });
    match read {
        Ok(()) if !refusal.code.is_empty() => Err(refusal),
        read => Ok(read.is_ok() && is_completed),
    }
}

/// Uploads of objects of ours that began before a time: the object's name, the upload's id.
pub(super) fn uploads(xml: &str, prefix: &str, before: Utc) -> Vec<(String, String)> {
    let (mut key, mut id, mut began) = (None, None, None);
    let mut found = Vec::new();
    let read = elements(xml, |path, text| {
        match path {
            ["ListMultipartUploadsResult", "Upload", "Key"] => key = Some(text.to_owned()),
            ["ListMultipartUploadsResult", "Upload", "UploadId"] => id = Some(text.to_owned()),
            ["ListMultipartUploadsResult", "Upload", "Initiated"] => {
                // Fractions of a second follow a dot.
                began = Utc::parse(text.split('.').next().unwrap_or_default().trim_end_matches('Z'));
            }
            ["ListMultipartUploadsResult", "Upload"] => {
                let (key, id, began) = (key.take(), id.take(), began.take());
                let name = key.as_deref().and_then(|key| key.strip_prefix(prefix)).filter(|name| is_ours(name));
                let is_old = began.is_some_and(|began| began < before);
                found.extend(name.map(str::to_owned).zip(id).filter(|_| is_old));
            }
            _ => {}
        }
        Ok(())
    });
    if read.is_ok() { found } else { Vec::new() }
}

fn is_ours(name: &str) -> bool {
    ObjectName::parse(name).is_some()
}

/// Calls back at the end of each element, with the path to it and its text.
pub(super) fn elements(xml: &str, mut each: impl FnMut(&[&str], &str) -> Result<(), String>) -> Result<(), String> {
    const DEPTH_MAX: usize = 16;
    let mut reader = Reader::from_str(xml);
    let mut path: Vec<String> = Vec::new();
    let mut text = String::new();
    loop {
        let event = reader.read_event().map_err(|error| error.to_string())?;
        match event {
            Event::Start(start) => {
                if path.len() == DEPTH_MAX {
                    return Err("it is too deep".into());
                }
                path.push(start.local_name().as_ref().to_owned());
                text.clear();
            }
            Event::Empty(_) => {}
            Event::CData(part) => text.push_str(&part),
            Event::Text(part) => text.push_str(&part.xml10_content()),
            Event::GeneralRef(entity) => {
                let char = entity.resolve_char_ref().ok().flatten();
                let name = &*entity;
                let known = quick_xml::escape::resolve_predefined_entity(name);
                match (char, known) {
                    (Some(char), _) => text.push(char),
                    (None, Some(known)) => text.push_str(known),
                    (None, None) => return Err(format!("it has the unknown entity {name:?}")),
                }
            }
            Event::End(_) => {
                let names: Vec<_> = path.iter().map(String::as_str).collect();
                each(&names, &text)?;
                path.pop();
                text.clear();
            }
            Event::Eof if path.is_empty() => return Ok(()),
            Event::Eof => return Err("it ends in the middle".into()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::retry::Failed;

    const CHUNK: &str = "a9993e364706816aba3e25717850c26c9cd0d89d.chunk";

    fn listing(inside: &str) -> String {
        format!(
            r#"<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{inside}</ListBucketResult>"#
        )
    }

    #[test]
    fn a_page_has_our_objects_and_the_way_to_the_next() {
        let inside = format!(
            "<IsTruncated>true</IsTruncated><Contents><Key>b/{CHUNK}</Key><ETag>&quot;x&quot;</ETag><Size>5</Size><Owner><ID>7</ID></Owner></Contents>\
             <Contents><Size>6</Size><Key>b/b &amp; a</Key></Contents><NextContinuationToken>a&amp;b=</NextContinuationToken>"
        );
        let page = page(&listing(&inside), "b/").unwrap();
        assert_eq!(page.objects, [(ObjectName::parse(CHUNK).unwrap(), 5)]);
        assert_eq!(page.next.as_deref(), Some("a&b="));
    }

    #[test]
    fn half_a_page_is_none() {
        let whole = listing("<IsTruncated>false</IsTruncated><Contents><Key>k</Key><Size>5</Size></Contents>");
        assert_eq!(page(&whole, "").unwrap(), Page { keys: Some(("k".into(), "k".into())), ..Page::default() });
        assert!(page(&whole, "b/").is_err(), "a key that was not asked for");
        for end in 0..whole.len() {
            assert!(page(&whole[..end], "").is_err(), "{end}: {}", &whole[..end]);
        }
        for inside in [
            "",
            "<IsTruncated>true</IsTruncated>",
            "<IsTruncated>false</IsTruncated><Contents><Key>k</Key></Contents>",
            "<IsTruncated>1</IsTruncated>",
            "<IsTruncated>False</IsTruncated>",
            "<IsTruncated>false</IsTruncated><NextContinuationToken>x</NextContinuationToken>",
            "<IsTruncated>false</IsTruncated><Contents><Key>k</Key><Size>5</Size></Contents><Contents><Key>k</Key><Size>5</Size></Contents>",
        ] {
            assert!(page(&listing(inside), "").is_err(), "{inside}");
        }
        assert!(page("<html><IsTruncated>false</IsTruncated></html>", "").is_err());
        assert!(page(&"<a>".repeat(100_000), "").is_err());
    }

    #[test]
    fn uploads_of_ours_that_are_old_are_given_up_and_no_others() {
        let upload = |key: &str, began: &str| {
            format!(
                "<Upload><Key>{key}</Key><UploadId>id of {began}</UploadId><Initiator><ID>7</ID></Initiator><Initiated>{began}</Initiated></Upload>"
            )
        };
        let (ours, old) = (format!("nas/{CHUNK}"), "2026-11-01T10:00:00.000Z");
        let listed = [
            upload(&ours, old),
            upload(&ours, "2026-11-02T10:00:00Z"),
            upload(&ours, "yesterday"),
            upload("nas/film.mp4", old),
            upload(CHUNK, old),
        ];
        let xml = format!("<ListMultipartUploadsResult>{}</ListMultipartUploadsResult>", listed.concat());
        let before = Utc::parse("2026-11-02").unwrap();
        assert_eq!(uploads(&xml, "nas/", before), [(CHUNK.to_owned(), format!("id of {old}"))]);
        assert_eq!(uploads(&xml[..xml.len() - 1], "nas/", before), [], "half a listing is none");
    }

    #[test]
    fn an_upload_in_parts_is_complete_when_it_is_said_to_be() {
        let done = "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>";
        assert!(completed(done).unwrap());
        assert!(
            !completed("").unwrap() && !completed(&done[..done.len() - 1]).unwrap() && !completed("<html/>").unwrap()
        );
        // What AWS sends behind a 200 that it began too early.
        let refusal = completed("\n\n<Error><Code>InternalError</Code><Message>m</Message></Error>").unwrap_err();
        assert_eq!(refusal.code, "InternalError");
        assert!(matches!(refusal.failed("x"), Failed::ForNow(..)));
    }
}
