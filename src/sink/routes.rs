//! The limit on the distinct routes (files or topics) of one sink: a sender chooses their names.
//!
//! Each route in use has a place. A route that was not used for an hour is evicted when another needs the place. While
//! no place is free, records of further routes go to the common route: the template with `others` in the place of every
//! placeholder, for example `others/others.json` for `{hostname}/{date}.json`. Such records lose their own route, and
//! nothing else. A sender that calls itself `others` has the common route too, which harms nobody.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tracing::{Level, warn};

use crate::template::Template;
use crate::throttle::{LineOwner, Throttle};

/// Time without use after which a route may be evicted.
const IDLE: Duration = Duration::from_secs(3600);

/// The routes of one sink that are in use.
#[derive(Debug)]
pub(crate) struct Routes {
    sink: String,
    /// Maximum number of distinct routes, without the common one.
    most: usize,
    common: String,
    /// Time when each route was last used.
    used: HashMap<Box<str>, Instant>,
    /// Time before which no route can be evicted.
    full_until: Option<Instant>,
    log: Throttle,
}

// === impl Routes ===

impl Routes {
    /// Makes the routes of the sink `sink` that `template` gives, at most `most`.
    pub(crate) fn new(sink: &str, template: &Template, most: usize) -> Self {
        Self {
            sink: sink.to_owned(),
            most,
            common: template.common(),
            used: HashMap::new(),
            full_until: None,
            log: Throttle::new(
                Level::WARN,
                LineOwner::Sink(sink.to_owned()),
                "records with names beyond max_routes, sent to the common file or topic",
            ),
        }
    }

    /// Returns the route of the records whose own route has no place.
    pub(crate) fn common(&self) -> &str {
        &self.common
    }

    /// Returns true if `route` has a place, or gets one. Otherwise its records go to [`Self::common`], and the caller
    /// tells [`Self::diverted`] how many.
    pub(crate) fn admit(&mut self, route: &str, now: Instant) -> bool {
        if route == self.common {
            return true;
        }
        if let Some(used) = self.used.get_mut(route) {
            *used = now;
            return true;
        }
        if self.used.len() >= self.most && !self.make_place(now) {
            return false;
        }
        self.used.insert(route.into(), now);
        true
    }

    /// Counts records of `route` that go to the common route, and logs the first of a burst.
    pub(crate) fn diverted(&self, route: &str, records: u64, now: Instant) {
        let Some(suppressed) = self.log.pass_with(records, now) else { return };
        let (sink, most, common) = (self.sink.as_str(), self.most, self.common.as_str());
        warn!(
            sink,
            records,
            suppressed,
            ?route,
            "more than max_routes = {most} names in one hour: records with further names go to {common}; if the names \
             are right, raise max_routes"
        );
    }

    /// Evicts idle routes; returns true if a place is free. It looks at all routes only when one may have become idle.
    fn make_place(&mut self, now: Instant) -> bool {
        if self.full_until.is_some_and(|until| now < until) {
            return false;
        }
        self.used.retain(|_, used| now.duration_since(*used) < IDLE);
        self.full_until = self.used.values().min().map(|oldest| *oldest + IDLE);
        self.used.len() < self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(most: usize) -> Routes {
        Routes::new("test", &Template::parse("{hostname}/{date}.json").unwrap(), most)
    }

    #[test]
    fn the_first_have_a_place_and_further_ones_have_none() {
        let mut routes = routes(2);
        let now = Instant::now();
        let admitted = ["a", "b", "c", "a", "others/others.json", "d", "b"].map(|route| routes.admit(route, now));
        assert_eq!(admitted, [true, true, false, true, true, false, true]);
        assert_eq!(routes.common(), "others/others.json");
    }

    #[test]
    fn an_idle_route_gives_its_place_to_another() {
        let mut routes = routes(2);
        let begun = Instant::now();
        let mut admit = |route: &str, minutes: u64| routes.admit(route, begun + Duration::from_secs(60 * minutes));
        assert!(admit("a", 0) && admit("b", 0) && !admit("c", 1));
        assert!(admit("a", 30) && !admit("c", 59), "both were used within the hour");
        assert!(admit("c", 60), "b was not");
        assert!(!admit("b", 61) && admit("a", 61));
        assert!(admit("a", 120) && !admit("b", 119) && admit("b", 120), "c was not used again");
    }

    #[test]
    fn a_flood_of_names_takes_no_memory_and_is_counted_to_the_last() {
        let mut routes = routes(100);
        let now = Instant::now();
        let mut diverted = 0;
        for n in 0..100_000 {
            let route = format!("host-{n}");
            if !routes.admit(&route, now) {
                routes.diverted(&route, 1, now);
                diverted += 1;
            }
        }
        assert_eq!((routes.used.len(), diverted), (100, 99_900));
        assert_eq!(routes.log.suppressed(), 99_899, "the first line told of one");
    }
}
