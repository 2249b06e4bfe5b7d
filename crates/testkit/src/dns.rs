//! A name server that knows what it is told, for the programs of one mount namespace (RFC 1035).

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::port::Port;

/// Data of a name.
#[derive(Debug, Clone, Copy)]
pub enum Data {
    /// IPv4 address.
    A([u8; 4]),
    /// Preference and host; an empty host for the root, as a null MX has it.
    Mx(u16, &'static str),
    /// Host of a reverse name.
    Ptr(&'static str),
    /// The server fails to answer for the name.
    Failure,
}

/// A name, without the dot at its end, and one record of it.
pub type Entry = (&'static str, Data);

/// Name server on a loopback address of its own. It stops when the value is dropped.
pub struct Dns {
    address: Ipv4Addr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _number: Port,
}

impl Dns {
    /// Starts it on port 53, as resolv.conf(5) knows no other, of a loopback address that nobody else is given.
    pub fn start(zone: &'static [Entry]) -> Self {
        let number = Port::reserve();
        let [high, low] = number.number().to_be_bytes();
        let address = Ipv4Addr::new(127, 53, high, low);
        let socket = UdpSocket::bind((address, 53)).expect("the port for DNS, as root");
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let thread = thread::spawn(move || {
            let mut query = [0; 512];
            while let Ok((length, peer)) = socket.recv_from(&mut query) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                if let Some(reply) = answer(&query[..length], zone) {
                    // The client may have gone.
                    let _ = socket.send_to(&reply, peer);
                }
            }
        });
        Self { address, stopping, thread: Some(thread), _number: number }
    }

    /// Returns the address. The port is 53.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread up, so that it sees.
        let woken =
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.send_to(b"", (self.address, 53)));
        if let (Ok(_), Some(thread)) = (woken, self.thread.take()) {
            // Its panic has been printed, and a second one would hide the first.
            let _ = thread.join();
        }
    }
}

fn answer(query: &[u8], zone: &[Entry]) -> Option<Vec<u8>> {
    let (header, mut rest) = query.split_at_checked(12)?;
    let mut labels = Vec::new();
    loop {
        let (&length, after) = rest.split_first()?;
        let (label, after) = after.split_at_checked(length.into())?;
        rest = after;
        if label.is_empty() {
            break;
        }
        labels.push(String::from_utf8_lossy(label).to_lowercase());
    }
    let name = labels.join(".");
    let kind = u16::from_be_bytes(rest.get(..2)?.try_into().ok()?);
    let question = &query[12..query.len() - rest.len() + 4];

    let known: Vec<Data> = zone.iter().filter(|(own, _)| *own == name).map(|(_, data)| *data).collect();
    let failed = known.iter().any(|data| matches!(data, Data::Failure));
    let records: Vec<Vec<u8>> = known.iter().filter_map(|data| record(*data, kind)).collect();
    // Server failure, name error, no error.
    let code = match (failed, known.is_empty()) {
        (true, _) => 2,
        (false, true) => 3,
        (false, false) => 0,
    };
    let count = u8::try_from(records.len()).expect("few records");
    // A response, with recursion, and one question.
    let mut reply = vec![header[0], header[1], 0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0];
    reply.extend_from_slice(question);
    reply.extend(records.concat());
    Some(reply)
}

/// The record in wire format, if it is of the type that was asked for.
fn record(data: Data, kind: u16) -> Option<Vec<u8>> {
    let (own, bytes) = match data {
        Data::A(address) => (1, address.to_vec()),
        Data::Ptr(host) => (12, encoded(host)),
        Data::Mx(preference, host) => (15, [preference.to_be_bytes().to_vec(), encoded(host)].concat()),
        Data::Failure => return None,
    };
    let length = u16::try_from(bytes.len()).expect("a short record").to_be_bytes();
    // The name of the question, the type, the class IN, a minute.
    let head = [0xc0, 12, 0, own, 0, 1, 0, 0, 0, 60];
    (u16::from(own) == kind).then(|| [&head[..], &length, &bytes].concat())
}

fn encoded(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).expect("a short label"));
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}
