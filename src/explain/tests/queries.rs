//! Queries that people type, and their probable meanings.

use super::*;

#[test]
fn capitals_and_hyphens_make_no_difference() {
    for (written, meant) in [
        ("Greylisted", "greylisted"),
        ("RATE-LIMITED", "rate_limited"),
        ("Rate limited", "rate_limited"),
        ("SOFTBOUNCE", "softbounce"),
        ("Undeliverable-but-not-cached", "undeliverable_but_not_cached"),
        ("Google", "google"),
        ("T-Online", "t_online"),
        ("yahoo japan", "yahoo_japan"),
    ] {
        assert_eq!(en(written), en(meant), "{written}");
        assert!(en(written).starts_with(&format!("{meant}\n")), "{written}");
    }
    assert_eq!(en("t-online NOWL"), en("t_online NOWL"));
}

#[test]
fn what_was_probably_meant_is_said() {
    for (written, meant) in [
        ("greylist", "greylisted"),
        ("gogle", "google"),
        ("gogle 4.7.28", "google"),
        ("defered", "deferred"),
        ("rate limits", "rate_limit"),
        ("sasl_failures", "sasl_failure"),
        ("delivery_not_authorised", "delivery_not_authorized"),
    ] {
        assert_eq!(en(written), format!("cannot explain {written:?}: did you mean `{meant}`?"));
    }
}

#[test]
fn of_a_long_text_the_begin_is_shown() {
    let long = "long ".repeat(1000);
    assert!(en(&long).starts_with(&format!("cannot explain {:?}: not a known code", &long[..200])), "{}", en(&long));
}

#[test]
fn a_word_is_no_code_of_a_provider() {
    assert_eq!(
        en("google rate_limited"),
        "cannot explain \"google rate_limited\": `rate_limited` is not a provider's code; leave out `google`"
    );
}

#[test]
fn a_provider_takes_the_code_that_follows() {
    let queries = |text: &str| super::queries(&text.split(' ').map(str::to_owned).collect::<Vec<_>>()).join("|");
    assert_eq!(queries("google 4.7.28 450 google docomo"), "google 4.7.28|450|google|docomo");
    assert_eq!(queries("google rate_limited"), "google|rate_limited");
    assert_eq!(queries("T-Online NOWL greylisted"), "T-Online NOWL|greylisted");
    assert_eq!(queries("4.7.1"), "4.7.1");
}

#[test]
fn what_is_no_code() {
    insta::assert_snapshot!(en("9.1.1"), @r#"cannot explain "9.1.1": a class is 2 (success), 4 (transient) or 5 (permanent), not 9; write an enhanced code (4.7.1), its first parts (4.7 or 4), a reply code (450), a whole reply (450 4.7.1 Try later), a provider with its code (google 4.7.28), a cause or another word of the record (greylisted), or a line of the log in quotes"#);
    insta::assert_snapshot!(en("hello"), @r#"cannot explain "hello": not a known code, word or line; write an enhanced code (4.7.1), its first parts (4.7 or 4), a reply code (450), a whole reply (450 4.7.1 Try later), a provider with its code (google 4.7.28), a cause or another word of the record (greylisted), or a line of the log in quotes"#);
    for (code, why) in [
        ("", "the code is missing"),
        ("X.7.99", "not a known code, word or line"),
        ("４.7.1", "not a known code, word or line"),
        ("S3151", "not a known code, word or line"),
        ("9", "a class is 2 (success), 4 (transient) or 5 (permanent), not 9"),
        (".7.1", "the class is missing"),
        ("4.", "a class is followed by at most two numbers of one to three digits"),
        ("4.7.", "a class is followed by at most two numbers of one to three digits"),
        ("4.7.1.2", "a class is followed by at most two numbers of one to three digits"),
        ("4.7.1000", "a class is followed by at most two numbers of one to three digits"),
        ("45", "a reply code has three digits"),
        ("650", "the first digit of a reply code is 2 to 5, not 6"),
        ("470", "the second digit of a reply code is 0 to 5, not 7"),
    ] {
        assert!(en(code).contains(&format!("cannot explain {code:?}: {why}; write ")), "{}", en(code));
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_explained_or_refused(code in "[0-9.X -]{0,14}|.{0,14}") {
        let mut out = String::new();
        match explain(&code, Language::Ja, &mut out) {
            Ok(()) => assert!(out.ends_with('\n') && !out.ends_with("\n\n")),
            Err(_) => assert_eq!(out, ""),
        }
    }
}
