//! The plan of a history: hosts, instances, and how much mail they get.

use fastrand::Rng;

/// Settings of a history.
#[derive(Clone, Debug)]
pub struct MailPlan {
    /// The instances. Mail is relayed only to an instance behind its own in this list.
    pub instances: Vec<MailInstance>,
    /// Number of connections and local submissions.
    pub arrivals: u32,
    /// Share of local submissions among the arrivals, in percent.
    pub local_share: u32,
    /// Time of the first arrival, in microseconds since 1970.
    pub start: i64,
    /// Duration of the arrivals in microseconds.
    pub duration: i64,
    /// Duration in microseconds after which an undelivered message is returned.
    pub queue_lifetime: i64,
}

/// One Postfix instance on one host.
#[derive(Clone, Debug)]
pub struct MailInstance {
    /// Name of the host in the header of a line.
    pub hostname: String,
    /// Address of the host.
    pub ip: String,
    /// `syslog_name`: `postfix`, `postfix-out`.
    pub name: &'static str,
    /// Number of the release 3.N.
    pub release: u8,
    /// `enable_long_queue_ids`.
    pub long_ids: bool,
    /// True if postscreen looks at the clients of its service `smtp`.
    pub postscreen: bool,
    /// True if all mail goes through a content filter, and comes back over SMTP.
    pub filter: bool,
    /// Index of the instance to which it relays a part of its mail.
    pub relay: Option<usize>,
    /// Address that gets a copy of each message (`always_bcc`).
    pub always_bcc: Option<String>,
}

impl MailPlan {
    /// Returns one to three hosts with one or two instances each, and `arrivals` connections and submissions.
    pub fn random(rng: &mut Rng, arrivals: u32) -> Self {
        let mut instances = Vec::new();
        for host in 0..rng.usize(1..=3) {
            let names = if rng.bool() { &["postfix"][..] } else { &["postfix", "postfix-out"] };
            instances.extend(names.iter().map(|name| MailInstance::random(rng, host, name)));
        }
        let count = instances.len();
        for (index, instance) in instances.iter_mut().enumerate() {
            instance.relay = (index + 1 < count && rng.u32(..3) > 0).then(|| rng.usize(index + 1..count));
        }
        let minute = 60_000_000;
        Self {
            instances,
            arrivals,
            local_share: 14,
            // 2026-11-23T00:00:00Z and up to a day later.
            start: 1_795_392_000_000_000 + rng.i64(0..1440 * minute),
            duration: (i64::from(arrivals) * rng.i64(200_000..4_000_000)).max(minute),
            queue_lifetime: minute * [120, 360, 1440][rng.usize(..3)],
        }
    }
}

impl MailInstance {
    fn random(rng: &mut Rng, host: usize, name: &'static str) -> Self {
        Self {
            hostname: format!("mx{}.example.com", host + 1),
            ip: format!("192.0.2.{}", host + 1),
            name,
            release: rng.u8(7..=10),
            long_ids: rng.bool(),
            postscreen: rng.bool(),
            filter: rng.u32(..3) == 0,
            relay: None,
            always_bcc: (rng.u32(..4) == 0).then(|| "archive@example.com".to_owned()),
        }
    }
}
