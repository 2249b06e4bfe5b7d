//! Needs Postfix and root: a real mail system writes the lines.

mod end_to_end;
mod peers_smoke;
mod scenarios;
