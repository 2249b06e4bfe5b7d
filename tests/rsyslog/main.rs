//! Needs the senders of the field: rsyslog, syslog-ng, loggen, logger, `HAProxy`, systemd and logrotate.

mod follow;
mod guard;
mod relp_senders;
mod senders;
mod service;
mod tls;
