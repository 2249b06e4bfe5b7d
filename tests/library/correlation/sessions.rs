//! The sessions of a history: those of smtpd, and those that postscreen ended.

use std::collections::{BTreeMap, BTreeSet};

use postrider::record::{Endpoint, Record, SessionSummary};
use testkit::mail::{MailHistory, MailLineKind, MailScreening, MailSession, MailVerdict};

use super::claims::{Checked, Claims, Fault};
use super::story::{TlsTold, micros, text, tls};
use super::truth::tls_of;

/// Time from the last line of postscreen to the first one of smtpd within which they are joined. This has some seconds
/// to spare.
const HANDED_OVER: i64 = 12_000_000;
/// Time in which smtpd looks for the name of a client, before its first line of the session.
const LOOKED_UP: i64 = 1_000_000;

/// A summary of a session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SessionTold {
    pub(super) hostname: String,
    instance: String,
    service: String,
    program: String,
    pub(super) last_seen: i64,
    pub(super) client: Option<(Option<String>, Option<String>, Option<u16>)>,
    server: Option<String>,
    helo: Option<String>,
    proto: Option<String>,
    tls: TlsTold,
    sasl: Option<String>,
    sasl_failures: u32,
    /// The counts of the commands, as logged.
    commands: Option<String>,
    verdicts: BTreeMap<&'static str, u32>,
    queue_ids: BTreeSet<String>,
    tests: Vec<&'static str>,
    rank: Option<i64>,
    blocklists: Vec<String>,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    ended_by: &'static str,
    pub(super) incomplete: bool,
}

impl SessionTold {
    pub(super) fn of(record: &Record<'_>, summary: &SessionSummary<'_>) -> Self {
        let postfix = record.postfix.as_ref().expect("a summary");
        let client = |client: Endpoint<'_>| (text(client.name), text(client.ip), client.port);
        Self {
            hostname: record.message.hostname.unwrap_or_default().to_owned(),
            instance: postfix.instance.to_owned(),
            service: postfix.service.unwrap_or_default().to_owned(),
            program: postfix.daemon.unwrap_or_default().to_owned(),
            last_seen: micros(record.timestamp()),
            client: summary.client.map(client),
            server: summary.server.and_then(|server| text(server.ip)),
            helo: text(summary.helo),
            proto: text(summary.proto),
            tls: summary.tls.as_ref().map(tls),
            sasl: text(summary.sasl.username),
            sasl_failures: summary.sasl_failures,
            commands: summary.commands.map(|commands| commands.0.to_owned()),
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

    /// Returns true if the same is told. If the client had several connections to postscreen, it depends on the time at
    /// which a line comes whether it is clear which of them smtpd got.
    pub(super) fn is_same(&self, other: &Self, history: &MailHistory) -> bool {
        let is_it = |truth: &&MailSession| {
            self.is_of(history, truth.instance)
                && self.service == truth.service
                && self.started_at == Some(truth.started_at)
        };
        let truth = history.sessions.iter().find(is_it);
        let of_screening = truth.and_then(|truth| Some((truth, &history.screenings[truth.screening?])));
        let may_differ = self.tests.is_empty() || other.tests.is_empty();
        let may_differ = may_differ && of_screening.is_some_and(|(truth, one)| !is_single(history, truth, one));
        self == other || may_differ && self.without_screening() == other.without_screening()
    }

    fn without_screening(&self) -> Self {
        Self { server: None, tests: Vec::new(), rank: None, blocklists: Vec::new(), ..self.clone() }
    }

    /// Returns true if it is a session that postscreen ended, with this client.
    fn is_of_client(&self, history: &MailHistory, truth: &MailScreening) -> bool {
        let client = (None, Some(truth.ip.clone()), Some(truth.port));
        self.is_of(history, truth.instance) && self.program == "postscreen" && self.client.as_ref() == Some(&client)
    }
}

/// Checks that each session is told as it was.
pub(super) fn check_sessions(history: &MailHistory, sessions: &[SessionTold]) -> Checked {
    for truth in &history.sessions {
        check_session(history, truth, sessions)?;
    }
    let ended: Vec<_> = history.screenings.iter().filter(|truth| truth.ended_by.is_some()).collect();
    for truth in &ended {
        let own = |told: &&SessionTold| told.is_of_client(history, truth) && told.started_at == Some(truth.started_at);
        let about = format!("client of postscreen at {}", truth.started_at);
        match sessions.iter().find(own) {
            Some(told) => check_screening(history, &about, truth, told)?,
            None => return Err(missing(about, truth, sessions)),
        }
    }
    let all = Claims { about: "sessions", what: &|| format!("{sessions:#?}") };
    all.equal("count", &sessions.len(), &(history.sessions.len() + ended.len()))
}

fn missing(about: String, truth: &dyn std::fmt::Debug, sessions: &[SessionTold]) -> Fault {
    Fault { about, field: "missing", text: format!("{truth:#?}\n{sessions:#?}") }
}

fn check_session(history: &MailHistory, truth: &MailSession, sessions: &[SessionTold]) -> Checked {
    let about = format!("session of {} at {}", truth.pid, truth.started_at);
    let told = sessions.iter().find(|told| {
        told.is_of(history, truth.instance)
            && told.program == "smtpd"
            && (told.started_at, told.ended_at) == (Some(truth.started_at), Some(truth.ended_at))
    });
    let Some(told) = told else { return Err(missing(about, truth, sessions)) };
    let claims = Claims { about: &about, what: &|| format!("{truth:#?}\n{told:#?}") };
    let expected = SessionTold {
        hostname: told.hostname.clone(),
        instance: told.instance.clone(),
        service: truth.service.to_owned(),
        program: told.program.clone(),
        last_seen: truth.ended_at,
        client: Some(client(truth)),
        helo: truth.helo.clone(),
        proto: truth.proto.map(str::to_owned),
        tls: tls_of(truth.tls),
        sasl: truth.sasl.as_ref().map(|sasl| sasl.username.clone()),
        sasl_failures: truth.sasl_failures,
        commands: Some(commands(truth)),
        verdicts: by_action(&truth.verdicts),
        queue_ids: queue_ids(history, truth),
        // The facts of postscreen come below.
        server: told.server.clone(),
        tests: told.tests.clone(),
        rank: told.rank,
        blocklists: told.blocklists.clone(),
        started_at: Some(truth.started_at),
        ended_at: Some(truth.ended_at),
        ended_by: truth.ended_by.name(),
        incomplete: false,
    };
    claims.equal("session", told, &expected)?;
    match truth.screening.map(|screening| &history.screenings[screening]) {
        Some(screening) if is_single(history, truth, screening) => {
            claims.equal("postscreen", &told.tests, &screening.tests)?;
            claims.equal("server", &told.server.as_ref(), &Some(&screening.server))?;
            claims.equal("blocklists", &(told.rank, &told.blocklists), &(None, &listings(history, screening)))
        }
        Some(screening) => claims.holds("postscreen", told.tests.is_empty() || told.tests == screening.tests),
        None => claims.holds("postscreen", told.tests.is_empty() && told.server.is_none()),
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

/// Checks that a session that postscreen ended is told as it was.
fn check_screening(history: &MailHistory, about: &str, truth: &MailScreening, told: &SessionTold) -> Checked {
    let claims = Claims { about, what: &|| format!("{truth:#?}\n{told:#?}") };
    claims.holds("incomplete", !told.incomplete)?;
    claims.equal("ended_at", &told.ended_at, &Some(truth.ended_at))?;
    claims.equal("ended_by", &Some(told.ended_by), &truth.ended_by)?;
    claims.equal("server", &told.server.as_ref(), &Some(&truth.server))?;
    claims.equal("postscreen", &(&told.tests, told.rank), &(&truth.tests, truth.rank))?;
    claims.equal("blocklists", &told.blocklists, &listings(history, truth))?;
    claims.equal("helo", &(told.helo.as_deref(), told.tls.is_some()), &(truth.helo, truth.tls.is_some()))?;
    claims.equal("verdicts", &told.verdicts, &by_action(&truth.verdicts))
}

/// Checks that what is told of sessions of which some lines are lost is true, and that what is not whole says so.
pub(super) fn check_some_sessions(history: &MailHistory, sessions: &[SessionTold], is_kept: &[bool]) -> Checked {
    let lines = history.lines.iter().zip(is_kept);
    let lost = lines.filter(|(line, is_kept)| line.kind == MailLineKind::Disconnect && !**is_kept);
    let unended = lost.filter_map(|(line, _)| line.session).collect();
    for told in sessions.iter().filter(|told| told.program == "smtpd") {
        check_part_of_session(history, told, &unended)?;
    }
    for (index, truth) in history.screenings.iter().enumerate() {
        let others =
            |one: &MailScreening| one.instance == truth.instance && (&one.ip, one.port) == (&truth.ip, truth.port);
        if history.screenings.iter().filter(|one| others(one)).count() > 1 {
            continue;
        }
        let own = history.lines.iter().zip(is_kept).filter(|(line, _)| line.screening == Some(index));
        let lost = own.filter(|(line, is_kept)| !**is_kept && line.program == "postscreen").map(|(line, _)| line.kind);
        let lost: Vec<_> = lost.collect();
        let told: Vec<_> = sessions.iter().filter(|told| told.is_of_client(history, truth)).collect();
        let about = format!("client of postscreen at {}", truth.started_at);
        let claims = Claims { about: &about, what: &|| format!("without {lost:?}: {truth:#?}\n{told:#?}") };
        claims.holds("count", told.len() <= usize::from(truth.ended_by.is_some()))?;
        let Some(told) = told.first() else { continue };
        claims.holds("postscreen", is_part_of(history, Some(truth), told))?;
        if lost.iter().any(|kind| matches!(kind, MailLineKind::Connect | MailLineKind::Disconnect)) {
            claims.holds("incomplete", told.incomplete)?;
        }
    }
    Ok(())
}

/// Some session of smtpd can be the one that is told. `unended` has those whose last lines are lost.
fn check_part_of_session(history: &MailHistory, told: &SessionTold, unended: &BTreeSet<usize>) -> Checked {
    // Without the lines between them, two sessions of one process with one client look as one.
    let may_go_on = |index: &usize| {
        let truth = &history.sessions[*index];
        told.is_of(history, truth.instance)
            && (told.service == truth.service && told.client == Some(client(truth)))
            && truth.ended_at <= told.last_seen
    };
    if unended.iter().any(may_go_on) {
        return Ok(());
    }
    let is_near = |truth: &&MailSession| {
        let span = truth.started_at - LOOKED_UP..=truth.ended_at;
        told.is_of(history, truth.instance) && told.service == truth.service && span.contains(&told.last_seen)
    };
    let near = || history.sessions.iter().filter(is_near);
    let about = format!("session at {}", told.last_seen);
    let what = || format!("{told:#?}\n{:#?}", near().collect::<Vec<_>>());
    Claims { about: &about, what: &what }.holds("session", near().any(|truth| is_part_of_session(history, truth, told)))
}

/// Returns true if a summary has nothing that did not happen in a session.
fn is_part_of_session(history: &MailHistory, truth: &MailSession, told: &SessionTold) -> bool {
    let agrees = |told: Option<i64>, truth: i64| told.is_none_or(|told| told == truth);
    let verdicts = by_action(&truth.verdicts);
    let screening = truth.screening.map(|screening| &history.screenings[screening]);
    agrees(told.started_at, truth.started_at)
        && agrees(told.ended_at, truth.ended_at)
        && (told.client.is_none() || told.client == Some(client(truth)))
        && (told.sasl.is_none() || told.sasl.as_ref() == truth.sasl.as_ref().map(|sasl| &sasl.username))
        && told.sasl_failures <= truth.sasl_failures
        && (told.helo.is_none() || told.helo == truth.helo)
        && (told.proto.is_none() || told.proto.as_deref() == truth.proto)
        && (told.tls.is_none() || told.tls == tls_of(truth.tls))
        && told.commands.as_ref().is_none_or(|told| *told == commands(truth))
        && told.verdicts.iter().all(|(action, count)| verdicts.get(action) >= Some(count))
        && told.queue_ids.is_subset(&queue_ids(history, truth))
        && ["unknown", truth.ended_by.name()].contains(&told.ended_by)
        && (told.incomplete || (told.started_at.is_some() && told.ended_at.is_some()))
        && (screening.is_some_and(|screening| !is_single(history, truth, screening))
            || is_part_of(history, screening, told))
}

/// Returns true if a summary has nothing that postscreen did not see.
fn is_part_of(history: &MailHistory, truth: Option<&MailScreening>, told: &SessionTold) -> bool {
    let listings = truth.map_or(Vec::new(), |truth| listings(history, truth));
    told.tests.iter().all(|test| truth.is_some_and(|truth| truth.tests.contains(test)))
        && (told.server.is_none() || told.server.as_ref() == truth.map(|truth| &truth.server))
        && (told.rank.is_none() || told.rank == truth.and_then(|truth| truth.rank))
        && told.blocklists.iter().all(|domain| listings.contains(domain))
}

fn client(truth: &MailSession) -> (Option<String>, Option<String>, Option<u16>) {
    (truth.client.name.clone(), Some(truth.client.ip.clone()), None)
}

fn queue_ids(history: &MailHistory, truth: &MailSession) -> BTreeSet<String> {
    truth.messages.iter().map(|message| history.messages[*message].queue_id.clone()).collect()
}

fn commands(truth: &MailSession) -> String {
    let sum = truth.commands.iter().fold((0, 0), |(ok, all), command| (ok + command.1, all + command.2));
    let counts = truth.commands.iter().copied().chain([("commands", sum.0, sum.1)]).map(|(name, ok, all)| {
        if ok == all && all > 0 { format!("{name}={ok}") } else { format!("{name}={ok}/{all}") }
    });
    counts.collect::<Vec<_>>().join(" ")
}

fn by_action(verdicts: &[MailVerdict]) -> BTreeMap<&'static str, u32> {
    let mut counts = BTreeMap::new();
    for verdict in verdicts {
        *counts.entry(verdict.action).or_default() += 1;
    }
    counts
}

/// Returns the block lists that had the client while postscreen had this connection of it. An answer is one for all
/// connections of the client: dnsblog logs the address alone.
fn listings(history: &MailHistory, truth: &MailScreening) -> Vec<String> {
    let is_same = |one: &MailScreening| (one.instance, &one.ip) == (truth.instance, &truth.ip);
    let mut domains = Vec::new();
    for line in history.lines.iter().filter(|line| line.kind == MailLineKind::Dnsbl) {
        let during = (truth.started_at..=truth.ended_at).contains(&line.at);
        if during && line.screening.is_some_and(|screening| is_same(&history.screenings[screening])) {
            let domain = line.body.split(' ').nth(5).expect("a domain").to_owned();
            if !domains.contains(&domain) {
                domains.push(domain);
            }
        }
    }
    domains
}
