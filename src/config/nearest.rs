//! Which known word somebody meant who wrote another: least edit distance, case aside.

/// Words longer than this are not typing mistakes of ours.
const WORD_BYTES_MAX: usize = 64;

/// A hint, if one of the candidates is near enough to be meant.
pub(super) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|near| format!("did you mean \"{near}\"?"))
}

/// The candidate that is at most a third of the word away, the first of equals.
fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase();
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (distance(word.as_bytes(), candidate), candidate))
        .filter(|(distance, _)| *distance <= (word.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours, each counting one.
fn distance(word: &[u8], candidate: &str) -> usize {
    let candidate = candidate.to_ascii_lowercase().into_bytes();
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=candidate.len()).collect();
    for i in 1..=word.len() {
        let mut row = vec![i];
        for j in 1..=candidate.len() {
            let replaced = last[j - 1] + usize::from(word[i - 1] != candidate[j - 1]);
            let mut best = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && word[i - 1] == candidate[j - 2] && word[i - 2] == candidate[j - 1] {
                best = best.min(before_last[j - 2] + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[candidate.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        for (word, candidate, edits) in [
            ("", "", 0),
            ("path", "path", 0),
            ("pth", "path", 1),
            ("paths", "path", 1),
            ("pahh", "path", 1),
            ("ptah", "path", 1),
            ("path", "", 4),
            ("chunk-size", "chunk_size", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(word.as_bytes(), candidate), edits, "{word}");
        }
    }

    #[test]
    fn only_near_words_are_meant() {
        let keys = ["path", "chunk_size", "recipient"];
        assert_eq!(nearest("chunksize", keys), Some("chunk_size"));
        assert_eq!(nearest("Chunk_Size", keys), Some("chunk_size"));
        assert_eq!(nearest("recipent", keys), Some("recipient"));
        assert_eq!(nearest("p", keys), None);
        assert_eq!(nearest("patxx", keys), None);
        assert_eq!(nearest("compress", keys), None);
        assert_eq!(nearest(&"x".repeat(65), ["x".repeat(64).as_str()]), None);
        assert_eq!(nearest("ab", ["xb", "ac"]), Some("xb"));
        assert_eq!(did_you_mean("pth", keys).as_deref(), Some("did you mean \"path\"?"));
    }
}
