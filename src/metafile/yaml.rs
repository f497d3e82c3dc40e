//! A document as YAML has it, of any writer: by the events of a parser, with nothing kept that no key asks for. Strict where FORMAT.md
//! section 6 lets a reader be: no anchors, aliases, tags and nulls, numbers in plain decimal, no key twice.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use granit_parser::{Event, Parser, ScalarStyle, StrInput, options};

use super::document::{ChunkItem, Document, item, number};
use crate::limits::{ITEMS_PER_DOCUMENT, YAML_DEPTH_MAX};

pub(super) fn parse(text: &str) -> Result<Document, String> {
    let options = options! {
        disallow_directives: true,
        emit_comments: false,
        flow_nesting_limit: YAML_DEPTH_MAX,
        block_nesting_limit: YAML_DEPTH_MAX,
    };
    let mut events = Events { parser: Parser::new_from_str_with_options(text, options), line: 0 };
    events.document().map_err(|what| format!("line {}: {what}", events.line))
}

/// What is wrong, in words.
type Refusal = &'static str;

struct Events<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// Of the last event, from 1.
    line: usize,
}

/// A value that is neither a list nor a mapping.
struct Scalar<'t> {
    text: Cow<'t, str>,
    is_plain: bool,
}

impl<'t> Events<'t> {
    fn next(&mut self) -> Result<Event<'t>, Refusal> {
        let (event, span) = match self.parser.next() {
            Some(Ok(next)) => next,
            Some(Err(error)) => {
                self.line = error.marker().line();
                return Err("this is no YAML");
            }
            None => return Err("it ends too early"),
        };
        self.line = span.start.line();
        match &event {
            Event::Scalar(_, _, 0, None) | Event::SequenceStart(_, 0, None) | Event::MappingStart(_, 0, None) => {}
            Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..) | Event::Alias(_) => {
                return Err("anchors, aliases and tags are not read");
            }
            _ => {}
        }
        Ok(event)
    }

    fn document(&mut self) -> Result<Document, Refusal> {
        let mut found = Document::default();
        let is_begun = matches!(self.next()?, Event::StreamStart) && matches!(self.next()?, Event::DocumentStart(..));
        if !is_begun {
            return Err("there is no document");
        }
        self.mapping(|events, key| events.value(&key.text, &mut found))?;
        match (self.next()?, self.next()?) {
            (Event::DocumentEnd, Event::StreamEnd) => Ok(found),
            _ => Err("there is more behind the document"),
        }
    }

    /// The value of this key, where it belongs. Keys that are not known are ignored (FORMAT.md section 10).
    fn value(&mut self, key: &str, found: &mut Document) -> Result<(), Refusal> {
        match key {
            "brackup" => set(&mut found.brackup, self.number()?),
            "root" => set(&mut found.root, self.text()?),
            "host" => set(&mut found.host, self.text()?),
            "created" => set(&mut found.created, self.text()?),
            "software" => set(&mut found.software, self.text()?),
            "end" => set(&mut found.end, self.truth()?),
            "entries" => set(&mut found.entries, self.number()?),
            "files" => set(&mut found.files, self.number()?),
            "bytes" => set(&mut found.bytes, self.number()?),
            "problems" => set(&mut found.problems, self.number()?),
            "path" => set(&mut found.path, self.text()?),
            "part" => set(&mut found.part, self.number()?),
            "type" => set(&mut found.kind, self.text()?),
            "mode" => set(&mut found.mode, self.text()?),
            "uid" => set(&mut found.uid, self.number()?),
            "gid" => set(&mut found.gid, self.number()?),
            "user" => set(&mut found.user, self.text()?),
            "group" => set(&mut found.group, self.text()?),
            "mtime" => set(&mut found.mtime, self.text()?),
            "ctime" => set(&mut found.ctime, self.text()?),
            "size" => set(&mut found.size, self.number()?),
            "sha1" => set(&mut found.sha1, self.text()?),
            "target" => set(&mut found.target, self.text()?),
            "device" => set(&mut found.device, self.device()?),
            "hardlink" => set(&mut found.hardlink, self.text()?),
            "xattrs" => set(&mut found.xattrs, self.xattrs()?),
            "sparse" => set(&mut found.sparse, self.truth()?),
            "changed" => set(&mut found.changed, self.truth()?),
            "problem" => set(&mut found.problem, self.text()?),
            "chunks" => set(&mut found.chunks, self.chunks()?),
            _ => self.skip(),
        }
    }

    /// Calls it with each key; it is to read the value.
    fn mapping(&mut self, mut entry: impl FnMut(&mut Self, Scalar<'t>) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let Event::MappingStart(..) = self.next()? else { return Err("this is to be a mapping") };
        loop {
            match self.next()? {
                Event::MappingEnd => return Ok(()),
                key => {
                    let key = scalar(key)?;
                    entry(self, key)?;
                }
            }
        }
    }

    /// Calls it with what each item begins with.
    fn list(&mut self, mut item: impl FnMut(&mut Self, Event<'t>) -> Result<(), Refusal>) -> Result<(), Refusal> {
        loop {
            match self.next()? {
                Event::SequenceEnd => return Ok(()),
                event => item(self, event)?,
            }
        }
    }

    fn begin_list(&mut self) -> Result<(), Refusal> {
        match self.next()? {
            Event::SequenceStart(..) => Ok(()),
            _ => Err("this is to be a list"),
        }
    }

    fn text(&mut self) -> Result<String, Refusal> {
        let event = self.next()?;
        Ok(scalar(event)?.text.into_owned())
    }

    fn number<T: FromStr>(&mut self) -> Result<T, Refusal> {
        let event = self.next()?;
        scalar(event)?.number()
    }

    fn truth(&mut self) -> Result<bool, Refusal> {
        let event = self.next()?;
        match scalar(event)? {
            Scalar { text, is_plain: true } if text == "true" => Ok(true),
            Scalar { text, is_plain: true } if text == "false" => Ok(false),
            _ => Err("this is to be `true` or `false`"),
        }
    }

    fn device(&mut self) -> Result<(u32, u32), Refusal> {
        self.begin_list()?;
        let device = (self.number()?, self.number()?);
        match self.next()? {
            Event::SequenceEnd => Ok(device),
            _ => Err("a device is two numbers"),
        }
    }

    fn xattrs(&mut self) -> Result<BTreeMap<String, String>, Refusal> {
        let mut xattrs = BTreeMap::new();
        self.mapping(|events, name| {
            let value = events.text()?;
            let before = xattrs.insert(name.text.into_owned(), value);
            before.map_or(Ok(()), |_| Err(TWICE))
        })?;
        Ok(xattrs)
    }

    fn chunks(&mut self) -> Result<Vec<ChunkItem>, Refusal> {
        let mut items = Vec::new();
        self.begin_list()?;
        self.list(|events, event| {
            let Event::SequenceStart(..) = event else { return Err("a chunk item is a list") };
            let mut words: [Cow<'t, str>; 4] = Default::default();
            let mut count = 0;
            events.list(|_, event| {
                let word = scalar(event)?;
                let place = words.get_mut(count).ok_or(BAD_ITEM)?;
                let is_number = count == 1 || count == 2;
                if is_number && !word.is_plain {
                    return Err(BAD_ITEM);
                }
                *place = word.text;
                count += 1;
                Ok(())
            })?;
            let words = words.each_ref().map(|word| &**word);
            let (first, rest) = words[..count].split_first().ok_or(BAD_ITEM)?;
            items.push(item(first, rest).ok_or(BAD_ITEM)?);
            if items.len() > ITEMS_PER_DOCUMENT { Err("more than 1024 items in `chunks`") } else { Ok(()) }
        })?;
        Ok(items)
    }

    /// A value that nobody asks for.
    fn skip(&mut self) -> Result<(), Refusal> {
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                Event::SequenceStart(..) | Event::MappingStart(..) => depth += 1,
                Event::SequenceEnd | Event::MappingEnd => depth = depth.saturating_sub(1),
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }
}

const TWICE: Refusal = "this key is there twice";
const BAD_ITEM: Refusal =
    "a chunk item is ['40 hex digits', offset, length], with zstd behind it or not, or [hole, length]";

impl Scalar<'_> {
    fn number<T: FromStr>(&self) -> Result<T, Refusal> {
        number(&self.text).filter(|_| self.is_plain).ok_or("this is no number, or one that is too large")
    }
}

fn scalar(event: Event<'_>) -> Result<Scalar<'_>, Refusal> {
    let Event::Scalar(text, style, ..) = event else {
        return Err("this is a list or a mapping, and is to be one value");
    };
    let is_plain = style == ScalarStyle::Plain;
    if is_plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL") {
        return Err("there is no value");
    }
    Ok(Scalar { text, is_plain })
}

fn set<T>(place: &mut Option<T>, value: T) -> Result<(), Refusal> {
    place.replace(value).map_or(Ok(()), |_| Err(TWICE))
}

#[cfg(test)]
mod tests {
    use super::super::document::peer;
    use super::*;

    #[test]
    fn other_writers_are_understood() {
        for text in [
            "path: a\n",
            "\"path\": \"a\\u00e9\"\n",
            "path: >-\n  a\n  b\ntype: |\n  file\n",
            "{path: a, type: 'file', size: 12, chunks: [[hole, 12]], xattrs: {user.a: 'YQ=='}}\n",
            "# a comment\npath: a # another\nnobody: {knows: [this, {key: 1}]}\nuid: 0\n",
            "? path\n: a\n",
            "chunks:\n  -\n    - '0123456789012345678901234567890123456789'\n    - 1\n    - 2\n    - 'zstd'\n",
            "device:\n- 8\n- 1\nend: true\nsparse: false\n",
            "path: 12\nmode: 0644\nuser: true\n",
        ] {
            let found = parse(text);
            assert!(found.as_ref().is_ok_and(|found| *found != Document::default()), "{text}: {found:?}");
            assert_eq!(found, peer::parse(text), "{text}");
        }
    }

    #[test]
    fn what_is_refused_says_where() {
        for (text, what) in [
            ("", "line 1: there is no document"),
            ("- a\n", "line 1: this is to be a mapping"),
            ("path: a\nuid: x\n", "line 2: this is no number"),
            ("uid: '1'\n", "no number"),
            ("uid: 4294967296\n", "too large"),
            ("size: -1\n", "no number"),
            ("size: 007\n", "no number"),
            ("path: a\npath: a\n", "line 2: this key is there twice"),
            ("xattrs:\n  a: b\n  a: b\n", "line 3: this key is there twice"),
            ("path: [a]\n", "is to be one value"),
            ("path:\n", "there is no value"),
            ("path: ~\n", "there is no value"),
            ("path: !!str a\n", "tags are not read"),
            ("path: &a a\n", "anchors"),
            ("path: a\nuser: *a\n", "no YAML"),
            ("end: yes\n", "`true` or `false`"),
            ("device: [1]\n", "is to be one value"),
            ("device: [1, 2, 3]\n", "two numbers"),
            ("chunks: a\n", "is to be a list"),
            ("chunks: [a]\n", "a chunk item is a list"),
            ("chunks: [[]]\n", "a chunk item is ["),
            ("chunks: [[hole, 0]]\n", "a chunk item is ["),
            ("chunks: [[hole, '1']]\n", "a chunk item is ["),
            ("chunks: [[hole, 1, 2, zstd, 3]]\n", "a chunk item is ["),
            ("path: a\n...\n---\npath: b\n", "more behind the document"),
            ("path: 'a\n", "no YAML"),
            ("%YAML 1.2\n---\npath: a\n", "no YAML"),
            ("a: [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]\n", "no YAML"),
        ] {
            let found = parse(text);
            let told = found.as_ref().err().is_some_and(|told| told.contains(what));
            assert!(told, "{text}: {found:?}");
        }
        let many = format!("chunks: [{}]\n", "[hole, 1],".repeat(ITEMS_PER_DOCUMENT + 1));
        assert!(parse(&many).is_err_and(|told| told.contains("more than 1024 items")));
    }
}
