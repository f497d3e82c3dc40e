//! The documents: configurations that are shown work, links lead somewhere, nothing of a machine got in.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use brackup::config::{Config, Surroundings};

/// Whose paths have no business in a document.
const MACHINES: &[&str] = &["/home/", "/Users/", "/root/", "/work/", "/tmp/wt", "/mnt/c/"];

/// All of the project's documents, with the path from its top.
fn documents() -> Vec<(PathBuf, String)> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let is_made = path.join("CACHEDIR.TAG").exists() || path.join("pyvenv.cfg").exists();
            if path.is_dir() && !path.ends_with(".git") && !is_made {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(top).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    assert!(found.iter().any(|(path, _)| path == Path::new("docs/FORMAT.md")), "looked in the wrong place");
    found
}

/// The blocks of a language: line of the beginning, text.
fn blocks(text: &str, language: &str) -> Vec<(usize, String)> {
    let mut blocks: Vec<(usize, String)> = Vec::new();
    let mut is_inside = false;
    for (number, line) in text.lines().enumerate() {
        if let Some(info) = line.trim_start().strip_prefix("```") {
            let begins = !is_inside && info.trim() == language;
            if begins {
                blocks.push((number + 1, String::new()));
            }
            is_inside = begins;
        } else if is_inside && let Some((_, block)) = blocks.last_mut() {
            block.push_str(line);
            block.push('\n');
        }
    }
    blocks
}

/// Without blocks of code and what is between backticks.
fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut is_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if !is_code {
            let words = line.split('`').enumerate().filter(|(at, _)| at % 2 == 0).map(|(_, part)| part);
            prose.push_str(&words.collect::<Vec<_>>().join("``"));
            prose.push('\n');
        }
    }
    prose
}

/// Where the links of a text lead.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let ends = prose.match_indices("](").map(|(at, _)| &prose[at + 2..]);
    ends.filter_map(|rest| rest.split_once(')').map(|(target, _)| target.to_owned())).collect()
}

/// The anchors of a text's headings, as GitHub and its like make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        is_code ^= line.trim_start().starts_with("```");
        let heading = line.trim_start_matches('#');
        if is_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        anchors.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase());
    }
    anchors
}

#[test]
fn configurations_that_are_shown_work() {
    let around = Surroundings { home: Some("/home/user".into()), uid: 1000, env: |_| None, etc: "/etc".into() };
    let mut count = 0;
    for (path, text) in documents() {
        for (line, block) in blocks(&text, "ini") {
            count += 1;
            let parsed = Config::parse_in(&path, block.as_bytes(), &around);
            assert!(parsed.is_ok(), "{}, block of line {line}: {}", path.display(), parsed.unwrap_err());
        }
    }
    assert!(count > 0, "no document shows a configuration");
}

#[test]
fn links_lead_somewhere() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        for link in links(&text).into_iter().filter(|link| !link.contains("://") && !link.starts_with("mailto:")) {
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let there = if file.is_empty() { top.join(&path) } else { top.join(&path).with_file_name(file) };
            let has_anchor =
                || anchor.is_empty() || fs::read_to_string(&there).is_ok_and(|text| anchors(&text).contains(anchor));
            if !there.exists() || !has_anchor() {
                wrong.push(format!("{}: {link}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "links that lead nowhere:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_of_a_machine_got_in() {
    let mut wrong = Vec::new();
    for (path, text) in documents() {
        for (number, line) in text.lines().enumerate() {
            for machine in MACHINES.iter().chain(&[env!("CARGO_MANIFEST_DIR")]) {
                // `/raid/home/` is no home of anybody.
                let is_there = line.match_indices(machine).any(|(at, _)| {
                    !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~'))
                });
                if is_there {
                    wrong.push(format!("{}:{}: {line}", path.display(), number + 1));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "paths of a machine:\n{}", wrong.join("\n"));
}

#[test]
fn this_test_finds_what_it_looks_for() {
    let text = "# A title: one\n[a](b.md#c) and `[no](link)`\n```ini\n[x](y)\n```\n## B\n```\n# c\n```\n";
    assert_eq!(links(text), ["b.md#c"]);
    assert_eq!(blocks(text, "ini"), [(3, "[x](y)\n".to_owned())]);
    assert_eq!(anchors(text).into_iter().collect::<Vec<_>>(), ["a-title-one", "b"]);
}
