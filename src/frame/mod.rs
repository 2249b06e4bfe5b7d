//! The `frame` stage: bytes to [`Frame`]s (RFC 6587). It knows neither sockets nor syslog.

/// One message as the transport framed it: without its length prefix or delimiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'b> {
    /// The bytes, at most the limit.
    pub bytes: &'b [u8],
    /// Whether bytes are missing at its end: it was over the limit, or the stream ended inside of it.
    pub truncated: bool,
}

/// How messages are told apart on a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Decided at each frame start; see [`Framer`].
    #[default]
    Auto,
    /// `MSG-LEN SP MSG` (RFC 6587, section 3.4.1).
    OctetCounting,
    /// Each message ends with LF, or CR LF (RFC 6587, section 3.4.2).
    Lf,
    /// Each message ends with NUL.
    Nul,
}
