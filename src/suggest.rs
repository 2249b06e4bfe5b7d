//! "Did you mean": the word that was probably meant by a wrong one.

/// Returns the candidate that is most similar to `word`, if any is similar.
pub(crate) fn nearest<'c>(word: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    let scored = candidates.map(|candidate| (likeness(&word, &candidate.to_lowercase()), candidate));
    let best = scored.max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.filter(|(likeness, _)| *likeness > 0.8).map(|(_, candidate)| candidate)
}

/// Returns the similarity, from 0 to 1. Jaro-Winkler finds words with the same beginning. Damerau-Levenshtein finds
/// `udp` for `upd`; up to a third of a word may be wrong.
fn likeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b).max(strsim::normalized_damerau_levenshtein(a, b) + 0.15)
}

/// Returns a hint: the most similar candidate, or all of them.
pub(crate) fn help<'c>(word: &str, candidates: impl Iterator<Item = &'c str> + Clone) -> String {
    match nearest(word, candidates.clone()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("one of {}", candidates.collect::<Vec<_>>().join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let candidates = ["udp", "tcp", "unix", "stdin", "receive_buffer", "octet_counting"];
        let near = |word| nearest(word, candidates.into_iter());
        assert_eq!(near("upd"), Some("udp"));
        assert_eq!(near("UDP"), Some("udp"));
        assert_eq!(near("recieve_bufer"), Some("receive_buffer"));
        assert_eq!(near("octet"), Some("octet_counting"));
        assert_eq!(near("relp"), None);
        assert_eq!(near(""), None);
        assert_eq!(help("relp", ["udp", "tcp"].into_iter()), "one of udp, tcp");
    }
}
