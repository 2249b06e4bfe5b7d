//! A SASL server that speaks Dovecot's authentication protocol, version 1.1, and knows one user (Postfix:
//! `src/xsasl/xsasl_dovecot_server.c`).

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;

use super::server::Server;

/// `AUTH PLAIN` of the user that it knows: anna@example.com, with the password "secret".
pub const GOOD: &str = "AGFubmFAZXhhbXBsZS5jb20Ac2VjcmV0";
/// `AUTH PLAIN` of a user for whom it fails without an answer of its own: `temp@example.com`.
pub const TROUBLE: &str = "AHRlbXBAZXhhbXBsZS5jb20Ac2VjcmV0";
/// `AUTH PLAIN` of a user that it does not know: bob@example.com.
pub const BAD: &str = "AGJvYkBleGFtcGxlLmNvbQBzZWNyZXQ=";

/// Starts the server on a free loopback port.
pub fn start() -> Server {
    Server::start(|stream| {
        // The connection ends with the smtpd that opened it.
        let _ = authenticate(stream);
    })
}

fn authenticate(stream: TcpStream) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    // The cookie is 16 bytes in hexadecimal digits, of no consequence here.
    stream.get_mut().write_all(
        b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t1\n\
          COOKIE\t00112233445566778899aabbccddeeff\nDONE\n",
    )?;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let fields: Vec<&str> = line.trim_end().split('\t').collect();
        let ["AUTH", id, ..] = fields[..] else { continue };
        let response = fields.iter().find_map(|field| field.strip_prefix("resp=")).unwrap_or_default();
        let answer = match response {
            GOOD => format!("OK\t{id}\tuser=anna@example.com\n"),
            TROUBLE => format!("FAIL\t{id}\tuser=temp@example.com\ttemp\treason=the database is away\n"),
            _ => format!("FAIL\t{id}\tuser=bob@example.com\treason=Invalid user or password\n"),
        };
        stream.get_mut().write_all(answer.as_bytes())?;
    }
}
