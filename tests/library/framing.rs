//! The `frame` stage as a connection uses it: the frames of a stream must not depend on how it is cut into reads.

use std::ops::Range;
use std::time::{Duration, Instant};

use postrider::frame::{Frame, Framer, Framing, Step};
use proptest::collection::vec;
use proptest::prelude::*;

const FRAMINGS: [Framing; 4] = [Framing::Auto, Framing::OctetCounting, Framing::Lf, Framing::Nul];

/// A frame that outlives its buffer.
#[derive(Clone, PartialEq, Eq)]
struct Owned {
    bytes: Vec<u8>,
    truncated: bool,
}

impl Owned {
    /// The frame of a message that has `len` bytes where it was sent, of which `message` arrived.
    fn new(message: &[u8], len: usize, max: usize) -> Self {
        let bytes = message[..message.len().min(max)].to_vec();
        Self { truncated: bytes.len() < len, bytes }
    }

    fn whole(message: &[u8]) -> Self {
        Self { bytes: message.to_vec(), truncated: false }
    }
}

impl std::fmt::Debug for Owned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "\"{}\"{}", self.bytes.escape_ascii(), if self.truncated { "..." } else { "" })
    }
}

/// A connection as its task sees it: reads go behind what the framer has not consumed.
struct Connection {
    framer: Framer,
    buffer: Vec<u8>,
    /// Number of bytes of the stream before the buffer.
    consumed: usize,
    frames: Vec<Owned>,
    /// Place of each frame in the stream, in bytes.
    places: Vec<Range<usize>>,
}

impl Connection {
    fn new(framing: Framing, max: usize) -> Self {
        let framer = Framer::new(framing, max);
        Self { framer, buffer: Vec::new(), consumed: 0, frames: Vec::new(), places: Vec::new() }
    }

    fn read(&mut self, chunk: &[u8]) {
        assert!(self.buffer.len() < self.framer.max_buffer(), "a full buffer was not worked on");
        self.buffer.extend_from_slice(chunk);
        let mut at = 0;
        loop {
            match self.framer.next(&self.buffer[at..]) {
                Step::Frame { frame, consumed } => {
                    assert!(consumed > 0, "no progress");
                    assert!(!frame.bytes.is_empty(), "an empty frame");
                    let start = self.consumed + offset(&self.buffer, frame.bytes);
                    self.places.push(start..start + frame.bytes.len());
                    self.frames.push(Owned { bytes: frame.bytes.to_vec(), truncated: frame.truncated });
                    at += consumed;
                }
                Step::More { consumed } => {
                    at += consumed;
                    break;
                }
            }
        }
        assert_eq!(self.framer.next(&self.buffer[at..]), Step::More { consumed: 0 }, "it asks for bytes that it has");
        self.buffer.drain(..at);
        self.consumed += at;
    }

    fn close(&mut self) {
        if let Some(frame) = self.framer.finish(&self.buffer) {
            assert!(!frame.bytes.is_empty(), "an empty frame");
            let start = self.consumed + offset(&self.buffer, frame.bytes);
            self.places.push(start..start + frame.bytes.len());
            self.frames.push(Owned { bytes: frame.bytes.to_vec(), truncated: frame.truncated });
        }
    }
}

/// Returns the offset of `part` in `whole`, in bytes.
fn offset(whole: &[u8], part: &[u8]) -> usize {
    part.as_ptr() as usize - whole.as_ptr() as usize
}

fn frames<'c>(framing: Framing, max: usize, chunks: impl IntoIterator<Item = &'c [u8]>) -> Vec<Owned> {
    let mut connection = Connection::new(framing, max);
    let mut sent = 0;
    for chunk in chunks {
        connection.read(chunk);
        sent += chunk.len();
    }
    assert_eq!(connection.consumed + connection.buffer.len(), sent, "bytes were consumed twice or never");
    connection.close();
    connection.frames
}

/// `input` in pieces of the given lengths, over and over.
fn cut<'c>(input: &'c [u8], lengths: &[usize]) -> Vec<&'c [u8]> {
    let mut rest = input;
    let mut chunks = Vec::new();
    for &length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (chunk, behind) = rest.split_at(length.min(rest.len()));
        chunks.push(chunk);
        rest = behind;
    }
    chunks
}

/// The rules once more, for a whole stream and without a care for speed.
mod rules {
    use super::*;

    pub(super) fn frames(framing: Framing, max: usize, input: &[u8]) -> Vec<Owned> {
        match framing {
            Framing::Auto => counted_or_text(false, max, input),
            Framing::OctetCounting => counted_or_text(true, max, input),
            Framing::Lf => delimited(b'\n', &[b"\r"], max, input),
            Framing::Nul => delimited(0, &[b"\r\n", b"\n"], max, input),
        }
    }

    fn delimited(delimiter: u8, line_ends: &[&[u8]], max: usize, input: &[u8]) -> Vec<Owned> {
        input
            .split(|byte| *byte == delimiter)
            .map(|text| without(text, line_ends))
            .filter(|message| !message.is_empty())
            .map(|message| Owned::new(message, message.len(), max))
            .collect()
    }

    fn counted_or_text(mut counting: bool, max: usize, input: &[u8]) -> Vec<Owned> {
        let mut frames = Vec::new();
        let mut rest = input;
        while let Some(stray) = rest.iter().position(|byte| !b" \r\n\0".contains(byte)) {
            rest = &rest[stray..];
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let number = (1..=9).contains(&digits) && rest[0] != b'0';
            match &rest[digits..] {
                [b' ', message @ ..] if number && !message.is_empty() && (counting || message[0] == b'<') => {
                    counting = true;
                    let len: usize = String::from_utf8_lossy(&rest[..digits]).parse().unwrap();
                    let (message, behind) = message.split_at(len.min(message.len()));
                    frames.push(Owned::new(message, len, max));
                    rest = behind;
                }
                b"" | b" " if number && counting => {
                    frames.push(Owned { truncated: true, ..Owned::new(rest, rest.len(), max) });
                    break;
                }
                _ => {
                    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                    let message = without(&rest[..end], &[b"\0\r", b"\r", b"\0"]);
                    frames.push(Owned::new(message, message.len(), max));
                    rest = &rest[end..];
                }
            }
        }
        frames
    }

    fn without<'t>(text: &'t [u8], ends: &[&[u8]]) -> &'t [u8] {
        ends.iter().find_map(|end| text.strip_suffix(*end)).unwrap_or(text)
    }
}

/// Streams with many kinds of frames on one connection, each with its framing and limit, and the frames in it; `...` at
/// the end of one marks it as truncated.
const CORPUS: &[(Framing, usize, &[u8], &[&str])] = &[
    (
        Framing::Auto,
        200,
        b"<22>Mar  1 12:00:00 mx postfix/qmgr[1]: 3F2A9: removed\n\
          54 <22>Mar  1 12:00:01 mx postfix/qmgr[1]: 3F2AA: removed\
          54 <22>Mar  1 12:00:02 mx postfix/qmgr[1]: 3F2AB: removed\n\
          <22>1 2026-03-01T12:00:03Z mx postfix/smtp 7 - - no count\r\n\
          \r\n \
          42 <22>1 2026-03-01T12:00:04Z mx a 7 - - \xc3\xa9\n\0\n\
          <22>the last",
        &[
            "<22>Mar  1 12:00:00 mx postfix/qmgr[1]: 3F2A9: removed",
            "<22>Mar  1 12:00:01 mx postfix/qmgr[1]: 3F2AA: removed",
            "<22>Mar  1 12:00:02 mx postfix/qmgr[1]: 3F2AB: removed",
            "<22>1 2026-03-01T12:00:03Z mx postfix/smtp 7 - - no count",
            "<22>1 2026-03-01T12:00:04Z mx a 7 - - \\xc3\\xa9\\n\\x00",
            "<22>the last",
        ],
    ),
    (
        Framing::Auto,
        12,
        b"250 2.0.0 Ok\n\
          251 2.0.0 Ok!\r\n\
          29 <13>over the limit\n5 <13>fake<14>ok\n\
          <13>over the limit 5 <13>fake\n\
          2000000010 <13>\n\
          7 <13>a\nb12 <13>01234567\
          3 abc0 <13>0\n\
          41 <13>the end",
        &[
            "250 2.0.0 Ok",
            "251 2.0.0 Ok...",
            "<13>over the...",
            "<14>ok",
            "<13>over the...",
            "2000000010 <...",
            "<13>a\\nb",
            "<13>01234567",
            "abc",
            "0 <13>0",
            "<13>the end...",
        ],
    ),
    (
        Framing::OctetCounting,
        12,
        b" 6 monkey\n\
          <13>no count\n\
          08 <13>abcd\n\
          23 <13>over the limit\nfake8 <13>next\n\
          1234567890 is no count\n\
          5 <13>a\r\n\0 5 <13>b\n\
          17 ",
        &[
            "monkey",
            "<13>no count",
            "08 <13>abcd",
            "<13>over the...",
            "<13>next",
            "1234567890 i...",
            "<13>a",
            "<13>b",
            "17 ...",
        ],
    ),
    (
        Framing::Lf,
        12,
        b"5 <13>a\n\n\r\n  indented\r\n<13>over the limit\n12\n<13>\0in it\0\n<13>01234567\r\n<13>01234567\r",
        &["5 <13>a", "  indented", "<13>over the...", "12", "<13>\\x00in it\\x00", "<13>01234567", "<13>01234567"],
    ),
    (
        Framing::Nul,
        12,
        b"5 <13>a\0\0\n\0<13>b\nc\n\0<13>over the limit\n12\0 d\r\n\0<13>01234567\r\n\0<13>e",
        &["5 <13>a", "<13>b\\nc", "<13>over the...", " d", "<13>01234567", "<13>e"],
    ),
];

#[test]
fn the_corpus_has_the_same_frames_at_every_cut() {
    for (framing, max, input, expected) in CORPUS {
        let check = |chunks: &[&[u8]]| {
            let shown: Vec<_> = frames(*framing, *max, chunks.iter().copied())
                .iter()
                .map(|frame| format!("{}{}", frame.bytes.escape_ascii(), if frame.truncated { "..." } else { "" }))
                .collect();
            let lengths: Vec<_> = chunks.iter().map(|chunk| chunk.len()).collect();
            assert_eq!(shown, *expected, "{framing:?} in reads of {lengths:?}");
        };
        check(&[input]);
        for size in 1..40 {
            check(&cut(input, &[size]));
        }
        for at in 0..=input.len() {
            let (head, tail) = input.split_at(at);
            check(&[head, tail]);
            check(&[head, b"", tail]);
        }
    }
}

#[test]
fn a_stream_that_ends_anywhere_keeps_all_frames_before_that() {
    for (framing, max, input, _) in CORPUS {
        for end in 0..input.len() {
            let input = &input[..end];
            assert_eq!(frames(*framing, *max, [input]), rules::frames(*framing, *max, input), "{framing:?} to {end}");
        }
    }
}

fn framing() -> impl Strategy<Value = Framing> {
    proptest::sample::select(&FRAMINGS[..])
}

/// A stream made of the pieces that decide something.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    const MARKS: [&[u8]; 7] = [b"\n", b"\r\n", b"\0", b"\r", b" ", b"<", b"<13>"];
    let piece = prop_oneof![
        4 => proptest::sample::select(&MARKS[..]).prop_map(<[u8]>::to_vec),
        2 => (0_u32..30).prop_map(|count| format!("{count} <").into_bytes()),
        1 => (0_u32..30).prop_map(|count| format!("{count} ").into_bytes()),
        1 => "[0-9]{1,12}( <)?".prop_map(String::into_bytes),
        1 => "[a-z<]{1,8}".prop_map(String::into_bytes),
        1 => vec(any::<u8>(), 1..4),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

fn lengths() -> impl Strategy<Value = Vec<usize>> {
    vec(prop_oneof![3 => 1_usize..8, 1 => 8_usize..200], 1..10)
}

/// Checks the bytes between the frames of an LF stream: line ends, and before those the tail of a frame that was cut.
fn check_gap(gap: &[u8], behind_truncated: bool) -> Result<(), TestCaseError> {
    let line_ends = if behind_truncated {
        let tail = gap.iter().position(|byte| *byte == b'\n').unwrap_or(gap.len());
        prop_assert!(tail > 0, "nothing was cut off");
        &gap[tail..]
    } else {
        gap
    };
    for line in line_ends.split(|byte| *byte == b'\n') {
        prop_assert!(matches!(line, b"" | b"\r"), "lost: {}", gap.escape_ascii());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_stream_in_any_reads_follows_the_rules(
        framing in framing(), max in 1_usize..24, input in stream(), lengths in lengths()
    ) {
        let expected = rules::frames(framing, max, &input);
        prop_assert_eq!(&frames(framing, max, [&input[..]]), &expected, "in one read");
        prop_assert_eq!(&frames(framing, max, input.chunks(1)), &expected, "in single bytes");
        prop_assert_eq!(&frames(framing, max, cut(&input, &lengths)), &expected, "in reads of {:?}", lengths);
    }

    #[test]
    fn random_bytes_do_no_harm(
        framing in framing(), max in 0_usize..100, input in vec(any::<u8>(), 0..2000), lengths in lengths()
    ) {
        let cut_frames = frames(framing, max, cut(&input, &lengths));
        prop_assert!(cut_frames.iter().all(|frame| frame.bytes.len() <= max.max(1)));
        prop_assert_eq!(cut_frames, frames(framing, max, [&input[..]]));
    }

    #[test]
    fn every_byte_of_an_lf_stream_is_accounted_for(max in 1_usize..24, input in stream(), lengths in lengths()) {
        let mut connection = Connection::new(Framing::Lf, max);
        for chunk in cut(&input, &lengths) {
            connection.read(chunk);
        }
        connection.close();
        let mut end = 0;
        let mut truncated = false;
        for (frame, place) in connection.frames.iter().zip(&connection.places) {
            prop_assert_eq!(&frame.bytes[..], &input[place.clone()]);
            check_gap(&input[end..place.start], truncated)?;
            end = place.end;
            truncated = frame.truncated;
        }
        check_gap(&input[end..], truncated)?;
    }

    #[test]
    fn counted_messages_come_back(messages in vec(vec(any::<u8>(), 1..50), 0..20), lengths in lengths()) {
        let expected: Vec<_> = messages.iter().map(|message| Owned::whole(message)).collect();
        let input: Vec<u8> = messages.iter().flat_map(|message| counted(message)).collect();
        prop_assert_eq!(frames(Framing::OctetCounting, 50, cut(&input, &lengths)), expected);
    }

    #[test]
    fn lf_messages_come_back(messages in vec(message(b'\n', b"\r"), 0..20), lengths in lengths()) {
        let expected: Vec<_> = messages.iter().map(|message| Owned::whole(message)).collect();
        for end in ["\n", "\r\n"] {
            let input: Vec<u8> = messages.iter().flat_map(|message| [message, end.as_bytes()].concat()).collect();
            prop_assert_eq!(frames(Framing::Lf, 50, cut(&input, &lengths)), expected.clone());
        }
    }

    #[test]
    fn nul_messages_come_back(messages in vec(message(0, b"\r\n"), 0..20), lengths in lengths()) {
        let expected: Vec<_> = messages.iter().map(|message| Owned::whole(message)).collect();
        for end in ["\0", "\n\0", "\r\n\0"] {
            let input: Vec<u8> = messages.iter().flat_map(|message| [message, end.as_bytes()].concat()).collect();
            prop_assert_eq!(frames(Framing::Nul, 50, cut(&input, &lengths)), expected.clone());
        }
    }

    #[test]
    fn mixed_messages_come_back(
        messages in vec((message(b'\n', b"\r\0"), 0_usize..4), 0..20), lengths in lengths()
    ) {
        let mut input = Vec::new();
        let mut expected = Vec::new();
        for (text, kind) in &messages {
            let message = [b"<13>", &text[..]].concat();
            match kind {
                0 => input.extend(counted(&message)),
                1 => input.extend([&counted(&message)[..], b"\n"].concat()),
                2 => input.extend([&message[..], b"\n"].concat()),
                _ => input.extend([b" ", &message[..], b"\r\n"].concat()),
            }
            expected.push(Owned::whole(&message));
        }
        prop_assert_eq!(frames(Framing::Auto, 54, cut(&input, &lengths)), expected);
    }
}

fn counted(message: &[u8]) -> Vec<u8> {
    [message.len().to_string().as_bytes(), b" ", message].concat()
}

/// A message of 1 to 50 bytes without `delimiter` in it, and without any of `ends` at its end.
fn message(delimiter: u8, ends: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 1..50).prop_map(move |mut message| {
        message.retain(|byte| *byte != delimiter);
        message.truncate(message.iter().rposition(|byte| !ends.contains(byte)).map_or(0, |last| last + 1));
        if message.is_empty() { vec![b'x'] } else { message }
    })
}

/// Feeds `input` in reads of `size` bytes without copying it, and without a check that takes time.
fn feed(framing: Framing, max: usize, input: &[u8], size: usize) {
    let mut framer = Framer::new(framing, max);
    let mut begin = 0;
    for end in (size..=input.len()).step_by(size) {
        loop {
            let step = framer.next(&input[begin..end]);
            let (Step::Frame { consumed, .. } | Step::More { consumed }) = step;
            begin += consumed;
            if matches!(step, Step::More { .. }) {
                break;
            }
        }
    }
    framer.finish(&input[begin..]);
}

#[test]
fn time_is_linear() {
    // The larger limit is above the input: a search that began anew with each read would look at half a terabyte.
    const SIZE: usize = 1 << 20;
    for pattern in ["\n", "\r", "\0", " ", "0", "1", "x", "1 <", "x\n", "999999999 <"] {
        let input: Vec<u8> = pattern.bytes().cycle().take(SIZE).collect();
        for framing in FRAMINGS {
            for (size, max) in [(1, 16), (1, 2 * SIZE), (64 << 10, 16), (64 << 10, 2 * SIZE)] {
                let start = Instant::now();
                feed(framing, max, &input, size);
                let took = start.elapsed();
                assert!(took < Duration::from_secs(8), "{pattern:?} {framing:?} by {size}, limit {max}: {took:?}");
            }
        }
    }
}

#[test]
fn a_huge_count_allocates_nothing() {
    let mut connection = Connection::new(Framing::Auto, 8192);
    connection.read(b"999999999 <13>");
    let chunk = vec![b'x'; 1 << 16];
    for _ in 0..100 {
        connection.read(&chunk);
        assert!(connection.buffer.len() <= connection.framer.max_buffer());
    }
    assert_eq!(connection.frames.len(), 1);
    assert!(connection.buffer.is_empty());
}

#[test]
fn a_datagram_is_cut_and_flagged() {
    assert_eq!(Frame::datagram(b"<13>text\n", 8), Frame { bytes: b"<13>text", truncated: false });
    assert_eq!(Frame::datagram(b"<13>text\n", 7), Frame { bytes: b"<13>tex", truncated: true });
    assert!(Frame::datagram(b"\n", 7).bytes.is_empty());
}
