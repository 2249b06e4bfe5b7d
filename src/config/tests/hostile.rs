//! Long, random and damaged files: nothing panics, and errors appear in time.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::parse;
use super::errors;
use super::errors::{REST, errors_in};
use super::files::{EVERY_KEY, uncomment};

#[test]
fn large_files_do_not_hang() {
    let line = format!("x = [{}]", "1, ".repeat(500_000));
    assert!(errors_in(&line).contains("test.toml:1:1: unknown key `x`"));
    let deep = format!("[[sink.kafka]]\nbrokers = ['a']\ntopic = 'a'\noptions.{} = 1", "a.".repeat(2000) + "a");
    assert!(errors_in(&deep).contains("error"));
}

/// Pieces of configuration files, so that random texts get past the first line; `~` stands between them.
const PIECES: &str = "[[source.udp]]\n~[[source.tcp]]\n~[[source.unix]]\n~[source.stdin]\n~[[sink.file]]\n~[[sink.kafka]]\n~\
    [sink.kafka.options]\n~[sink.file.filter]\n~[[~]]~listen~path~framing~kind~mode~fsync~brokers~topic~key~events~name~\
    queue_size~linger.ms~sasl.password~ssl.key.pem~ = ~=~\n~\r\n~\t~'''~\"\"\"~\"~'~{~}~[~]~,~\"[::]:514\"~\"/a/{hostname}\"~\
    \"8MiB\"~5~true~1979-05-27~\"stream\"~# x~é~日本~\u{FEFF}~\\u0000~{hostname}~source~sink";

fn piece() -> impl Strategy<Value = String> {
    let pieces: Vec<&str> = PIECES.split('~').collect();
    let known = proptest::sample::select(pieces).prop_map(str::to_owned);
    prop_oneof![4 => known, 1 => "\\PC{0,8}", 1 => any::<char>().prop_map(String::from)]
}

proptest! {
    #[test]
    fn nothing_panics(pieces in prop::collection::vec(piece(), 0..60)) {
        let text: String = pieces.concat();
        if let Err(found) = parse(&text, "test.toml") {
            prop_assert!(!found.is_empty());
            let number = format!("{} error", found.len());
            prop_assert!(found.to_string().contains(&number));
        }
    }

    #[test]
    fn changed_files_do_not_panic(at in 0_usize..15_000, cut in 0_usize..50, insert in piece()) {
        let text = uncomment(&uncomment(EVERY_KEY, "##"), "#");
        let floor = |mut at: usize| { while !text.is_char_boundary(at) { at -= 1; } at };
        let start = floor(at.min(text.len()));
        let end = floor((start + cut).min(text.len()));
        let changed = format!("{}{insert}{}", &text[..start], &text[end..]);
        let _ = parse(&changed, "test.toml").map_err(|found| found.to_string());
    }
}

#[test]
fn a_flood_of_errors_is_counted_and_the_first_are_shown() {
    let unknown: String = (0..20_000).fold(String::new(), |text, n| text + &format!("unknown_key_{n} = 1\n"));
    let options = "[[source.stdin]]\n[[sink.kafka]]\nbrokers = ['a:1']\ntopic = 'mail'\n[sink.kafka.options]\n";
    let tables: String =
        (0..20_000).fold(String::new(), |text, n| text + &format!("[[source.unix]]\nname = 'a{n}'\npath = '/{n}'\n"));
    let words = format!("[[source.stdin]]\n[[sink.stdout]]\nevents = [{}]\n", "'x', ".repeat(20_000));
    for (text, least) in [
        (format!("{unknown}{REST}"), 20_000),
        (format!("{options}{unknown}"), 500),
        (format!("{REST}{}", "= ".repeat(20_000)), 1),
        (format!("{REST}{}", "=\n".repeat(20_000)), 1),
        (format!("[[sink.stdout]]\n{tables}"), 1),
        (words, 20_000),
        ("sasl.password =\n".repeat(20_000), 1),
    ] {
        let begun = Instant::now();
        let found = parse(&text, "test.toml").unwrap_err();
        let shown = found.to_string();
        let (taken, start) = (begun.elapsed(), &text[..text.len().min(120)]);
        assert!(found.len() >= least, "{}: {start}", found.len());
        assert!(shown.matches("test.toml:").count() <= 50, "{start}");
        // Some seconds, and more on a busy machine; it was 50 s for the first of them, with optimised dependencies.
        assert!(taken < Duration::from_secs(45), "{taken:?}: {start}");
    }
    let shown = errors(&format!("{unknown}{REST}"));
    assert!(shown.ends_with("20000 errors (the first 50 are shown)"), "{shown}");
}
