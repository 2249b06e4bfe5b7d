//! docs/events.md: each event, with a line of the corpus that gives it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use postrider::record::Event;
use serde_json::Value;

use crate::docs::page::{self, Page};

/// For each event the line of the corpus that fills most of its fields, the shortest of several, and those fields. A
/// delivery has its record at the head of the README, and no line alone gives a joined record.
fn events() -> String {
    let mut best: BTreeMap<String, (Reverse<usize>, usize, String)> = BTreeMap::new();
    let corpus = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/postfix"));
    let mut paths: Vec<_> =
        fs::read_dir(corpus).expect("the corpus").map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "jsonl")) {
        for line in fs::read_to_string(path).expect("records").lines() {
            let record: Value = serde_json::from_str(line).expect("JSON");
            let Some(postfix) = record["postfix"].as_object() else { continue };
            let (app_name, message) = (text(&record["app_name"]), text(&record["message"]));
            // A line that fits on a screen, with a tag that is whole.
            if !app_name.contains('/') || message.len() > 250 {
                continue;
            }
            let keys = postfix.values().map(|value| value.as_object().map_or(1, serde_json::Map::len)).sum();
            let shown = format!("    {app_name}: {message}\n    {}\n", own_fields(line, postfix));
            let candidate = (Reverse(keys), message.len(), shown);
            let known = best.entry(text(&postfix["event"]).to_owned()).or_insert_with(|| candidate.clone());
            if candidate < *known {
                *known = candidate;
            }
        }
    }
    let example = |event: &&str| match best.get(*event) {
        Some((_, _, shown)) => format!("{event}\n{shown}"),
        None => panic!("no line of the corpus gives the event {event}"),
    };
    let is_of_line = |event: &&&str| **event != "delivery" && !Event::JOINED.contains(event);
    Event::NAMES.iter().filter(is_of_line).map(example).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("text")
}

/// The fields that an event has beside the common ones, cut out of the text of its record, which has their order.
fn own_fields(line: &str, postfix: &serde_json::Map<String, Value>) -> String {
    let (_, fields) = line.split_once("\"postfix\":").expect("the fields of Postfix");
    let mut fields = fields.strip_suffix('}').expect("the end of the record").to_owned();
    for key in ["event", "instance", "service", "daemon", "level", "queue_id", "queued_at"] {
        if let Some(value) = postfix.get(key) {
            let pair = format!("\"{key}\":{value}");
            fields = fields.replacen(&format!("{pair},"), "", 1).replacen(&pair, "", 1);
        }
    }
    fields.replace(",}", "}")
}

#[test]
fn the_events_are_those_of_the_corpus() {
    let events = events();
    let [shown] = Page::open("events.md").take(["text"]);
    if std::env::var_os("UPDATE").is_some() {
        let page = page::text("events.md").replace(&shown, &events);
        fs::write(page::directory().join("events.md"), page).expect("the page is writable");
        return;
    }
    assert_eq!(shown, events, "`UPDATE=1 cargo test --test pages docs the_events` rewrites the list");
}
