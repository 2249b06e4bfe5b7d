//! The path `/trace`: the messages that the joins remember, as records or as a page.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::StatusCode;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::AdminQuestion;
use super::client::{self, AskError};
use super::routes::{AdminFailure, AdminState};
use crate::dsn::Language;
use crate::encode::Encoder;
use crate::trace::{HeldStories, HeldTrace, Look, TraceOutput, TraceQuery};

/// Number of traces that a listener makes at a time; the others wait.
const AT_A_TIME: usize = 1;
/// Maximum size of the answers of a listener that its clients have not read yet, in KiB.
const UNREAD: u32 = 48 << 10;
/// Room for an answer while it is made, in KiB. A story more than [`SIZE`] fits.
const ROOM: u32 = 12 << 10;
/// Maximum time for the place of a trace, and for room for its answer.
const WAIT: Duration = Duration::from_secs(10);
/// Maximum time for a search.
const SEARCH: Duration = Duration::from_secs(5);
/// Size of an answer at which no further story is added, in bytes.
const SIZE: usize = 8 << 20;
/// Maximum number of messages.
const MOST: u32 = 1000;
/// Number of messages unless the request names another one.
const USUAL: u32 = 100;
/// Limits of the columns of a page.
const WIDTHS: RangeInclusive<usize> = 20..=1000;

/// Limits of the traces of one listener.
#[derive(Clone, Debug)]
pub(super) struct AnswerLimits {
    /// Places for traces that are being made.
    places: Arc<Semaphore>,
    /// Room for answers, in KiB.
    room: Arc<Semaphore>,
}

/// An answer, with its part of the room.
struct HeldAnswer {
    body: Vec<u8>,
    _room: OwnedSemaphorePermit,
}

/// A request.
struct TraceRequest {
    query: TraceQuery,
    last: usize,
    zone: TimeZone,
    told: TraceOutput,
}

/// The answer, as a client reads it.
#[derive(Debug, Deserialize)]
pub struct TraceAnswer {
    /// Number of messages that match.
    pub matching: usize,
    /// Number of messages that were searched.
    pub searched: usize,
    /// True if a limit has ended the search, or left something out.
    pub cut: bool,
    /// The records of the messages, unless a page was asked for.
    #[serde(default)]
    pub messages: Vec<Box<RawValue>>,
    /// The stories as text, if a page was asked for.
    #[serde(default)]
    pub page: Option<String>,
}

impl Default for AnswerLimits {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_A_TIME)), room: Arc::new(Semaphore::new(UNREAD as usize)) }
    }
}

impl AnswerLimits {
    /// Waits for the place of a trace, and for room for its answer.
    async fn enter(&self) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), AdminFailure> {
        let wait = async |semaphore: &Arc<Semaphore>, permits, busy: &str| {
            let permit = timeout(WAIT, Arc::clone(semaphore).acquire_many_owned(permits)).await;
            permit.ok().and_then(Result::ok).ok_or_else(|| (StatusCode::SERVICE_UNAVAILABLE, busy.to_owned()))
        };
        let place = wait(&self.places, 1, "other traces are being made; try again").await?;
        let room = wait(&self.room, ROOM, "clients do not read their answers; try again in half a minute").await?;
        Ok((place, room))
    }
}

impl HeldAnswer {
    /// Returns an answer that gives back what it does not need of `room` at once, and the rest when a client has it.
    fn new(body: Vec<u8>, mut room: OwnedSemaphorePermit) -> Self {
        let spare = room.num_permits().saturating_sub(body.capacity().div_ceil(1024));
        drop(room.split(spare));
        Self { body, _room: room }
    }
}

impl AsRef<[u8]> for HeldAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

/// Answers a request with these parameters.
pub(super) async fn answer(state: &AdminState, limits: &AnswerLimits, parameters: &str) -> Result<Bytes, AdminFailure> {
    let request = TraceRequest::read(parameters).map_err(|error| (StatusCode::BAD_REQUEST, error))?;
    let (place, room) = limits.enter().await?;
    let Some(joins) = state.ask(AdminQuestion::Joins).await? else {
        let error = "lines are not joined, so no message is remembered; set `enabled` in [correlate], or search log \
                     files: `postrider trace FILE... QUERY`";
        return Err((StatusCode::NOT_FOUND, error.to_owned()));
    };
    let told = spawn_blocking(move || {
        let TraceRequest { query, last, zone, told } = request;
        let until = Instant::now() + SEARCH;
        let stories = HeldTrace { query, zone, last, told, until, bytes: SIZE }.tell(&joins);
        // A reload waits for the end of this use, and another trace for the place.
        drop((joins, place));
        let mut body = write(&stories, told);
        body.shrink_to_fit();
        Bytes::from_owner(HeldAnswer::new(body, room))
    });
    let failed =
        |_| (StatusCode::INTERNAL_SERVER_ERROR, "a defect in Postrider; please report it with its log".to_owned());
    told.await.map_err(failed)
}

/// Returns the answer as JSON. Records stay as they are.
fn write(HeldStories { parts, matching, searched, is_cut }: &HeldStories, told: TraceOutput) -> Vec<u8> {
    let head = json!({ "matching": matching, "searched": searched, "cut": is_cut }).to_string();
    let mut body = head.strip_suffix('}').unwrap_or(&head).as_bytes().to_vec();
    match told {
        TraceOutput::Page(_) => {
            let page = parts.iter().map(|part| String::from_utf8_lossy(part)).collect::<Vec<_>>().join("\n");
            body.extend_from_slice(format!(",\"page\":{}", json!(page)).as_bytes());
        }
        TraceOutput::Records(_) => {
            body.extend_from_slice(b",\"messages\":[");
            for (number, part) in parts.iter().enumerate() {
                body.extend_from_slice(if number > 0 { b",\n" } else { b"\n" });
                body.extend_from_slice(part.trim_ascii_end());
            }
            body.push(b']');
        }
    }
    body.extend_from_slice(b"}\n");
    body
}

impl TraceRequest {
    fn read(parameters: &str) -> Result<Self, String> {
        let (mut query, mut last, mut language, mut zone) = (None, USUAL, Language::default(), TimeZone::system());
        let (mut is_page, mut width, mut has_colours, mut has_unicode) = (false, 100, false, true);
        for (name, value) in form_urlencoded::parse(parameters.as_bytes()) {
            let wrong = |wanted: &str| format!("the parameter `{name}` is {value:?}; write {wanted}");
            let flag = || match &*value {
                "0" => Ok(false),
                "1" => Ok(true),
                _ => Err(wrong("0 or 1")),
            };
            match &*name {
                "q" => query = TraceQuery::new(&value),
                "last" => {
                    let number = value.parse().ok().filter(|last| (1..=MOST).contains(last));
                    last = number.ok_or_else(|| wrong(&format!("a number from 1 to {MOST}")))?;
                }
                "lang" => {
                    language = Language::from_name(&value).ok_or_else(|| wrong(&Language::NAMES.join(" or ")))?;
                }
                "zone" => zone = TimeZone::get(&value).map_err(|_| wrong("a name of the IANA time zone database"))?,
                "page" => is_page = flag()?,
                "width" => {
                    let columns = value.parse().ok().filter(|columns| WIDTHS.contains(columns));
                    width = columns.ok_or_else(|| wrong("a number of columns from 20 to 1000"))?;
                }
                "colours" => has_colours = flag()?,
                "unicode" => has_unicode = flag()?,
                _ => {
                    return Err(format!(
                        "there is no parameter `{name}`; there are q, last, lang, zone, page, width, colours, unicode"
                    ));
                }
            }
        }
        let query = query.ok_or("no query; ask for /trace?q=QUERY, a queue id, a Message-ID or an address")?;
        let look = Look { language, width, has_colours, has_unicode };
        let told = if is_page { TraceOutput::Page(look) } else { TraceOutput::Records(Encoder { language }) };
        Ok(Self { query, last: last as usize, zone, told })
    }
}

/// Asks the daemon at a socket for messages. `zone` is the name of the zone of times on a page; without one, it is that
/// of the daemon.
///
/// # Errors
///
/// The daemon cannot be asked, or refuses the request.
pub fn ask(
    socket: &Path,
    query: &TraceQuery,
    last: u32,
    zone: Option<&str>,
    told: TraceOutput,
) -> Result<TraceAnswer, AskError> {
    let answer = client::ask(socket, &path(query, last, zone, told))?;
    if !answer.status.is_success() {
        return Err(AskError::Refused { path: socket.to_owned(), reason: answer.error() });
    }
    let failed = |error: serde_json::Error| AskError::Answer { path: socket.to_owned(), reason: error.to_string() };
    serde_json::from_slice(&answer.body).map_err(failed)
}

/// Returns the path of a request.
fn path(query: &TraceQuery, last: u32, zone: Option<&str>, told: TraceOutput) -> String {
    let mut parameters = form_urlencoded::Serializer::new(String::from("/trace?"));
    parameters.append_pair("q", query.text()).append_pair("last", &last.to_string());
    if let Some(zone) = zone {
        parameters.append_pair("zone", zone);
    }
    let flag = |is: bool| if is { "1" } else { "0" };
    match told {
        TraceOutput::Records(Encoder { language }) => _ = parameters.append_pair("lang", language.name()),
        TraceOutput::Page(Look { language, width, has_colours, has_unicode }) => {
            parameters.append_pair("lang", language.name()).append_pair("page", "1");
            parameters.append_pair("width", &width.clamp(*WIDTHS.start(), *WIDTHS.end()).to_string());
            parameters.append_pair("colours", flag(has_colours)).append_pair("unicode", flag(has_unicode));
        }
    }
    parameters.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_that_nobody_reads_have_their_room() {
        let limits = AnswerLimits::default();
        let mut unread = Vec::new();
        for _ in 0..UNREAD / ROOM {
            let (_, room) = limits.enter().await.unwrap();
            unread.push(Bytes::from_owner(HeldAnswer::new(vec![b'x'; (ROOM as usize) << 10], room)));
        }
        let (status, error) = limits.enter().await.unwrap_err();
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(error.starts_with("clients do not read"), "{error}");
        // A part of an answer that is still to be written keeps all of it.
        let rest = unread.pop().unwrap().split_off(100);
        assert!(limits.enter().await.is_err());
        drop(rest);
        assert!(limits.enter().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_short_answer_leaves_room_for_others() {
        let limits = AnswerLimits::default();
        let mut unread = Vec::new();
        for _ in 0..100 {
            let (_, room) = limits.enter().await.unwrap();
            unread.push(HeldAnswer::new(vec![b'x'; 2000], room));
        }
        assert_eq!(limits.room.available_permits(), UNREAD as usize - 200);
        drop(unread);
        assert_eq!(limits.room.available_permits(), UNREAD as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trace_waits_for_the_one_before() {
        let limits = AnswerLimits::default();
        let (place, _room) = limits.enter().await.unwrap();
        let (status, error) = limits.enter().await.unwrap_err();
        assert!(status == StatusCode::SERVICE_UNAVAILABLE && error.starts_with("other traces"), "{error}");
        drop(place);
        assert!(limits.enter().await.is_ok());
    }
}
