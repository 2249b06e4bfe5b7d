//! Inputs: lines of the corpus, mutated, and bytes without any sense.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Every line of `tests/corpus`, and what is read besides lines, each file for itself: the shapes of headers lie in
/// short files, and would be lost among the lines of the long ones.
static SEEDS: LazyLock<Vec<Vec<Vec<u8>>>> = LazyLock::new(|| {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds = Vec::new();
    collect(&root.join("tests/corpus"), "log", &mut |text| {
        let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec);
        seeds.push(lines.collect());
    });
    collect(&root.join("config"), "toml", &mut |text| seeds.push(vec![text]));
    let templates = ["{hostname}/{date}.json", "/var/log/{{x}}/{source}-{event}", "mail.{daemon}"];
    seeds.push(templates.map(Into::into).to_vec());
    let lines: usize = seeds.iter().map(Vec::len).sum();
    assert!(lines > 100, "the corpus has only {lines} lines");
    seeds
});

fn seed(file: Index, line: Index) -> &'static [u8] {
    line.get::<Vec<u8>>(file.get::<Vec<_>>(&SEEDS))
}

fn collect(directory: &Path, extension: &str, found: &mut impl FnMut(Vec<u8>)) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, extension, found);
        } else if path.extension().is_some_and(|own| own == extension) {
            found(fs::read(path).expect("a file"));
        }
    }
}

/// Texts that the readers look for, and texts that should not disturb them.
pub(crate) const TOKENS: &[&str] = &[
    "<22>",
    "<191>",
    "<>",
    "1 ",
    "- ",
    "Nov 24 02:10:35 ",
    "2026-11-24T02:10:35.123456+09:00 ",
    "mx1 ",
    "postfix/smtpd[1]: ",
    "postfix[1]: ",
    "NOQUEUE: ",
    "4jYR9Q2wTjz18T: ",
    "9A8B7C6D5E: ",
    "warning: ",
    "fatal: ",
    "panic: ",
    "to=<",
    "from=<",
    ">",
    ", ",
    "orig_to=<",
    "relay=",
    "relay=none",
    "delay=",
    "delays=0/0/0/0",
    "dsn=5.7.1",
    "dsn=9.9.9",
    "status=sent ",
    "status=",
    "(",
    ")",
    "((",
    "))",
    "[",
    "]",
    "]:",
    "[127.0.0.1]:25",
    "unknown[unknown]",
    "::1",
    "; ",
    "; from=<",
    " proto=ESMTP",
    " helo=<",
    " from ",
    ": ",
    " said: ",
    "550 5.7.1 ",
    "550-5.7.1 ",
    "250 ",
    "(in reply to RCPT TO command)",
    "queued as ",
    "forwarded as ",
    "host ",
    "connect to ",
    "lost connection with ",
    " while ",
    "reject: RCPT from ",
    "milter-reject: END-OF-MESSAGE from ",
    "header Subject: ",
    "client=",
    "sasl_username=",
    "message-id=<",
    "size=1, nrcpt=1 (queue active)",
    "removed",
    "statistics: max ",
    " at ",
    " for (",
    "PREGREET 1 after ",
    "TLS connection established to ",
    " with cipher ",
    "(256/256 bits)",
    "key-exchange ",
    " commands=1/2",
    "uid=",
    "message repeated 3 times: [ ",
    "\"",
    "\\",
    "\\\"",
    "'",
    "=",
    "{",
    "}",
    "{{",
    "#",
    "\t",
    "\r",
    "\n",
    "\r\n",
    "\0",
    "\u{feff}",
    "\u{fffd}",
    "é",
    "郵便",
    "\u{2028}",
    "🦀",
    "99999999999999999999",
    "-1",
    "0.0000001",
    "00",
    "  ",
];

/// Bytes that are no text, or half a character.
const BYTES: &[&[u8]] =
    &[b"\xff", b"\xc3", b"\xe9\x83", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80\x80\x80", b"\x1f\x8b"];

/// Replacements of a number: none, and those on both sides of the largest of a type.
const NUMBERS: &[&str] = &[
    "",
    "0",
    "256",
    "65536",
    "999999999",
    "2147483648",
    "4294967295",
    "4294967296",
    "9999999999",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999",
];

#[derive(Clone, Debug)]
enum Change {
    Cut(Index, Index),
    Keep(Index, Index),
    Repeat(Index, Index, usize),
    Insert(Index, Vec<u8>),
    Swap(Index, Index),
    Splice(Index, (Index, Index), Index),
    Flip(Index, u8),
    Number(Index, &'static str),
}

pub(crate) fn inputs() -> impl Strategy<Value = Vec<u8>> {
    let seed = (any::<Index>(), any::<Index>()).prop_map(|(file, line)| seed(file, line).to_vec());
    let mutated = (seed, vec(change(), 0..6)).prop_map(|(seed, changes)| changes.iter().fold(seed, apply));
    let tokens = vec(select(TOKENS), 0..30).prop_map(|tokens| tokens.concat().into_bytes());
    prop_oneof![8 => mutated, 2 => tokens, 1 => vec(any::<u8>(), 0..200)]
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<Index>;
    let token = prop_oneof![
        6 => select(TOKENS).prop_map(|token| token.as_bytes().to_vec()),
        1 => select(BYTES).prop_map(<[u8]>::to_vec),
    ];
    prop_oneof![
        2 => (at(), at()).prop_map(|(a, b)| Change::Cut(a, b)),
        1 => (at(), at()).prop_map(|(a, b)| Change::Keep(a, b)),
        1 => (at(), at(), 2..20_usize).prop_map(|(a, b, times)| Change::Repeat(a, b, times)),
        4 => (at(), token).prop_map(|(a, token)| Change::Insert(a, token)),
        2 => (at(), at()).prop_map(|(a, b)| Change::Swap(a, b)),
        1 => (at(), (at(), at()), at()).prop_map(|(a, other, b)| Change::Splice(a, other, b)),
        1 => (at(), any::<u8>()).prop_map(|(a, byte)| Change::Flip(a, byte)),
        2 => (at(), select(NUMBERS)).prop_map(|(a, number)| Change::Number(a, number)),
    ]
}

fn apply(mut input: Vec<u8>, change: &Change) -> Vec<u8> {
    let at = |index: &Index| index.index(input.len() + 1);
    let range = |a: &Index, b: &Index| at(a).min(at(b))..at(a).max(at(b));
    match change {
        Change::Cut(a, b) => drop(input.drain(range(a, b))),
        Change::Keep(a, b) => input = input[range(a, b)].to_vec(),
        Change::Repeat(a, b, times) => {
            let part = input[range(a, b)].repeat(*times);
            let end = at(b);
            input.splice(end..end, part);
        }
        Change::Insert(a, token) => {
            let start = at(a);
            input.splice(start..start, token.iter().copied());
        }
        Change::Swap(a, b) => {
            let mut words: Vec<&[u8]> = input.split(|byte| *byte == b' ').collect();
            let (a, b) = (a.index(words.len()), b.index(words.len()));
            words.swap(a, b);
            input = words.join(&b' ');
        }
        Change::Splice(a, (file, line), b) => {
            let other = seed(*file, *line);
            let start = at(a);
            input.truncate(start);
            input.extend_from_slice(&other[b.index(other.len() + 1)..]);
        }
        Change::Flip(a, byte) => {
            if !input.is_empty() {
                let at = a.index(input.len());
                input[at] = *byte;
            }
        }
        Change::Number(a, number) => {
            let begins = |at: &usize| input[*at].is_ascii_digit() && (*at == 0 || !input[at - 1].is_ascii_digit());
            let numbers: Vec<usize> = (0..input.len()).filter(begins).collect();
            if !numbers.is_empty() {
                let start = *a.get(&numbers);
                let digits = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                input.splice(start..start + digits, number.bytes());
            }
        }
    }
    input
}
