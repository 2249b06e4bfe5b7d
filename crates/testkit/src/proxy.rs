//! A way between a client and a server, for a test of what happens when answers are lost on it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

/// Hands on every connection to a server. Its threads end with the test's process.
pub struct Proxy {
    address: SocketAddr,
    /// True if answers of the server are thrown away.
    mute: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens on a port of its own, on behalf of `server`, which need not listen yet.
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let address = listener.local_addr().expect("the address of a bound socket");
        let mute = Arc::new(AtomicBool::new(false));
        let is_mute = Arc::clone(&mute);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Without its server it hangs up.
                let Ok(server) = TcpStream::connect(server) else { continue };
                hand_on(client, server, &is_mute);
            }
        });
        Self { address, mute }
    }

    /// Returns the address at which clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Throws answers away from now on, or hands them on again.
    pub fn lose_answers(&self, mute: bool) {
        self.mute.store(mute, SeqCst);
    }
}

/// Hands on both ways, each on a thread of its own.
fn hand_on(client: TcpStream, server: TcpStream, mute: &Arc<AtomicBool>) {
    let (to_server, to_client) = (server.try_clone(), client.try_clone());
    let (to_server, to_client) = (to_server.expect("a second handle"), to_client.expect("a second handle"));
    thread::spawn(move || copy(client, to_server, &AtomicBool::new(false)));
    let mute = Arc::clone(mute);
    thread::spawn(move || copy(server, to_client, &mute));
}

/// Copies until either end has hung up.
fn copy(mut from: TcpStream, mut to: TcpStream, mute: &AtomicBool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if !mute.load(SeqCst) && to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    // The other end may have hung up already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
