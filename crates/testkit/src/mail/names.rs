//! Random addresses, clients and Message-IDs, from the names and addresses that are reserved for examples.

use fastrand::Rng;

use super::session::MailClient;

const PEOPLE: &[&str] = &[
    "alice",
    "bob",
    "carol",
    "dave",
    "erin",
    "frank",
    "grace",
    "heidi",
    "ivan",
    "judy",
    "mallory",
    "niaj",
    "olivia",
    "info",
    "sales",
    "\"a b\"",
    "o'brien",
    "list+tag",
    "news-bounces+bob=example.net",
];
/// Domains whose mail the hosts take.
const OURS: &[&str] = &["example.com", "lists.example.com", "Example.COM"];
const OTHERS: &[&str] =
    &["example.net", "example.org", "mail.example.org", "shop.example", "bank.example", "EXAMPLE.net"];

/// Returns one of `values`.
pub(super) fn pick<T: Copy>(rng: &mut Rng, values: &[T]) -> T {
    values[rng.usize(..values.len())]
}

/// Returns true in one of `count` cases.
pub(super) fn once_in(rng: &mut Rng, count: u32) -> bool {
    rng.u32(..count) == 0
}

/// Returns an address whose mail the hosts take.
pub(super) fn our_address(rng: &mut Rng) -> String {
    address(rng, OURS)
}

/// Returns an address somewhere else.
pub(super) fn other_address(rng: &mut Rng) -> String {
    address(rng, OTHERS)
}

fn address(rng: &mut Rng, domains: &[&str]) -> String {
    let person = pick(rng, PEOPLE);
    // Some addresses come often, and most come rarely.
    let number = if person.starts_with('"') || rng.bool() { String::new() } else { rng.u32(..200).to_string() };
    format!("{person}{number}@{}", pick(rng, domains))
}

/// Returns true if the hosts take mail for an address.
pub(super) fn is_ours(address: &str) -> bool {
    OURS.contains(&domain(address))
}

/// Returns what is behind the last `@`.
pub(super) fn domain(address: &str) -> &str {
    address.rsplit('@').next().unwrap_or(address)
}

/// Returns a client on the Internet.
pub(super) fn client(rng: &mut Rng) -> MailClient {
    let number = rng.u8(1..255);
    let ip = if once_in(rng, 4) { format!("2001:db8:1::{number:x}") } else { format!("198.51.100.{number}") };
    let name = (!once_in(rng, 4)).then(|| format!("mail{number}.{}", pick(rng, OTHERS).to_lowercase()));
    MailClient { name, ip }
}

/// Returns a Message-ID without its brackets.
pub(super) fn message_id(rng: &mut Rng, host: &str) -> String {
    format!("{:016x}.{}@{host}", rng.u64(..), rng.u32(..100_000))
}
