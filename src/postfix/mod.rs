//! The `postfix` stage: what a Postfix program said, as a typed event.

pub mod dsn;
