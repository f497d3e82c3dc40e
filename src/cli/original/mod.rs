//! Brackup's first words: programs and options of the Perl original, by the name with which this one is called.
//!
//! Each is put into the words of a command of today, which does it; nothing else is known here. Words may have hyphens or underscores.

mod ways;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use crate::term::Failure;
use ways::{ANYWAY, COMMON, HELP, METAFILE, PATH, WAYS, Way};

/// What the command line comes to.
#[derive(Debug)]
pub(crate) enum Words {
    /// It is to be parsed.
    Today(Vec<OsString>),
    /// What a program of the original answers to `--help`.
    Help(&'static str),
}

/// The command line in the words of today: as it is, unless the program is called by a name of the original.
pub(crate) fn words(given: impl Iterator<Item = OsString>) -> Result<Words, Failure> {
    let mut given = given.peekable();
    let called = given.peek().map(|called| hyphens(Path::new(called).file_name().unwrap_or_default()));
    let Some(&(program, _, help)) = HELP.iter().find(|(program, ..)| called.as_deref() == Some(program)) else {
        return Ok(Words::Today(given.collect()));
    };
    let parsed = Given::parse(program, given.skip(1))?;
    if parsed.wants_help {
        return Ok(Words::Help(help));
    }
    if parsed.wants_version {
        return Ok(Words::Today(vec!["brackup".into(), "--version".into()]));
    }
    parsed.today(program).map(Words::Today)
}

/// Options and what stands behind them, as they were given.
#[derive(Default)]
struct Given {
    options: Vec<(String, OsString)>,
    operands: Vec<OsString>,
    wants_help: bool,
    wants_version: bool,
}

impl Given {
    fn parse(program: &'static str, words: impl Iterator<Item = OsString>) -> Result<Self, Failure> {
        let mut given = Self::default();
        let (mut words, mut are_operands) = (words, false);
        while let Some(word) = words.next() {
            let bytes = word.as_bytes();
            match bytes {
                b"--" if !are_operands => are_operands = true,
                [b'-', b'-', long @ ..] if !are_operands => {
                    let at = long.iter().position(|byte| *byte == b'=').unwrap_or(long.len());
                    let value = long.get(at + 1..).map(|value| OsString::from_vec(value.to_vec()));
                    given.option(program, &hyphens(OsStr::from_bytes(&long[..at])), value, &mut words)?;
                }
                // `-vv` is `-v -v`.
                [b'-', letters @ ..] if !are_operands && !letters.is_empty() => {
                    for letter in letters {
                        given.option(program, &char::from(*letter).to_string(), None, &mut words)?;
                    }
                }
                _ => given.operands.push(word),
            }
        }
        Ok(given)
    }

    fn option(
        &mut self,
        program: &'static str,
        name: &str,
        value: Option<OsString>,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), Failure> {
        match name {
            "help" | "h" => self.wants_help = true,
            "version" | "V" => self.wants_version = true,
            _ => {
                let known = ways(program).find_map(|way| way.option(name));
                let (option, _) = known.ok_or_else(|| wrong(program, format!("there is no {}", dashed(name))))?;
                let value = match (option.ends_with('='), value) {
                    (true, None) => {
                        rest.next().ok_or_else(|| wrong(program, format!("{} needs a value", dashed(name))))?
                    }
                    (false, Some(_)) => return Err(wrong(program, format!("{} has no value", dashed(name)))),
                    (_, value) => value.unwrap_or_default(),
                };
                self.options.push((name.to_owned(), value));
            }
        }
        Ok(())
    }

    /// The words of today.
    fn today(mut self, program: &'static str) -> Result<Vec<OsString>, Failure> {
        let way = self.way(program)?;
        let mut today: Vec<OsString> = vec!["brackup".into()];
        today.extend(way.today.iter().map(OsString::from));
        let (mut metafiles, mut paths) = (Vec::new(), Vec::new());
        for (name, value) in &self.options {
            let Some((_, put)) = way.option(name) else {
                return Err(wrong(
                    program,
                    format!("{} does nothing for {}", dashed(name), way.command.replace('-', "_")),
                ));
            };
            match put {
                ANYWAY => {}
                METAFILE => metafiles.push(metafile(value)),
                PATH => paths.push(value.clone()),
                // `-n --dry-run` is once `--dry-run`.
                _ if !put.ends_with('=') && put != "--verbose" && today.iter().any(|word| word == put) => {}
                _ => match put.strip_prefix('!') {
                    Some(why) => return Err(Failure::usage(format!("{program}: {} is no more: {why}", dashed(name)))),
                    None => today.push(joined(put, value)),
                },
            }
        }
        if program == "brackup-restore" {
            self.is_complete(program, metafiles.len(), paths.len())?;
        }
        for ((what, put), operand) in way.operands.iter().zip(&self.operands) {
            if way.today == ["mount"] && *what == "TARGET" && Path::new(operand).is_file() {
                let what =
                    format!("{} is a file; today all backups of a target are mounted", operand.to_string_lossy());
                return Err(wrong(program, what));
            }
            if put.is_empty() { paths.push(operand.clone()) } else { today.push(joined(put, operand)) }
        }
        today.push("--".into());
        today.extend(metafiles.into_iter().chain(paths));
        Ok(today)
    }

    /// What is to be done, the word for it taken out of the operands.
    fn way(&mut self, program: &'static str) -> Result<&'static Way, Failure> {
        let mut found = ways(program).find(|way| way.command.is_empty());
        if found.is_none() {
            if self.operands.len() < 2 {
                return Err(wrong(program, "which target, and what is to be done?"));
            }
            let command = self.operands.remove(1);
            let hyphened = hyphens(&command);
            found = ways(program).find(|way| way.command == hyphened);
            if found.is_none() {
                return Err(wrong(program, format!("there is no command {}", command.to_string_lossy())));
            }
        }
        let way = found.ok_or_else(|| wrong(program, "what is to be done?"))?;
        if program == "brackup-verify-chunks" && self.operands.is_empty() {
            self.operands.push(".".into());
        }
        if let Some((what, _)) = way.operands.get(self.operands.len()) {
            return Err(wrong(program, format!("{what} is missing")));
        }
        match self.operands.get(way.operands.len()) {
            Some(odd) => Err(wrong(program, format!("{} is one word too many", odd.to_string_lossy()))),
            None => Ok(way),
        }
    }

    /// `--from` once, and either `--all` or `--just`.
    fn is_complete(&self, program: &'static str, metafiles: usize, paths: usize) -> Result<(), Failure> {
        let is_given = |option: &str| self.options.iter().any(|(name, _)| name == option);
        match (metafiles, is_given("to"), is_given("all"), paths > 0) {
            (0, ..) => Err(wrong(program, "--from=METAFILE is missing")),
            (1, false, ..) => Err(wrong(program, "--to=DIR is missing")),
            (1, _, false, false) => Err(wrong(program, "everything, or a part of it? --all or --just=PATH is missing")),
            (1, _, true, true) => Err(wrong(program, "--all and --just=PATH are not for one restore")),
            (1, ..) => Ok(()),
            _ => Err(wrong(program, "one --from=METAFILE at a time")),
        }
    }
}

impl Way {
    fn option(&self, name: &str) -> Option<(&'static str, &'static str)> {
        let all = self.options.iter().chain(COMMON);
        all.copied().find(|(option, _)| option.trim_end_matches('=') == name)
    }
}

fn ways(program: &'static str) -> impl Iterator<Item = &'static Way> {
    WAYS.iter().filter(move |way| way.program == program)
}

fn wrong(program: &str, what: impl std::fmt::Display) -> Failure {
    let usage = HELP.iter().find(|(name, ..)| *name == program).map_or(program, |(_, usage, _)| usage);
    Failure::usage(format!("{program}: {what}")).hint(format!("{usage}; `{program} --help` has the options"))
}

/// The original's words had underscores, and hyphens later.
fn hyphens(word: &OsStr) -> String {
    word.to_string_lossy().replace('_', "-")
}

fn dashed(name: &str) -> String {
    if name.len() == 1 { format!("-{name}") } else { format!("--{name}") }
}

fn joined(put: &str, value: &OsStr) -> OsString {
    let mut word = OsString::from(put);
    word.push(value);
    word
}

/// A file that is there is meant as a path: what has no `/` in it would be the name of a backup.
fn metafile(given: &OsStr) -> OsString {
    let is_file = !given.as_bytes().contains(&b'/') && Path::new(given).is_file();
    if is_file { joined("./", given) } else { given.to_owned() }
}
