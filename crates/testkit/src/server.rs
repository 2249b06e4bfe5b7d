//! A server of the test's own: a thread for each connection, which all end with their value.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// No peer is silent for so long, unless the test has ended.
const SILENCE: Duration = Duration::from_secs(60);

/// Server on a free loopback port. It accepts no more connections when the value is dropped.
pub struct Server {
    address: SocketAddr,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Runs `serve` for every connection to a free loopback port.
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let address = listener.local_addr().expect("the address of a bound socket");
        let stopping = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&stopping);
        let serve = Arc::new(serve);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().take_while(|_| !stop.load(Ordering::SeqCst)) {
                let stream = stream.expect("a connection");
                stream.set_read_timeout(Some(SILENCE)).expect("a time limit on a socket");
                let serve = Arc::clone(&serve);
                thread::spawn(move || serve(stream));
            }
        });
        Self { address, stopping, thread: Some(thread) }
    }

    /// Returns the address at which it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address as parameters have it: `inet:127.0.0.1:PORT`.
    pub fn inet(&self) -> String {
        format!("inet:{}", self.address)
    }

    /// The address as transport(5) has it: `[127.0.0.1]:PORT`.
    pub fn nexthop(&self) -> String {
        format!("[{}]:{}", self.address.ip(), self.address.port())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // Wakes the thread up, so that it sees.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed, and a second one would hide the first.
            let _ = thread.join();
        }
    }
}
