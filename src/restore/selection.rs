//! Which paths of a backup are meant: by path (with everything below it) or by glob.
//!
//! In a glob `*` and `?` do not cross `/`, `**` does, `[…]` is a set. A glob without `/` is matched against the last name at any
//! depth, one with `/` against the whole path. A directory that matches brings everything below it.

use regex::bytes::{Regex, RegexBuilder};

use crate::relpath::{RelPath, unescape};

/// Paths and globs. Empty: everything.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    paths: Vec<Vec<u8>>,
    globs: Vec<Glob>,
    /// The last directory that a glob matched: paths come in order, so what is below it follows.
    inside: Option<Vec<u8>>,
    /// A directory that a glob matches does not bring what is below it.
    only_itself: bool,
    /// Of several patterns those that have not met anything yet.
    unmet: Vec<(String, Self)>,
}

#[derive(Clone, Debug)]
struct Glob {
    regex: Regex,
    on_name: bool,
}

impl Selection {
    /// Parses what a person wrote: bytes, or text with escapes as names are shown (FORMAT.md section 6.1); where it may be both, both
    /// are meant, and a glob means the path that is literally the same too. `root` is what was backed up: absolute paths are taken
    /// relative to it.
    pub fn parse(patterns: &[Vec<u8>], root: &[u8]) -> Result<Self, String> {
        let mut selection = Self::default();
        if patterns.len() > 1 {
            let alone = |pattern: &Vec<u8>| {
                let text = String::from_utf8_lossy(pattern).into_owned();
                Self::parse(std::slice::from_ref(pattern), root).map(|alone| (text, alone))
            };
            selection.unmet = patterns.iter().map(alone).collect::<Result<_, _>>()?;
        }
        for pattern in patterns.iter().flat_map(|pattern| readings(pattern)) {
            let relative = relative(&pattern, root);
            let is_glob = relative.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
            if is_glob {
                let regex = RegexBuilder::new(&translate(&relative)).unicode(false).size_limit(1 << 20).build();
                let regex = regex.map_err(|_| format!("{} is no glob", String::from_utf8_lossy(&pattern)))?;
                selection.globs.push(Glob { regex, on_name: !relative.contains(&b'/') });
            }
            selection.paths.push(relative);
        }
        Ok(selection)
    }

    /// One path, read as [`Self::parse`] reads it, but never as a glob.
    pub fn of_path(path: &[u8], root: &[u8]) -> Self {
        let paths = readings(path).map(|path| relative(&path, root)).collect();
        Self { paths, ..Self::default() }
    }

    /// These paths, as they are.
    pub fn exactly(paths: Vec<Vec<u8>>) -> Self {
        Self { paths, ..Self::default() }
    }

    /// What `find` looks for: a name without `/` is one at any depth, and what is below a directory of that name is not meant.
    pub fn for_find(pattern: &[u8], root: &[u8]) -> Result<Self, String> {
        let mut selection = Self::parse(&[pattern.to_vec()], root)?;
        let names = selection.paths.extract_if(.., |path| !path.is_empty() && !path.contains(&b'/'));
        for name in names.collect::<Vec<_>>() {
            let literal: String = name.iter().map(|byte| format!("\\x{byte:02x}")).collect();
            let regex = Regex::new(&format!("(?s-u)^{literal}$")).map_err(|error| error.to_string())?;
            selection.globs.push(Glob { regex, on_name: true });
        }
        selection.only_itself = true;
        Ok(selection)
    }

    /// Whether a path is meant. Paths must be asked for in their order.
    pub fn selects(&mut self, path: &RelPath) -> bool {
        self.unmet.retain(|(_, pattern)| !pattern.selects_alone(path));
        if self.inside.as_ref().is_some_and(|inside| path.is_within(inside)) {
            return true;
        }
        let is_selected = self.selects_alone(path);
        if is_selected && !self.globs.is_empty() && !self.only_itself {
            self.inside = Some(path.as_bytes().to_vec());
        }
        is_selected
    }

    /// Those of several patterns by which nothing was meant that was asked for.
    pub fn unmet(&self) -> impl Iterator<Item = &str> {
        self.unmet.iter().map(|(text, _)| text.as_str())
    }

    /// The same for a path out of order; a directory above it that a glob matches counts too.
    pub fn selects_alone(&self, path: &RelPath) -> bool {
        if self.paths.is_empty() && self.globs.is_empty() {
            return true;
        }
        if self.paths.iter().any(|selected| path.is_within(selected)) {
            return true;
        }
        if self.only_itself {
            return self.globs.iter().any(|glob| glob.matches(path.as_bytes()));
        }
        !self.globs.is_empty() && above(path).any(|path| self.globs.iter().any(|glob| glob.matches(path)))
    }
}

impl Glob {
    fn matches(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        self.regex.is_match(if self.on_name { name } else { path })
    }
}

/// A path and the directories above it.
fn above(path: &RelPath) -> impl Iterator<Item = &[u8]> {
    let bytes = path.as_bytes();
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    ends.chain([bytes.len()]).map(|end| &bytes[..end]).filter(|path| !path.is_empty())
}

/// The bytes that were written, and what they are the escaped form of, if it is something else.
fn readings(pattern: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let unescaped = std::str::from_utf8(pattern).ok().and_then(unescape).filter(|unescaped| unescaped != pattern);
    [Some(pattern.to_vec()), unescaped].into_iter().flatten()
}

fn relative(pattern: &[u8], root: &[u8]) -> Vec<u8> {
    let pattern = pattern.strip_suffix(b"/").unwrap_or(pattern);
    let root = root.strip_suffix(b"/").unwrap_or(root);
    let below = pattern.strip_prefix(root).filter(|rest| !root.is_empty() && (rest.is_empty() || rest[0] == b'/'));
    let relative = below.unwrap_or(pattern);
    let relative = relative.strip_prefix(b"./").unwrap_or(relative);
    let relative = relative.strip_prefix(b"/").unwrap_or(relative);
    if relative == b"." { Vec::new() } else { relative.to_vec() }
}

/// A glob as a regular expression over bytes.
fn translate(glob: &[u8]) -> String {
    let mut regex = String::from("(?s-u)^");
    let mut at = 0;
    while let Some(byte) = glob.get(at) {
        at += 1;
        match byte {
            b'*' if glob.get(at) == Some(&b'*') => {
                at += 1;
                if glob.get(at) == Some(&b'/') {
                    // `**/` may be no directory at all.
                    at += 1;
                    regex.push_str("(?:.*/)?");
                } else {
                    regex.push_str(".*");
                }
            }
            b'*' => regex.push_str("[^/]*"),
            b'?' => regex.push_str("[^/]"),
            b'[' => match glob[at..].iter().skip(1).position(|byte| *byte == b']') {
                Some(length) => {
                    push_set(&glob[at..=at + length], &mut regex);
                    at += length + 2;
                }
                None => regex.push_str("\\["),
            },
            byte => push_byte(*byte, &mut regex),
        }
    }
    regex.push('$');
    regex
}

fn push_set(set: &[u8], regex: &mut String) {
    let (negated, set) = match set.split_first() {
        Some((b'!' | b'^', rest)) => (true, rest),
        _ => (false, set),
    };
    regex.push_str(if negated { "[^/" } else { "[" });
    for byte in set {
        if *byte == b'-' { regex.push('-') } else { push_byte(*byte, regex) }
    }
    regex.push(']');
}

fn push_byte(byte: u8, regex: &mut String) {
    regex.push_str(&format!("\\x{byte:02x}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(patterns: &[&str], paths: &[&str]) -> Vec<String> {
        let patterns: Vec<_> = patterns.iter().map(|pattern| pattern.as_bytes().to_vec()).collect();
        let mut selection = Selection::parse(&patterns, b"/home/brad/").unwrap();
        let is_selected = |path: &&&str| selection.selects(&RelPath::parse(path.as_bytes()).unwrap());
        paths.iter().filter(is_selected).map(ToString::to_string).collect()
    }

    const PATHS: [&str; 7] = [".", "doc", "doc/a.txt", "doc/b.jpg", "doc/deep", "doc/deep/c.jpg", "e[1].jpg"];

    #[test]
    fn paths_bring_what_is_below_them() {
        assert_eq!(selected(&[], &PATHS), PATHS);
        assert_eq!(selected(&["doc/deep/"], &PATHS), ["doc/deep", "doc/deep/c.jpg"]);
        assert_eq!(selected(&["/home/brad/doc/a.txt"], &PATHS), ["doc/a.txt"]);
        assert_eq!(selected(&["./doc/a.txt", "nothing"], &PATHS), ["doc/a.txt"]);
    }

    #[test]
    fn what_is_shown_escaped_is_read_back() {
        let paths = [r"a\xffb", r"a\\b", r"a\\\\b"].map(|text| RelPath::parse_escaped(text).unwrap());
        let selected = |pattern: &str| {
            let mut selection = Selection::parse(&[pattern.as_bytes().to_vec()], b"/").unwrap();
            paths.iter().map(|path| selection.selects(path)).collect::<Vec<_>>()
        };
        assert_eq!(selected(r"a\xffb"), [true, false, false]);
        assert_eq!(selected(r"a\xff?"), [true, false, false]);
        assert_eq!(selected(r"a\xff"), [false, false, false]);
        assert_eq!(selected(r"a\b"), [false, true, false], "no escape: the bytes");
        assert_eq!(selected(r"a\\b"), [false, true, true], "a backslash that is escaped, or two");
        assert_eq!(selected(r"a\\\\b"), [false, false, true]);
    }

    #[test]
    fn of_several_patterns_those_that_mean_nothing_are_known() {
        let patterns = ["doc/a.txt", "nothing", "*.png", "e[1].jpg"].map(|pattern| pattern.as_bytes().to_vec());
        let mut selection = Selection::parse(&patterns, b"/").unwrap();
        for path in PATHS {
            selection.selects(&RelPath::parse(path.as_bytes()).unwrap());
        }
        assert_eq!(selection.unmet().collect::<Vec<_>>(), ["nothing", "*.png"]);
    }

    #[test]
    fn globs_match_names_or_whole_paths() {
        assert_eq!(selected(&["*.jpg"], &PATHS), ["doc/b.jpg", "doc/deep/c.jpg", "e[1].jpg"]);
        assert_eq!(selected(&["doc/*.jpg"], &PATHS), ["doc/b.jpg"]);
        assert_eq!(selected(&["doc/**/*.jpg"], &PATHS), ["doc/b.jpg", "doc/deep/c.jpg"]);
        assert_eq!(selected(&["d?ep"], &PATHS), ["doc/deep", "doc/deep/c.jpg"]);
        assert_eq!(selected(&["[ab].*"], &PATHS), ["doc/a.txt", "doc/b.jpg"]);
        assert_eq!(selected(&["[!a]?jpg"], &PATHS), ["doc/b.jpg", "doc/deep/c.jpg"]);
        assert_eq!(selected(&["e[[]1].jpg"], &PATHS), ["e[1].jpg"]);
    }

    #[test]
    fn a_path_that_looks_like_a_glob_is_a_path_too() {
        let paths = ["x", "x/e1.jpg", "x/e[1].jpg", "x/e[1].jpg/below"];
        assert_eq!(selected(&["x/e[1].jpg"], &paths), paths[1..]);
        assert_eq!(selected(&["e[1].jpg"], &PATHS), ["e[1].jpg"]);
    }
}
