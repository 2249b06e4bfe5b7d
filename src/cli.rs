//! The commands and their help.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::builder::PossibleValuesParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};

use crate::admin;
use crate::dsn::Language;
use crate::schema::Dialect;
use crate::syslog::Format;

/// A syslog receiver that understands Postfix: one explained JSON record per message.
#[derive(Debug, Parser)]
#[command(name = "postrider", version = version(), max_term_width = 100, help_expected = true)]
pub struct Cli {
    /// Command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// Returns the version of the program, its commit if it is known, and the version of librdkafka.
fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let commit = option_env!("POSTRIDER_COMMIT").map(|commit| format!("commit {commit}, ")).unwrap_or_default();
        let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
        format!("{} ({commit}librdkafka {librdkafka})", env!("CARGO_PKG_VERSION"))
    });
    &VERSION
}

/// Reads the arguments of the process, of which the first is the program.
///
/// # Errors
///
/// They are wrong, or ask for help or the version; the text is for the operator.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    Cli::try_parse_from(&arguments).map_err(|mut error| {
        let command = arguments.get(1).and_then(|command| command.to_str()).unwrap_or_default();
        if error.kind() == ErrorKind::UnknownArgument
            && let Some(ContextValue::String(file)) = error.get(ContextKind::InvalidArg)
            && ["run", "check"].contains(&command)
            && !file.starts_with('-')
        {
            let tip = format!("to name the configuration file, write `postrider {command} -c {file}`");
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
        }
        error
    })
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Receive syslog and deliver records
    ///
    /// SIGTERM stops the sources, delivers the messages that were read, and ends the program; a second SIGTERM ends it
    /// at once. SIGHUP reopens the output files and reads the configuration again; if it has an error, Postrider keeps
    /// the old configuration. The log goes to the standard error; `POSTRIDER_LOG=debug` in the environment shows more.
    Run(RunArguments),
    /// Check a configuration as `run` does, without binding a socket
    ///
    /// Shows all errors at once, each with its line. The exit code is 0 or 78.
    Check(ConfigFile),
    /// Ask a running daemon whether each source and each sink does its work
    ///
    /// Prints what keeps it from that. The exit code is 0 if the daemon is ready, 1 if it is not, and 69 if it cannot
    /// be asked. Made for the health check of a container.
    Health(HealthArguments),
    /// Print a configuration file that explains every key
    ///
    /// Each key has its default or an example. Without changes, the file configures what `run` does without a file.
    Config,
    /// Turn log files into JSON lines on the standard output
    ///
    /// Reads a mail.log (written by rsyslog in its traditional or its ISO 8601 format, or by Postfix itself with its
    /// parameter `maillog_file`), or syslog messages as a sender sends them. The files may be compressed with gzip.
    ///
    /// If a file cannot be read completely, Postrider names it, decodes the others, and exits with 74.
    Decode(Decode),
    /// Tell the story of the messages with a queue id, a Message-ID or an address
    ///
    /// Prints a time line for each message: from which client it came, each attempt to deliver it with its delays, the
    /// answer of the server and its meaning, and what became of it. A notice, a forwarded message and what a content
    /// filter gives back stand below the message from which they were made. Refusals of an address without a queue id
    /// are told too.
    ///
    /// With files, searches their lines. With QUERY alone, asks the running daemon for the messages that it remembers:
    /// those that are open, and those that ended within the time for late lines (`grace`). It has no lines of them,
    /// only what the joins keep: the last attempt for each recipient.
    ///
    /// The order of the files does not matter. They are read several times: a pipe is copied to memory first, or to a
    /// file in TMPDIR if it is larger than 16 MiB.
    ///
    /// The exit code is 0 if a message matches, 1 if none does, 69 if the daemon cannot be asked, and 74 if a file
    /// cannot be read completely.
    #[command(after_help = TRACE_EXAMPLE, override_usage = TRACE_USAGE)]
    Trace(TraceArguments),
    /// Send the records of dead-letter files to their sinks again
    ///
    /// A sink with the key `dead_letter` keeps the records that its destination refuses permanently in that file. First
    /// remove the reason of the refusals. The command then sends each record to the sink named in its line, with the
    /// old topic or path, key, id and timestamp, and waits for its delivery. The daemon may run at the same time and
    /// append to the same file. The command opens no source.
    ///
    /// The command first renames FILE to FILE.replaying, and removes that file after its last line. The command appends
    /// a record that is refused again to the sink's dead-letter file (to FILE, if the sink has none), with the new
    /// reason, and does not retry it. The command names each line that it cannot read, and moves it to FILE.damaged.
    /// After an interruption or a crash, run the same command again to continue. Only after a crash, some records may
    /// be sent twice, with the same id.
    ///
    /// The exit code is 0 if all records were delivered, 65 if lines were damaged or refused again, and 74 if the
    /// command could not continue. It is 78 if the configuration is wrong or lacks a sink; the command then sends
    /// nothing.
    #[command(after_help = REPLAY_EXAMPLE)]
    Replay(ReplayArguments),
    /// Explain a status code, a provider's code or a cause
    Explain(Explain),
    /// Show or delete the records on the disk
    ///
    /// DIR is the directory of a sink's spool. `ls`, `cat` and `verify` change nothing and need no lock: use them also
    /// while Postrider runs.
    #[command(subcommand)]
    Spool(SpoolCommand),
    /// Print the JSON Schema of a record, or a table or mapping that takes records
    ///
    /// A table of ClickHouse or DuckDB, an index template of Elasticsearch and OpenSearch, or a table schema of
    /// BigQuery. Stores that infer types work without it, but then the first records decide the type of a column.
    #[command(after_help = SCHEMA_EXAMPLE)]
    Schema(Schema),
    /// Print a completion script for a shell
    Completions(Completions),
}

const SCHEMA_EXAMPLE: &str = "Examples:
  postrider schema --format clickhouse | clickhouse-client
  curl -X PUT http://localhost:9200/_index_template/postrider \\
       -H 'Content-Type: application/json' -d \"$(postrider schema --format elasticsearch)\"";

const TRACE_USAGE: &str = "postrider trace [OPTIONS] <QUERY>
       postrider trace [OPTIONS] <FILE>... <QUERY>";

const TRACE_EXAMPLE: &str = "Examples:
  postrider trace ada@example.net
  postrider trace /var/log/mail.log* 4jYR9Q2wTjz18T
  postrider trace /var/log/mail.log ada@example.net | less -R";

const REPLAY_EXAMPLE: &str = "Example, as the user of the daemon:
  postrider replay -c /etc/postrider/postrider.toml /var/lib/postrider/dead-letter.jsonl";

/// Where the configuration is.
#[derive(Args, Debug)]
pub struct ConfigFile {
    /// The configuration file; without one: UDP and TCP on 127.0.0.1:5514, JSON to the standard output
    #[arg(short, long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// The arguments of `run`.
#[derive(Args, Debug)]
pub struct RunArguments {
    /// Where the configuration is.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Write the state of the daemon to this file, as JSON: sources, sinks, spools and the ledger
    #[arg(long, value_name = "PATH")]
    pub status_file: Option<PathBuf>,
}

/// The socket of a running daemon.
#[derive(Args, Debug)]
pub struct AdminSocketPath {
    /// The unix socket of the daemon: `socket` of [admin] in its configuration
    #[arg(long, value_name = "PATH", default_value = admin::SOCKET)]
    pub socket: PathBuf,
}

/// The arguments of `health`.
#[derive(Args, Debug)]
pub struct HealthArguments {
    /// The socket of the daemon.
    #[command(flatten)]
    pub daemon: AdminSocketPath,
}

/// The arguments of `decode`.
#[derive(Args, Debug)]
pub struct Decode {
    /// Files to read, in this order; `-` or none: the standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The language of the texts that explain codes
    #[arg(long, value_name = "LANG", default_value = "en", value_parser = PossibleValuesParser::new(Language::NAMES))]
    pub lang: String,
    /// The time zone of times without one, such as `Asia/Tokyo` [default: the machine's]
    #[arg(long, value_name = "ZONE")]
    pub timezone: Option<String>,
    /// The format of the lines, if the guess is wrong
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = PossibleValuesParser::new(Format::NAMES))]
    pub format: String,
    /// Print one record for each message, joined from all its lines, instead of one for each line
    ///
    /// Name rotated files in the order of their lines, the oldest first: `mail.log.2.gz mail.log.1 mail.log`.
    #[arg(long, conflicts_with = "unparsed")]
    pub messages: bool,
    /// Print only the original lines of Postfix that Postrider does not understand, for a report
    #[arg(long)]
    pub unparsed: bool,
    /// Exit with 65 if a line has no readable time, is cut off, or is not UTF-8
    #[arg(long)]
    pub strict: bool,
}

/// The arguments of `trace`.
#[derive(Args, Debug)]
pub struct TraceArguments {
    /// The query, as the last argument: a queue id, a Message-ID, or the address of a sender or a recipient, with or
    /// without `<>`. In front of it: log files, plain or compressed with gzip, in any order (`-`: the standard
    /// input). Without a file, the daemon is asked
    // One list: with two, an option between the files and the query would end the files.
    #[arg(value_name = "FILE|QUERY", required = true)]
    pub arguments: Vec<PathBuf>,
    /// Tell at most this number of messages, the last ones
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub last: u32,
    /// Print records: of each message, and behind it of its lines
    #[arg(long)]
    pub json: bool,
    /// The socket of the daemon.
    #[command(flatten)]
    pub daemon: AdminSocketPath,
    /// The language of the words and of the texts that explain codes
    #[arg(long, value_name = "LANG", default_value = "en", value_parser = PossibleValuesParser::new(Language::NAMES))]
    pub lang: String,
    /// The time zone of the page, and of times without one, such as `Asia/Tokyo` [default: the machine's]
    #[arg(long, visible_alias = "zone", value_name = "ZONE")]
    pub timezone: Option<String>,
    /// The format of the lines, if the guess is wrong
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = PossibleValuesParser::new(Format::NAMES))]
    pub format: String,
}

/// The arguments of `replay`.
#[derive(Args, Debug)]
pub struct ReplayArguments {
    /// The configuration file with the sinks; without one: only the sink `stdout`
    #[arg(short, long = "config", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Send every record to this sink instead of the one in its line
    #[arg(long, value_name = "NAME")]
    pub sink: Option<String>,
    /// Send every record to this topic or path instead of the one in its line
    #[arg(long, value_name = "ROUTE")]
    pub route: Option<String>,
    /// The dead-letter files, in this order
    #[arg(value_name = "DEADLETTER", required = true)]
    pub files: Vec<PathBuf>,
}

/// The arguments of `explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// An enhanced status code (4.7.1), a reply code (450), a reply ("450 4.7.1 Greylisted"), a provider and its code
    /// (google 4.7.28), a cause or another word of the record (greylisted), or a line of the log in quotes; `-` or
    /// none: each line of the standard input
    #[arg(value_name = "CODE")]
    pub codes: Vec<String>,
    /// The language of the explanation
    #[arg(long, value_name = "LANG", default_value = "en", value_parser = PossibleValuesParser::new(Language::NAMES))]
    pub lang: String,
}

/// Command for a spool.
#[derive(Debug, Subcommand)]
pub enum SpoolCommand {
    /// List the segment files with their first number, records, bytes, times, pending records and damage
    ///
    /// Reads all files. The exit code is 65 if anything is damaged or missing.
    Ls(SpoolDirectory),
    /// Print the pending records, as JSON lines on the standard output
    ///
    /// Prints the lines that the sink would get, in the same order. Skips damage, and reports it on the standard error.
    Cat(SpoolCat),
    /// Read all files, and list each damage with its file and byte
    ///
    /// The exit code is 65 if anything is damaged.
    Verify(SpoolDirectory),
    /// Delete a spool with all its records
    ///
    /// Pending records are lost. The command refuses a spool that a process uses, and a directory that is not a spool.
    /// Without `--yes`, it only shows what it would delete. It keeps files that do not belong to the spool.
    Rm(SpoolRm),
}

/// Which spool.
#[derive(Args, Debug)]
pub struct SpoolDirectory {
    /// The directory of the spool
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// The arguments of `spool cat`.
#[derive(Args, Debug)]
pub struct SpoolCat {
    /// The directory of the spool
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Also print delivered records that are not deleted yet
    #[arg(long)]
    pub all: bool,
}

/// The arguments of `spool rm`.
#[derive(Args, Debug)]
pub struct SpoolRm {
    /// The directory of the spool
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
    /// Delete the spool
    #[arg(long)]
    pub yes: bool,
}

/// The arguments of `schema`.
#[derive(Args, Debug)]
pub struct Schema {
    /// The store or format to print for
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "json-schema",
        value_parser = PossibleValuesParser::new(Dialect::NAMES)
    )]
    pub format: String,
    /// Print the schema of the configuration file instead
    #[arg(long, conflicts_with = "format")]
    pub config: bool,
}

/// The arguments of `completions`.
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: clap_complete::Shell,
}

impl TraceArguments {
    /// Returns the files, and what to search for.
    pub fn split(&self) -> (&[PathBuf], Cow<'_, str>) {
        // clap demands at least one argument.
        let (query, files) = self
            .arguments
            .split_last()
            .map_or_else(|| (Cow::default(), &[][..]), |(query, files)| (query.to_string_lossy(), files));
        (files, query)
    }
}
