//! The programs that are compared, each with the configuration that does the same work: the log over TCP or UDP, a
//! record a line to a file `out`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use super::{Result, program, role};

/// A program, and what has to be in each of its records.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) transport: Transport,
    /// Paths in a record; without any, only bytes are written.
    pub(crate) fields: &'static [&'static str],
    /// The bytes that it writes for each line, where that is all it does.
    pub(crate) bytes: usize,
    /// Writes its configuration into a directory, for a port and the bytes, and gives the command.
    pub(crate) configure: fn(&Path, u16, usize) -> Result<Vec<String>>,
}

/// How it gets the log.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

impl Contestant {
    /// Puts what it needs into `directory`, and gives the command that makes it listen at `port`.
    pub(crate) fn prepare(&self, directory: &Path, port: u16) -> Result<Vec<String>> {
        (self.configure)(directory, port, self.bytes)
    }
}

pub(crate) const POSTRIDER: Contestant = Contestant {
    name: "Postrider",
    transport: Transport::Tcp,
    fields: EXPLAINED,
    bytes: 0,
    configure: |directory, port, _| postrider(directory, port, Transport::Tcp),
};

pub(crate) const POSTRIDER_UDP: Contestant = Contestant {
    transport: Transport::Udp,
    configure: |directory, port, _| postrider(directory, port, Transport::Udp),
    ..POSTRIDER
};

pub(crate) const RSYSLOG: Contestant = Contestant {
    name: "rsyslog, imptcp and mmnormalize",
    transport: Transport::Tcp,
    fields: PARSED,
    bytes: 0,
    configure: |directory, port, _| rsyslog(directory, port, Transport::Tcp, true),
};

pub(crate) const RSYSLOG_UDP: Contestant = Contestant {
    name: "rsyslog, imudp and mmnormalize",
    transport: Transport::Udp,
    configure: |directory, port, _| rsyslog(directory, port, Transport::Udp, true),
    ..RSYSLOG
};

pub(crate) const RSYSLOG_PLAIN: Contestant = Contestant {
    name: "rsyslog without parsing the message",
    transport: Transport::Tcp,
    fields: &["/timestamp", "/hostname", "/app_name", "/procid", "/message"],
    bytes: 0,
    configure: |directory, port, _| rsyslog(directory, port, Transport::Tcp, false),
};

pub(crate) const RSYSLOG_UDP_PLAIN: Contestant = Contestant {
    transport: Transport::Udp,
    configure: |directory, port, _| rsyslog(directory, port, Transport::Udp, false),
    ..RSYSLOG_PLAIN
};

pub(crate) const SYSLOG_NG: Contestant = Contestant {
    name: "syslog-ng, db-parser and format-json",
    transport: Transport::Tcp,
    fields: PARSED,
    bytes: 0,
    configure: syslog_ng,
};

/// The records of Postrider.
const EXPLAINED: &[&str] = &[
    "/timestamp",
    "/hostname",
    "/app_name",
    "/procid",
    "/message",
    "/postfix/queue_id",
    "/postfix/to",
    "/postfix/relay/name",
    "/postfix/relay/ip",
    "/postfix/relay/port",
    "/postfix/delay",
    "/postfix/delays/before_queue_manager",
    "/postfix/delays/in_queue_manager",
    "/postfix/delays/connection_setup",
    "/postfix/delays/transmission",
    "/postfix/dsn/code",
    "/postfix/dsn/text",
    "/postfix/status",
    "/postfix/reason",
    "/postfix/reply/code",
    "/postfix/remote_queue_id",
];

/// The records by the rules below.
pub(crate) const PARSED: &[&str] = &[
    "/timestamp",
    "/hostname",
    "/app_name",
    "/procid",
    "/message",
    "/queue_id",
    "/to",
    "/relay_name",
    "/relay_ip",
    "/relay_port",
    "/delay",
    "/before_queue_manager",
    "/in_queue_manager",
    "/connection_setup",
    "/transmission",
    "/dsn",
    "/status",
    "/reason",
];

/// The copy limit with `bytes` bytes for each line.
pub(crate) const fn copy_limit(bytes: usize) -> Contestant {
    Contestant { name: "the copy limit", transport: Transport::Tcp, fields: &[], bytes, configure: copy_command }
}

fn postrider(directory: &Path, port: u16, transport: Transport) -> Result<Vec<String>> {
    let file = directory.join("postrider.toml");
    let out = directory.join("out").display().to_string();
    let source = if transport == Transport::Tcp { "tcp" } else { "udp" };
    fs::write(
        &file,
        format!(
            "[correlate]\nenabled = false\n[[source.{source}]]\nlisten = \"127.0.0.1:{port}\"\n[[sink.file]]\npath = \"{out}\"\n"
        ),
    )?;
    Ok(vec![program().display().to_string(), "run".into(), "-c".into(), file.display().to_string()])
}

/// A delivery, for liblognorm. rsyslog's message begins with the space behind the tag.
const RULEBASE: &str = "version=2\n\
    rule=: %queue_id:char-to:\\x3a%: to=<%to:char-to:\\x3e%>, \
    relay=%relay_name:char-to:[%[%relay_ip:char-to:]%]:%relay_port:number%, delay=%delay:char-to:,%, \
    delays=%before_queue_manager:char-to:/%/%in_queue_manager:char-to:/%/%connection_setup:char-to:/%/\
    %transmission:char-to:,%, dsn=%dsn:char-to:,%, status=%status:word% (%reason:rest%\n";

fn rsyslog(directory: &Path, port: u16, transport: Transport, parse: bool) -> Result<Vec<String>> {
    let path = directory.display();
    let (module, input, queue) = match transport {
        Transport::Tcp => ("module(load=\"imptcp\")", "imptcp\"", 100_000),
        // The receive buffer is what Postrider asks for. The queue is short: a long one would hold, in a trial of
        // seconds, what is over the rate that is kept up.
        Transport::Udp => {
            ("module(load=\"imudp\" batchSize=\"128\" threads=\"2\")", "imudp\" rcvbufSize=\"8388608\"", 20_000)
        }
    };
    let mut template = String::new();
    let mut property = |name: &str, from: &str| {
        // Writing into a String does not fail.
        let _ = writeln!(template, "  property(outname=\"{name}\" name=\"{from}\" format=\"jsonf\")");
    };
    property("hostname", "hostname");
    property("app_name", "programname");
    property("procid", "procid");
    property("message", "msg");
    let mut action = String::new();
    if parse {
        fs::write(directory.join("rulebase"), RULEBASE)?;
        action = format!("action(type=\"mmnormalize\" rulebase=\"{path}/rulebase\")\n");
        for name in PARSED.iter().skip(5).map(|pointer| &pointer[1..]) {
            property(name, &format!("$!{name}"));
        }
    }
    // It would throw away what waits longer than the time for the queue.
    let text = format!(
        "global(workDirectory=\"{path}\" parser.permitSlashInProgramName=\"on\" net.enableDNS=\"off\")\n\
         main_queue(queue.type=\"FixedArray\" queue.size=\"{queue}\" queue.workerThreads=\"2\" \
         queue.workerThreadMinimumMessages=\"1000\" queue.dequeueBatchSize=\"1024\" queue.timeoutEnqueue=\"60000\" \
         queue.timeoutShutdown=\"60000\")\n\
         {module}\nmodule(load=\"mmnormalize\")\n\
         template(name=\"json\" type=\"list\" option.jsonf=\"on\") {{\n\
         property(outname=\"timestamp\" name=\"timereported\" dateFormat=\"rfc3339\" format=\"jsonf\")\n{template}}}\n\
         input(type=\"{input} address=\"127.0.0.1\" port=\"{port}\")\n\
         {action}action(type=\"omfile\" file=\"{path}/out\" template=\"json\")\n"
    );
    let file = directory.join("rsyslog.conf");
    fs::write(&file, text)?;
    let pid = directory.join("pid").display().to_string();
    Ok(["/usr/sbin/rsyslogd", "-n", "-f", &file.display().to_string(), "-i", &pid].map(str::to_owned).to_vec())
}

const PATTERNS: &str = r#"<?xml version="1.0"?>
<patterndb version="4" pub_date="2026-11-24">
 <ruleset name="postfix" id="postfix">
  <patterns><pattern>postfix/smtp</pattern></patterns>
  <rules>
   <rule provider="postrider" id="delivery" class="system">
    <patterns><pattern>@ESTRING:pf.queue_id:: @to=&lt;@ESTRING:pf.to:&gt;, relay=@@ESTRING:pf.relay_name:[@@ESTRING:pf.relay_ip:]:@@ESTRING:pf.relay_port:, delay=@@ESTRING:pf.delay:, delays=@@ESTRING:pf.before_queue_manager:/@@ESTRING:pf.in_queue_manager:/@@ESTRING:pf.connection_setup:/@@ESTRING:pf.transmission:, dsn=@@ESTRING:pf.dsn:, status=@@ESTRING:pf.status: (@@ANYSTRING:pf.reason@</pattern></patterns>
   </rule>
  </rules>
 </ruleset>
</patterndb>
"#;

fn syslog_ng(directory: &Path, port: u16, _: usize) -> Result<Vec<String>> {
    let path = directory.display();
    fs::write(directory.join("patterns.xml"), PATTERNS)?;
    let text = format!(
        "@version: current\n\
         options {{ chain_hostnames(off); keep_hostname(yes); use_dns(no); dns_cache(no); stats_freq(0); \
         threaded(yes); }};\n\
         source s_tcp {{ network(ip(\"127.0.0.1\") port({port}) transport(\"tcp\") log-iw-size(100000) \
         log-fetch-limit(1000)); }};\n\
         parser p_postfix {{ db-parser(file(\"{path}/patterns.xml\")); }};\n\
         template t_json {{ template(\"$(format-json timestamp=$ISODATE hostname=$HOST app_name=$PROGRAM procid=$PID \
         message=$MSG --key pf.* --rekey pf.* --shift 3)\\n\"); }};\n\
         destination d_file {{ file(\"{path}/out\" template(t_json) log-fifo-size(200000)); }};\n\
         log {{ source(s_tcp); parser(p_postfix); destination(d_file); flags(flow-control); }};\n"
    );
    fs::write(directory.join("syslog-ng.conf"), text)?;
    let mut command = vec![syslog_ng_program()?.display().to_string()];
    command.extend(["--foreground", "--stderr", "--no-caps"].map(str::to_owned));
    for (option, name) in
        [("--cfgfile", "syslog-ng.conf"), ("--persist-file", "persist"), ("--pidfile", "pid"), ("--control", "ctl")]
    {
        command.push(format!("{option}={path}/{name}"));
    }
    Ok(command)
}

/// Beside rsyslog it cannot be installed, so the tests unpack it below the target directory.
pub(crate) fn syslog_ng_program() -> Result<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().ok_or("no target directory")?.join("peers/syslog-ng");
    let fetch = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/testkit/src/syslog_ng/fetch");
    if !Command::new(fetch).arg(&target).stdout(std::io::stderr()).status()?.success() {
        return Err("syslog-ng cannot be fetched".into());
    }
    Ok(target.join("syslog-ng"))
}

fn copy_command(directory: &Path, port: u16, bytes: usize) -> Result<Vec<String>> {
    let out = directory.join("out").display().to_string();
    role::command(&[role::COPY, &port.to_string(), &out, &bytes.to_string()])
}

/// Takes lines from TCP and writes `bytes` bytes for each into `file`, in pieces of the size that Postrider has, and
/// does nothing else: as little as any program can do that takes the log and writes records of that size.
pub(crate) fn copy(port: u16, file: &str, bytes: usize) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    for connection in listener.incoming() {
        let (mut connection, mut file) = (connection?, File::options().append(true).create(true).open(file)?);
        thread::spawn(move || -> Result<()> {
            let mut buffer = vec![b'x'; 64 << 10];
            let record = vec![b'x'; 512 * bytes];
            loop {
                let size = connection.read(&mut buffer)?;
                if size == 0 {
                    return Ok(());
                }
                let lines = memchr::memchr_iter(b'\n', &buffer[..size]).count();
                file.write_all(&record[..(lines * bytes).min(record.len())])?;
            }
        });
    }
    Ok(())
}
