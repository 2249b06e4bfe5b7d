//! Meanings of the codes of providers, and what to do.
//!
//! The meanings are the providers' own if they publish them, in other words and shorter. A code that is not here has
//! only the general text of its provider.

mod advice;
mod general;
mod google;
mod microsoft;
mod others;

use crate::dsn::registry::{TextByLanguage, text};
use crate::record::Provider;

/// Meaning of a provider's code.
pub(super) struct Meaning {
    provider: Provider,
    /// Code as the provider prints it. An enhanced code may have `X` for either class, and a range: `5.7.606-649`. A
    /// `*` stands for the rest of a code that has no row of its own.
    code: &'static str,
    pub(super) text: TextByLanguage,
    pub(super) advice: TextByLanguage,
}

/// Text about a provider, for any of its codes.
pub(super) struct General {
    provider: Provider,
    pub(super) text: TextByLanguage,
    pub(super) advice: TextByLanguage,
    /// The provider's own page.
    pub(super) see: Option<&'static str>,
}

const fn meaning(
    provider: Provider,
    code: &'static str,
    en: &'static str,
    ja: &'static str,
    advice: TextByLanguage,
) -> Meaning {
    Meaning { provider, code, text: text(en, ja), advice }
}

const fn general(
    provider: Provider,
    en: &'static str,
    ja: &'static str,
    advice: TextByLanguage,
    see: Option<&'static str>,
) -> General {
    General { provider, text: text(en, ja), advice, see }
}

/// Returns the meanings of a provider's codes.
pub(super) fn meanings(provider: Provider) -> impl Iterator<Item = &'static Meaning> {
    [google::ROWS, microsoft::ROWS, others::ROWS].into_iter().flatten().filter(move |row| row.provider == provider)
}

/// Returns the meaning of a provider's code, if it is known.
pub(super) fn find(provider: Provider, code: &str) -> Option<&'static Meaning> {
    meanings(provider).find(|row| row.fits(code))
}

/// Returns the providers that have this code, if it is recognisable without their names.
pub(super) fn with(code: &str) -> Vec<Provider> {
    let has = |provider: &Provider| find(*provider, code).is_some_and(|row| row.is_known_alone(code));
    Provider::ALL.into_iter().filter(has).collect()
}

/// Returns the general text about a provider.
pub(super) fn of(provider: Provider) -> Option<&'static General> {
    general::ROWS.iter().find(|row| row.provider == provider)
}

impl Meaning {
    /// Returns the code as in the table.
    pub(super) const fn code(&self) -> &'static str {
        self.code
    }

    /// Returns true if a code that fits is recognisable without its provider. Any word may belong to a family with at
    /// most one letter in common.
    fn is_known_alone(&self, code: &str) -> bool {
        let letters = |begin: &str| begin.bytes().filter(u8::is_ascii_alphabetic).count();
        let family = self.code.split_once('*').map(|(begin, _)| begin);
        family.is_none_or(|begin| letters(begin) > 1 && code.bytes().any(|b| b.is_ascii_digit()))
    }

    fn fits(&self, code: &str) -> bool {
        let (pattern, code) = match (self.code.strip_prefix('X'), code.strip_prefix(['4', '5'])) {
            (Some(pattern), Some(code)) => (pattern, code),
            _ => (self.code, code),
        };
        pattern.eq_ignore_ascii_case(code)
            || in_range(pattern, code).is_some()
            || in_family(pattern, code).is_some()
            || (self.provider == Provider::Orange && is_same_reason(pattern, code).is_some())
    }
}

/// Checks that a code begins and ends like those of a family: `AS(*)`.
fn in_family(pattern: &str, code: &str) -> Option<()> {
    let (begin, end) = pattern.split_once('*')?;
    let (head, rest) = code.split_at_checked(begin.len())?;
    let (rest, tail) = rest.split_at_checked(rest.len().checked_sub(end.len())?)?;
    let fits = head.eq_ignore_ascii_case(begin) && tail.eq_ignore_ascii_case(end) && !rest.is_empty();
    fits.then_some(())
}

/// Checks that two codes of Orange have the same number at the end, which is the reason. The number before it is not:
/// `OFR204_416` is `OFR_416`.
fn is_same_reason(pattern: &str, code: &str) -> Option<()> {
    let ((begin, reason), (letters, number)) = (pattern.split_once('_')?, code.split_once('_')?);
    let letters = letters.trim_end_matches(|c: char| c.is_ascii_digit());
    (begin.eq_ignore_ascii_case(letters) && reason == number).then_some(())
}

/// Checks that a code is in a range such as `5.7.606-649`.
fn in_range(pattern: &str, code: &str) -> Option<()> {
    let (first, last) = pattern.rsplit_once('-')?;
    let ((subject, first), (of, detail)) = (first.rsplit_once('.')?, code.rsplit_once('.')?);
    let detail: u16 = detail.parse().ok()?;
    (subject == of && (first.parse().ok()?..=last.parse().ok()?).contains(&detail)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dsn::Language;

    #[test]
    fn each_provider_has_a_row_and_each_code_is_found() {
        for provider in Provider::ALL {
            assert!(of(provider).is_some(), "{}", provider.name());
            for row in meanings(provider) {
                let code = row.code.replace('X', "4");
                let code = if code.contains('.') { code.split('-').next().unwrap_or_default() } else { &code };
                let found = find(provider, code).map(Meaning::code);
                assert_eq!(found, Some(row.code), "{} {code}", provider.name());
            }
        }
        let code = |provider, code| find(provider, code).map(Meaning::code);
        assert_eq!(code(Provider::Google, "5.7.28"), Some("X.7.28"));
        assert_eq!(code(Provider::Google, "2.7.28"), None);
        assert_eq!(code(Provider::Microsoft, "s3150"), Some("S3150"));
        assert_eq!(code(Provider::Microsoft, "5.7.649"), Some("5.7.606-649"));
        assert_eq!(code(Provider::Microsoft, "5.7.650"), Some("X.*"));
        assert_eq!(code(Provider::Microsoft, "4.7.606"), Some("4.7.500-699"));
        assert_eq!(code(Provider::Orange, "ofr_506"), Some("OFR_506"));
    }

    #[test]
    fn a_code_without_a_row_is_one_of_a_family() {
        #[rustfmt::skip]
        let vectors = [
            (Provider::Orange, "OFR204_416", "OFR_416"),
            (Provider::Orange, "ofr004_104", "OFR_104"),
            (Provider::Orange, "OFR004_999", "OFR*"),
            (Provider::Orange, "OFR_x", "OFR*"),
            (Provider::Laposte, "LPN007_510", "LPN*"),
            (Provider::Comcast, "BL000001", "BL*"),
            (Provider::Comcast, "XY000001", "*"),
            (Provider::TOnline, "DYN", "DYN"),
            (Provider::TOnline, "ABC", "*"),
            (Provider::Gmx, "r0402", "r0402"),
            (Provider::Gmx, "r0601", "r*"),
            (Provider::Gmx, "x", "*"),
            (Provider::Ionos, "x", "*"),
            (Provider::Microsoft, "AS77712345", "AS*"),
            (Provider::Microsoft, "AS(1)", "AS(*)"),
            (Provider::Microsoft, "S999", "S*"),
            (Provider::Microsoft, "SC-009", "SC-*"),
            (Provider::Microsoft, "ZZ-009", "*"),
            (Provider::Microsoft, "5.9.9", "X.*"),
            (Provider::Google, "4.9.9", "X.*"),
            (Provider::Yahoo, "TSS99", "TSS*"),
            (Provider::Yahoo, "TS99", "TS*"),
            (Provider::Yahoo, "QQ1", "*"),
            (Provider::Apple, "QQ1", "*"),
            (Provider::Netease, "DT:XYZ", "DT:*"),
            (Provider::Netease, "AB:XYZ", "*"),
            (Provider::Mimecast, "552", "5*"),
            (Provider::Mimecast, "421", "4*"),
        ];
        for (provider, code, row) in vectors {
            assert_eq!(find(provider, code).map(Meaning::code), Some(row), "{} {code}", provider.name());
        }
        for (pattern, code) in
            [("TSS*", "TSS"), ("AS(*)", "AS()"), ("AS(*)", "AS(1"), ("AS(*)", "AS("), ("a*", "é"), ("a", "a")]
        {
            assert_eq!(in_family(pattern, code), None, "{pattern} {code}");
        }
    }

    /// The corpus has a line for each code, so that what is explained is also found.
    #[test]
    fn the_corpus_shows_each_code() {
        let records = include_str!("../../../tests/corpus/postfix/provider.jsonl");
        let mut missing: Vec<&Meaning> = Provider::ALL.into_iter().flat_map(meanings).collect();
        for record in records.lines() {
            let record: serde_json::Value = serde_json::from_str(record).expect("JSON");
            let reply = &record["postfix"]["reply"];
            let (Some(provider), Some(code)) = (reply["provider"].as_str(), reply["provider_code"].as_str()) else {
                continue;
            };
            let known = crate::explain::words::provider(provider).and_then(|provider| find(provider, code));
            assert!(known.is_some(), "{provider} {code} is not explained");
            missing.retain(|row| row.provider.name() != provider || !row.fits(code));
        }
        let missing: Vec<&str> = missing.into_iter().map(Meaning::code).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn texts_are_sentences_of_their_language() {
        let meanings = Provider::ALL.into_iter().flat_map(meanings).flat_map(|row| [row.text, row.advice]);
        for text in meanings.chain(general::ROWS.iter().flat_map(|row| [row.text, row.advice])) {
            let (en, ja) = (text.get(Language::En), text.get(Language::Ja));
            assert!(en.ends_with('.') && en.is_ascii() && !en.contains(['"', '\'']), "{en}");
            assert!(ja.ends_with('。'), "{ja}");
        }
    }

    #[test]
    fn the_page_has_each_provider_and_code() {
        let page = include_str!("../../../docs/causes.md");
        let (_, table) = page.split_once("## Providers").expect("the part");
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        let expected = Provider::ALL.map(|provider| {
            let codes: Vec<String> = meanings(provider).map(|row| format!("`{}`", row.code)).collect();
            let text = of(provider).map_or("", |row| row.text.get(Language::En));
            format!("{}` | {text} | {} |", provider.name(), codes.join(", ")).replace("|  |", "| |")
        });
        assert_eq!(rows.collect::<Vec<_>>(), expected);
    }
}
