//! Needs what the pages use: every block of README.md, `docs/` and `docker/` does what the page says. The queries need
//! DuckDB and pandas from PyPI.

mod docker;
mod docs;
mod readme;
mod stores;
