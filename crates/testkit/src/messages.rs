//! Numbered messages whose text is a function of the number, and what is to be said about those that came out.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

/// The text of a message: it begins with its number, and some 2000 letters follow that only this number has.
pub fn text(number: usize) -> String {
    let mut state = number as u64;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + (state >> 33) as u8 % 26)
    };
    let letters: String = (0..1900 + number % 200).map(letter).collect();
    format!("number {number} {letters}")
}

/// The message on the wire.
pub fn message(number: usize) -> String {
    format!("<22>Nov 24 06:00:00 mx1 test[1]: {}", text(number))
}

/// Records that came out.
#[derive(Debug, Default)]
pub struct Seen {
    /// The numbers that came.
    pub numbers: BTreeSet<usize>,
    /// Number of each record in the order in which they came, repeated ones too.
    pub order: Vec<usize>,
    /// The number of each id, and how often it came.
    ids: HashMap<String, (usize, usize)>,
    /// Lines that are no whole record, or have not the text of their number.
    corrupted: Vec<String>,
    /// Number of messages that came for the first time behind one of a higher number.
    late: usize,
}

impl Seen {
    /// Notes a line.
    pub fn note(&mut self, line: &str) {
        let Some((number, id)) = read(line) else { return self.corrupted.push(line.to_owned()) };
        let highest = self.numbers.last().copied();
        self.late += usize::from(self.numbers.insert(number) && highest > Some(number));
        self.order.push(number);
        let (first, times) = self.ids.entry(id).or_insert((number, 0));
        if *first == number {
            *times += 1;
        } else {
            self.corrupted.push(format!("{number} has the id of {first}"));
        }
    }

    /// Returns the number of records, repeated ones too.
    pub fn records(&self) -> usize {
        self.order.len()
    }

    /// True if the first copies came in the order of their numbers.
    pub fn in_order(&self) -> bool {
        self.late == 0
    }

    /// Returns the number of records that came more than once, with the same id.
    pub fn repeated(&self) -> usize {
        self.ids.values().filter(|(_, times)| *times > 1).count()
    }

    /// Asserts that nothing acknowledged is missing, that nothing came that was not sent, and that nothing differs from
    /// what was sent, except for `torn` lines.
    #[track_caller]
    pub fn judge(&self, what: &str, acknowledged: &BTreeSet<usize>, sent: usize, torn: usize) {
        let missing: Vec<usize> = acknowledged.difference(&self.numbers).copied().collect();
        let spurious: Vec<usize> = self.numbers.range(sent..).copied().collect();
        assert!(missing.is_empty(), "{what}: {} of {} are missing: {missing:?}", missing.len(), acknowledged.len());
        assert!(spurious.is_empty(), "{what}: never sent: {spurious:?}");
        assert!(self.corrupted.len() <= torn, "{what}: corrupted: {:?}", self.corrupted);
    }
}

fn read(line: &str) -> Option<(usize, String)> {
    let record: Value = serde_json::from_str(line).ok()?;
    let message = record["message"].as_str()?;
    let number = message.strip_prefix("number ")?.split(' ').next()?.parse().ok()?;
    (message == text(number)).then_some((number, record["id"].as_str()?.to_owned()))
}
