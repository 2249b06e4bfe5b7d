//! The lines of one process, or of one connection, until their session is over.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::line::{LineKind, SessionLine, keep_texts};
use super::{JoinedSession, Screening, SessionContext, SmtpdConnection, add_once};
use crate::correlate::fields::{Fields, FieldsRef, KeptField};
use crate::correlate::hash::KeyedHash;
use crate::correlate::line::{JoinLine, is_rough};
use crate::correlate::tls::KeptTls;
use crate::record::Event;

/// Maximum number of lines that are kept of a session. Further lines are missing in the summary.
const LINES: usize = 2000;
/// Maximum number of messages of which one late line corrects what is known of their sessions, the last ones.
const CORRECTED: usize = 64;
/// Maximum memory for texts that is kept between two sessions, in bytes.
const IDLE_TEXTS: usize = 1024;
/// Maximum number of lines for which memory is kept between two sessions.
const IDLE_LINES: usize = 16;

/// The lines of a process of smtpd, or of a connection to postscreen, until its session is over.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::correlate) struct SessionLines {
    /// Service and program: `submission/smtpd`.
    program: Box<str>,
    lines: Vec<SessionLine>,
    /// Texts of the lines, one after the other.
    texts: Fields,
    /// Time of the end of its last session, of which no more lines count, and the prints of its lines of that time.
    ended: i64,
    last: Vec<u64>,
    /// True if a line was not kept.
    is_cut: bool,
    /// Memory of TLS connections in bytes.
    held_by_tls: usize,
}

/// A line that was added to those of its process or connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::correlate) struct AddedLine {
    /// True if it ends a session.
    pub(in crate::correlate) is_end: bool,
    /// True if it may be a repeated line.
    pub(in crate::correlate) is_repeat: bool,
}

impl SessionLines {
    /// Returns the memory that the lines hold, in bytes.
    pub(in crate::correlate) const fn held(&self) -> usize {
        let lines = self.lines.capacity() * size_of::<SessionLine>() + self.last.capacity() * size_of::<u64>();
        size_of::<Self>() + lines + self.texts.held() + self.held_by_tls
    }

    /// Adds a line. Returns `None` if it is a repeated one, too late, or one too many. `room` is for its texts.
    pub(in crate::correlate) fn add(
        &mut self,
        line: &JoinLine<'_, '_>,
        hash: KeyedHash,
        room: &mut Fields,
    ) -> Option<AddedLine> {
        let (print, kind) = (line.hash(hash), LineKind::of(&line.postfix.event));
        if line.at < self.ended || self.last.contains(&print) {
            return None;
        }
        let is_repeat = self.lines.iter().any(|known| known.print == print);
        if is_repeat && !self.may_be_another(line.at, print, kind) {
            return None;
        }
        if self.lines.len() >= LINES && !kind.is_end() {
            self.is_cut = true;
            return None;
        }
        let tls = match &line.postfix.event {
            Event::Tls(summary) => Some(KeptTls::of(&summary.tls, room).into()),
            _ => None,
        };
        room.clear();
        keep_texts(line, room);
        let new = SessionLine { at: line.at, print, kind, texts: self.texts.extend(room.as_ref()), tls, is_repeat };
        self.held_by_tls += new.held();
        self.lines.push(new);
        Some(AddedLine { is_end: kind.is_end(), is_repeat })
    }

    /// Returns true if a line with the text of a known one can be of another session: a client may begin two within one
    /// second, and many logs have no fractions of it. If only repeated lines come of the second, there was none.
    fn may_be_another(&self, at: i64, print: u64, kind: LineKind) -> bool {
        let start = self.lines.iter().rposition(|line| line.kind.is_end()).map_or(0, |end| end + 1);
        let session = &self.lines[start..];
        // A warning about the name of the client stands before the connection.
        let first = session.iter().find(|line| line.kind != LineKind::Other).map(|line| line.kind);
        let is_next = match kind {
            LineKind::Connect => first.is_none(),
            // A queue id is of one message.
            LineKind::Client => false,
            LineKind::Other if first.is_none() => true,
            // A client can be lost in each of its sessions.
            _ if kind.is_end() || kind.lost_by().is_some() => first == Some(LineKind::Connect),
            // A line that comes again behind a message, or another new line, is of the session before.
            _ => {
                let begins = |kind| matches!(kind, LineKind::Connect | LineKind::Other);
                let is_at_start = session.iter().all(|line| line.is_repeat || begins(line.kind));
                first == Some(LineKind::Connect) && is_at_start
            }
        };
        is_rough(at) && is_next && session.iter().all(|line| line.print != print)
    }

    /// Returns the texts of a line.
    fn texts_of(&self, line: &SessionLine) -> FieldsRef<'_> {
        self.texts.part(&line.texts)
    }

    /// Returns what the lines of a session say of its client until the message with this queue id began, at the time
    /// `at`. `ip` is the address of the client.
    pub(in crate::correlate) fn context(&self, queue_id: &str, at: i64, ip: Option<&str>) -> SessionContext<'_> {
        let place = self.lines.iter().rposition(|line| line.at == at && self.opens(line) == Some(queue_id));
        let (start, end) = self.bounds(at, place.unwrap_or(self.lines.len()));
        // The lines between two sessions may be missing.
        let is_of_client = |line: &SessionLine| {
            let known = self.texts_of(line).value(KeptField::ClientIp);
            known.is_none() || ip.is_none() || known == ip.map(str::as_bytes)
        };
        let is_own = |(place, line): &(usize, &SessionLine)| {
            line.at <= at && (line.at, *place) >= start && (line.at, *place) < end && is_of_client(line)
        };
        let own = || self.lines.iter().enumerate().filter(is_own).map(|(_, line)| line);
        // Only verdicts have the greeting.
        let greeted = || own().filter(|line| line.kind.is_verdict());
        let text = |field| greeted().find_map(|line| self.texts_of(line).get(field));
        SessionContext {
            helo: text(KeptField::Helo),
            proto: text(KeptField::Proto),
            tls: own().filter(|line| line.tls.is_some()).max_by_key(|line| line.at).and_then(|line| line.tls.as_ref()),
        }
    }

    /// Returns the time and the place at which the session begins that has a line of the time `at` at `place`, and
    /// those at which another one begins. Lines of one time are in the order in which they came: many logs have no
    /// fractions of a second.
    fn bounds(&self, at: i64, place: usize) -> ((i64, usize), (i64, usize)) {
        let (mut start, mut has_connect) = ((i64::MIN, 0), false);
        for (other, line) in self.lines.iter().enumerate().filter(|(other, line)| (line.at, *other) < (at, place)) {
            let is_connect = line.kind == LineKind::Connect;
            // A connection is of the session that it begins.
            let bound = (line.at, other + usize::from(!is_connect));
            if (is_connect || line.kind.is_end()) && bound > start {
                (start, has_connect) = (bound, is_connect);
            }
        }
        // Without a connection, its own may have come late.
        let is_end = |line: &SessionLine| line.kind.is_end() || has_connect && line.kind == LineKind::Connect;
        let behind = self.lines.iter().enumerate().skip(place + 1);
        let end = behind.filter(|(_, line)| line.at == at && is_end(line)).map(|(other, _)| (at, other)).next();
        (start, end.unwrap_or((i64::MAX, 0)))
    }

    /// Returns the queue id of the message that a line begins.
    fn opens(&self, line: &SessionLine) -> Option<&str> {
        if line.kind == LineKind::Client { self.texts_of(line).get(KeptField::Child) } else { None }
    }

    /// Returns the messages whose lines came before a line of the time `at`, and that it may be about nevertheless:
    /// queue id, time of the line, and address of the client. A line that begins or ends a session (`bounds`) tells
    /// nothing of a message that began at the same time.
    pub(in crate::correlate) fn opened_after(
        &self,
        at: i64,
        bounds: bool,
    ) -> impl Iterator<Item = (&str, i64, Option<&str>)> {
        let is_later = move |line: &&SessionLine| line.at > at || line.at == at && !bounds;
        let later = self.lines.iter().rev().filter(is_later);
        later
            .filter_map(|line| Some((self.opens(line)?, line.at, self.texts_of(line).get(KeptField::ClientIp))))
            .take(CORRECTED)
    }

    /// Takes the earliest session if one is over, and sets `texts` to what its lines say. It has an end, unless another
    /// one began before the next end.
    pub(in crate::correlate) fn take_session(&mut self, texts: &mut Fields) -> Option<JoinedSession> {
        self.lines.sort_by_key(|line| line.at);
        let end = self.lines.iter().position(|line| line.kind.is_end())?;
        let next = [self.next_connect(), self.next_client(end)].into_iter().flatten().min();
        if let Some(next) = next.filter(|next| *next <= end) {
            return Some(self.take(next, texts));
        }
        self.end_at(self.lines[end].at, end + 1);
        Some(self.take(end + 1, texts))
    }

    /// Takes the earliest session, or what is there of it.
    pub(in crate::correlate) fn take_rest(&mut self, texts: &mut Fields) -> Option<JoinedSession> {
        self.take_session(texts).or_else(|| {
            let next = self.lines.len().checked_sub(1).and_then(|last| self.next_client(last));
            let lines = self.next_connect().into_iter().chain(next).min().unwrap_or(self.lines.len());
            (lines > 0).then(|| self.take(lines, texts))
        })
    }

    /// Returns the place of the second connection, the lines being in order. A warning about the name of the client
    /// stands before the first.
    fn next_connect(&self) -> Option<usize> {
        let first = self.lines.iter().position(|line| line.kind != LineKind::Other)?;
        let next = self.lines.iter().skip(first + 1).position(|line| line.kind == LineKind::Connect)?;
        Some(first + 1 + next)
    }

    /// Returns the place of the first line about another client than that before it, if the session that ends at `end`
    /// has one client. A proxy tells the client with XCLIENT.
    fn next_client(&self, end: usize) -> Option<usize> {
        let lines = &self.lines[..=end];
        if self.texts_of(&lines[end]).get(KeptField::Commands).is_some_and(|commands| commands.contains("xclient=")) {
            return None;
        }
        let ip = |line| self.texts_of(line).value(KeptField::ClientIp);
        let first = lines.iter().find_map(ip)?;
        lines.iter().position(|line| ip(line).is_some_and(|ip| ip != first))
    }

    /// Sets the service and program, unless they are known.
    pub(in crate::correlate) fn name(&mut self, program: &str) {
        if self.program.is_empty() {
            self.program = program.into();
        }
    }

    /// Returns the service in the tag of its lines.
    pub(in crate::correlate) fn service(&self) -> Option<&str> {
        self.program.rsplit_once('/').map(|(service, _)| service)
    }

    pub(in crate::correlate) const fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Returns the number of lines that end a session.
    pub(in crate::correlate) fn ends(&self) -> usize {
        self.lines.iter().filter(|line| line.kind.is_end()).count()
    }

    /// Returns true if postscreen refused the client, or the client left it: smtpd does not get it.
    pub(in crate::correlate) fn is_refused(&self) -> bool {
        let is_refusal = |kind: LineKind| kind.is_end() || kind.is_verdict() || kind.lost_by().is_some();
        self.lines.iter().any(|line| is_refusal(line.kind))
    }

    /// Returns the times of the first line and the last.
    pub(in crate::correlate) fn span(&self) -> Option<(i64, i64)> {
        let times = || self.lines.iter().map(|line| line.at);
        times().min().zip(times().max())
    }

    /// Forgets the lines of a session that goes on elsewhere. No more lines of their time count.
    pub(in crate::correlate) fn forget(&mut self) {
        self.end_at(self.span().map_or(self.ended, |(_, last)| last), self.lines.len());
        self.remove(0..self.lines.len());
    }

    /// Returns the time of the last line of sessions that are over.
    pub(in crate::correlate) const fn ended(&self) -> i64 {
        self.ended
    }

    /// Adds what postscreen saw of each client that connected to smtpd until the time `until`, as `hand_over` gives it.
    pub(in crate::correlate) fn screen(
        &mut self,
        until: i64,
        mut hand_over: impl FnMut(&SmtpdConnection<'_>) -> Option<Screening>,
    ) {
        let mut place = 0;
        let service = self.program.rsplit_once('/').map(|(service, _)| service);
        while let Some(line) = self.lines.get(place) {
            place += 1;
            // Sorting by time keeps them side by side.
            let is_known = self.lines.get(place).is_some_and(|next| next.kind == LineKind::Screened);
            if line.kind != LineKind::Connect || line.at > until || is_known {
                continue;
            }
            let at = line.at;
            let client = self.texts_of(line).client();
            let ip = client.and_then(|client| client.ip);
            let port = client.and_then(|client| client.port);
            let screening = ip.and_then(|ip| hand_over(&SmtpdConnection { at, service, ip, port }));
            let Screening { tests, texts } = screening.unwrap_or_default();
            // They come from no line of the process.
            let line = |kind, texts| SessionLine { at, print: 0, kind, texts, tls: None, is_repeat: false };
            let tests = tests.into_iter().map(|test| line(LineKind::Test(test), 0..0));
            let lines = std::iter::once(line(LineKind::Screened, self.texts.extend(texts.as_ref()))).chain(tests);
            self.lines.splice(place..place, lines);
        }
    }

    /// Returns what the lines of postscreen say of a client that smtpd gets.
    pub(in crate::correlate) fn screening(&self) -> Screening {
        let mut lines: Vec<_> = self.lines.iter().collect();
        lines.sort_by_key(|line| line.at);
        let mut screening = Screening::default();
        for line in lines {
            if let LineKind::Test(test) = line.kind {
                add_once(&mut screening.tests, test);
            }
            let texts = self.texts_of(line);
            for field in [KeptField::ServerIp, KeptField::ServerPort, KeptField::DnsblRank] {
                screening.texts.set(field, texts.get(field));
            }
        }
        screening
    }

    fn take(&mut self, lines: usize, texts: &mut Fields) -> JoinedSession {
        texts.clear();
        texts.set(KeptField::Program, Some(&*self.program).filter(|program| !program.is_empty()));
        let mut session = JoinedSession {
            first_seen: self.lines.first().map_or(0, |line| line.at),
            is_cut: std::mem::take(&mut self.is_cut),
            // Lines about postscreen are not those of the process.
            is_repeat: self.lines[..lines].iter().all(|line| line.is_repeat || line.print == 0),
            ..JoinedSession::default()
        };
        for line in &self.lines[..lines] {
            session.add(line);
            texts.merge(self.texts_of(line));
        }
        self.remove(0..lines);
        session
    }

    /// Ends a session of the first lines. No more lines count of the time before it, and of that time only others than
    /// those that came.
    fn end_at(&mut self, at: i64, lines: usize) {
        if at != self.ended {
            self.last.clear();
        }
        self.ended = at;
        let room = LINES.saturating_sub(self.last.len());
        self.last.extend(self.lines[..lines].iter().filter(|line| line.at == at).map(|line| line.print).take(room));
    }

    /// Removes lines with their texts.
    fn remove(&mut self, lines: Range<usize>) {
        self.held_by_tls -= self.lines.drain(lines).map(|line| line.held()).sum::<usize>();
        self.lines.shrink_to(IDLE_LINES);
        let is_large = self.texts.held() > IDLE_TEXTS;
        if !is_large && self.lines.is_sorted_by_key(|line| line.texts.start) {
            let mut end = 0;
            for line in &mut self.lines {
                line.texts = self.texts.move_part(&line.texts, end);
                end = line.texts.end;
            }
            self.texts.truncate(end);
            return;
        }
        let mut texts = Fields::with_room(self.lines.iter().map(|line| line.texts.len()).sum());
        for line in &mut self.lines {
            line.texts = texts.extend(self.texts.part(&line.texts));
        }
        self.texts = texts;
    }
}
