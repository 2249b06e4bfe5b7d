//! Where and with what the figures were found, and the two files that publish them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::contestant::syslog_ng_program;
use super::{Found, Result, others, program};

/// The text between these lines of `RESULTS.md` is measured; the rest is prose.
const BEGIN: &str = "<!-- `./dev bench --write` writes from here -->\n";
const END: &str = "<!-- to here -->\n";

/// The machine, the programs and the command.
pub(crate) fn circumstances(arguments: &[String]) -> Result<String> {
    let cpus = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("an unknown model");
    let cores = std::thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let memory = memory.split_whitespace().nth(1).ok_or("no MemTotal")?.parse::<u64>()? >> 20;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let day = jiff::Timestamp::now().to_string().chars().take(10).collect::<String>();
    let mut text = format!(
        "Measured on {day} on {cores} cores of {}, {memory} GiB, Linux {}, by\n\n    ./dev bench {}\n\nwith\n\n",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim(),
        arguments.join(" ")
    );
    let programs = [
        (program(), "--version"),
        ("/usr/sbin/rsyslogd".into(), "-v"),
        (syslog_ng_program()?, "--version"),
        ("kcat".into(), "-V"),
    ];
    for (program, option) in programs {
        writeln!(text, "- {}", version(&program, option))?;
    }
    writeln!(text, "- Apache Kafka: {}", kafka())?;
    for name in others::missing() {
        writeln!(text, "- {name}: not measured, as it is not on this machine")?;
    }
    Ok(text)
}

/// Returns the version that a program prints: the first line with a number.
fn version(program: &Path, option: &str) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let Ok(output) = super::command(program).arg(option).output() else {
        return format!("{name} is not on this machine");
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()) && !line.contains("(c)"));
    let line = line.unwrap_or_default().trim_end_matches(" compiled with:");
    // kcat goes on with all that its librdkafka can do.
    match line.split_once(" builtin.features") {
        Some((line, _)) => format!("{name}: {line})"),
        None => format!("{name}: {line}"),
    }
}

/// The broker's version, which is in the names of its libraries.
fn kafka() -> &'static str {
    let pom = include_str!("../../crates/testkit/src/kafka/pom.xml");
    let version = pom.split_once("<artifactId>kafka_").and_then(|(_, rest)| rest.split_once("<version>"));
    version.and_then(|(_, rest)| rest.split('<').next()).unwrap_or_default()
}

/// Puts what was measured into `RESULTS.md` and `results.svg` of a directory.
pub(crate) fn write(directory: &Path, measured: &str, found: &Found) -> Result<()> {
    let file = directory.join("RESULTS.md");
    let document = replace(&fs::read_to_string(&file)?, measured)?;
    replace_file(&file, &document)?;
    replace_file(&directory.join("results.svg"), &chart(&found.bars)?)
}

fn replace(document: &str, measured: &str) -> Result<String> {
    let (before, rest) = document.split_once(BEGIN).ok_or("RESULTS.md lacks the line before the figures")?;
    let (_, after) = rest.split_once(END).ok_or("RESULTS.md lacks the line behind the figures")?;
    Ok(format!("{before}{BEGIN}\n{}\n\n{END}{after}", measured.trim()))
}

/// Replaces a file in one step: nobody sees half of it.
fn replace_file(path: &Path, text: &str) -> Result<()> {
    let new: PathBuf = path.with_extension("new");
    fs::write(&new, text)?;
    Ok(fs::rename(new, path)?)
}

/// A bar for the CPU time of a line in each program.
fn chart(bars: &[(&str, f64)]) -> Result<String> {
    const LONGEST: f64 = 365.0;
    let most = bars.iter().map(|(_, cpu)| *cpu).fold(f64::MIN_POSITIVE, f64::max);
    let label: Vec<String> = bars.iter().map(|(name, cpu)| format!("{name} {cpu:.2} µs")).collect();
    let height = 58 + 34 * bars.len();
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"{height}\" viewBox=\"0 0 720 {height}\" \
         font-family=\"sans-serif\" font-size=\"13\" role=\"img\" aria-label=\"CPU time for a line: {}\">\n\
         <style>text{{fill:#222}}@media(prefers-color-scheme:dark){{text{{fill:#ddd}}}}</style>\n\
         <text x=\"8\" y=\"24\" font-size=\"15\">CPU time for a line of Postfix, TCP to JSON in a file, in µs: less is better</text>\n",
        label.join("; ")
    );
    for (place, (name, cpu)) in bars.iter().enumerate() {
        let (top, width) = (46 + 34 * place, cpu / most * LONGEST);
        // Ours, theirs, and what nobody runs.
        let colour = if place == 0 {
            "#2a7"
        } else if place + 1 == bars.len() {
            "#bbb"
        } else {
            "#888"
        };
        let (text, end) = (top + 16, width + 298.0);
        writeln!(
            svg,
            "<text x=\"8\" y=\"{text}\">{name}</text>\
             <rect x=\"290\" y=\"{top}\" width=\"{width:.0}\" height=\"22\" fill=\"{colour}\"/>\
             <text x=\"{end:.0}\" y=\"{text}\">{cpu:.2}</text>"
        )?;
    }
    Ok(svg + "</svg>\n")
}
