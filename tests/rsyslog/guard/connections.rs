//! The number of connections of one peer.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};

use testkit::wait::wait_until;

use super::proxy::v2;
use super::{DEADLINE, assert_ledger, connect, counted, is_closed, is_closed_now, message, spawn};

/// The address of this machine that it would speak to others from; `None` where it has no network.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("198.51.100.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|own| !own.is_loopback())
}

#[test]
fn one_peer_can_not_take_all_connections() {
    let limits = "max_connections = 10\nmax_connections_per_peer = 3\n";
    let proxied = format!("{limits}proxy_protocol = [\"127.0.0.1\"]\n");
    let mut postrider = spawn(&format!(
        "[[source.tcp]]\nlisten = \"127.0.0.1:0\"\n{proxied}[[source.relp]]\nlisten = \"127.0.0.1:0\"\n{proxied}\
         [[source.tcp]]\nname = \"direct\"\nlisten = \"0.0.0.0:0\"\n{limits}"
    ));
    let behind = |peer: &str, to: SocketAddr, text: &str| {
        let mut socket = connect("127.0.0.1", to);
        let family = if peer.contains(':') { "TCP6" } else { "TCP4" };
        // One that is refused may notice while it writes.
        let _ = socket.write_all(format!("PROXY {family} {peer} {peer} 1 2\r\n{text}").as_bytes());
        socket
    };
    for source in ["tcp", "relp"] {
        let to = postrider.address(source);
        let text = if source == "tcp" { format!("{}\n", message("here")) } else { testkit::relp::OPEN.to_owned() };
        for network in [["203.0.113.66"; 4], ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"]] {
            let mut crowd: Vec<_> = network.iter().map(|peer| behind(peer, to, &text)).collect();
            wait_until(DEADLINE, "a connection that is closed", || crowd.iter_mut().any(is_closed_now));
            // Another peer has a connection, and so has the proxy itself.
            let other = behind("203.0.113.9", to, &text);
            let mut own = connect("127.0.0.1", to);
            own.write_all(&[&v2(0x20, 0, b"")[..], text.as_bytes()].concat()).expect("room");
            drop((crowd, other, own));
            // After the end of one, another may begin.
            wait_until(DEADLINE, "a connection after others have ended", || {
                let mut again = behind(network[0], to, &text);
                again.shutdown(std::net::Shutdown::Write).expect("a connection");
                let mut answer = Vec::new();
                let _ = again.read_to_end(&mut answer);
                source == "tcp" && postrider.stdout().matches("203.0.113.9").count() > 0
                    || source == "relp" && answer.starts_with(b"1 rsp")
            });
        }
    }
    let direct = postrider.address("direct").port();
    // This machine itself is not limited, but by max_connections.
    let mut local: Vec<_> = (0..10).map(|_| connect("127.0.0.1", ([127, 0, 0, 1], direct).into())).collect();
    for socket in &mut local {
        writeln!(socket, "{}", message("local")).expect("room");
    }
    wait_until(DEADLINE, "local messages", || postrider.stdout().matches("\"local\"").count() == 10);
    assert!(is_closed(&mut connect("127.0.0.1", ([127, 0, 0, 1], direct).into())));
    wait_until(DEADLINE, "a line about it", || {
        postrider.stderr().contains("max_connections=10 busiest_peer=\"127.0.0.1\" connections=10")
    });
    drop(local);
    if let Some(own) = own_address() {
        let connect = || TcpStream::connect((own, direct)).expect("a connection");
        wait_until(DEADLINE, "places", || {
            let mut socket = connect();
            writeln!(socket, "{}", message("own")).is_ok() && postrider.stdout().contains("\"own\"")
        });
        let mut crowd = [(); 4].map(|()| connect());
        wait_until(DEADLINE, "a refusal", || crowd.iter_mut().any(is_closed_now));
    }
    let ended = postrider.terminate(DEADLINE);
    assert!(ended.status.success(), "{}", ended.stderr);
    for source in ["tcp", "relp"] {
        assert!(counted(&ended, source, "connections_refused_per_peer") >= 2, "{}", ended.stderr);
        assert_ledger(&ended, source, &[("connections_refused", 0)]);
    }
    // Those of before may still have been there when the next came.
    assert!(counted(&ended, "direct", "connections_refused") >= 1);
    assert_eq!(counted(&ended, "direct", "connections_refused_per_peer") > 0, own_address().is_some());
    assert!(ended.stderr.contains("its peer has reached max_connections_per_peer"), "{}", ended.stderr);
    assert!(ended.stderr.contains("peer=\"203.0.113.66:1\""), "{}", ended.stderr);
}
