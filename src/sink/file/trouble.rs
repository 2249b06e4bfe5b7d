//! Routes that cannot be written. The sink sets them aside and continues with the others.
//!
//! A sender chooses the names of routes. A route that cannot be written must therefore not hold up the rest. Its lines
//! wait inside the sink, and the sink retries it once a second. A fault of the route alone is for example a quota, or a
//! directory that may not be entered. It leads to a refusal when it has lasted for ten seconds **and** another route
//! was written since. The disk and the directory of all routes are then not at fault. From then on the route's lines
//! are refused at once, and the route is retried every ten seconds. A fault of the disk or the process never leads to a
//! refusal.
//!
//! While nothing can be written at all, the fault is the sink's, which backs off as a whole.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::{Level, info, warn};

use super::path::Scope;
use crate::throttle::{LineOwner, Throttle};

/// Time between two attempts to write a route that is set aside.
const PAUSE: Duration = Duration::from_secs(1);
/// Time that a fault of one route may last before its lines are refused.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time between two attempts to write a route that is refused.
const REFUSED_PAUSE: Duration = Duration::from_secs(10);
/// Time without a record after which a route is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// The routes of one sink that cannot be written.
#[derive(Debug)]
pub(super) struct Troubles {
    sink: String,
    routes: HashMap<String, Trouble>,
    /// Time when any route was last written.
    worked: Option<Instant>,
    /// Time that a fault of one route may last before its lines are refused.
    pub(super) patience: Duration,
    log: Throttle,
}

#[derive(Debug)]
struct Trouble {
    reason: String,
    scope: Scope,
    since: Instant,
    /// Time when the route is tried again.
    next: Instant,
    /// Time when a record last had this route.
    seen: Instant,
    refused: bool,
    logged: bool,
}

/// Decision on the lines of a route.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RouteDecision {
    /// Try to write the lines.
    Write,
    /// Set the lines aside.
    Wait,
    /// Refuse the lines permanently, for this reason.
    Refuse(String),
}

// === impl Troubles ===

impl Troubles {
    pub(super) fn new(sink: &str) -> Self {
        Self {
            sink: sink.to_owned(),
            routes: HashMap::new(),
            worked: None,
            patience: PATIENCE,
            log: Throttle::new(Level::WARN, LineOwner::Sink(sink.to_owned()), "files that cannot be written"),
        }
    }

    /// Returns what to do with lines of `route` now. `stuck` is true if nothing works.
    pub(super) fn verdict(&mut self, route: &str, stuck: bool, now: Instant) -> RouteDecision {
        let Some(trouble) = self.routes.get_mut(route) else { return RouteDecision::Write };
        trouble.seen = now;
        match trouble {
            _ if stuck || trouble.next <= now => RouteDecision::Write,
            trouble if trouble.refused => RouteDecision::Refuse(trouble.reason.clone()),
            _ => RouteDecision::Wait,
        }
    }

    /// Returns true if a route whose lines wait is to be tried now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.stuck().is_some() || self.routes.values().any(|trouble| !trouble.refused && trouble.next <= now)
    }

    /// Notes that a route could not be written. Returns whether its lines wait or are refused.
    pub(super) fn failed(&mut self, route: &str, reason: &str, scope: Scope, now: Instant) -> RouteDecision {
        let trouble = self.routes.entry(route.to_owned()).or_insert_with(|| Trouble {
            reason: String::new(),
            scope,
            since: now,
            next: now,
            seen: now,
            refused: false,
            logged: false,
        });
        reason.clone_into(&mut trouble.reason);
        trouble.scope = scope;
        let others_work = self.worked.is_some_and(|worked| worked >= trouble.since);
        let lasts = now.duration_since(trouble.since) >= self.patience;
        trouble.refused = scope == Scope::Route && others_work && (lasts || trouble.refused);
        trouble.next = now + if trouble.refused { REFUSED_PAUSE } else { PAUSE };
        if trouble.refused { RouteDecision::Refuse(reason.to_owned()) } else { RouteDecision::Wait }
    }

    /// Notes that a route was written.
    pub(super) fn worked(&mut self, route: &str, now: Instant) {
        self.worked = Some(now);
        if let Some(trouble) = self.routes.remove(route)
            && trouble.logged
        {
            let seconds = now.duration_since(trouble.since).as_secs();
            info!(sink = self.sink, route, seconds, "this file can be written again");
        }
    }

    /// Notes that no line of a route waits any more, though the route was not written. A refused route stays refused.
    pub(super) fn settled(&mut self, route: &str) {
        if self.routes.get(route).is_some_and(|trouble| !trouble.refused) {
            self.routes.remove(route);
        }
    }

    /// Returns the reason why nothing works: that of a route that began to fail after the last successful write. Older
    /// faults concern their routes alone and say nothing about the others.
    pub(super) fn stuck(&self) -> Option<&str> {
        let newer = self.routes.values().filter(|trouble| self.worked.is_none_or(|worked| worked < trouble.since));
        newer.min_by_key(|trouble| trouble.since).map(|trouble| trouble.reason.as_str())
    }

    /// Returns true if more attempts are worthwhile while the program stops. They are not for a fault of one route
    /// alone.
    pub(super) fn may_pass(&self) -> bool {
        self.stuck().is_some() || self.routes.values().any(|trouble| trouble.scope != Scope::Route)
    }

    /// Makes every route due at the next call, because the program stops. With `refuse`, routes with a fault of their
    /// own are refused then.
    pub(super) fn last_attempt(&mut self, now: Instant, refuse: bool) {
        if refuse {
            self.patience = Duration::ZERO;
        }
        self.try_now(now);
    }

    /// Makes every route due at the next call.
    pub(super) fn try_now(&mut self, now: Instant) {
        self.routes.values_mut().for_each(|trouble| trouble.next = now);
    }

    /// Logs a route that is set aside while the others go on, and forgets routes that no record uses. If nothing works,
    /// the worker logs that.
    pub(super) fn tell(&mut self, now: Instant) {
        self.routes.retain(|_, trouble| now.duration_since(trouble.seen) < FORGOTTEN);
        if self.stuck().is_some() {
            return;
        }
        let Some((route, trouble)) = self.routes.iter_mut().find(|(_, trouble)| !trouble.logged) else { return };
        let Some(suppressed) = self.log.pass(now) else { return };
        trouble.logged = true;
        let (sink, reason) = (self.sink.as_str(), trouble.reason.as_str());
        warn!(sink, ?route, suppressed, "{reason}; its records wait, and the sink writes its other files");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(begun: Instant, seconds: u64) -> Instant {
        begun + Duration::from_secs(seconds)
    }

    #[test]
    fn what_concerns_one_route_is_refused_when_others_work() {
        let mut troubles = Troubles::new("test");
        let begun = Instant::now();
        let refuse = || RouteDecision::Refuse("denied".to_owned());
        assert_eq!(troubles.failed("bad", "denied", Scope::Route, begun), RouteDecision::Wait);
        assert_eq!(troubles.stuck(), Some("denied"), "nothing has worked");
        troubles.worked("good", begun);
        assert_eq!(troubles.stuck(), None);
        assert_eq!(troubles.verdict("good", false, begun), RouteDecision::Write);
        assert_eq!(troubles.verdict("bad", false, begun), RouteDecision::Wait);
        assert!(!troubles.is_due(begun) && troubles.is_due(after(begun, 1)));
        assert_eq!(troubles.verdict("bad", false, after(begun, 1)), RouteDecision::Write);
        assert_eq!(troubles.failed("bad", "denied", Scope::Route, after(begun, 9)), RouteDecision::Wait);
        assert_eq!(troubles.failed("bad", "denied", Scope::Route, after(begun, 10)), refuse());
        assert_eq!(troubles.verdict("bad", false, after(begun, 19)), refuse());
        assert_eq!(troubles.verdict("bad", false, after(begun, 20)), RouteDecision::Write, "it may work again");
        assert_eq!(troubles.failed("bad", "denied", Scope::Route, after(begun, 20)), refuse());
        troubles.worked("bad", after(begun, 30));
        assert_eq!(troubles.verdict("bad", false, after(begun, 31)), RouteDecision::Write);
    }

    #[test]
    fn an_only_route_and_a_trouble_of_the_disk_are_never_refused() {
        let mut troubles = Troubles::new("test");
        let begun = Instant::now();
        for seconds in 0..100 {
            let now = after(begun, seconds);
            assert_eq!(troubles.failed("mail.json", "denied", Scope::Route, now), RouteDecision::Wait);
            assert!(troubles.stuck().is_some() && troubles.is_due(now) && troubles.may_pass());
        }
        for seconds in 100..200 {
            troubles.worked("good", after(begun, seconds));
            assert_eq!(troubles.failed("full", "full", Scope::All, after(begun, seconds)), RouteDecision::Wait);
        }
    }

    #[test]
    fn an_old_trouble_of_one_route_does_not_hide_that_nothing_works() {
        let mut troubles = Troubles::new("test");
        let begun = Instant::now();
        troubles.failed("locked", "locked", Scope::All, begun);
        troubles.failed("bad", "denied", Scope::Route, begun);
        troubles.worked("good", after(begun, 10));
        troubles.failed("bad", "denied", Scope::Route, after(begun, 10));
        assert_eq!(troubles.stuck(), None, "the others go on");
        troubles.failed("locked", "locked", Scope::All, after(begun, 11));
        assert_eq!(troubles.stuck(), None);
        troubles.failed("good", "full", Scope::All, after(begun, 12));
        assert_eq!(troubles.stuck(), Some("full"));
        assert_eq!(troubles.verdict("bad", true, after(begun, 12)), RouteDecision::Write);
        troubles.worked("good", after(begun, 20));
        assert_eq!(troubles.stuck(), None);
    }

    #[test]
    fn what_no_record_asks_for_is_forgotten() {
        let mut troubles = Troubles::new("test");
        let begun = Instant::now();
        troubles.failed("bad", "denied", Scope::Route, begun);
        troubles.tell(after(begun, 599));
        assert_eq!(troubles.routes.len(), 1);
        troubles.tell(after(begun, 600));
        assert!(troubles.routes.is_empty());
    }
}
