//! The path `/trace`: the messages that the joins remember, as records or as a page.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::AdminQuestion;
use super::client::{self, AskError};
use super::routes::{AdminFailure, AdminState};
use crate::dsn::Language;
use crate::encode::Encoder;
use crate::trace::{HeldStories, HeldTrace, Look, TraceOutput, TraceQuery};

/// Number of traces that are made at a time; the others wait.
pub(super) const AT_A_TIME: usize = 1;
/// Maximum time for the place of a trace.
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

/// Answers a request with these parameters.
pub(super) async fn answer(state: &AdminState, parameters: &str) -> Result<Vec<u8>, AdminFailure> {
    let request = TraceRequest::read(parameters).map_err(|error| (StatusCode::BAD_REQUEST, error))?;
    let busy = || (StatusCode::SERVICE_UNAVAILABLE, "other traces are being made; try again".to_owned());
    let place = timeout(WAIT, Arc::clone(&state.traces).acquire_owned()).await.ok().and_then(Result::ok);
    let place = place.ok_or_else(busy)?;
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
        write(&stories, told)
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
