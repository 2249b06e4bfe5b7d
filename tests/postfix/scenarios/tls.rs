//! TLS both ways: between two services of one Postfix, and with clients and servers that get it wrong.

use std::process::Command;

use serde_json::json;

use crate::scenarios::log::{DEADLINE, finish, wait_logged};
use testkit::port::Port;
use testkit::postfix::Postfix;
use testkit::rsyslog::Rsyslog;
use testkit::smtp::Session;
use testkit::smtp_script;

#[test]
fn encrypted_mail() {
    let rsyslog = Rsyslog::setup().start();
    let [server, wrapped, chatty] = std::array::from_fn(|_| Port::reserve());
    let setup = Postfix::setup();
    let etc = setup.directory().join("etc");
    // openssl(1) comes with Postfix, by way of ssl-cert.
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mx1.test"])
        .args(["-addext", "subjectAltName=DNS:mx1.test,DNS:localhost"])
        .arg("-keyout")
        .arg(etc.join("key.pem"))
        .arg("-out")
        .arg(etc.join("cert.pem"))
        .output()
        .unwrap_or_else(|error| panic!("can't run openssl: {error}; to install what tests need: ./dev setup test"));
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let none = smtp_script::start(&[("EHLO", "250 no-tls.test")]);
    let refusing =
        smtp_script::start(&[("EHLO", "250-refusing.test\n250 STARTTLS"), ("STARTTLS", "454 4.7.0 TLS not available")]);
    let broken = smtp_script::start(&[
        ("EHLO", "250-broken.test\n250 STARTTLS"),
        ("STARTTLS", "220 Go ahead\n220 this is no TLS"),
    ]);
    let receive = [
        "smtpd_tls_security_level=may",
        "smtpd_tls_loglevel=1",
        "smtpd_tls_ask_ccert=yes",
        "myhostname=mx2.test",
        "transport_maps=",
    ];
    let to = |name: &str, nexthop: &str| (format!("{name}.test"), format!("{name}:{nexthop}"));
    let at_server = format!("[127.0.0.1]:{}", server.number());
    let mut setup = setup
        .parameter("smtpd_tls_chain_files", "$config_directory/key.pem $config_directory/cert.pem")
        .parameter("smtpd_tls_session_cache_database", "btree:$data_directory/smtpd_scache")
        .parameter("smtp_tls_session_cache_database", "btree:$data_directory/smtp_scache")
        .parameter("smtp_tls_loglevel", "1")
        .parameter("virtual_mailbox_maps", "static:box")
        .parameter("tls_random_source", "dev:/dev/urandom")
        .listen(&server, "smtpd", &receive)
        .listen(
            &wrapped,
            "smtpd",
            &[&receive[..], &["smtpd_tls_wrappermode=yes", "syslog_name=postfix/submissions"]].concat(),
        )
        .listen(&chatty, "smtpd", &[&receive[..], &["smtpd_tls_loglevel=2", "syslog_name=postfix/chatty"]].concat());
    let ca = "smtp_tls_CAfile=$config_directory/cert.pem";
    let clients: [(&str, &[&str]); 8] = [
        ("anonymous", &["smtp_tls_security_level=may"]),
        ("encrypt", &["smtp_tls_security_level=encrypt"]),
        (
            "trusted",
            &[
                "smtp_tls_security_level=encrypt",
                "smtp_tls_cert_file=$config_directory/cert.pem",
                "smtp_tls_key_file=$config_directory/key.pem",
                "smtp_tls_mandatory_protocols=TLSv1.2",
                ca,
            ],
        ),
        ("verified", &["smtp_tls_security_level=secure", "smtp_tls_secure_cert_match=mx1.test", ca]),
        ("unverified", &["smtp_tls_security_level=verify", "smtp_tls_verify_cert_match=other.test", ca]),
        ("untrusted", &["smtp_tls_security_level=secure", "smtp_tls_secure_cert_match=mx1.test"]),
        ("wrapper", &["smtp_tls_security_level=encrypt", "smtp_tls_wrappermode=yes"]),
        ("talkative", &["smtp_tls_security_level=encrypt", "smtp_tls_loglevel=2"]),
    ];
    for (name, parameters) in clients {
        let named = format!("syslog_name=postfix/{name}");
        setup = setup.service(&format!("{name} unix - - n - - smtp"), &[parameters, &[&named]].concat());
    }
    let destinations = [
        to("anonymous", &at_server),
        to("encrypt", &at_server),
        to("trusted", &at_server),
        to("verified", &at_server),
        to("unverified", &at_server),
        to("untrusted", &at_server),
        to("wrapper", &format!("[127.0.0.1]:{}", wrapped.number())),
        to("talkative", &format!("[127.0.0.1]:{}", chatty.number())),
        ("none.test".to_owned(), format!("encrypt:{}", none.nexthop())),
        ("refusing.test".to_owned(), format!("encrypt:{}", refusing.nexthop())),
        ("broken.test".to_owned(), format!("encrypt:{}", broken.nexthop())),
        ("broken-may.test".to_owned(), format!("anonymous:{}", broken.nexthop())),
    ];
    let domains: Vec<String> = destinations.iter().map(|(domain, _)| domain.clone()).collect();
    setup = setup.parameter("virtual_mailbox_domains", &domains.join(", "));
    for (domain, transport) in &destinations {
        setup = setup.transport(domain, transport);
    }
    let postfix = setup.start(&rsyslog);
    for domain in &domains {
        postfix.send(1, "user@sent.test", &[&format!("anna@{domain}")]);
    }
    // No handshake, and one that is cut short.
    let mut client = Session::connect(server.address());
    client.reply();
    client.say_all(&["EHLO client.test", "STARTTLS"]);
    client.send("this is no TLS\r\n");
    client.wait_end();
    let mut client = Session::connect(server.address());
    client.reply();
    client.say_all(&["EHLO client.test", "STARTTLS"]);
    drop(client);
    let mut parts: Vec<String> = domains.iter().map(|domain| format!("to=<anna@{domain}>")).collect();
    parts.push("SSL_accept error from localhost[127.0.0.1]: lost connection".to_owned());
    wait_logged(&rsyslog, &parts.iter().map(String::as_str).collect::<Vec<_>>());
    postfix.delete_all(DEADLINE);
    let outbound = |trust: &str| {
        json!({
            "tls": {"trust": trust, "direction": "outbound", "protocol": "TLSv1.3", "cipher": "*", "bits": 256,
                    "algorithm_bits": 256, "key_exchange": "*", "server_signature": "*", "client_signature": null},
            "peer": {"name": "127.0.0.1", "ip": "127.0.0.1", "port": server.number()}, "queue_id": null
        })
    };
    #[rustfmt::skip]
    let rows = [
        ("postfix/encrypt/smtp[*]: Untrusted TLS connection established to ", "tls", outbound("untrusted")),
        ("postfix/anonymous/smtp[*]: Untrusted TLS connection established to ", "tls", outbound("untrusted")),
        ("postfix/verified/smtp[*]: Verified TLS connection established to ", "tls", outbound("verified")),
        ("postfix/trusted/smtp[*]: Trusted TLS connection established to ", "tls", json!({
            "service": "trusted", "daemon": "smtp", "tls": {"trust": "trusted", "protocol": "TLSv1.2",
            "reused": false}})),
        ("postfix/smtpd[*]: Anonymous TLS connection established from localhost[127.0.0.1]: TLSv1.3", "tls", json!({
            "tls": {"trust": "anonymous", "direction": "inbound", "protocol": "TLSv1.3"}, "peer": {"name": "localhost",
            "ip": "127.0.0.1", "port": null}})),
        ("smtpd[*]: SSL_accept error from localhost[127.0.0.1]: ", "tls_error", json!({
            "peer": {"name": "localhost", "ip": "127.0.0.1"}, "reason": "*"})),
        ("smtp[*]: SSL_connect error to 127.0.0.1[127.0.0.1]:", "tls_error", json!({
            "peer": {"name": "127.0.0.1", "ip": "127.0.0.1", "port": "*"}, "reason": "*"})),
        (" server-digest SHA256", "tls", json!({"tls": {"server_signature": "*", "server_digest": "SHA256"}})),
        ("SSL_accept:", "debug", json!({"service": "chatty", "text": "*"})),
        ("]: setting up TLS connection from localhost[127.0.0.1]", "*", json!({"service": "chatty"})),
        ("certificate verification failed for ", "tls_error", json!({"peer": "*", "reason": "*"})),
        ("to=<anna@none.test>", "delivery", json!({"status": "deferred", "cause": "tls_required"})),
        ("to=<anna@refusing.test>", "delivery", json!({"status": "deferred", "cause": "tls_required"})),
        ("to=<anna@untrusted.test>", "delivery", json!({"status": "deferred", "cause": "tls_untrusted"})),
        ("to=<anna@unverified.test>", "delivery", json!({"status": "deferred", "cause": "tls_untrusted"})),
        ("lost connection after STARTTLS from", "connection_lost", json!({"stage": "STARTTLS"})),
        ("starttls=1", "disconnect", json!({"commands": {"starttls": {"ok": 1, "total": 1}}})),
    ];
    finish(postfix, &rsyslog).expect(&rows);
}
