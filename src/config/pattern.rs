//! `accept = == PATTERN` and `accept = != PATTERN`, as the fork brackup-nn has them: which paths are in a backup at all.
//!
//! The last pattern that matches decides. In a pattern only `*` means more than itself. What its folder does, all below it does;
//! a folder on the way to something that is to be kept is kept. The fork's code also knows `[a-z]`, which its manual denies:
//! here the manual holds.

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    keeps: bool,
    /// One for each name of a path.
    names: Vec<Vec<u8>>,
    /// Whether it matches folders only, and what is in them.
    is_folder: bool,
}

impl Pattern {
    /// Whether a rule is one of these, or is meant to be.
    pub(super) fn is_meant(rule: &[u8]) -> bool {
        matches!(rule, [b'=' | b'!', ..])
    }

    /// A rule that is meant to be one; the error is what was expected.
    pub(super) fn parse(rule: &[u8]) -> Result<Self, String> {
        let (keeps, path) = match rule {
            [b'=', b'=', path @ ..] => (true, path.trim_ascii()),
            [b'!', b'=', path @ ..] => (false, path.trim_ascii()),
            _ => return Err("== PATTERN, != PATTERN or a regular expression".into()),
        };
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let (path, is_folder) = path.strip_suffix(b"/").map_or((path, false), |path| (path, true));
        let names: Vec<_> = path.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
        // They would match nothing, silently.
        if names.iter().any(|name| matches!(&name[..], b"" | b"." | b"..")) {
            return Err("a path below the source behind it".into());
        }
        Ok(Self { keeps, names, is_folder })
    }

    /// Whether these keep a path, which is below the source, without a `/` at either end.
    pub(super) fn keep(patterns: &[Self], path: &[u8], is_dir: bool) -> bool {
        let says = patterns.iter().rev().find_map(|pattern| pattern.says(path, is_dir));
        says.unwrap_or_else(|| !patterns.iter().any(|pattern| pattern.keeps))
    }

    /// What it says to a path, if it matches.
    fn says(&self, path: &[u8], is_dir: bool) -> Option<bool> {
        let mut names = path.split(|byte| *byte == b'/');
        for pattern in &self.names {
            match names.next() {
                Some(name) if matches(pattern, name) => {}
                Some(_) => return None,
                // A folder on the way.
                None => return (self.keeps && is_dir).then_some(true),
            }
        }
        let is_below = names.next().is_some();
        (!self.is_folder || is_dir || is_below).then_some(self.keeps)
    }
}

/// Whether a name is what stands before, between and behind the stars, in this order.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let mut parts = pattern.split(|byte| *byte == b'*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts.filter(|part| !part.is_empty()) {
        let Some(at) = rest.windows(part.len()).position(|window| window == part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(rules: &[&str], path: &str) -> bool {
        let patterns: Vec<_> = rules.iter().map(|rule| Pattern::parse(rule.as_bytes()).unwrap()).collect();
        let (path, is_dir) = path.strip_suffix('/').map_or((path, false), |path| (path, true));
        Pattern::keep(&patterns, path.as_bytes(), is_dir)
    }

    #[test]
    fn names_are_matched_with_stars() {
        for (pattern, name, is) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "A", false),
            ("*", "a", true),
            ("*.pm", "x.pm", true),
            ("*.pm", ".pm", true),
            ("*.pm", "x.pm2", false),
            ("a*", "a", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "acb", false),
            ("a*bc*c", "abc", false),
            ("**", "a", true),
            ("a**b", "ab", true),
            ("[ab]", "a", false),
            ("a?", "ab", false),
            ("a.c", "abc", false),
            ("*\u{fffd}", "\u{fffd}", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), is, "{pattern} {name}");
        }
        assert!(matches(b"*\xff*", b"a\xff\n"));
    }

    #[test]
    fn the_manuals_example_works() {
        let rules = ["== user/src/*/*.pm", "!= user/src/oldproject"];
        for (path, is) in [
            ("user/", true),
            ("user", false),
            ("user/src/", true),
            ("user/src/project/", true),
            ("user/src/project/A.pm", true),
            ("user/src/project/A.pl", false),
            ("user/src/A.pm", false),
            ("user/src/oldproject/", false),
            ("user/src/project/deep/", false),
            ("user/src/project/package.pm/deep/file", true),
            ("user/mail/", false),
            ("other/", false),
        ] {
            assert_eq!(keep(&rules, path), is, "{path}");
        }
    }

    #[test]
    fn the_last_that_matches_decides() {
        assert!(!keep(&["== a", "!= a/b"], "a/b"));
        assert!(keep(&["!= a/b", "== a"], "a/b"));
        assert!(keep(&["!= a", "== a/b/c"], "a/"), "it is on the way");
        assert!(!keep(&["== a/b/c", "!= a"], "a/"));
        assert!(keep(&["== a", "!= a/*", "== a/x"], "a/x"));
        assert!(!keep(&["== a", "!= a/*", "== a/x"], "a/y"));
    }

    #[test]
    fn without_any_to_keep_all_is_kept() {
        assert!(keep(&["!= a"], "b") && !keep(&["!= a"], "a/"));
        assert!(!keep(&["!= a", "== c"], "b"));
        assert!(!keep(&["!= a"], "a/b"), "below it");
        assert!(keep(&[], "a"));
    }

    #[test]
    fn a_slash_behind_it_means_folders() {
        for (path, is) in [("a/", true), ("a", false), ("a/b", true), ("a/b/", true), ("ab/", false)] {
            assert_eq!(keep(&["== a/"], path), is, "{path}");
        }
        assert!(keep(&["== /a"], "a"));
        assert!(!keep(&["!= a/"], "a/") && keep(&["!= a/"], "a"));
    }

    #[test]
    fn what_can_match_nothing_is_wrong() {
        for rule in ["==", "== /", "!= //", "== a//b", "== ./a", "== ../a", "== a/..", "== a//"] {
            assert_eq!(Pattern::parse(rule.as_bytes()).unwrap_err(), "a path below the source behind it", "{rule}");
        }
        for rule in ["= a", "! a", "=", "=~ a"] {
            let expected = "== PATTERN, != PATTERN or a regular expression";
            assert_eq!(Pattern::parse(rule.as_bytes()).unwrap_err(), expected, "{rule}");
        }
    }
}
