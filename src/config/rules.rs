//! Which paths a source leaves out: `ignore` and `accept`, regular expressions on the path below the source.
//!
//! The original's matching: unanchored, on bytes; a folder is tried as `dir` and as `dir/`. An accept rule is tried
//! first and keeps what an ignore rule would drop. Then what an accept rule with a pattern says holds, as in the fork brackup-nn:
//! see [`Pattern`]. What lies in a dropped folder is never asked about, so no accept rule brings it back. Matching takes time
//! linear in the path: a rule cannot hang a backup.

use regex::bytes::{Regex, RegexBuilder};

use super::error::{Error, ErrorKind, quoted};
use super::findings::Findings;
use super::limits::{RULE_BYTES_MAX, RULE_DEPTH_MAX, RULES_MAX};
use super::pattern::Pattern;
use super::values::Values;

/// What the original left out unasked, here only with `builtin_ignores = yes`.
const BUILTIN: [&str; 5] =
    ["~$", r"^\.thumbnails/", r"^\.kde/share/thumbnails/", r"^\.ee/minis/", r"^\.(gqview|nautilus)/thumbnails/"];

/// Paths shorter than this are matched as `dir/` without an allocation.
const STACK_BYTES: usize = 512;

/// The rules of one source.
#[derive(Clone, Debug, Default)]
pub struct IgnoreRules {
    ignore: Vec<Regex>,
    accept: Vec<Regex>,
    patterns: Vec<Pattern>,
}

impl IgnoreRules {
    /// Rules from elsewhere than a file.
    pub fn parse(ignore: &[&str], accept: &[&str]) -> Result<Self, Error> {
        let mut rules = Self::default();
        for (key, texts) in [("ignore", ignore), ("accept", accept)] {
            texts.iter().try_for_each(|rule| rules.add(key, rule.as_bytes()))?;
        }
        Ok(rules)
    }

    pub(super) fn read(values: &Values<'_>, findings: &mut Findings) -> Self {
        let mut room = RULES_MAX;
        let mut rules = Self::default();
        for key in ["ignore", "accept"] {
            rules.add_all(key, values, &mut room, findings);
        }
        if values.flag("builtin_ignores", findings) {
            let builtin = BUILTIN.iter().flat_map(|rule| Regex::new(&format!("(?-u){rule}")));
            rules.ignore.extend(builtin);
        }
        let first = values.all("accept").find(|entry| !Pattern::is_meant(entry.value));
        if let (true, Some(first)) = (rules.ignore.is_empty(), first) {
            findings.note(first.line, "accept does nothing without ignore: everything is kept");
        }
        rules
    }

    /// Whether a path is left out; `relative` is below the source, without a `/` at either end.
    pub fn ignores(&self, relative: &[u8], is_dir: bool) -> bool {
        (!self.ignore.is_empty() && self.matches(relative, is_dir)) || !Pattern::keep(&self.patterns, relative, is_dir)
    }

    fn matches(&self, relative: &[u8], is_dir: bool) -> bool {
        if !is_dir {
            return self.drops(|rule| rule.is_match(relative));
        }
        let mut stack = [0; STACK_BYTES];
        let heap;
        let slashed = match stack.get_mut(..=relative.len()) {
            Some(slashed) => {
                slashed[..relative.len()].copy_from_slice(relative);
                slashed[relative.len()] = b'/';
                &*slashed
            }
            None => {
                heap = [relative, b"/"].concat();
                &heap
            }
        };
        self.drops(|rule| rule.is_match(slashed) || rule.is_match(relative))
    }

    fn drops(&self, matches: impl Fn(&Regex) -> bool) -> bool {
        !self.accept.iter().any(&matches) && self.ignore.iter().any(&matches)
    }

    fn add_all(&mut self, key: &str, values: &Values<'_>, room: &mut usize, findings: &mut Findings) {
        for entry in values.all(key) {
            if *room == 0 {
                let error = Error::new(ErrorKind::TooLarge, format!("one more {key} rule"));
                findings.wrong(entry.line, error.expected(format!("at most {RULES_MAX} rules in a source")));
                break;
            }
            *room -= 1;
            if let Err(error) = self.add(key, entry.value) {
                findings.wrong(entry.line, error);
            }
        }
    }

    fn add(&mut self, key: &str, rule: &[u8]) -> Result<(), Error> {
        if key == "accept" && Pattern::is_meant(rule) {
            self.patterns.push(Pattern::parse(rule).map_err(|expected| Error::value(key, rule, expected))?);
            return Ok(());
        }
        let rules = if key == "accept" { &mut self.accept } else { &mut self.ignore };
        rules.push(compile(key, rule)?);
        Ok(())
    }
}

fn compile(key: &str, rule: &[u8]) -> Result<Regex, Error> {
    let compiled =
        RegexBuilder::new(&pattern(rule)).unicode(false).size_limit(RULE_BYTES_MAX).nest_limit(RULE_DEPTH_MAX).build();
    compiled.map_err(|error| {
        let reason = reason(&error);
        let lacks = reason.starts_with("look-around") || reason.starts_with("backreferences");
        let found = format!("{key} is {}: {reason}", quoted(rule));
        Error::new(ErrorKind::BadValue, found)
            .expected("a regular expression")
            .with_hint(lacks.then(|| "write several rules; an accept rule keeps what an ignore rule would drop".into()))
    })
}

/// The rule as text. A byte that is no UTF-8 becomes an escape, so that names in Latin-1 can be written.
fn pattern(rule: &[u8]) -> String {
    let mut pattern = String::new();
    for chunk in rule.utf8_chunks() {
        pattern.push_str(chunk.valid());
        for byte in chunk.invalid() {
            pattern.push_str(&format!("\\x{byte:02x}"));
        }
    }
    pattern
}

/// The crate draws a picture of several lines; its last line says it.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "too large when compiled".into(),
        error => {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    fn rules(ignore: &[&str], accept: &[&str]) -> IgnoreRules {
        IgnoreRules::parse(ignore, accept).unwrap()
    }

    fn read(text: &[u8]) -> Result<(IgnoreRules, Vec<String>), Error> {
        let mut findings = Findings::new("f".into());
        let sections = ini::read(text, &mut findings);
        let rules = IgnoreRules::read(&Values::of(&sections[0]), &mut findings);
        Ok((rules, findings.finish()?))
    }

    #[test]
    fn a_folder_is_tried_with_and_without_slash() {
        for (rule, path, is_dir, ignored) in [
            (r"^\.thumbnails/", ".thumbnails", true, true),
            (r"^\.thumbnails/", ".thumbnails", false, false),
            (r"^\.thumbnails/", "x/.thumbnails", true, false),
            (r"^\.thumbnails/", "xthumbnails", true, false),
            (r"^build/", "build", true, true),
            (r"^build/", "builds", true, false),
            (r"^build$", "build", true, true),
            (r"^build$", "build", false, true),
            (r"build", "a/rebuilt/building.c", false, true),
            (r"\.o$", "a/b.o", false, true),
            (r"\.o$", "a/b.oo", false, false),
            (r"/$", "a", true, true),
            (r"/$", "a", false, false),
        ] {
            let is = rules(&[rule], &[]).ignores(path.as_bytes(), is_dir);
            assert_eq!(is, ignored, "{rule} {path} {is_dir}");
        }
        assert!(!IgnoreRules::default().ignores(b"x", true));
    }

    #[test]
    fn long_folders_match_as_short_ones_do() {
        let rules = rules(&["^x+/$"], &[]);
        for len in [0, 1, STACK_BYTES - 1, STACK_BYTES, STACK_BYTES + 1, 5000] {
            assert_eq!(rules.ignores(&vec![b'x'; len], true), len > 0, "{len}");
        }
    }

    #[test]
    fn accept_is_tried_first() {
        let rules = rules(&["^photos/.", "~$"], &["^photos/keep/", "[.]txt$"]);
        for (path, is_dir, ignored) in [
            ("photos", true, false),
            ("photos/raw", true, true),
            ("photos/keep", true, false),
            ("photos/keep/1.jpg", false, false),
            ("photos/keep/1.jpg~", false, false),
            ("photos/readme.txt", false, false),
            ("other~", false, true),
        ] {
            assert_eq!(rules.ignores(path.as_bytes(), is_dir), ignored, "{path}");
        }
    }

    #[test]
    fn patterns_hold_beside_expressions() {
        let text = b"[BOX]\nignore = ~$\naccept = ^keep~$\naccept = == src\naccept = != src/old\naccept = == keep~";
        let (rules, notes) = read(text).unwrap();
        assert_eq!(notes, [""; 0]);
        for (path, is_dir, ignored) in [
            ("src", true, false),
            ("src/a", false, false),
            ("src/a~", false, true),
            ("src/old", true, true),
            ("keep~", false, false),
            ("other", true, true),
        ] {
            assert_eq!(rules.ignores(path.as_bytes(), is_dir), ignored, "{path}");
        }
        let (alone, notes) = read(b"[BOX]\naccept = == src").unwrap();
        assert!(notes.is_empty() && !alone.ignores(b"src", true) && alone.ignores(b"other", false));
    }

    #[test]
    fn bytes_are_matched_not_characters() {
        assert!(rules(&["^.$"], &[]).ignores(b"\xff", false));
        assert!(!rules(&["^.$"], &[]).ignores("\u{e9}".as_bytes(), false));
        assert!(rules(&["^caf\u{e9}$"], &[]).ignores("caf\u{e9}".as_bytes(), false));
        assert!(rules(&["(?i)^CAFE$"], &[]).ignores(b"cafe", false));
        assert!(!rules(&[r"\w"], &[]).ignores("\u{e9}".as_bytes(), false));
        let (latin, _) = read(b"[BOX]\nignore = ^caf[\xe8\xe9]$").unwrap();
        assert!(latin.ignores(b"caf\xe9", false));
        assert!(!latin.ignores("caf\u{e9}".as_bytes(), false));
    }

    #[test]
    fn builtin_ignores_are_on_request() {
        let (without, _) = read(b"[BOX]\nignore = ^x$").unwrap();
        let (with, _) = read(b"[BOX]\nbuiltin_ignores = yes").unwrap();
        for (path, is_dir) in [
            ("a/letter.txt~", false),
            (".thumbnails", true),
            (".kde/share/thumbnails", true),
            (".ee/minis", true),
            (".gqview/thumbnails", true),
            (".nautilus/thumbnails", true),
        ] {
            assert!(!without.ignores(path.as_bytes(), is_dir), "{path}");
            assert!(with.ignores(path.as_bytes(), is_dir), "{path}");
        }
        assert!(!with.ignores(b"a/.thumbnails", true));
    }

    #[test]
    fn wrong_rules_are_told() {
        for (line, told) in [
            ("ignore = ^(foo", "f:2: ignore is \"^(foo\": unclosed group, expected a regular expression"),
            (
                "accept = *.c",
                "f:2: accept is \"*.c\": repetition operator missing expression, expected a regular expression",
            ),
            (
                "accept = = user/src/*.pm",
                "f:2: accept is \"= user/src/*.pm\", expected == PATTERN, != PATTERN or a regular expression",
            ),
            ("accept = != a//b", "f:2: accept is \"!= a//b\", expected a path below the source behind it"),
            (
                "ignore = x{20000}",
                "f:2: ignore is \"x{20000}\": too large when compiled, expected a regular expression",
            ),
            ("builtin_ignores = maybe", "f:2: builtin_ignores is \"maybe\", expected yes or no"),
        ] {
            assert_eq!(read(format!("[BOX]\n{line}").as_bytes()).unwrap_err().to_string(), told);
        }
        let deep = format!("[BOX]\nignore = {}{}", "(".repeat(65), ")".repeat(65));
        let error = read(deep.as_bytes()).unwrap_err().to_string();
        assert!(error.contains("exceed the maximum number of nested"), "{error}");
    }

    #[test]
    fn what_perl_has_more_is_told_with_a_way_round() {
        for (rule, reason) in [
            ("^(?!keep)", "look-around, including look-ahead and look-behind, is not supported"),
            (r"(a)\1", "backreferences are not supported"),
        ] {
            let error = read(format!("[BOX]\nignore = {rule}").as_bytes()).unwrap_err();
            let told = format!("f:2: ignore is \"{rule}\": {reason}, expected a regular expression");
            assert_eq!(error.to_string(), told);
            assert_eq!(
                error.hint().as_deref(),
                Some("write several rules; an accept rule keeps what an ignore rule would drop")
            );
        }
        assert_eq!(read(b"[BOX]\nignore = (").unwrap_err().hint(), None);
    }

    #[test]
    fn accept_alone_is_noted() {
        let (rules, notes) = read(b"[BOX]\n\naccept = x\naccept = y").unwrap();
        assert_eq!(notes, ["f:3: accept does nothing without ignore: everything is kept"]);
        assert!(!rules.ignores(b"z", false));
        assert_eq!(read(b"[BOX]\naccept=x\nignore=y").unwrap().1, [""; 0]);
    }

    #[test]
    fn rules_have_a_limit() {
        let text = |n: usize| format!("[BOX]\naccept=x\n{}", "ignore=a\n".repeat(n - 1));
        assert!(read(text(RULES_MAX).as_bytes()).is_ok());
        assert_eq!(
            read(text(RULES_MAX + 1).as_bytes()).unwrap_err().to_string(),
            "f:2: one more accept rule, expected at most 256 rules in a source"
        );
    }
}
