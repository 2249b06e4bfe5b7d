//! docs/access.md

use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};

use crate::docs::page::Page;
use crate::docs::running::{DEADLINE, assert_logs, finish, record, run};
use testkit::port::Port;
use testkit::process::Process;
use testkit::scratch;
use testkit::wait::wait_until;

#[test]
fn access() {
    let (front, back) = (Port::reserve(), Port::reserve());
    let mut page = Page::open("access.md");
    page.exchange("bind :514", format!("bind {}", front.address()));
    page.exchange("10.0.0.5:5514", back.address());
    page.exchange("[::]:5514", back.address());
    page.exchange("10.0.0.0/8", "127.0.0.1/32");
    let [haproxy, behind] = page.take(["haproxy", "toml"]);
    proxied(&haproxy, &behind, &front, &back);

    // All addresses of these networks are the machine's own.
    page.exchange("[::]:514", "0.0.0.0:0");
    page.exchange("192.0.2.0/24", "127.0.2.0/24");
    page.exchange("192.0.2.66", "127.0.2.66");
    let [lists] = page.take(["toml"]);
    let mut postrider = run(&format!("{lists}\n{}", lists.replace("source.udp", "source.tcp")));
    let (udp, tcp) = (postrider.address("udp").port(), postrider.address("tcp").port());
    let denied = send("127.0.2.66", udp, "denied");
    send("127.0.3.1", udp, "not allowed");
    send("127.0.2.1", udp, "allowed");
    record(&postrider, "allowed");
    let connection = connect("127.0.2.66", tcp);
    page.exchange("192.0.2.66:51234", denied);
    let [lines] = page.take(["log"]);
    let (datagram, closed) = lines.split_once('\n').expect("two lines");
    assert_logs(|| postrider.stderr(), datagram);
    let own = connection.local_addr().expect("an address").to_string();
    assert_logs(|| postrider.stderr(), &closed.replace(&denied.to_string(), &own));
    let ended = finish(postrider);
    assert_eq!(ended.stdout.lines().count(), 1);
    assert_eq!(ended.source("udp").count("dropped_denied"), 2, "{}", ended.stderr);
    assert_eq!(ended.source("tcp").count("connections_denied"), 1, "{}", ended.stderr);

    let [per_peer] = page.take(["toml"]);
    let mut postrider = run(&format!("{per_peer}proxy_protocol = [\"127.0.0.1\"]"));
    let address = postrider.address("tcp");
    let crowd: Vec<_> = (0..=200)
        .map(|_| {
            let mut connection = connect("127.0.0.1", address.port());
            connection.write_all(b"PROXY TCP4 192.0.2.88 192.0.2.5 51234 514\r\n").expect("room");
            connection
        })
        .collect();
    let [refused] = page.take(["log"]);
    assert_logs(|| postrider.stderr(), &refused);
    drop(crowd);
    drop(finish(postrider));

    let [rate] = page.take(["toml"]);
    let mut postrider = run(&rate);
    let port = postrider.address("udp").port();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    // Some at a time, as a receive buffer may be small: together more than 1000 a second.
    wait_until(DEADLINE, "a rate that is too high", || {
        for _ in 0..100 {
            socket
                .send_to(b"<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: a flood", ("127.0.0.1", port))
                .expect("it goes out");
        }
        postrider.stderr().contains("max_rate_per_peer")
    });
    page.exchange("192.0.2.1:51234", socket.local_addr().expect("an address"));
    let [limited] = page.take(["log"]);
    assert_logs(|| postrider.stderr(), &limited);
    let ended = finish(postrider);
    assert!(ended.stdout.lines().count() >= 1000, "one second's worth may come at once");
    assert!(ended.source("udp").count("received") > 1000 && ended.stderr.contains("rate_limited"));

    let mut postrider = run(&behind);
    postrider.wait_listening(&[back.address()]);
    let mut connection = connect("127.0.0.1", back.number());
    connection.write_all(b"<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: no header\n").expect("room");
    page.exchange("10.0.0.4:51234", connection.local_addr().expect("an address"));
    let [no_header] = page.take(["log"]);
    assert_logs(|| postrider.stderr(), &no_header);
    assert!(finish(postrider).stderr.contains("proxy_errors=1"));

    let [lines] = page.take(["log"]);
    let (cut, closed) = lines.split_once('\n').expect("two lines");
    unfinished("tcp", "", cut);
    unfinished("relp", "1 open 30 relp_version=0\ncommands=syslog\n2 syslog 60001 ", closed);
}

/// Two connections to a source of this `kind` begin a long message behind `head`. One of them has to give its memory to
/// the other, and `line` says so.
fn unfinished(kind: &str, head: &str, line: &str) {
    let small = "max_frame_size = \"64KiB\"\nmax_bytes_in_flight = \"256KiB\"\n";
    let mut postrider = run(&format!("[[source.{kind}]]\nlisten = \"127.0.0.1:0\"\n{small}"));
    let port = postrider.address(kind).port();
    let connections = [(); 2].map(|()| {
        let mut connection = connect("127.0.0.1", port);
        connection.write_all(&[head.as_bytes(), &vec![b'x'; 60_000]].concat()).expect("room");
        connection
    });
    let address = |connection: &TcpStream| connection.local_addr().expect("an address").to_string();
    wait_until(DEADLINE, "a line about it", || postrider.stderr().contains("the memory for unfinished messages"));
    let [one, other] = connections.each_ref().map(address);
    let peer = if postrider.stderr().contains(&one) { one } else { other };
    assert_logs(|| postrider.stderr(), &line.replace("192.0.2.77:51234", &peer));
    drop(finish(postrider));
}

/// Sends through a real load balancer: the record has the address of the client.
fn proxied(haproxy: &str, behind: &str, front: &Port, back: &Port) {
    let directory = scratch::directory("haproxy");
    let path = directory.path().join("haproxy.cfg");
    std::fs::write(&path, haproxy).expect("a configuration");
    let mut postrider = run(behind);
    postrider.wait_listening(&[back.address()]);
    // -db: stay in the foreground.
    let arguments = ["-db", "-f", path.to_str().expect("UTF-8")];
    let mut process = Process::start("/usr/sbin/haproxy", &arguments, &directory.path().join("log"));
    process.wait_ready(DEADLINE, || TcpStream::connect(front.address()).ok());
    let mut client = connect("127.0.0.9", front.number());
    client.write_all(b"<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: through HAProxy\n").expect("room");
    let record = record(&postrider, "through HAProxy");
    assert_eq!(record["source"]["peer"], client.local_addr().expect("an address").to_string());
    drop(client);
    drop(process);
    let ended = finish(postrider);
    assert_eq!(ended.stdout.lines().count(), 1);
    assert_eq!(["proxy_errors", "errors"].map(|field| ended.source("tcp").count(field)), [0, 0]);
}

/// Sends a datagram from an address of this machine, and gives its sender.
fn send(from: &str, port: u16, text: &str) -> SocketAddr {
    let socket = UdpSocket::bind((from, 0)).expect("a socket");
    let message = format!("<22>Nov 24 02:10:35 mx1 postfix/smtp[1]: {text}");
    socket.send_to(message.as_bytes(), ("127.0.0.1", port)).expect("a datagram goes out");
    socket.local_addr().expect("an address")
}

/// Connects from an address of this machine.
fn connect(from: &str, port: u16) -> TcpStream {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let address = |ip: &str, port: u16| SocketAddr::new(ip.parse().expect("an address"), port);
    socket.bind(&address(from, 0).into()).expect("an address of this machine");
    socket.connect(&address("127.0.0.1", port).into()).expect("a connection");
    socket.into()
}
