//! The plan for the file descriptors: how many each part needs, and how many are left for peers and followed files.

use std::fmt;
use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::admin;
use crate::config::{AdminConfig, Config, SinkConfig, SourceFacts};
use crate::source::Descriptors;

/// Descriptors of the program itself: the standard streams, the runtime, signals, and the socket of the service
/// manager. Some files are open for a moment: the configuration, TLS files, a cursor.
const PROGRAM: usize = 32;
/// Descriptors of dead letters: the file and, for a moment, its directory.
const DEAD_LETTERS: usize = 2;
/// Descriptors of a spool: the segments that are written and read, the cursor, the lock, the directory, and a damaged
/// segment that is copied to quarantine.
const SPOOL: usize = 8;
/// Minimum number of open files for a source that follows files to make progress.
const LEAST_FILES: usize = 8;

/// Distribution of the permitted descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    permitted: usize,
    /// Descriptors for everything except connections and followed files.
    reserve: usize,
    /// Sum of `max_connections`.
    wanted_connections: usize,
    /// Number of sources that follow files. `wanted_files` is the number of files that they want to have open together.
    followers: usize,
    wanted_files: usize,
    /// Number of sources that listen for connections.
    listeners: usize,
    /// Permitted descriptors that are left for connections; `files` are those for followed files.
    connections: usize,
    files: usize,
}

/// Error: a configuration needs more descriptors than permitted.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "{permitted} file descriptors are permitted, and this configuration needs at least {least}: raise the limit (LimitNOFILE= of \
     systemd, `ulimit -n`)"
)]
pub struct TooFew {
    permitted: usize,
    least: usize,
}

impl Plan {
    /// Returns the plan for `config` when `permitted` descriptors are permitted.
    pub fn new(config: &Config, permitted: usize) -> Result<Self, TooFew> {
        let sources = || config.sources.iter().map(|source| source.kind.facts());
        let fixed = PROGRAM + sources().map(SourceFacts::descriptors).sum::<usize>();
        let sinks = config.sinks.iter().map(sink_needs);
        let (least, most) = sinks.chain([admin_needs(&config.admin)]).fold((fixed, fixed), add);
        let connections = || sources().map(SourceFacts::max_connections);
        let wanted_connections = connections().fold(0, usize::saturating_add);
        let listeners = connections().filter(|connections| *connections > 0).count();
        let files = || sources().map(SourceFacts::max_open_files);
        let wanted_files = files().sum();
        let followers = files().filter(|files| *files > 0).count();

        // Peers and files get a quarter even if the sinks want all: the sinks can work with less.
        let rest = permitted.saturating_sub(most).max(permitted / 4).min(permitted.saturating_sub(least));
        let least_files = followers * LEAST_FILES;
        if rest < listeners + least_files {
            return Err(TooFew { permitted, least: least + listeners + least_files });
        }
        let files = rest.saturating_sub(wanted_connections).max(rest / 2).max(least_files);
        let files = files.min(wanted_files).min(rest - listeners);
        let connections = (rest - files).min(wanted_connections);
        Ok(Self {
            permitted,
            reserve: most,
            wanted_connections,
            followers,
            wanted_files,
            listeners,
            connections,
            files,
        })
    }

    /// Applies the limits of the plan to the sources.
    pub(super) fn set(&self, descriptors: &Descriptors) {
        // Removed sources may still have connections: without a listener they accept no new ones. Each listener accepts
        // one connection more than it serves, to close it with a reason.
        descriptors.set(self.connections.saturating_add(self.listeners), self.files / self.followers.max(1));
    }

    /// Returns true if connections or followed files get fewer descriptors than the configuration allows them.
    pub const fn is_short(&self) -> bool {
        self.connections < self.wanted_connections || self.files < self.wanted_files
    }

    /// Returns how many descriptors the process may have.
    pub const fn permitted(&self) -> usize {
        self.permitted
    }

    /// Returns how many descriptors the configuration can use.
    pub const fn needed(&self) -> usize {
        self.reserve.saturating_add(self.wanted_connections).saturating_add(self.wanted_files)
    }

    pub(super) fn log(&self) {
        let Self { permitted, reserve, wanted_connections, wanted_files, connections, files, .. } = *self;
        let needed = self.needed();
        if self.is_short() {
            tracing::warn!(
                permitted,
                needed,
                reserve,
                connections,
                wanted_connections,
                open_files = files,
                wanted_open_files = wanted_files,
                "the limit of file descriptors is too low for this configuration: connections and followed files get fewer than \
                 configured; raise the limit (LimitNOFILE= of systemd) or lower max_connections"
            );
        } else {
            tracing::info!(permitted, needed, "file descriptors");
        }
    }
}

/// Describes the shortage, and what to do.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { reserve, wanted_connections, wanted_files, connections, files, .. } = *self;
        write!(
            f,
            "the limit of file descriptors is too low here for this configuration: {reserve} descriptors are for the sinks and "
        )?;
        write!(
            f,
            "the program, {connections} of {wanted_connections} for connections, {files} of {wanted_files} for followed files; "
        )?;
        f.write_str("raise the limit (LimitNOFILE= of systemd, `ulimit -n`) or lower max_connections")
    }
}

/// Returns how many descriptors this process may have.
pub fn permitted() -> io::Result<usize> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(usize::try_from(most).unwrap_or(usize::MAX))
}

/// Raises the limit of this process to the permitted maximum: the usual limit of 1024 is lower than the usual
/// `max_connections`, and exists only by tradition. Returns the new limit.
pub(super) fn allow() -> io::Result<usize> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    permitted()
}

fn add(one: (usize, usize), other: (usize, usize)) -> (usize, usize) {
    (one.0 + other.0, one.1 + other.1)
}

/// Returns the minimum number of descriptors that the admin server needs, and the maximum that it uses. It takes one
/// connection more than it serves, to close it with a reason.
fn admin_needs(admin: &AdminConfig) -> (usize, usize) {
    let listener = |connections| (2, 2 + connections);
    let tcp = admin.listen.as_ref().map_or((0, 0), |_| listener(admin::MOST_TCP));
    let unix = admin.socket.as_ref().map_or((0, 0), |_| listener(admin::MOST_UNIX));
    add(tcp, unix)
}

/// Returns the minimum number of descriptors that a sink needs, and the maximum that it uses.
fn sink_needs(sink: &SinkConfig) -> (usize, usize) {
    let facts = sink.kind.facts();
    let beside = facts.dead_letter().map_or(0, |_| DEAD_LETTERS) + sink.spool.as_ref().map_or(0, |_| SPOOL);
    add(facts.descriptors(), (beside, beside))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "[[source.tcp]]\nlisten = \"127.0.0.1:514\"\n";
    const FILE: &str = "[[source.file]]\npaths = [\"/var/log/mail.log\"]\nstate = \"/var/lib/postrider\"\n";

    const ADMIN: &str = "[admin]\nlisten = \"none\"\nsocket = \"none\"\n";

    fn plan(sources: &str, permitted: usize) -> Result<Plan, TooFew> {
        let config = format!("{ADMIN}{sources}[[sink.file]]\npath = \"/var/log/postrider/out.json\"\n");
        Plan::new(&crate::config::parse(&config, "test").unwrap(), permitted)
    }

    /// How many connections and open files there may be.
    fn shares(sources: &str, permitted: usize) -> (usize, usize) {
        let plan = plan(sources, permitted).unwrap();
        (plan.connections, plan.files)
    }

    #[test]
    fn peers_and_files_get_what_the_sinks_leave() {
        let both = [TCP, FILE].concat();
        // 32 for the program, 144 for the file sink, and two for the listener.
        assert_eq!(shares(TCP, 1024), (1024 - 178, 0));
        assert_eq!(shares(TCP, 65536), (2000, 0));
        assert_eq!(shares(FILE, 1024), (0, 1024 - 184));
        assert_eq!(shares(FILE, 65536), (0, 1000));
        assert_eq!(shares(&both, 65536), (2000, 1000));
        assert_eq!(shares(&both, 1024), (419, 419));
        // A side that wants less than half has it.
        assert_eq!(shares(&both, 1024 + 2000), (1838, 1000));
        // The sink gets along with fewer open files.
        assert_eq!(shares(TCP, 64), (14, 0));
        assert!(plan(TCP, 1024).unwrap().is_short() && !plan(TCP, 65536).unwrap().is_short());
    }

    /// Otherwise a source that has `max_connections` would wait for a descriptor, and blame the limit of the process.
    #[test]
    fn each_listener_has_a_descriptor_for_a_connection_it_refuses() {
        let sources = format!("{TCP}max_connections = 2\n{}max_connections = 3\n", TCP.replace("514", "515"));
        let plan = plan(&sources, 65536).unwrap();
        assert_eq!((plan.connections, plan.needed()), (5, 32 + 144 + 4 + 5));
        let descriptors = Descriptors::default();
        plan.set(&descriptors);
        assert_eq!(descriptors.connections(), 5 + 2);
    }

    #[test]
    fn the_admin_server_has_descriptors_for_its_connections() {
        let needed = |admin: &str| {
            let config = format!("{admin}{TCP}[[sink.stdout]]\n");
            Plan::new(&crate::config::parse(&config, "test").unwrap(), 65536).unwrap().needed()
        };
        assert_eq!(needed("") - needed(ADMIN), 48 + 2 + 16 + 2);
        assert_eq!(needed("[admin]\nlisten = \"none\"\n") - needed(ADMIN), 16 + 2);
    }

    #[test]
    fn what_is_too_few_is_refused_with_what_is_needed() {
        for sources in [TCP, FILE] {
            let TooFew { least, .. } = plan(sources, 10).unwrap_err();
            assert!(plan(sources, least - 1).is_err() && plan(sources, least).is_ok(), "{least}");
            for permitted in least..3000 {
                let plan = plan(sources, permitted).unwrap();
                assert!(plan.connections + plan.files + least / 2 <= permitted, "{plan:?}");
                assert!(plan.connections + plan.files > 0);
            }
        }
    }
}
