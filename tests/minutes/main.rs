//! Needs time: a release build under Valgrind, and the long runs, which are left out unless asked for.

mod instructions;
mod joins;
mod soak;
mod trace;
