//! The `postrider` command: its arguments, what each command does with them, and the log.

#[path = "main/daemon.rs"]
mod daemon;
#[path = "main/failure.rs"]
mod failure;
#[path = "main/spool.rs"]
mod spool;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::CommandFactory;
use postrider::app::descriptors::{self, Plan};
use postrider::cli::{self, Cli, Command, ConfigFile, Decode, Explain, RunArguments, Schema, TraceArguments};
use postrider::config::{self, Config};
use postrider::decode::{self, Decoder, Printed};
use postrider::dsn::Language;
use postrider::encode::Encoder;
use postrider::replay::{self, Replay};
use postrider::schema::Dialect;
use postrider::syslog::Format;
use postrider::time::ZONE_HELP;
use postrider::trace::{Look, Trace, TraceOutput, TraceQuery, TraceSummary};
use postrider::{app, explain, log, panics, standard, trace};
use tracing::level_filters::LevelFilter;

use crate::failure::{CONFIGURATION, DATA, Failure, IO, NOTHING, USAGE, output_failure, print, stdout};

fn main() -> ExitCode {
    panics::report();
    let code = panics::catch(command).unwrap_or_else(|panic| {
        log::say(&format!("postrider: a defect in Postrider, please report it: {panic}"));
        ExitCode::from(IO)
    });
    log::finish();
    code
}

fn command() -> ExitCode {
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => {
            if !error.use_stderr()
                && let Err(failure) = stdout()
            {
                return failure.exit();
            }
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let result = match cli.command {
        Command::Run(arguments) => run(&arguments),
        Command::Check(file) => check(&file),
        Command::Health(arguments) => daemon::health(&arguments),
        Command::Config => print(config::example().as_bytes()),
        Command::Decode(arguments) => decode(&arguments),
        Command::Trace(arguments) => trace(&arguments),
        Command::Replay(arguments) => replay(arguments),
        Command::Explain(arguments) => explain(&arguments),
        Command::Spool(command) => spool::run(&command),
        Command::Schema(arguments) => schema(&arguments),
        Command::Completions(arguments) => {
            let mut script = Vec::new();
            clap_complete::generate(arguments.shell, &mut Cli::command(), "postrider", &mut script);
            print(&script)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.exit(),
    }
}

fn run(arguments: &RunArguments) -> Result<(), Failure> {
    start_log()?;
    let (config, status_file) = (arguments.file.config.as_deref(), arguments.status_file.as_deref());
    app::run(config, status_file).map_err(|error| match error {
        app::Error::Config(error) => Failure { code: CONFIGURATION, message: error.of_start() },
        error => Failure { code: IO, message: format!("postrider: {error}") },
    })
}

fn check(file: &ConfigFile) -> Result<(), Failure> {
    let config = load(file)?;
    let name = file.config.as_ref().map_or_else(|| "the defaults".to_owned(), |path| path.display().to_string());
    for warning in config.warnings(postrider::time::clock()) {
        let _ = writeln!(io::stderr(), "{name}: warning: {warning}");
    }
    let permitted = descriptors::permitted();
    let plan = permitted.as_ref().ok().map(|permitted| Plan::new(&config, *permitted));
    let descriptors = match plan {
        Some(Ok(plan)) => {
            if plan.is_short() {
                let _ = writeln!(io::stderr(), "{name}: warning: {plan}");
            }
            format!("; file descriptors: {} needed, {} permitted here", plan.needed(), plan.permitted())
        }
        // More descriptors may be permitted where the program will run.
        Some(Err(error)) => {
            let _ = writeln!(io::stderr(), "{name}: warning: {error}");
            String::new()
        }
        None => String::new(),
    };
    let (sources, sinks) = (config.sources.len(), config.sinks.len());
    let _ = writeln!(io::stderr(), "{name}: no errors; sources: {sources}, sinks: {sinks}{descriptors}");
    Ok(())
}

fn load(file: &ConfigFile) -> Result<Config, Failure> {
    let Some(path) = &file.config else { return Ok(Config::default_run()) };
    config::load(path).map_err(|error| Failure { code: CONFIGURATION, message: error.to_string() })
}

fn decode(arguments: &Decode) -> Result<(), Failure> {
    let zone = zone(arguments.timezone.as_deref())?;
    let decoder = Decoder {
        encoder: Encoder { language: language(&arguments.lang) },
        zone,
        // clap accepts no other name.
        format: Format::from_name(&arguments.format).unwrap_or_default(),
        prints: match (arguments.messages, arguments.unparsed) {
            (true, _) => Printed::Messages,
            (_, true) => Printed::Unparsed,
            (false, false) => Printed::Records,
        },
    };
    let say = |error: &decode::Error| log::say(&format!("postrider: {error}"));
    let summary = match decoder.decode(&arguments.files, stdout()?, say) {
        Ok(summary) => summary,
        Err(decode::Error::Output(error)) => return output_failure(&error),
        Err(error) => return Err(Failure { code: IO, message: format!("postrider: {error}") }),
    };
    report_unparsed(&summary, arguments);
    if summary.evicted > 0 {
        let (evicted, field) = (summary.evicted, r#""closed_by": "evicted""#);
        log::say(&format!(
            "{evicted} messages were closed before their end, because too many were open: their records have {field}; \
             decode the log of fewer days or hosts at once"
        ));
    }
    if summary.unread > 0 {
        // The error of each file is already reported.
        let message = match arguments.files.len() {
            0 | 1 => String::new(),
            all => format!("postrider: {} of {all} files could not be read completely", summary.unread),
        };
        return Err(Failure { code: IO, message });
    }
    if arguments.strict && summary.damaged > 0 {
        let message = format!(
            "{} of {} lines have no readable time, are cut off or are not UTF-8; their flags say which",
            summary.damaged, summary.records
        );
        return Err(Failure { code: DATA, message });
    }
    Ok(())
}

/// Returns the zone with this name, or that of the machine.
fn zone(name: Option<&str>) -> Result<jiff::tz::TimeZone, Failure> {
    let Some(name) = name else { return Ok(jiff::tz::TimeZone::system()) };
    jiff::tz::TimeZone::get(name)
        .map_err(|_| Failure { code: USAGE, message: format!("unknown time zone {name:?}; {ZONE_HELP}") })
}

/// Reports how many lines of Postfix are not understood, and what to do. Reports nothing if there are none and nobody
/// asked.
fn report_unparsed(summary: &decode::DecodeSummary, arguments: &Decode) {
    let (records, unparsed, format) = (summary.records, summary.unparsed.total(), arguments.format.as_str());
    let is_guessed = Format::from_name(format) == Some(Format::Auto);
    let help = match (unparsed, arguments.unparsed) {
        (0, false) => return,
        (0, true) => {
            return log::say(&format!("{records} lines; all lines of Postfix are understood"));
        }
        _ if !is_guessed && summary.unparsed.headers() > 0 => {
            format!("check that `--format {format}` is right for the file")
        }
        (_, true) => "please report them".to_owned(),
        (_, false) => "`--unparsed` prints them".to_owned(),
    };
    let programs = &summary.unparsed;
    log::say(&format!("{unparsed} of {records} lines are from Postfix, but not understood ({programs}); {help}"));
}

fn trace(arguments: &TraceArguments) -> Result<(), Failure> {
    let language = language(&arguments.lang);
    let wrong = |text: &str| Failure { code: USAGE, message: format!("postrider: {text}") };
    let (files, text) = arguments.split();
    let query = TraceQuery::new(&text)
        .ok_or_else(|| wrong("the query is empty: write a queue id, a Message-ID or an address"))?;
    let zone = zone(arguments.timezone.as_deref())?;
    let told = if arguments.json {
        TraceOutput::Records(Encoder { language })
    } else {
        TraceOutput::Page(Look::of_stdout(language))
    };
    if files.is_empty() {
        return daemon::trace(arguments, &query, &zone, told);
    }
    let trace = Trace {
        query,
        zone,
        format: Format::from_name(&arguments.format).unwrap_or_default(),
        last: arguments.last as usize,
        told,
    };
    let say = |error: &trace::Error| log::say(&format!("postrider: {error}"));
    match trace.tell(files, &mut stdout()?.lock(), say) {
        Ok(summary) => report_trace(&summary, arguments),
        Err(trace::Error::Output(error)) => output_failure(&error),
        Err(error) => Err(Failure { code: IO, message: format!("postrider: {error}") }),
    }
}

/// Reports what was not found, or not told.
fn report_trace(summary: &TraceSummary, arguments: &TraceArguments) -> Result<(), Failure> {
    let (matching, is_more) = summary.matching;
    if matching > arguments.last as usize {
        let more = if is_more { "more than " } else { "" };
        let last = arguments.last;
        log::say(&format!("{more}{matching} messages match; these are the last {last}, `--last` changes the number"));
    }
    if summary.is_cut {
        log::say("not all lines fit into memory, and the stories lack some: use a smaller `--last`, or fewer files");
    }
    if summary.unread > 0 {
        // The error of each file is already reported.
        return Err(Failure { code: IO, message: String::new() });
    }
    if summary.stories == 0 {
        let (_, query) = arguments.split();
        let counted = |count, thing| if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") };
        let (lines, messages) = (counted(summary.lines, "line"), counted(summary.messages, "message"));
        let message = format!("no message matches {query}, in {lines} with {messages}");
        return Err(Failure { code: NOTHING, message });
    }
    Ok(())
}

fn replay(arguments: cli::ReplayArguments) -> Result<(), Failure> {
    let config = load(&ConfigFile { config: arguments.config })?;
    start_log()?;
    let replay = Replay { config: &config, sink: arguments.sink.as_deref(), route: arguments.route.as_deref() };
    let mut say = |line: String| log::say(&line);
    let (summary, result) = replay.run(&arguments.files, &mut say);
    if let Err(replay::Error::NoSink(reason)) = result {
        return Err(Failure { code: CONFIGURATION, message: format!("postrider: {reason}") });
    }
    say(format!("{} delivered, {} refused again, {} damaged", summary.delivered, summary.refused, summary.damaged));
    match result {
        Err(error) => Err(Failure { code: IO, message: format!("postrider: {error}") }),
        Ok(()) if summary.refused + summary.damaged > 0 => Err(Failure { code: DATA, message: String::new() }),
        Ok(()) => Ok(()),
    }
}

fn explain(arguments: &Explain) -> Result<(), Failure> {
    let language = language(&arguments.lang);
    if arguments.codes.is_empty() && io::stdin().is_terminal() {
        return Err(nothing_to_explain());
    }
    if arguments.codes.is_empty() || arguments.codes == ["-"] {
        return explain_input(language);
    }
    let mut text = String::new();
    for (n, code) in explain::queries(&arguments.codes).iter().enumerate() {
        if n > 0 {
            text.push('\n');
        }
        explain::explain(code, language, &mut text)
            .map_err(|error| Failure { code: USAGE, message: format!("postrider: {error}") })?;
    }
    print(text.as_bytes())
}

/// Explains each line of the standard input. Lines that cannot be explained do not end the command.
fn explain_input(language: Language) -> Result<(), Failure> {
    let unread =
        |error: io::Error| Failure { code: IO, message: format!("postrider: cannot read the standard input: {error}") };
    standard::input().map_err(unread)?;
    let (mut text, mut lines, mut unknown, mut first) = (String::new(), 0_u64, 0_u64, None);
    let mut stdout = stdout()?.lock();
    for line in explain::lines(io::stdin().lock()) {
        lines += 1;
        if let Err(error) = explain::explain(&line.map_err(unread)?, language, &mut text) {
            unknown += 1;
            first.get_or_insert(error);
            continue;
        }
        if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
            return output_failure(&error);
        }
        // An empty line before the next one.
        text.clear();
        text.push('\n');
    }
    match first {
        None if lines == 0 => Err(nothing_to_explain()),
        None => Ok(()),
        Some(error) => {
            let message =
                format!("postrider: {unknown} of {lines} lines cannot be explained; the first error: {error}");
            Err(Failure { code: DATA, message })
        }
    }
}

fn nothing_to_explain() -> Failure {
    let message = "postrider: nothing to explain: write a code, a cause or a line of the log, or pipe lines into the \
                   command; see `postrider explain --help`";
    Failure { code: USAGE, message: message.to_owned() }
}

fn schema(arguments: &Schema) -> Result<(), Failure> {
    if arguments.config {
        print(format!("{:#}\n", config::schema()).as_bytes())
    } else {
        // The argument parser accepts only the names of formats.
        print(Dialect::from_name(&arguments.format).unwrap_or(Dialect::JsonSchema).text().as_bytes())
    }
}

/// Returns the language with this name. The argument parser accepts only the names of languages.
fn language(name: &str) -> Language {
    Language::from_name(name).unwrap_or_default()
}

/// Returns the level in the variable `POSTRIDER_LOG`. Without the variable, returns the level that an operator wants
/// every day.
fn log_level() -> Result<LevelFilter, Failure> {
    const VARIABLE: &str = "POSTRIDER_LOG";
    let Some(level) = std::env::var_os(VARIABLE) else { return Ok(LevelFilter::INFO) };
    let level = level.to_string_lossy();
    level.parse().map_err(|_| Failure {
        code: USAGE,
        message: format!("postrider: {VARIABLE} is {level:?}; write one of off, error, warn, info, debug, trace"),
    })
}

/// Starts the log of a command that runs until it is stopped.
fn start_log() -> Result<(), Failure> {
    let level = log_level()?;
    log::start(level).map_err(|error| Failure {
        code: IO,
        message: format!("postrider: cannot start a thread for the log: {error}"),
    })
}
