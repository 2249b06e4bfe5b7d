//! Needs Postfix, pflogsumm and root: a real mail system writes the lines, or another program reads them.

mod end_to_end;
mod peers_smoke;
mod pflogsumm;
#[path = "../library/correlation/reader.rs"]
mod reader;
mod scenarios;
