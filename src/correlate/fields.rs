//! Texts with names, in one buffer: what a message or a session keeps of its lines.
//!
//! Each entry is a tag, the length of its text in two bytes, and the text. An object has few entries, so that they are
//! searched from the first.

use crate::record::{Endpoint, Sasl};

/// Name of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum KeptField {
    QueueId,
    From,
    ClientName,
    ClientIp,
    ClientPort,
    SaslMethod,
    SaslUsername,
    SaslSender,
    MessageId,
    Helo,
    Proto,
    /// Queue id of the message from which this one was made. There is one at most.
    Parent,
    /// Queue id of a message that was made of this one, or that a session brought. There may be several.
    Child,
    Commands,
    Sni,
    Protocol,
    Cipher,
    KeyExchange,
    ServerSignature,
    ServerDigest,
    ClientSignature,
    ClientDigest,
    /// Address that a client of postscreen connected to.
    ServerIp,
    ServerPort,
    /// Score of a client of postscreen.
    DnsblRank,
    /// Domain of a block list that has a client of postscreen. There may be several.
    Blocklist,
}

/// Names that can have several texts.
const SEVERAL: [u8; 2] = [KeptField::Child as u8, KeptField::Blocklist as u8];

/// Texts with names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<u8>);

/// Borrowed [`Fields`].
#[derive(Clone, Copy, Debug)]
pub(super) struct FieldsRef<'f>(&'f [u8]);

/// Bytes in front of each text.
const HEAD: usize = 3;

impl Fields {
    pub(super) fn as_ref(&self) -> FieldsRef<'_> {
        FieldsRef(&self.0)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the memory that the texts hold, in bytes.
    pub(super) const fn held(&self) -> usize {
        self.0.capacity()
    }

    pub(super) fn get(&self, field: KeptField) -> Option<&str> {
        self.as_ref().get(field)
    }

    /// Adds a text, unless there is one of this name.
    pub(super) fn set(&mut self, field: KeptField, text: Option<&str>) {
        if let Some(text) = text
            && self.get(field).is_none()
        {
            self.push(field, text);
        }
    }

    /// Adds a text, unless this name has the same one.
    pub(super) fn add(&mut self, field: KeptField, text: &str) {
        if !self.as_ref().all(field).any(|known| known == text) {
            self.push(field, text);
        }
    }

    /// Adds the parts of a client that are not known yet.
    pub(super) fn set_client(&mut self, client: Option<Endpoint<'_>>) {
        let Some(Endpoint { name, ip, port, .. }) = client else { return };
        self.set(KeptField::ClientName, name);
        self.set(KeptField::ClientIp, ip);
        self.set(KeptField::ClientPort, port.map(|port| port.to_string()).as_deref());
    }

    /// Adds the parts of an address that a client connected to, if they are not known yet.
    pub(super) fn set_server(&mut self, server: Option<Endpoint<'_>>) {
        let Some(Endpoint { ip, port, .. }) = server else { return };
        self.set(KeptField::ServerIp, ip);
        self.set(KeptField::ServerPort, port.map(|port| port.to_string()).as_deref());
    }

    /// Adds the parts of an authentication that are not known yet.
    pub(super) fn set_sasl(&mut self, sasl: &Sasl<'_>) {
        self.set(KeptField::SaslMethod, sasl.method);
        self.set(KeptField::SaslUsername, sasl.username);
        self.set(KeptField::SaslSender, sasl.sender);
    }

    /// Adds the texts of `others`: of each name that can have one text, the first stays.
    pub(super) fn merge(&mut self, others: &Self) {
        let mut rest = others.0.as_slice();
        while let Some((&[tag, low, high], behind)) = rest.split_first_chunk::<HEAD>() {
            let Some((text, behind)) = behind.split_at_checked(usize::from(u16::from_le_bytes([low, high]))) else {
                return;
            };
            rest = behind;
            let is_known =
                self.as_ref().tags().any(|(known, value)| known == tag && (!SEVERAL.contains(&tag) || value == text));
            if !is_known {
                self.0.extend_from_slice(&[tag, low, high]);
                self.0.extend_from_slice(text);
            }
        }
    }

    /// Sets a text in place of those of this name.
    pub(super) fn replace(&mut self, field: KeptField, text: &str) {
        if self.get(field) == Some(text) {
            return;
        }
        let mut at = 0;
        while let Some(&[tag, low, high]) = self.0.get(at..at + HEAD) {
            let end = at + HEAD + usize::from(u16::from_le_bytes([low, high]));
            if tag == field as u8 {
                self.0.drain(at..end);
            } else {
                at = end;
            }
        }
        self.push(field, text);
    }

    fn push(&mut self, field: KeptField, text: &str) {
        // No text of a line is longer than the longest frame that is read in one piece.
        let longest = usize::from(u16::MAX).min(text.len());
        let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        let text = &text[..end];
        self.0.reserve_exact(HEAD + text.len());
        self.0.push(field as u8);
        self.0.extend_from_slice(&(text.len() as u16).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
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

    /// Returns the client, if anything is known of it.
    pub(super) fn client(self) -> Option<Endpoint<'f>> {
        let endpoint = Endpoint {
            name: self.get(KeptField::ClientName),
            ip: self.get(KeptField::ClientIp),
            port: self.get(KeptField::ClientPort).and_then(|port| port.parse().ok()),
            path: None,
        };
        (endpoint != Endpoint::default()).then_some(endpoint)
    }

    /// Returns the address that the client connected to, if it is known.
    pub(super) fn server(self) -> Option<Endpoint<'f>> {
        let port = self.get(KeptField::ServerPort).and_then(|port| port.parse().ok());
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
        let own = self.tags().filter(move |(tag, _)| *tag == field as u8);
        own.filter_map(|(_, text)| std::str::from_utf8(text).ok())
    }

    /// Returns each tag and its text.
    fn tags(self) -> impl Iterator<Item = (u8, &'f [u8])> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (&[tag, low, high], behind) = rest.split_first_chunk::<HEAD>()?;
            let (text, behind) = behind.split_at_checked(usize::from(u16::from_le_bytes([low, high])))?;
            rest = behind;
            Some((tag, text))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_set_once_and_others_are_collected() {
        let mut fields = Fields::default();
        fields.set(KeptField::From, Some(""));
        fields.set(KeptField::From, Some("anna@example.com"));
        fields.set(KeptField::Helo, None);
        for id in ["A1", "B2", "A1"] {
            fields.add(KeptField::Child, id);
        }
        assert_eq!((fields.get(KeptField::From), fields.get(KeptField::Helo)), (Some(""), None));
        assert_eq!(fields.as_ref().all(KeptField::Child).collect::<Vec<_>>(), ["A1", "B2"]);
        assert_eq!(FieldsRef::of(fields.bytes()).get(KeptField::From), Some(""));
    }

    #[test]
    fn a_text_is_replaced_between_others() {
        let mut fields = Fields::default();
        fields.set(KeptField::QueueId, Some("A1"));
        fields.set(KeptField::From, Some("anna"));
        fields.set(KeptField::Helo, Some("mx1"));
        fields.replace(KeptField::From, "anna@example.com");
        let all = [KeptField::QueueId, KeptField::From, KeptField::Helo].map(|field| fields.get(field));
        assert_eq!(all, [Some("A1"), Some("anna@example.com"), Some("mx1")]);
        assert_eq!(fields.as_ref().all(KeptField::From).count(), 1);
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_between_characters() {
        let mut fields = Fields::default();
        fields.set(KeptField::Helo, Some(&"ä".repeat(40_000)));
        fields.set(KeptField::Proto, Some("ESMTP"));
        assert_eq!(fields.get(KeptField::Helo).map(str::len), Some(65_534));
        assert_eq!(fields.get(KeptField::Proto), Some("ESMTP"));
    }
}
