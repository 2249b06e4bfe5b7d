//! Apache Kafka: one node in `KRaft` mode, started as its own scripts start it, with a small heap.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use tempfile::TempDir;

use super::port::Port;
use super::process::Process;
use super::proxy::Proxy;
use super::scratch;
use super::wait::wait_for;

/// A start takes about two seconds on an idle machine.
const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(30);

/// Any 16 bytes in URL-safe base64.
const CLUSTER_ID: &str = "cG9zdHJpZGVyLXRlc3RzIQ";

/// The name of a secure broker's key store and certificate.
const BROKER: &str = "broker";

/// The tests' broker starts in a third of the time without the optimising compiler.
const JAVA_OPTIONS: [&str; 5] =
    ["-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"];

/// Broker of one test binary or one test. It stops, and its data goes, when the value is dropped.
pub struct Kafka {
    // In the order in which they must go: the process first.
    process: Process,
    directory: TempDir,
    broker: Port,
    second: Option<Port>,
    _controller: Port,
}

/// User of a secure broker.
pub const USER: &str = "postrider";
/// Password of [`USER`].
pub const PASSWORD: &str = "correct horse";

/// A record as the broker gives it to a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    /// Key; `None` for a record without one.
    pub key: Option<Vec<u8>>,
    /// Value; empty for a record without one.
    pub value: Vec<u8>,
    /// Headers in their order, each with its name and its value.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Milliseconds since the epoch.
    pub timestamp: Option<i64>,
    /// Number of the partition, from 0.
    pub partition: i32,
    /// Offset in the partition.
    pub offset: i64,
}

/// Time for an answer of the broker to a request of an admin client. A broker that has just started on a busy machine
/// needs more than the 5 s that librdkafka gives it.
const ANSWER: Duration = Duration::from_secs(20);

/// Number of times that an admin client asks, each with a connection of its own: on a busy machine a request is now and
/// then never answered, by a broker that answers others.
const REQUESTS: usize = 4;

/// Returns the first answer to a request that may be repeated, of at most [`REQUESTS`].
fn answer<T: Send>(what: &str, mut ask: impl FnMut(&AdminOptions) -> KafkaResult<T> + Send) -> T {
    let options = AdminOptions::new().request_timeout(Some(ANSWER)).operation_timeout(Some(ANSWER));
    // On a thread of its own, since a test may call this from within a runtime.
    thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let earlier = (1..REQUESTS).find_map(|_| ask(&options).ok());
            earlier.unwrap_or_else(|| ask(&options).unwrap_or_else(|error| panic!("{what}: {error}")))
        });
        asking.join().unwrap_or_else(|_| panic!("no answer: {what}"))
    })
}

impl Kafka {
    /// Starts a broker with no topics, and waits until it serves.
    pub fn start() -> Self {
        Self::start_with(None, |_, _| {})
    }

    /// The same, with a port for TLS where [`USER`] must give [`PASSWORD`], by SCRAM-SHA-512 or PLAIN. The test's own
    /// clients use the other port.
    pub fn start_secure() -> Self {
        Self::start_with(Some(Port::reserve()), |directory, ports| {
            certify(directory, BROKER);
            append_secure_properties(directory, ports);
        })
    }

    /// The same, with a port that sends its clients to a proxy before it. The test's own clients use the other port.
    pub fn start_behind_proxy() -> (Self, Proxy) {
        let port = Port::reserve();
        let proxy = Proxy::before(port.address());
        let kafka = Self::start_with(Some(port), |directory, ports| {
            append_proxied_properties(directory, ports, proxy.address());
        });
        (kafka, proxy)
    }

    /// `second` is another port of the broker; `configure` adds its properties.
    fn start_with(second: Option<Port>, configure: impl FnOnce(&Path, [SocketAddr; 3])) -> Self {
        let directory = scratch::directory("kafka");
        let (broker, controller) = (Port::reserve(), Port::reserve());
        write_properties(directory.path(), &broker, &controller);
        if let Some(second) = &second {
            configure(directory.path(), [broker.address(), second.address(), controller.address()]);
        }
        copy_formatted_storage(directory.path());
        let process = start_process(directory.path(), &archived_classes());
        let mut kafka = Self { process, directory, broker, second, _controller: controller };
        kafka.wait_ready();
        kafka
    }

    /// The broker that the tests of one binary share, each with topics of its own.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Returns the address for `bootstrap.servers` of a client.
    pub fn brokers(&self) -> String {
        self.broker.address().to_string()
    }

    /// Returns the address for TLS of a broker that [`Self::start_secure`] started.
    pub fn secure_brokers(&self) -> String {
        self.second.as_ref().expect("a secure broker").address().to_string()
    }

    /// The certificate of such a broker, which nobody but itself has signed.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join(format!("{BROKER}.pem"))
    }

    /// A certificate that such a broker does not have.
    pub fn other_certificate(&self) -> PathBuf {
        certify(self.directory.path(), "other")
    }

    /// Creates a topic with this number of partitions, and waits until each of them has a leader.
    pub fn create_topic(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let mut requests = 0;
        let results = answer("the request for a topic", |options| {
            requests += 1;
            block_on(self.admin().create_topics([&topic], options))
        });
        for result in results {
            match result {
                // An earlier request created it, and its answer was lost.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) if requests > 1 => {}
                Err((name, error)) => panic!("topic {name} was not created: {error}"),
                Ok(_) => {}
            }
        }
        let consumer = self.consumer();
        wait_for(START, &format!("leaders of topic {name}"), || {
            let count = led_partitions(&consumer, Some(name))?;
            (count == usize::try_from(partitions).ok()?).then_some(())
        });
    }

    /// Changes a property of a topic, as its operator does.
    pub fn set(&self, topic: &str, property: &str, value: &str) {
        let change = AlterConfig::new(ResourceSpecifier::Topic(topic)).set(property, value);
        let results =
            answer("the request for a change", |options| block_on(self.admin().alter_configs([&change], options)));
        for result in results {
            result.unwrap_or_else(|(_, error)| panic!("topic {topic} was not changed: {error}"));
        }
    }

    /// Reads a topic from its beginning until at least `expected` records came and every partition is at its end, so
    /// that records too many are seen too. After `deadline` it gives what came until then, and the test sees what is
    /// missing.
    pub fn consume_all(&self, topic: &str, expected: usize, deadline: Duration) -> Vec<Consumed> {
        let consumer = self.consumer();
        let metadata = wait_for(START, &format!("metadata of topic {topic}"), || {
            consumer.fetch_metadata(Some(topic), Duration::from_secs(1)).ok()
        });
        let partitions = metadata.topics().first().expect("the topic that was asked for").partitions();
        assert!(!partitions.is_empty(), "there is no topic {topic}");
        let mut assignment = TopicPartitionList::new();
        for partition in partitions {
            assignment
                .add_partition_offset(topic, partition.id(), Offset::Beginning)
                .expect("the beginning is an offset to start at");
        }
        consumer.assign(&assignment).expect("an assignment of all partitions");

        let mut records = Vec::new();
        let mut at_end = HashSet::new();
        let end = Instant::now() + deadline;
        while (records.len() < expected || at_end.len() < partitions.len()) && Instant::now() < end {
            match consumer.poll(Duration::from_millis(50)) {
                Some(Ok(message)) => {
                    at_end.remove(&message.partition());
                    records.push(Consumed::of(&message));
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    at_end.insert(partition);
                }
                // A broker that can't be reached may come back before the deadline.
                Some(Err(_)) | None => {}
            }
        }
        records
    }

    /// Ends the broker at once, as a crash does.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Ends the broker as its operator does.
    pub fn stop(&mut self) {
        self.process.terminate(STOP);
    }

    /// Starts the broker again after [`Self::kill`] or [`Self::stop`], with the same ports and data, and waits until it
    /// serves.
    pub fn restart(&mut self) {
        self.process = start_process(self.directory.path(), &archived_classes());
        self.wait_ready();
    }

    /// Stops the broker in its tracks: connections stay, answers don't come.
    pub fn freeze(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// Lets the broker go on after [`Self::freeze`].
    pub fn thaw(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    /// Settings for a client of this broker, quick to connect again.
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", self.brokers())
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "200");
        config
    }

    fn consumer(&self) -> BaseConsumer {
        self.client()
            // The client library asks for a group even where a consumer names its partitions itself.
            .set("group.id", "tests")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            // A broker that has just started may not know the beginning yet. The end must not be taken for it.
            .set("auto.offset.reset", "earliest")
            .create()
            .expect("a consumer")
    }

    fn wait_ready(&mut self) {
        let consumer = self.consumer();
        self.process.wait_ready(START, || led_partitions(&consumer, None));
    }
}

impl Consumed {
    fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().map(|headers| headers.iter().collect::<Vec<_>>()).unwrap_or_default();
        Self {
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().unwrap_or_default().to_vec(),
            headers: headers
                .into_iter()
                .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
                .collect(),
            timestamp: message.timestamp().to_millis(),
            partition: message.partition(),
            offset: message.offset(),
        }
    }
}

/// Returns the number of partitions of `topic`, or of all topics; `None` while the broker doesn't serve each of them. A
/// broker that has only just started answers before it is a member of its cluster, and names no broker until then.
fn led_partitions(consumer: &BaseConsumer, topic: Option<&str>) -> Option<usize> {
    let metadata = consumer.fetch_metadata(topic, Duration::from_secs(1)).ok()?;
    let partitions: Vec<&MetadataPartition> = metadata.topics().iter().flat_map(MetadataTopic::partitions).collect();
    let served = !metadata.brokers().is_empty()
        && partitions.iter().all(|partition| partition.leader() >= 0 && partition.error().is_none());
    served.then_some(partitions.len())
}

fn write_properties(directory: &Path, broker: &Port, controller: &Port) {
    let (broker, controller) = (broker.address(), controller.address());
    let own = format!(
        "\nlisteners=PLAINTEXT://{broker},CONTROLLER://{controller}\n\
         advertised.listeners=PLAINTEXT://{broker}\n\
         controller.quorum.voters=1@{controller}\n\
         log.dirs={}\n",
        data(directory).display()
    );
    let properties = include_str!("server.properties").to_owned() + &own;
    fs::write(directory.join("server.properties"), properties).expect("the broker's configuration");
}

/// The second `listeners` wins over the first, as in any Java properties.
fn append_secure_properties(directory: &Path, [broker, secure, controller]: [SocketAddr; 3]) {
    let own = format!(
        "listeners=PLAINTEXT://{broker},SASL_SSL://{secure},CONTROLLER://{controller}\n\
         advertised.listeners=PLAINTEXT://{broker},SASL_SSL://{secure}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT\n\
         sasl.enabled.mechanisms=SCRAM-SHA-512,PLAIN\n\
         listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
         org.apache.kafka.common.security.scram.ScramLoginModule required;\n\
         listener.name.sasl_ssl.plain.sasl.jaas.config=\
         org.apache.kafka.common.security.plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\";\n\
         ssl.keystore.type=PEM\n\
         ssl.keystore.location={}\n",
        key_store(directory, BROKER).display()
    );
    append_properties(directory, &own);
}

fn append_proxied_properties(directory: &Path, [broker, behind, controller]: [SocketAddr; 3], proxy: SocketAddr) {
    let own = format!(
        "listeners=PLAINTEXT://{broker},PROXIED://{behind},CONTROLLER://{controller}\n\
         advertised.listeners=PLAINTEXT://{broker},PROXIED://{proxy}\n\
         listener.security.protocol.map=PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
    );
    append_properties(directory, &own);
}

fn append_properties(directory: &Path, properties: &str) {
    let path = directory.join("server.properties");
    let mut file = File::options().append(true).open(path).expect("the broker's configuration");
    file.write_all(properties.as_bytes()).expect("the broker's configuration");
}

/// Makes a key and a certificate for 127.0.0.1, signed with the key itself, and gives the file of the certificate.
fn certify(directory: &Path, name: &str) -> PathBuf {
    let identity = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (key, certificate) = (identity.signing_key.serialize_pem(), identity.cert.pem());
    fs::write(key_store(directory, name), key + &certificate).expect("a key store");
    let path = directory.join(format!("{name}.pem"));
    fs::write(&path, certificate).expect("a certificate");
    path
}

fn key_store(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}-store.pem"))
}

/// Gives a broker the formatted storage that is kept beside Kafka's libraries: Java takes two seconds of processor time
/// to format one, and neither ports nor paths are in it. The first broker of all keeps it.
fn copy_formatted_storage(directory: &Path) {
    static FORMATTED: OnceLock<PathBuf> = OnceLock::new();
    let formatted = FORMATTED.get_or_init(|| {
        let formatted = libraries().join("formatted");
        if !formatted.exists() {
            keep_formatted_storage(&formatted);
        }
        formatted
    });
    copy_files(formatted, &data(directory));
}

/// Several test processes may do this at the same time: one of them comes first, and the others take its storage.
fn keep_formatted_storage(formatted: &Path) {
    let directory = scratch::directory("kafka-formatted");
    write_properties(directory.path(), &Port::reserve(), &Port::reserve());
    format_storage(directory.path(), &archived_classes());
    let own = formatted.with_extension(std::process::id().to_string());
    copy_files(&data(directory.path()), &own);
    if fs::rename(&own, formatted).is_err() {
        fs::remove_dir_all(&own).expect("the storage of another test process");
    }
}

fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a broker's storage");
    for file in fs::read_dir(from).expect("a formatted storage") {
        let file = file.expect("a file of a formatted storage");
        fs::copy(file.path(), to.join(file.file_name())).expect("a copy of a formatted storage");
    }
}

fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

fn format_storage(directory: &Path, classes: &str) {
    let output = Command::new("java")
        .args(java_arguments(classes))
        .args(["kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER_ID])
        .args(["--add-scram", &format!("SCRAM-SHA-512=[name={USER},password={PASSWORD}]"), "--config"])
        .arg(directory.join("server.properties"))
        .output()
        .expect("java was there a moment ago");
    assert!(
        output.status.success(),
        "Kafka's storage could not be formatted, {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

fn start_process(directory: &Path, classes: &str) -> Process {
    let mut arguments = java_arguments(classes);
    arguments.push("kafka.Kafka".to_owned());
    arguments.push(directory.join("server.properties").display().to_string());
    Process::start("java", &arguments, &directory.join("kafka.log"))
}

/// Option by which Java takes its classes from the archive beside Kafka's libraries: a start then takes 3 s of
/// processor time instead of 5. The first broker of all writes the archive. Java ignores that of another version.
fn archived_classes() -> String {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    let archive = ARCHIVE.get_or_init(|| {
        let archive = libraries().join("classes.jsa");
        if !archive.exists() {
            write_archive(&archive);
        }
        archive
    });
    format!("-XX:SharedArchiveFile={}", archive.display())
}

/// Java writes the archive when its program ends. Several test processes may do this at the same time.
fn write_archive(archive: &Path) {
    let directory = scratch::directory("kafka-classes");
    let (broker, controller) = (Port::reserve(), Port::reserve());
    write_properties(directory.path(), &broker, &controller);
    format_storage(directory.path(), "-Xshare:auto");
    let written = directory.path().join("classes.jsa");
    let process = start_process(directory.path(), &format!("-XX:ArchiveClassesAtExit={}", written.display()));
    let mut kafka = Kafka { process, directory, broker, second: None, _controller: controller };
    kafka.wait_ready();
    kafka.process.terminate(START);
    let whole = archive.with_extension(std::process::id().to_string());
    fs::copy(&written, &whole).expect("the archive of Kafka's classes");
    fs::rename(&whole, archive).expect("the archive of Kafka's classes");
}

fn java_arguments(classes: &str) -> Vec<String> {
    let mut arguments: Vec<String> = JAVA_OPTIONS.map(str::to_owned).into();
    arguments.push(classes.to_owned());
    arguments.extend(["-cp".to_owned(), format!("{}/*", libraries().display())]);
    arguments
}

/// The directory with Kafka's libraries, fetched when they are missing.
fn libraries() -> &'static Path {
    static LIBRARIES: OnceLock<PathBuf> = OnceLock::new();
    LIBRARIES.get_or_init(|| {
        // Beside the build's own files, and so gone with `cargo clean`.
        let target = crate::target_directory();
        let libraries = target.join("peers/kafka");
        let output = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src/kafka/fetch"))
            .arg(&libraries)
            .output()
            .expect("crates/testkit/src/kafka/fetch can be run");
        assert!(
            output.status.success() && Command::new("java").arg("-version").output().is_ok(),
            "Apache Kafka can't be fetched or run; to install what tests need: ./dev setup test\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        libraries
    })
}

fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}
