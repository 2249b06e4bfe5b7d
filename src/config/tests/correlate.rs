//! `[correlate]`.

use super::super::CorrelateConfig;
use super::{config, errors};
use crate::correlate::JoinSettings;

const REST: &str = "[[source.stdin]]\n[[sink.stdout]]\n";

fn correlate(table: &str) -> CorrelateConfig {
    config(&format!("{table}\n{REST}")).correlate
}

#[test]
fn lines_are_joined_as_the_file_says() {
    assert_eq!(correlate("").joins, Some(JoinSettings::DEFAULT));
    assert_eq!(correlate(""), correlate("[correlate]"));
    assert_eq!(correlate("[correlate]\nenabled = false\nmax_messages = 5").joins, None);
    assert_eq!(correlate("[correlate]\ncheckpoint = \"none\"").checkpoint, None);
    let table =
        "[correlate]\nmax_messages = 5\nmax_memory = \"2MiB\"\nmax_age = \"1d\"\ngrace = \"2s\"\ninterim = true";
    let joins = JoinSettings {
        max_messages: 5,
        max_memory: 2 << 20,
        max_age: 86_400 * 1_000_000,
        grace: 2_000_000,
        interim: true,
    };
    assert_eq!(correlate(table).joins, Some(joins));
}

#[test]
fn events_that_are_never_made_are_reported() {
    let sink = "[[source.stdin]]\n[[sink.stdout]]\nevents = [\"delivery\", \"session\"]\n";
    config(sink);
    insta::assert_snapshot!(errors(&format!("[correlate]\nenabled = false\n{sink}")));
}
