//! The sessions of a history: those of smtpd, and those that postscreen ended.

use std::collections::{BTreeMap, BTreeSet};

use postrider::record::{Endpoint, Record, SessionSummary};
use testkit::mail::{MailHistory, MailLineKind, MailScreening, MailSession, MailVerdict};

use super::micros;

/// Time from the last line of postscreen to the first one of smtpd within which they are joined. This has some seconds
/// to spare.
const HANDED_OVER: i64 = 12_000_000;

/// A summary of a session.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ToldSession {
    pub(super) hostname: String,
    instance: String,
    program: String,
    client: Option<(Option<String>, Option<String>, Option<u16>)>,
    server: Option<String>,
    helo: Option<String>,
    has_tls: bool,
    sasl: Option<String>,
    sasl_failures: u32,
    verdicts: BTreeMap<&'static str, u32>,
    queue_ids: BTreeSet<String>,
    tests: Vec<&'static str>,
    rank: Option<i64>,
    blocklists: Vec<String>,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    ended_by: &'static str,
    incomplete: bool,
}

impl ToldSession {
    pub(super) fn of(record: &Record<'_>, summary: &SessionSummary<'_>) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let postfix = record.postfix.as_ref().expect("a summary");
        let client = |client: Endpoint<'_>| (text(client.name), text(client.ip), client.port);
        Self {
            hostname: record.message.hostname.unwrap_or_default().to_owned(),
            instance: postfix.instance.to_owned(),
            program: postfix.daemon.unwrap_or_default().to_owned(),
            client: summary.client.map(client),
            server: summary.server.and_then(|server| text(server.ip)),
            helo: text(summary.helo),
            has_tls: summary.tls.is_some(),
            sasl: text(summary.sasl.username),
            sasl_failures: summary.sasl_failures,
            verdicts: summary.verdicts.iter().copied().collect(),
            queue_ids: summary.queue_ids.iter().map(|id| (*id).to_owned()).collect(),
            tests: summary.postscreen.to_vec(),
            rank: summary.dnsbl_rank,
            blocklists: summary.blocklists.iter().map(|domain| (*domain).to_owned()).collect(),
            started_at: summary.started_at.map(micros),
            ended_at: summary.ended_at.map(micros),
            ended_by: summary.ended_by.name(),
            incomplete: summary.incomplete,
        }
    }

    fn is_of(&self, history: &MailHistory, instance: usize) -> bool {
        let instance = &history.instances[instance];
        self.hostname == instance.hostname && self.instance == instance.name
    }

    /// Returns true if it is a session that postscreen ended, with this client.
    fn is_of_client(&self, history: &MailHistory, truth: &MailScreening) -> bool {
        let client = (None, Some(truth.ip.clone()), Some(truth.port));
        self.is_of(history, truth.instance) && self.program == "postscreen" && self.client.as_ref() == Some(&client)
    }
}

/// Asserts that each session is told as it was.
pub(super) fn assert_sessions(history: &MailHistory, sessions: &[ToldSession]) {
    for truth in &history.sessions {
        assert_session(history, truth, sessions);
    }
    let ended: Vec<_> = history.screenings.iter().filter(|truth| truth.ended_by.is_some()).collect();
    for truth in &ended {
        let own = |told: &&ToldSession| told.is_of_client(history, truth) && told.started_at == Some(truth.started_at);
        let told = sessions.iter().find(own).unwrap_or_else(|| panic!("nothing of {truth:#?}\n{sessions:#?}"));
        assert_screening(truth, told);
    }
    assert_eq!(sessions.len(), history.sessions.len() + ended.len());
}

fn assert_session(history: &MailHistory, truth: &MailSession, sessions: &[ToldSession]) {
    let client = (truth.client.name.clone(), Some(truth.client.ip.clone()), None);
    let told = sessions.iter().find(|told| {
        told.is_of(history, truth.instance)
            && told.program == "smtpd"
            && told.started_at == Some(truth.started_at)
            && told.ended_at == Some(truth.ended_at)
            && told.client.as_ref() == Some(&client)
    });
    let told = told.unwrap_or_else(|| panic!("nothing of {truth:#?}\n{sessions:#?}"));
    let what = || format!("{truth:#?}\n{told:#?}");
    assert!(!told.incomplete);
    assert_eq!(told.ended_by, truth.ended_by.name(), "{}", what());
    assert_eq!(told.sasl_failures, truth.sasl_failures, "{}", what());
    assert_eq!(told.sasl, truth.sasl.as_ref().map(|sasl| sasl.username.clone()), "{}", what());
    assert_eq!(told.verdicts, by_action(&truth.verdicts), "{}", what());
    let ids: BTreeSet<_> = truth.messages.iter().map(|message| history.messages[*message].queue_id.clone()).collect();
    assert_eq!(told.queue_ids, ids, "{}", what());
    match truth.screening.map(|screening| &history.screenings[screening]) {
        Some(screening) if is_single(history, truth, screening) => {
            assert_eq!(told.tests, screening.tests, "{}", what());
            assert_eq!(told.server.as_ref(), Some(&screening.server), "{}", what());
            assert_eq!((told.rank, &told.blocklists), (None, &owned(&screening.blocklists)), "{}", what());
        }
        Some(screening) => assert!(told.tests.is_empty() || told.tests == screening.tests, "{}", what()),
        None => assert!(told.tests.is_empty() && told.server.is_none(), "{}", what()),
    }
}

/// Returns true if postscreen had no other connection of the client at the time when it passed this one on.
fn is_single(history: &MailHistory, session: &MailSession, screening: &MailScreening) -> bool {
    let is_other = |one: &&MailScreening| {
        (one.instance, &one.ip) == (screening.instance, &screening.ip) && one.started_at != screening.started_at
    };
    let is_near =
        |one: &MailScreening| one.started_at <= session.started_at && one.ended_at >= session.started_at - HANDED_OVER;
    !history.screenings.iter().filter(is_other).any(is_near)
}

/// Asserts that a session that postscreen ended is told as it was.
fn assert_screening(truth: &MailScreening, told: &ToldSession) {
    let what = || format!("{truth:#?}\n{told:#?}");
    assert!(!told.incomplete, "{}", what());
    assert_eq!(told.ended_at, Some(truth.ended_at), "{}", what());
    assert_eq!(Some(told.ended_by), truth.ended_by, "{}", what());
    assert_eq!(told.server.as_ref(), Some(&truth.server), "{}", what());
    assert_eq!((&told.tests, told.rank), (&truth.tests, truth.rank), "{}", what());
    assert_eq!(told.blocklists, owned(&truth.blocklists), "{}", what());
    assert_eq!((told.helo.as_deref(), told.has_tls), (truth.helo, truth.tls.is_some()), "{}", what());
    assert_eq!(told.verdicts, by_action(&truth.verdicts), "{}", what());
}

/// Asserts that what is told of sessions of which some lines are lost is true, and that what is not whole says so.
pub(super) fn assert_no_wrong_sessions(
    history: &MailHistory,
    sessions: &[ToldSession],
    is_lost: &dyn Fn(usize) -> bool,
) {
    let lost = |line: &usize| is_lost(*line);
    let disconnects: BTreeSet<_> = (0..history.lines.len())
        .filter(lost)
        .filter(|line| history.lines[*line].kind == MailLineKind::Disconnect)
        .filter_map(|line| history.lines[line].session)
        .collect();
    for told in sessions.iter().filter(|told| told.program == "smtpd") {
        let is_it =
            |truth: &&MailSession| told.is_of(history, truth.instance) && told.started_at == Some(truth.started_at);
        let Some(index) = history.sessions.iter().position(|truth| is_it(&truth)) else { continue };
        let truth = &history.sessions[index];
        // Without the lines between them, two sessions of one client may look as one.
        if !disconnects.contains(&index) {
            assert_part_of_session(history, truth, told);
        }
        let screening = truth.screening.map(|screening| &history.screenings[screening]);
        if screening.is_none_or(|screening| is_single(history, truth, screening)) {
            assert_part_of(screening, told);
        }
    }
    for (index, truth) in history.screenings.iter().enumerate() {
        let own = history.lines.iter().enumerate().filter(|(_, line)| line.screening == Some(index));
        let lost = own.filter(|(line, _)| is_lost(*line)).map(|(_, line)| (line.program, line.kind));
        let lost: Vec<_> = lost.filter(|(program, _)| *program == "postscreen").map(|(_, kind)| kind).collect();
        let others =
            |one: &MailScreening| one.instance == truth.instance && (&one.ip, one.port) == (&truth.ip, truth.port);
        if history.screenings.iter().filter(|one| others(one)).count() > 1 {
            continue;
        }
        let told: Vec<_> = sessions.iter().filter(|told| told.is_of_client(history, truth)).collect();
        assert!(told.len() <= usize::from(truth.ended_by.is_some()), "{truth:#?}\n{told:#?}");
        let Some(told) = told.first() else { continue };
        assert_part_of(Some(truth), told);
        if lost.iter().any(|kind| matches!(kind, MailLineKind::Connect | MailLineKind::Disconnect)) {
            assert!(told.incomplete, "without {lost:?}: {truth:#?}\n{told:#?}");
        }
    }
}

/// Asserts that a summary has nothing that did not happen in its session.
fn assert_part_of_session(history: &MailHistory, truth: &MailSession, told: &ToldSession) {
    let what = || format!("{truth:#?}\n{told:#?}");
    assert_eq!((told.ended_at, told.incomplete), (Some(truth.ended_at), false), "{}", what());
    let ids: BTreeSet<_> = truth.messages.iter().map(|message| history.messages[*message].queue_id.clone()).collect();
    assert!(told.queue_ids.is_subset(&ids), "{}", what());
    let sasl = truth.sasl.as_ref().map(|sasl| &sasl.username);
    assert!(told.sasl.is_none() || told.sasl.as_ref() == sasl, "{}", what());
    assert!(told.sasl_failures <= truth.sasl_failures, "{}", what());
    assert!(!told.has_tls || truth.tls.is_some(), "{}", what());
    let counts = by_action(&truth.verdicts);
    assert!(told.verdicts.iter().all(|(action, count)| counts.get(action) >= Some(count)), "{}", what());
}

/// Asserts that a summary has nothing that postscreen did not see.
fn assert_part_of(truth: Option<&MailScreening>, told: &ToldSession) {
    let what = || format!("{truth:#?}\n{told:#?}");
    assert!(told.tests.iter().all(|test| truth.is_some_and(|truth| truth.tests.contains(test))), "{}", what());
    assert!(told.server.is_none() || told.server.as_ref() == truth.map(|truth| &truth.server), "{}", what());
    assert!(told.rank.is_none() || told.rank == truth.and_then(|truth| truth.rank), "{}", what());
    let is_true = |domain: &String| truth.is_some_and(|truth| truth.blocklists.contains(&&**domain));
    assert!(told.blocklists.iter().all(is_true), "{}", what());
}

fn by_action(verdicts: &[MailVerdict]) -> BTreeMap<&'static str, u32> {
    let mut counts = BTreeMap::new();
    for verdict in verdicts {
        *counts.entry(verdict.action).or_default() += 1;
    }
    counts
}

fn owned(domains: &[&str]) -> Vec<String> {
    domains.iter().map(|domain| (*domain).to_owned()).collect()
}
