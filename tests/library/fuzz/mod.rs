//! Does anything hold that must hold for every input, when the input is the corpus in pieces? And is time bounded?
//!
//! The same checks run without end under libFuzzer: see `CONTRIBUTING.md`.

mod checks;
mod generator;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use proptest::test_runner::{Config, RngSeed, TestRunner};
use testkit::seeds;

use checks::CHECKS;
use postrider::encode::{Buffer, Encoder};
use postrider::frame::Frame;
use postrider::record::Record;

/// Inputs for each check, as far as the time goes.
const CASES: u32 = 20_000;
/// Minimum number of inputs for each check, also on a slow machine.
const LEAST: u32 = 500;
/// Between looks at the clock.
const STEP: u32 = 100;
/// For each check, where the machine is slow.
const TIME: Duration = Duration::from_secs(3);

#[test]
fn every_check_holds_for_mutated_lines() {
    let seed = seeds::seed();
    for (name, check) in CHECKS {
        let start = Instant::now();
        let mut cases = 0;
        while cases < LEAST || (cases < CASES && start.elapsed() < TIME) {
            // Each step has a seed of its own, so that the steps before it need not be repeated.
            let seed = seed.wrapping_add(u64::from(cases));
            let rng_seed = RngSeed::Fixed(seed);
            let config = Config { cases: STEP, failure_persistence: None, rng_seed, ..Config::default() };
            let result = TestRunner::new(config).run(&generator::inputs(), |input| {
                check(&input);
                Ok(())
            });
            result.unwrap_or_else(|error| panic!("{name}: {error}\nSEED={seed} repeats it"));
            cases += STEP;
        }
    }
}

/// Text that repeats what a reader looks for is where time could grow with its square.
#[test]
fn a_line_of_64_kib_takes_little_time() {
    const SIZE: usize = 64 * 1024;
    const LIMIT: Duration = Duration::from_millis(200);
    // Every reader sees the text of a program that is lost, as far as none takes it for its own; these have the most
    // readers.
    const SLOWEST: [&str; 6] =
        ["postfix", "postfix/smtpd", "postfix/cleanup", "postfix/postscreen", "postfix/smtp", "postfix/tlsproxy"];
    for token in generator::TOKENS {
        let text = token.repeat(SIZE / token.len());
        for tag in SLOWEST {
            let line = format!("<22>Nov 24 02:10:35 mx1 {tag}[1]: {text}");
            let took = time(&line);
            assert!(took <= LIMIT, "{token:?} of {tag} takes {took:?}");
        }
    }
}

/// The time of the processor that reading and encoding a line takes.
fn time(line: &str) -> Duration {
    let start = processor_time();
    let record = |record: &Record<'_>| Encoder::default().encode(record, &mut Buffer::default());
    checks::with_record(&Frame { bytes: line.as_bytes(), truncated: false }, record);
    processor_time().saturating_sub(start)
}

/// Returns the time that this thread has had of the processor. Other processes do not count.
fn processor_time() -> Duration {
    let time = getrusage(UsageWho::RUSAGE_THREAD).expect("the usage of this thread").user_time();
    Duration::from_micros((time.tv_sec() * 1_000_000 + time.tv_usec()).cast_unsigned())
}

/// Inputs of `fuzz/seeds/`, from which libFuzzer starts: those that once broke a check, and some of each kind.
#[test]
fn every_check_holds_for_the_seeds_of_its_target() {
    for (name, check) in CHECKS {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display())) {
            let input = fs::read(entry.expect("an entry").path()).expect("a file");
            check(&input);
            inputs += 1;
        }
        assert!(inputs >= 5, "{name} has only {inputs} inputs");
    }
}

/// The targets call the checks, each by its name; they are compiled by cargo-fuzz alone, so they hold nothing that
/// could break.
#[test]
fn each_check_has_its_target() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest: toml::Table = fs::read_to_string(fuzz.join("Cargo.toml")).expect("a manifest").parse().expect("TOML");
    let targets = manifest["bin"].as_array().expect("targets");
    let named: Vec<&str> = targets.iter().filter_map(|target| target["name"].as_str()).collect();
    assert_eq!(named, CHECKS.map(|(name, _)| name));
    for (name, target) in named.iter().zip(targets) {
        let path = target["path"].as_str().expect("a path");
        let text = fs::read_to_string(fuzz.join(path)).expect("a target");
        assert_eq!(
            text,
            format!(
                "#![no_main]\n\n#[path = \"../../tests/library/fuzz/checks.rs\"]\nmod checks;\n\n\
                 libfuzzer_sys::fuzz_target!(|data: &[u8]| checks::{name}(data));\n"
            )
        );
    }
}
