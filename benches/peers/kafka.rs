//! How fast do records get into Kafka, beside producers that do nothing else?

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;

use super::contestant::Transport;
use super::sender::Sender;
use super::server::{Server, timed, write};
use super::{Found, Options, Result, float, log, median, program, role};
use testkit::kafka::Kafka;

/// Properties of every producer: those that Postrider sets by itself, and the compression.
const PROPERTIES: [(&str, &str); 5] = [
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("linger.ms", "20"),
    ("batch.size", "1048576"),
    ("compression.type", "none"),
];
const DEADLINE: Duration = Duration::from_secs(300);
/// How often it is looked whether all is there.
const LOOK: Duration = Duration::from_millis(5);

/// The cost of a run of a program, from its start to its end.
struct Run {
    seconds: f64,
    /// CPU time of a record, in microseconds.
    cpu: f64,
    /// The bytes of a record.
    record: usize,
}

/// The input of all programs.
struct Input {
    kafka: Kafka,
    records: usize,
    /// The log, which Postrider gets.
    log: Vec<u8>,
    /// The file with its records, which the others get.
    file: String,
    file_size: usize,
}

/// Puts records into a topic.
type Produce = fn(&Input, &str) -> Result<Run>;

/// Every program in turn, each time into a new topic of one partition.
pub(crate) fn measure(options: &Options, found: &mut Found) -> Result<String> {
    // The records in the topics stay until the end.
    let records = options.lines / 4;
    let directory = tempfile::tempdir_in("/dev/shm")?;
    let log = log::generate(records);
    let lines = write(directory.path(), "mail.log", &log)?;
    let file = directory.path().join("records");
    let mut decode = Command::new(program());
    timed(decode.arg("decode").arg(lines).stdout(File::create(&file)?).stderr(Stdio::null()))?;
    let (file_size, file) = (fs::read(&file)?.len(), file.display().to_string());
    let input = Input { kafka: Kafka::start(), records, log, file, file_size };

    let alone = format!("nothing but librdkafka {}, which Postrider has", rdkafka::util::get_rdkafka_version().1);
    let producers: [(&str, Produce); 3] = [("Postrider", postrider), ("kcat", kcat), (&alone, librdkafka)];
    // The first run is the broker's to get warm.
    run(&input, librdkafka, "warm")?;
    let mut runs = producers.map(|_| Vec::new());
    for round in 0..options.rounds {
        for (place, (_, produce)) in producers.iter().enumerate() {
            runs[place].push(run(&input, *produce, &format!("records-{place}-{round}"))?);
        }
    }
    let mut text = format!(
        "## {records} records into one partition of Kafka, acks=all, idempotent, not compressed\n\n\
         | program | records/s | CPU of each | bytes of each | records/s of Postrider over it |\n|---|---|---|---|---|\n"
    );
    let seconds = runs.each_ref().map(|runs| median(runs.iter().map(|run| run.seconds).collect()));
    for (((name, _), runs), time) in producers.iter().zip(&runs).zip(seconds) {
        let (cpu, record) = (median(runs.iter().map(|run| run.cpu).collect()), runs[0].record);
        let (rate, ratio) = (float(records) / time, time / seconds[0]);
        writeln!(text, "| {name} | {rate:.0} | {cpu:.2} µs | {record} | {ratio:.2} |")?;
    }
    found.kafka = Some((seconds[1] / seconds[0], seconds[2] / seconds[0]));
    Ok(text)
}

/// Has `produce` put all records into a new topic, and sees that they are there.
fn run(input: &Input, produce: Produce, topic: &str) -> Result<Run> {
    input.kafka.create_topic(topic, 1);
    let run = produce(input, topic)?;
    let there = Topic::new(input, topic)?.size()?;
    if there == input.records {
        Ok(run)
    } else {
        Err(format!("{there} records are in {topic}, {} should be", input.records).into())
    }
}

struct Topic<'t> {
    consumer: BaseConsumer,
    name: &'t str,
}

impl<'t> Topic<'t> {
    fn new(input: &Input, name: &'t str) -> Result<Self> {
        Ok(Self { consumer: input.kafka.client().create()?, name })
    }

    /// The records that it has.
    fn size(&self) -> Result<usize> {
        let (low, high) = self.consumer.fetch_watermarks(self.name, 0, Duration::from_secs(10))?;
        Ok(usize::try_from(high - low)?)
    }
}

/// The log over TCP, which is faster than Kafka, until all is there: unlike the others, it would not end by itself.
fn postrider(input: &Input, topic: &str) -> Result<Run> {
    let there = Topic::new(input, topic)?;
    there.size()?;
    let begun = Instant::now();
    let brokers = input.kafka.brokers();
    let mut server = Server::prepared(Transport::Tcp, None, |directory: &Path, port| {
        let file = directory.join("postrider.toml");
        fs::write(
            &file,
            format!(
                "shutdown_timeout = \"{}s\"\n[correlate]\nenabled = false\n[[source.tcp]]\nlisten = \"127.0.0.1:{port}\"\n[[sink.kafka]]\n\
                 brokers = [\"{brokers}\"]\ntopic = \"{topic}\"\n[sink.kafka.options]\ncompression.type = \"none\"\n",
                DEADLINE.as_secs()
            ),
        )?;
        Ok(vec![program().display().to_string(), "run".into(), "-c".into(), file.display().to_string()])
    })?;
    Sender::connect(server.port, &[&input.log])?.send()?;
    while there.size()? < input.records {
        if begun.elapsed() > DEADLINE {
            return Err(format!("not all records get into {topic}: {}", server.log()).into());
        }
        thread::sleep(LOOK);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = server.stop()?.as_secs_f64() * 1e6 / float(input.records);
    let record = server.ledger("sink=\"kafka\"", "delivered_bytes")? / input.records;
    Ok(Run { seconds, cpu, record })
}

fn kcat(input: &Input, topic: &str) -> Result<Run> {
    let mut command = super::command("kcat");
    command.args(["-P", "-q", "-b", &input.kafka.brokers(), "-t", topic, "-p", "0", "-l", &input.file]);
    for (name, value) in PROPERTIES {
        command.args(["-X", &format!("{name}={value}")]);
    }
    finish(input, command)
}

fn librdkafka(input: &Input, topic: &str) -> Result<Run> {
    let arguments = role::command(&[role::PRODUCE, &input.kafka.brokers(), topic, &input.file])?;
    let mut command = Command::new(&arguments[0]);
    command.args(&arguments[1..]);
    finish(input, command)
}

fn finish(input: &Input, mut command: Command) -> Result<Run> {
    let (cpu, seconds) = timed(command.stdout(Stdio::null()))?;
    Ok(Run { seconds, cpu: cpu * 1e6 / float(input.records), record: input.file_size / input.records })
}

/// Puts the lines of a file into a topic, as fast as librdkafka takes them.
pub(crate) fn produce(brokers: &str, topic: &str, file: &str) -> Result<()> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    for (name, value) in PROPERTIES {
        config.set(name, value);
    }
    let (producer, records): (BaseProducer, _) = (config.create()?, fs::read(file)?);
    let mut rest = records.as_slice();
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let mut record = BaseRecord::<(), [u8]>::to(topic).partition(0).payload(&rest[..end]);
        while let Err((error, back)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(10));
            record = back;
        }
        rest = &rest[end + 1..];
    }
    Ok(producer.flush(DEADLINE)?)
}
