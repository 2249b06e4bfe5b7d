//! Debian's Prometheus, which scrapes what the test tells it to, and its promtool.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::http::ask;
use super::port::Port;
use super::process::Process;
use super::scratch;
use super::wait::wait_for;

/// It reads its storage and its configuration first.
const START: Duration = Duration::from_secs(60);

/// Process of Prometheus. It is killed when the value is dropped.
pub struct Prometheus {
    // In the order in which they must go: the process first.
    process: Process,
    port: Port,
    _directory: TempDir,
}

impl Prometheus {
    /// Starts it with these lines of `prometheus.yml` behind the table `global`. It scrapes each target once a second.
    pub fn start(configuration: &str) -> Self {
        let (directory, port) = (scratch::directory("prometheus"), Port::reserve());
        let file = directory.path().join("prometheus.yml");
        let text = format!("global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n{configuration}");
        fs::write(&file, text).expect("a configuration of Prometheus");
        let arguments = [
            format!("--config.file={}", file.display()),
            format!("--storage.tsdb.path={}", directory.path().join("data").display()),
            format!("--web.listen-address={}", port.address()),
        ];
        let mut process = Process::start("/usr/bin/prometheus", &arguments, &directory.path().join("prometheus.log"));
        process.wait_ready(START, || std::net::TcpStream::connect(port.address()).ok());
        let prometheus = Self { process, port, _directory: directory };
        let is_ready = || (prometheus.get("/-/ready").status == 200).then_some(());
        wait_for(START, "a Prometheus that is ready", is_ready);
        prometheus
    }

    /// Returns the series that a query of PromQL gives now, each with its labels (`metric`) and its `value`.
    #[track_caller]
    pub fn query(&self, query: &str) -> Vec<Value> {
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let answer = self.get(&format!("/api/v1/query?query={encoded}")).json();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().expect("a list of series").clone()
    }

    /// Waits until a query gives one series with this value.
    #[track_caller]
    pub fn wait_value(&self, deadline: Duration, query: &str, value: &str) {
        let mut found = Vec::new();
        let is_so = super::wait::wait(deadline, || {
            found = self.query(query);
            (found.len() == 1 && found[0]["value"][1] == value).then_some(())
        });
        assert!(is_so.is_some(), "{query} is not {value}: {found:?}\n{}", self.process.log());
    }

    /// Ends it. Panics after `deadline`.
    #[track_caller]
    pub fn terminate(&mut self, deadline: Duration) {
        let status = self.process.terminate(deadline);
        assert!(status.success(), "{status}: {}", self.process.log());
    }

    #[track_caller]
    fn get(&self, path: &str) -> super::http::HttpAnswer {
        // A client of HTTP/1.0 reads to the end of the connection.
        ask(self.port.address(), &format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.port.address()))
    }
}

/// Returns what `promtool check metrics` has to say against a text in the format of Prometheus.
#[track_caller]
pub fn complaints(text: &str) -> String {
    let missing = "promtool is missing; to install what tests need: ./dev setup test";
    let piped = || Stdio::piped();
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(piped()).stdout(piped()).stderr(piped());
    let mut child = promtool.spawn().expect(missing);
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    if output.status.success() { said.into_owned() } else { format!("{}: {said}", output.status) }
}
