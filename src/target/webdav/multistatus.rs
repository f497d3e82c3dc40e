//! What `PROPFIND` answers: `multistatus` of RFC 4918, section 13, read as it comes.
//!
//! A server has no pages: a folder of 100,000 names is one answer of 40 MB, of which one element is in memory at a time. Elements are
//! known by their namespace, whatever their prefix. An answer that ends before its end is an error, and so is one that does not name the
//! folder that was asked for: what is missing would be taken for gone.

use std::io::{self, BufRead};

use quick_xml::NsReader;
use quick_xml::events::Event;
use quick_xml::name::{Namespace, ResolveResult};

use super::metered::Metered;
use crate::limits::{LISTING_BYTES_MAX, XML_EVENT_BYTES_MAX, XML_TEXT_BYTES_MAX};
use crate::provider::percent_decode;

/// Something in the folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) is_folder: bool,
    pub(super) length: Option<u64>,
    /// As HTTP writes dates.
    pub(super) modified: Option<String>,
    /// A status of the whole entry that is none of success.
    pub(super) failed: Option<String>,
}

const DEPTH_MAX: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tag {
    Multistatus,
    Response,
    Href,
    Status,
    Propstat,
    Prop,
    Type,
    Folder,
    Length,
    Modified,
    Other,
}

impl Tag {
    fn of(namespace: &ResolveResult<'_>, name: &str) -> Self {
        if *namespace != ResolveResult::Bound(Namespace("DAV:")) {
            return Self::Other;
        }
        match name {
            "multistatus" => Self::Multistatus,
            "response" => Self::Response,
            "href" => Self::Href,
            "status" => Self::Status,
            "propstat" => Self::Propstat,
            "prop" => Self::Prop,
            "resourcetype" => Self::Type,
            "collection" => Self::Folder,
            "getcontentlength" => Self::Length,
            "getlastmodified" => Self::Modified,
            _ => Self::Other,
        }
    }
}

/// Why an answer is none.
#[derive(Debug)]
pub(super) enum Malformed {
    /// The connection, or the spool.
    Io(io::Error),
    Xml(String),
    /// What was asked for is a file.
    NoFolder,
}

impl From<String> for Malformed {
    fn from(why: String) -> Self {
        Self::Xml(why)
    }
}

/// Reads the answer for the folder at this path (decoded, with a slash at both ends), and calls back with what is in it.
pub(super) fn read(
    from: impl BufRead,
    folder: &str,
    each: &mut dyn FnMut(Entry) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut reader = NsReader::from_reader(Metered::over(from, XML_EVENT_BYTES_MAX, LISTING_BYTES_MAX));
    reader.config_mut().expand_empty_elements = true;
    let mut parser =
        Parser { folder, path: Vec::new(), text: String::new(), now: Response::default(), is_named: false };
    let mut is_done = false;
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        reader.get_mut().go_on(XML_EVENT_BYTES_MAX);
        let (namespace, event) = reader.read_resolved_event_into(&mut buffer).map_err(|error| match error {
            quick_xml::Error::Io(error) if error.kind() != io::ErrorKind::InvalidData => {
                Malformed::Io(io::Error::new(error.kind(), error.to_string()))
            }
            error => Malformed::Xml(error.to_string()),
        })?;
        match event {
            Event::Start(start) => {
                let tag = Tag::of(&namespace, start.local_name().as_ref());
                if parser.path.is_empty() && (tag != Tag::Multistatus || is_done) {
                    return Err("it is no listing".to_owned().into());
                }
                parser.start(tag)?;
            }
            Event::End(_) => {
                if let Some(entry) = parser.end()? {
                    each(entry)?;
                }
                is_done = parser.path.is_empty();
            }
            Event::Text(text) => parser.add(&text.xml10_content())?,
            Event::CData(text) => parser.add(&text)?,
            Event::GeneralRef(entity) => {
                let char = entity.resolve_char_ref().ok().flatten().map(String::from);
                let known = || quick_xml::escape::resolve_predefined_entity(&entity).map(str::to_owned);
                let text = char.or_else(known).ok_or_else(|| format!("it has the unknown entity {:?}", &*entity))?;
                parser.add(&text)?;
            }
            // What it would declare is what bombs are made of.
            Event::DocType(_) => return Err("it has a document type".to_owned().into()),
            Event::Eof if is_done && parser.is_named => return Ok(()),
            Event::Eof if is_done => return Err(format!("it does not name the folder {folder:?}").into()),
            Event::Eof => return Err("it ends in the middle".to_owned().into()),
            _ => {}
        }
    }
}

/// What is known of one entry so far.
#[derive(Default)]
struct Response {
    href: Option<String>,
    status: Option<String>,
    found: Entry,
    /// Of the properties that are being read.
    part: Entry,
    part_status: Option<String>,
}

struct Parser<'f> {
    folder: &'f str,
    path: Vec<Tag>,
    text: String,
    now: Response,
    is_named: bool,
}

impl Parser<'_> {
    fn start(&mut self, tag: Tag) -> Result<(), String> {
        if self.path.len() == DEPTH_MAX {
            return Err("it is too deep".into());
        }
        match (self.path.len(), tag) {
            (1, Tag::Response) => self.now = Response::default(),
            (2, Tag::Propstat) => (self.now.part, self.now.part_status) = (Entry::default(), None),
            _ => {}
        }
        self.path.push(tag);
        self.text.clear();
        Ok(())
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        if matches!(self.path.last(), Some(Tag::Href | Tag::Status | Tag::Length | Tag::Modified)) {
            if self.text.len() + text.len() > XML_TEXT_BYTES_MAX {
                return Err("a text is too long".into());
            }
            self.text.push_str(text);
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Option<Entry>, Malformed> {
        use Tag::{Folder, Href, Length, Modified, Multistatus, Prop, Propstat, Response, Status, Type};
        let text = self.text.trim();
        let now = &mut self.now;
        match self.path[..] {
            // RFC 4918, section 14.24, has them for what is not asked here.
            [Multistatus, Response, Href] if now.href.is_some() => {
                return Err("an entry has two hrefs".to_owned().into());
            }
            [Multistatus, Response, Href] => now.href = Some(text.to_owned()),
            [Multistatus, Response, Status] => now.status = Some(text.to_owned()),
            [Multistatus, Response, Propstat, Status] => now.part_status = Some(text.to_owned()),
            [Multistatus, Response, Propstat, Prop, Type, Folder] => now.part.is_folder = true,
            [Multistatus, Response, Propstat, Prop, Length] if !text.is_empty() => {
                // A failing one may say anything.
                now.part.length = text.parse().ok();
            }
            [Multistatus, Response, Propstat, Prop, Modified] => now.part.modified = Some(text.to_owned()),
            [Multistatus, Response, Propstat] if is_success(now.part_status.as_deref()) => {
                now.found.is_folder |= now.part.is_folder;
                now.found.length = now.part.length.or(now.found.length);
                now.found.modified = now.part.modified.take().or_else(|| now.found.modified.take());
            }
            [Multistatus, Response] => {
                let entry = self.entry()?;
                self.path.pop();
                return Ok(entry);
            }
            _ => {}
        }
        self.path.pop();
        self.text.clear();
        Ok(None)
    }

    /// The entry that ends; nothing for the folder itself.
    fn entry(&mut self) -> Result<Option<Entry>, Malformed> {
        let now = std::mem::take(&mut self.now);
        let href = now.href.ok_or_else(|| "an entry has no href".to_owned())?;
        let path = path(&href, self.folder).ok_or_else(|| format!("it has the malformed href {href:?}"))?;
        let failed = now.status.filter(|status| !is_success(Some(status)));
        let folder = self.folder.as_bytes();
        if path == folder || [&path[..], b"/"].concat() == folder {
            if !now.found.is_folder {
                return Err(Malformed::NoFolder);
            }
            self.is_named = failed.is_none();
            return Ok(None);
        }
        let not_asked = || format!("it has {href:?}, which was not asked for");
        let name = path.strip_prefix(folder).ok_or_else(not_asked)?;
        let name = name.strip_suffix(b"/").unwrap_or(name);
        if name.is_empty() || name.contains(&b'/') {
            return Err(not_asked().into());
        }
        Ok(Some(Entry { name: String::from_utf8_lossy(name).into_owned(), failed, ..now.found }))
    }
}

/// `HTTP/1.1 200 OK`. A part that does not say is taken to have failed.
fn is_success(status: Option<&str>) -> bool {
    let code = status.and_then(|status| status.split_whitespace().nth(1)?.parse::<u16>().ok());
    code.is_some_and(|code| (200..300).contains(&code))
}

/// The path of an address, decoded: a whole address, a path, or what is below the folder (RFC 4918, section 8.3).
fn path(href: &str, folder: &str) -> Option<Vec<u8>> {
    let path = match href.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |at| &rest[at..]),
        _ => href,
    };
    let decoded = percent_decode(path)?;
    if path.starts_with('/') {
        return Some(decoded);
    }
    let below = decoded.strip_prefix(b"./").unwrap_or(&decoded);
    let is_below = !below.split(|byte| *byte == b'/').any(|part| part == b"..");
    is_below.then(|| [folder.as_bytes(), below].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(xml: &str, folder: &str) -> Result<Vec<Entry>, Malformed> {
        let mut all = Vec::new();
        // A byte at a time: nothing depends on how it comes.
        let from = io::BufReader::with_capacity(1, xml.as_bytes());
        read(from, folder, &mut |entry| {
            all.push(entry);
            Ok(())
        })?;
        Ok(all)
    }

    fn why(xml: &str) -> String {
        format!("{:?}", entries(xml, "/a b/").unwrap_err())
    }

    fn found(name: &str, length: u64) -> Entry {
        Entry { name: name.into(), length: Some(length), ..Entry::default() }
    }

    /// The folder, and what else there is.
    fn listing(more: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:multistatus xmlns:D=\"DAV:\" xmlns:o=\"other:\"><D:response><D:href>/a%20b/</D:href>\
             <D:propstat><D:prop><D:resourcetype><D:collection/></D:resourcetype></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>\
             <D:propstat><D:prop><D:getcontentlength/></D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>{more}</D:multistatus>\n"
        )
    }

    fn file(href: &str, more: &str) -> String {
        let ok = "<D:status>HTTP/1.1 200 OK</D:status>";
        format!(
            "<D:response><D:href>{href}</D:href><D:propstat><D:prop><D:resourcetype/><D:getcontentlength>5</D:getcontentlength>{more}</D:prop>{ok}</D:propstat></D:response>"
        )
    }

    #[test]
    fn addresses_of_every_kind_are_names() {
        for href in [
            "/a%20b/x%25",
            "/a b/x%25",
            "https://elsewhere:8/a%20b/x%25",
            "x%25",
            "./x%25",
            "<![CDATA[/a%20b/x%25]]>",
            "/a&#32;b/<!-- c -->x&#x25;25",
            "\n /a%20b/x%25\n",
            "/%61%20b/x%25/",
        ] {
            assert_eq!(entries(&listing(&file(href, "")), "/a b/").unwrap(), [found("x%", 5)], "{href}");
        }
        for href in
            ["/a%20b/x/y", "/c/x", "/a%20bc", "/", "../x", "x/../y", "/a%20b//", "https://host", "%2", "/a%20b/%zz"]
        {
            let why = why(&listing(&file(href, "")));
            assert!(why.contains("not asked for") || why.contains("malformed href"), "{href}: {why}");
        }
        assert!(why(&listing("<D:response></D:response>")).contains("no href"));
    }

    #[test]
    fn elements_are_known_by_their_namespace() {
        let any = listing(&file("x", ""));
        for xml in [
            any.replace("D:", "lp1:").replace("xmlns:D=\"DAV:\"", "xmlns:lp1=\"DAV:\" xmlns:D=\"x\""),
            any.replace("xmlns:D=", "xmlns=").replace("D:", ""),
            any.replace("<D:prop>", "<e:prop xmlns:e=\"DAV:\">").replace("</D:prop>", "</e:prop>"),
        ] {
            assert_eq!(entries(&xml, "/a b/").unwrap(), [found("x", 5)], "{xml}");
        }
        let of_others =
            "<o:getcontentlength>7</o:getcontentlength><o:x><D:getcontentlength>8</D:getcontentlength></o:x>";
        assert_eq!(entries(&listing(&file("x", of_others)), "/a b/").unwrap(), [found("x", 5)]);
        assert!(why(&any.replace("\"DAV:\"", "\"other:\"")).contains("it is no listing"));
        assert!(why(&any.replace("xmlns:D=\"DAV:\"", "")).contains("it is no listing"), "a prefix of nothing");
    }

    #[test]
    fn what_fails_is_not_what_is_there() {
        let modified = "<D:getlastmodified>Thu, 26 Nov 2026 02:49:18 GMT</D:getlastmodified>";
        let all = entries(&listing(&file("x", modified)), "/a b/").unwrap();
        assert_eq!(all[0].modified.as_deref(), Some("Thu, 26 Nov 2026 02:49:18 GMT"));
        let failing = file("x", "").replace("200 OK", "403 Forbidden");
        assert_eq!(entries(&listing(&failing), "/a b/").unwrap(), [Entry { name: "x".into(), ..Entry::default() }]);
        let gone = "<D:response><D:href>x</D:href><D:status>HTTP/1.1 423 Locked</D:status></D:response>";
        assert_eq!(entries(&listing(gone), "/a b/").unwrap()[0].failed.as_deref(), Some("HTTP/1.1 423 Locked"));
        let folder = "<D:response><D:href>x/</D:href><D:propstat><D:status>HTTP/1.1 200 OK</D:status><D:prop><D:resourcetype><D:collection/>\
                      </D:resourcetype></D:prop></D:propstat></D:response>";
        assert!(entries(&listing(folder), "/a b/").unwrap()[0].is_folder);
    }

    #[test]
    fn half_an_answer_is_none() {
        let whole = listing(&file("x", ""));
        for end in (0..whole.trim_end().len()).filter(|end| whole.is_char_boundary(*end)) {
            assert!(entries(&whole[..end], "/a b/").is_err(), "{end}: {}", &whole[..end]);
        }
        assert!(why("<D:multistatus xmlns:D=\"DAV:\"/>").contains("does not name the folder"));
        assert!(why(&whole.replace("<D:collection/>", "")).contains("NoFolder"));
        assert!(why(&format!("{whole}{whole}")).contains("it is no listing"));
        assert!(why("<html><body>Welcome to the hotel</body></html>").contains("it is no listing"));
        assert!(why("").contains("in the middle"));
    }

    #[test]
    fn nothing_grows() {
        let bomb = "<!DOCTYPE x [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;&a;\">]>";
        assert!(why(&listing("").replacen('\n', bomb, 1)).contains("document type"));
        assert!(why(&listing(&file("&b;", ""))).contains("unknown entity"));
        assert!(why(&listing(&"<D:x>".repeat(100))).contains("too deep"));
        assert!(why(&listing(&file(&"x".repeat(20_000), ""))).contains("a text is too long"));
        assert!(why(&listing(&file("x", &format!("<D:x>{}</D:x>", "y".repeat(70_000))))).contains("too long"));
        assert!(why(&listing(&format!("<D:x y=\"{}\"/>", "y".repeat(70_000)))).contains("too long"));
        let many = "<!-- c -->&amp;".repeat(30_000);
        assert!(why(&listing(&file(&many, ""))).contains("too long"));
    }
}
