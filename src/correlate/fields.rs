//! Texts and numbers with names, in one buffer: what a message or a session keeps of its lines.
//!
//! Each entry is a tag, the length of its value in one to four bytes, and the value. An object has few entries, so
//! that they are searched from the first. A number has no zeros in front of it.

mod names;

use std::ops::Range;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(super) use self::names::KeptField;
use super::pool::BufferPool;
use crate::record::{Endpoint, Sasl};

/// Texts and numbers with names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<u8>);

/// Borrowed [`Fields`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FieldsRef<'f>(&'f [u8]);

/// Bytes of a length: each has seven bits of it, the low ones first. The highest bit says that another byte follows.
const LENGTH: usize = 4;
/// Longest value, in bytes. No frame is that long.
const LONGEST: usize = (1 << (7 * LENGTH)) - 1;

impl Fields {
    pub(super) fn as_ref(&self) -> FieldsRef<'_> {
        FieldsRef(&self.0)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the memory that the fields hold, in bytes.
    pub(super) const fn held(&self) -> usize {
        self.0.capacity()
    }

    pub(super) fn get(&self, field: KeptField) -> Option<&str> {
        self.as_ref().get(field)
    }

    /// Adds a text, unless there is one of this name.
    pub(super) fn set(&mut self, field: KeptField, text: Option<&str>) {
        if let Some(text) = text
            && self.as_ref().value(field).is_none()
        {
            self.push(field, text.as_bytes());
        }
    }

    /// Adds a number, unless there is one of this name.
    pub(super) fn set_number(&mut self, field: KeptField, number: Option<u64>) {
        if let Some(number) = number
            && self.as_ref().value(field).is_none()
        {
            self.push(field, digits(&number.to_le_bytes()));
        }
    }

    /// Adds a text, unless this name has the same one.
    pub(super) fn add(&mut self, field: KeptField, text: &str) {
        if !self.as_ref().all(field).any(|known| known == text) {
            self.push(field, text.as_bytes());
        }
    }

    /// Adds the parts of a client that are not known yet.
    pub(super) fn set_client(&mut self, client: Option<Endpoint<'_>>) {
        let Some(Endpoint { name, ip, port, .. }) = client else { return };
        self.set(KeptField::ClientName, name);
        self.set(KeptField::ClientIp, ip);
        self.set_number(KeptField::ClientPort, port.map(u64::from));
    }

    /// Adds the parts of an address that a client connected to, if they are not known yet.
    pub(super) fn set_server(&mut self, server: Option<Endpoint<'_>>) {
        let Some(Endpoint { ip, port, .. }) = server else { return };
        self.set(KeptField::ServerIp, ip);
        self.set_number(KeptField::ServerPort, port.map(u64::from));
    }

    /// Adds the parts of an authentication that are not known yet.
    pub(super) fn set_sasl(&mut self, sasl: &Sasl<'_>) {
        self.set(KeptField::SaslMethod, sasl.method);
        self.set(KeptField::SaslUsername, sasl.username);
        self.set(KeptField::SaslSender, sasl.sender);
    }

    /// Adds the fields of `others`. Where a name can have one value only, the first one stays; a verdict replaces the
    /// one before.
    pub(super) fn merge(&mut self, others: FieldsRef<'_>) {
        for (field, value) in others.entries() {
            let is_same = |(known, other)| known == field && (!field.is_list() || other == value);
            if field == KeptField::Verdict {
                self.replace(field, value);
            } else if !self.as_ref().entries().any(is_same) {
                self.push(field, value);
            }
        }
    }

    /// Adds all entries of `others` as they are, and returns their place.
    pub(super) fn extend(&mut self, others: FieldsRef<'_>) -> Range<usize> {
        let start = self.0.len();
        self.0.extend_from_slice(others.0);
        start..self.0.len()
    }

    /// Moves the entries at a place forward to `start`, over those that are there. Returns their new place.
    pub(super) fn move_part(&mut self, place: &Range<usize>, start: usize) -> Range<usize> {
        let length = self.part(place).0.len();
        if length > 0 && start <= place.start {
            self.0.copy_within(place.clone(), start);
        }
        start..start + length
    }

    /// Removes the bytes from `end` on.
    pub(super) fn truncate(&mut self, end: usize) {
        self.0.truncate(end);
    }

    /// Returns the entries at a place, if there are any.
    pub(super) fn part(&self, place: &Range<usize>) -> FieldsRef<'_> {
        FieldsRef(self.0.get(place.clone()).unwrap_or_default())
    }

    /// Sets a value in place of those of this name.
    pub(super) fn replace(&mut self, field: KeptField, value: &[u8]) {
        if self.as_ref().value(field) != Some(value) {
            self.remove(field);
            self.push(field, value);
        }
    }

    /// Sets a number in place of one of this name.
    pub(super) fn replace_number(&mut self, field: KeptField, number: u64) {
        self.replace(field, digits(&number.to_le_bytes()));
    }

    /// Sets a time in place of an earlier one.
    pub(super) fn raise_time(&mut self, field: KeptField, time: i64) {
        if self.as_ref().time(field).is_none_or(|known| known < time) {
            self.replace(field, &time.to_le_bytes());
        }
    }

    /// Removes the values of this name.
    pub(super) fn remove(&mut self, field: KeptField) {
        self.remove_all(&[field]);
    }

    /// Removes the values of these names.
    pub(super) fn remove_all(&mut self, fields: &[KeptField]) {
        self.retain(usize::MAX, |tag, _| !fields.iter().any(|field| field.tag() == tag));
    }

    /// Removes the first value of this name.
    pub(super) fn remove_first(&mut self, field: KeptField) {
        self.retain(1, |tag, _| tag != field.tag());
    }

    /// Takes the values of these names.
    pub(super) fn split_off(&mut self, fields: &[KeptField]) -> Self {
        let mut taken = Self::default();
        self.retain(usize::MAX, |tag, value| {
            let is_taken = fields.iter().any(|field| field.tag() == tag);
            if is_taken {
                taken.append(tag, &[value]);
            }
            !is_taken
        });
        taken
    }

    /// Removes the entries that are not to stay, but no more than `most`.
    fn retain(&mut self, mut most: usize, mut stays: impl FnMut(u8, &[u8]) -> bool) {
        let mut at = 0;
        while most > 0
            && let Some((tag, value, rest)) = split(&self.0[at..])
        {
            let end = self.0.len() - rest.len();
            if stays(tag, value) {
                at = end;
            } else {
                self.0.drain(at..end);
                most -= 1;
            }
        }
    }

    pub(super) fn push(&mut self, field: KeptField, value: &[u8]) {
        self.append(field.tag(), &[value]);
    }

    /// Adds a value that consists of several parts.
    pub(super) fn push_parts(&mut self, field: KeptField, parts: &[&[u8]]) {
        self.append(field.tag(), parts);
    }

    /// Adds an entry. A value that is too long is left out.
    fn append(&mut self, tag: u8, parts: &[&[u8]]) {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        if length > LONGEST {
            return;
        }
        self.0.reserve(1 + LENGTH + length);
        self.0.push(tag);
        let mut rest = length;
        while rest >= 0x80 {
            self.0.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
        for part in parts {
            self.0.extend_from_slice(part);
        }
    }

    /// Returns empty fields with room for `bytes` bytes.
    pub(super) fn with_room(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Returns the fields that `fill` adds to `room`, with no more memory than they need.
    pub(super) fn build(room: &mut Self, fill: impl FnOnce(&mut Self)) -> Self {
        room.clear();
        fill(room);
        room.clone()
    }

    /// Removes all entries. The buffer stays.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes the entries of `others` in place of all own ones.
    pub(super) fn load(&mut self, others: &Self) {
        self.0.clear();
        self.0.extend_from_slice(&others.0);
    }

    /// Writes the entries to `place`, which gets no larger than they are.
    pub(super) fn store(&self, place: &mut Self, pool: &mut BufferPool, spare: usize) {
        pool.store(&self.0, &mut place.0, spare);
    }

    /// Gives the buffer back.
    pub(super) fn release(self, pool: &mut BufferPool, spare: usize) {
        pool.give(self.0, spare);
    }
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(from).map(|bytes| Self(bytes.to_vec()))
    }
}

impl<'f> FieldsRef<'f> {
    /// Borrows the bytes of [`Fields::bytes`].
    pub(super) const fn of(bytes: &'f [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn get(self, field: KeptField) -> Option<&'f str> {
        self.all(field).next()
    }

    pub(super) fn number(self, field: KeptField) -> Option<u64> {
        number(self.value(field)?)
    }

    /// Returns a time in microseconds since 1970.
    pub(super) fn time(self, field: KeptField) -> Option<i64> {
        Some(i64::from_le_bytes(self.value(field)?.try_into().ok()?))
    }

    /// Returns the first value of this name.
    pub(super) fn value(self, field: KeptField) -> Option<&'f [u8]> {
        self.values(field).next()
    }

    /// Returns the client, if anything is known of it.
    pub(super) fn client(self) -> Option<Endpoint<'f>> {
        let mut client = Endpoint::default();
        self.entries().for_each(|(field, value)| set_client_part(&mut client, field, value));
        (client != Endpoint::default()).then_some(client)
    }

    /// Returns the address that the client connected to, if it is known.
    pub(super) fn server(self) -> Option<Endpoint<'f>> {
        let port = self.number(KeptField::ServerPort).and_then(|port| port.try_into().ok());
        let endpoint = Endpoint { ip: self.get(KeptField::ServerIp), port, ..Endpoint::default() };
        (endpoint != Endpoint::default()).then_some(endpoint)
    }

    /// Returns the authentication of the client.
    pub(super) fn sasl(self) -> Sasl<'f> {
        Sasl {
            method: self.get(KeptField::SaslMethod),
            username: self.get(KeptField::SaslUsername),
            sender: self.get(KeptField::SaslSender),
        }
    }

    /// Returns each text of this name, in the order in which they came.
    pub(super) fn all(self, field: KeptField) -> impl Iterator<Item = &'f str> {
        self.values(field).filter_map(text)
    }

    /// Returns each value of this name, in the order in which they came.
    pub(super) fn values(self, field: KeptField) -> impl Iterator<Item = &'f [u8]> {
        let tag = field.tag();
        self.tagged().filter(move |(known, _)| *known == tag).map(|(_, value)| value)
    }

    /// Returns each name and its value.
    pub(super) fn entries(self) -> impl Iterator<Item = (KeptField, &'f [u8])> {
        self.tagged().filter_map(|(tag, value)| Some((KeptField::of_tag(tag)?, value)))
    }

    /// Returns each tag and its value.
    fn tagged(self) -> impl Iterator<Item = (u8, &'f [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (tag, value, behind) = split(rest)?;
            rest = behind;
            Some((tag, value))
        })
    }
}

/// Splits the first entry off: its tag, its value, and what follows.
fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, length, rest @ ..] = bytes else { return None };
    // Nearly all values are short.
    let (length, rest) = if *length < 0x80 { (usize::from(*length), rest) } else { long(&bytes[1..])? };
    let (value, behind) = rest.split_at_checked(length)?;
    Some((*tag, value, behind))
}

/// Splits a length of several bytes off.
fn long(mut bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut length = 0;
    for group in 0..LENGTH {
        let (byte, behind) = bytes.split_first()?;
        bytes = behind;
        length |= usize::from(byte & 0x7f) << (7 * group);
        if *byte < 0x80 {
            return Some((length, bytes));
        }
    }
    None
}

/// Sets the part of a client that a value is, if it is one.
pub(super) fn set_client_part<'f>(client: &mut Endpoint<'f>, field: KeptField, value: &'f [u8]) {
    match field {
        KeptField::ClientName => client.name = text(value),
        KeptField::ClientIp => client.ip = text(value),
        KeptField::ClientPort => client.port = number(value).and_then(|port| port.try_into().ok()),
        _ => {}
    }
}

/// Returns a value that is a text.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    std::str::from_utf8(value).ok()
}

/// Returns a value that is a number.
pub(super) fn number(value: &[u8]) -> Option<u64> {
    let mut number = [0; 8];
    number.get_mut(..value.len())?.copy_from_slice(value);
    Some(u64::from_le_bytes(number))
}

/// Returns the bytes of a number without the zeros in front of it, which are its last ones.
fn digits(number: &[u8; 8]) -> &[u8] {
    let zeros = number.iter().rev().take_while(|byte| **byte == 0).count();
    &number[..number.len() - zeros]
}

#[cfg(test)]
mod tests;
