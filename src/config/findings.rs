//! What is wrong or worth a note in one file, gathered over all passes so that the first wrong line is the one told.

use super::error::{Error, ErrorKind};

pub(super) struct Findings {
    file: String,
    first: Option<(usize, Error)>,
    notes: Vec<(usize, String)>,
    promises: Vec<String>,
}

impl Findings {
    /// `file` as people are shown it.
    pub(super) fn new(file: String) -> Self {
        Self { file, first: None, notes: Vec::new(), promises: Vec::new() }
    }

    pub(super) fn wrong(&mut self, line: usize, error: Error) {
        self.add(line, line, error);
    }

    /// Something that a section lacks. It counts as wrong where the section ends, so that the misspelt key
    /// which is the reason is told first, but the line told is the section's.
    pub(super) fn missing(&mut self, title: &str, lines: (usize, usize), key: &str, expected: &str) {
        let (begin, end) = lines;
        let found = format!("{title} has no {key}");
        let error = Error::new(ErrorKind::MissingKey, found).expected(expected);
        self.add(end, begin, error);
    }

    /// Whether something is wrong: what follows from it need not be told.
    pub(super) fn are_wrong(&self) -> bool {
        self.first.is_some()
    }

    pub(super) fn note(&mut self, line: usize, text: &str) {
        self.notes.push((line, format!("{}:{line}: {text}", self.file)));
    }

    /// A note of which everybody must know.
    pub(super) fn promise(&mut self, line: usize, text: &str) {
        self.promises.push(format!("{}:{line}: {text}", self.file));
    }

    pub(super) fn promises(&self) -> Vec<String> {
        self.promises.clone()
    }

    /// The notes in the order of their lines, if nothing was wrong.
    pub(super) fn finish(mut self) -> Result<Vec<String>, Error> {
        match self.first {
            Some((_, error)) => Err(error),
            None => {
                self.notes.sort_by_key(|(line, _)| *line);
                Ok(self.notes.into_iter().map(|(_, text)| text).collect())
            }
        }
    }

    fn add(&mut self, order: usize, line: usize, error: Error) {
        if self.first.as_ref().is_none_or(|(first, _)| order < *first) {
            self.first = Some((order, error.at(&self.file, line)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(findings: Findings) -> String {
        match findings.finish() {
            Ok(notes) => notes.join("\n"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_first_line_is_told_whenever_it_was_found() {
        let mut findings = Findings::new("f".into());
        findings.note(1, "a note");
        findings.wrong(9, Error::new(ErrorKind::Syntax, "nine"));
        findings.wrong(5, Error::new(ErrorKind::BadValue, "five"));
        findings.wrong(7, Error::new(ErrorKind::BadValue, "seven"));
        findings.wrong(5, Error::new(ErrorKind::BadValue, "five again"));
        assert_eq!(told(findings), "f:5: five");
    }

    #[test]
    fn what_is_missing_comes_behind_what_is_in_the_section() {
        let mut findings = Findings::new("f".into());
        findings.missing("[SOURCE:x]", (3, 8), "path", "a path");
        assert_eq!(told(findings), "f:3: [SOURCE:x] has no path, expected a path");
        let mut findings = Findings::new("f".into());
        findings.missing("[SOURCE:x]", (3, 8), "path", "a path");
        findings.wrong(8, Error::new(ErrorKind::UnknownKey, "another line 8"));
        findings.wrong(5, Error::new(ErrorKind::UnknownKey, "five"));
        assert_eq!(told(findings), "f:5: five");
    }

    #[test]
    fn notes_are_sorted() {
        let mut findings = Findings::new("f".into());
        findings.note(10, "ten");
        findings.note(9, "nine");
        assert_eq!(told(findings), "f:9: nine\nf:10: ten");
    }
}
