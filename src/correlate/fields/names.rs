//! The names of the values that a message or a session keeps of its lines.

/// Declares the names, and a list of all of them in the order of their tags.
macro_rules! kept_fields {
    ($($(#[$doc:meta])* $name:ident,)+) => {
        /// Name of a value.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(in crate::correlate) enum KeptField {
            $($(#[$doc])* $name,)+
        }

        impl KeptField {
            const ALL: &[Self] = &[$(Self::$name,)+];
        }
    };
}

kept_fields! {
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
    /// Service and program of a session, as in a tag.
    Program,
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
    Size,
    Nrcpt,
    ExpiredAt,
    HeldAt,
    ParentUid,
    TraceId,
    /// A line with a verdict. A message may have several, each behind its time. A session has the last one, without a
    /// time.
    Verdict,
    /// Time in the key of a message with a short queue id, if it is not the second of the first line.
    NamedAt,
    // Those of a recipient.
    To,
    OrigTo,
    Pattern,
    Delay,
    Delays,
    RemoteId,
    /// Print of a line with an attempt. There is one for each attempt.
    Print,
}

impl KeptField {
    /// The fields of a recipient.
    pub(in crate::correlate) const OF_RECIPIENT: [Self; 7] =
        [Self::To, Self::OrigTo, Self::Pattern, Self::Delay, Self::Delays, Self::RemoteId, Self::Print];

    /// The fields of the last delivery to a recipient.
    pub(in crate::correlate) const OF_LAST: [Self; 4] = [Self::Pattern, Self::Delay, Self::Delays, Self::RemoteId];

    /// Returns the tag of the name in a buffer.
    pub(super) const fn tag(self) -> u8 {
        self as u8
    }

    /// Returns the name with this tag.
    pub(super) fn of_tag(tag: u8) -> Option<Self> {
        Self::ALL.get(usize::from(tag)).copied()
    }

    /// Returns true if there can be several values of this name.
    pub(super) const fn is_list(self) -> bool {
        matches!(self, Self::Child | Self::Blocklist)
    }
}
