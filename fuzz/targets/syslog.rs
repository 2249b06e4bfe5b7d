#![no_main]

#[path = "../../tests/library/fuzz/checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::syslog(data));
