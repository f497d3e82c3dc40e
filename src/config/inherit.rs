//! `inherit = NAME`: a section takes what it does not say itself from another of its kind, which may inherit in turn.

use super::error::{Error, ErrorKind, listed, quoted};
use super::findings::Findings;
use super::ini::{Entry, Section};
use super::limits::INHERIT_MAX;
use super::nearest::did_you_mean;
use super::values::Values;

/// The values that hold for the section at `index`.
pub(super) fn resolve<'a>(sections: &[Section<'a>], index: usize, findings: &mut Findings) -> Values<'a> {
    let mut values = Values::of(&sections[index]);
    let mut chain = vec![index];
    let mut now = index;
    while let Some(entry) = inherits(&sections[now]) {
        now = match parent(sections, &chain, entry) {
            Ok(parent) => parent,
            Err(error) => {
                findings.wrong(entry.line, error);
                break;
            }
        };
        chain.push(now);
        values.inherit(&sections[now]);
    }
    values
}

/// Whether another section inherits from this one.
pub(super) fn is_parent(sections: &[Section<'_>], index: usize) -> bool {
    let of = &sections[index];
    let mut same = sections.iter().filter(|section| section.kind == of.kind);
    same.any(|section| inherits(section).is_some_and(|entry| named(section, entry) == of.name.as_bytes()))
}

fn inherits<'s, 'a>(section: &'s Section<'a>) -> Option<&'s Entry<'a>> {
    section.entries.iter().find(|entry| entry.key == "inherit")
}

/// The name as it is or behind the kind of section, `SOURCE:name`.
fn named<'a>(section: &Section<'_>, entry: &Entry<'a>) -> &'a [u8] {
    let name = entry.value.strip_prefix(section.kind.word().as_bytes());
    name.and_then(|name| name.strip_prefix(b":")).unwrap_or(entry.value)
}

/// The section that the last of the chain inherits from by this entry.
fn parent(sections: &[Section<'_>], chain: &[usize], entry: &Entry<'_>) -> Result<usize, Error> {
    let child = &sections[chain[chain.len() - 1]];
    let name = named(child, entry);
    let found = sections.iter().position(|section| section.kind == child.kind && section.name.as_bytes() == name);
    let Some(found) = found else {
        return Err(unknown(sections, child, name));
    };
    if let Some(begin) = chain.iter().position(|index| *index == found) {
        let names = chain[begin..].iter().chain([&found]);
        let names: Vec<&str> = names.map(|index| sections[*index].name).collect();
        let found = format!("inherit goes round: {}", names.join(" -> "));
        return Err(Error::new(ErrorKind::Inherit, found).expected("an end"));
    }
    if chain.len() > INHERIT_MAX {
        let found = format!("{} inherits over more than {INHERIT_MAX} steps", sections[chain[0]].title());
        return Err(Error::new(ErrorKind::Inherit, found).expected("fewer"));
    }
    Ok(found)
}

fn unknown(sections: &[Section<'_>], child: &Section<'_>, name: &[u8]) -> Error {
    let others = sections.iter().filter(|section| section.kind == child.kind && section.name != child.name);
    let others: Vec<&str> = others.map(|section| section.name).collect();
    let word = child.kind.word();
    let error = Error::new(ErrorKind::Inherit, format!("inherit is {}", quoted(name)));
    match others.is_empty() {
        true => error.expected(format!("the name of another {word} section")),
        false => error.expected(format!("another {word} section: {}", listed(&others, "or"))),
    }
    .with_hint(did_you_mean(&String::from_utf8_lossy(name), others))
}

#[cfg(test)]
mod tests {
    use super::super::ini;
    use super::*;

    /// The paths of all sections, or the error.
    fn paths(text: &str) -> Result<Vec<String>, Error> {
        let mut findings = Findings::new("f".into());
        let sections = ini::read(text.as_bytes(), &mut findings);
        let mut paths = Vec::new();
        for index in 0..sections.len() {
            let values = resolve(&sections, index, &mut findings);
            let path = values.all("path").map(|entry| String::from_utf8_lossy(entry.value));
            paths.push(path.collect::<Vec<_>>().join(" "));
        }
        findings.finish().map(|_| paths)
    }

    #[test]
    fn the_nearest_value_holds() {
        let text = "[SOURCE:a]\ninherit=b\n[SOURCE:b]\npath=/b\ninherit = SOURCE:c\n[SOURCE:c]\npath=/c\n[TARGET:d]\ninherit=c\n[TARGET:c]\npath=/t";
        assert_eq!(paths(text).unwrap(), ["/b", "/b", "/c", "/t", "/t"]);
    }

    #[test]
    fn parents_are_known() {
        let text = b"[SOURCE:a]\ninherit=b\n[SOURCE:b]\ninherit=SOURCE:c\n[SOURCE:c]\n[TARGET:a]\n[TARGET:b]";
        let sections = ini::read(text, &mut Findings::new("f".into()));
        let parents: Vec<bool> = (0..5).map(|index| is_parent(&sections, index)).collect();
        assert_eq!(parents, [false, true, true, false, false]);
    }

    #[test]
    fn errors_name_the_chain() {
        for (text, told, hint) in [
            ("[SOURCE:a]\ninherit = a", "f:2: inherit goes round: a -> a, expected an end", None),
            (
                "[SOURCE:x]\ninherit=a\n[SOURCE:a]\ninherit=b\n[SOURCE:b]\ninherit=a",
                "f:4: inherit goes round: b -> a -> b, expected an end",
                None,
            ),
            (
                "[SOURCE:a]\ninherit = bb\n[SOURCE:ab]\n[SOURCE:cd]\n[TARGET:bb]",
                "f:2: inherit is \"bb\", expected another SOURCE section: ab or cd",
                Some("did you mean \"ab\"?"),
            ),
            (
                "[TARGET:a]\ninherit = SOURCE:b\n[SOURCE:b]",
                "f:2: inherit is \"SOURCE:b\", expected the name of another TARGET section",
                None,
            ),
        ] {
            let error = paths(text).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.hint().as_deref()), (told, hint));
            assert_eq!(error.kind(), ErrorKind::Inherit);
        }
    }

    #[test]
    fn chains_are_at_most_20_long() {
        let chain = |steps: usize| {
            let links = (0..steps).map(|i| format!("[SOURCE:s{i}]\ninherit=s{}\n", i + 1));
            format!("{}[SOURCE:s{steps}]\npath=/x", links.collect::<String>())
        };
        assert_eq!(paths(&chain(20)).unwrap()[0], "/x");
        assert_eq!(
            paths(&chain(21)).unwrap_err().to_string(),
            "f:42: [SOURCE:s0] inherits over more than 20 steps, expected fewer"
        );
    }
}
