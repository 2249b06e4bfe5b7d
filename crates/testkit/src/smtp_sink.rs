//! Postfix's smtp-sink: a mail server that takes what it is sent and keeps nothing, and refuses what it is told to
//! refuse.

use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use super::port::Port;
use super::process::Process;

const START: Duration = Duration::from_secs(30);

/// Process of smtp-sink. It is killed when the value is dropped.
pub struct SmtpSink {
    // In the order in which they must go: the process first.
    _process: Process,
    port: Port,
}

impl SmtpSink {
    /// Starts it with the options `behaviour`, see smtp-sink(1); its log goes to `directory`.
    pub fn start(directory: &Path, behaviour: &[&str]) -> Self {
        let port = Port::reserve();
        let address = port.address().to_string();
        // It refuses to run as root. To lose root is to lose the parent-death signal, so it is asked for once more.
        let user = ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=KILL", "/usr/sbin/smtp-sink"];
        let arguments: Vec<&str> = user.iter().chain(behaviour).copied().chain([address.as_str(), "100"]).collect();
        let mut process = Process::start("setpriv", &arguments, &directory.join("smtp-sink.log"));
        process.wait_ready(START, || TcpStream::connect(port.address()).ok());
        Self { _process: process, port }
    }

    /// The destination in the words of transport(5), without the transport: `[127.0.0.1]:PORT`.
    pub fn nexthop(&self) -> String {
        format!("[127.0.0.1]:{}", self.number())
    }

    /// Returns the number of its port on 127.0.0.1.
    pub fn number(&self) -> u16 {
        self.port.number()
    }
}
