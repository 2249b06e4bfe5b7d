//! A mail filter that speaks Sendmail's Milter protocol, version 6, and answers as it is told (Postfix:
//! `src/milter/milter8.c`).

use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::server::Server;

/// Answer instead of "continue".
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// `550 5.7.1 Command rejected`.
    Reject,
    /// `451 4.7.1 Service unavailable`.
    TempFail,
    /// A reply of its own.
    Reply(&'static str),
    /// Success for the client, and no delivery.
    Discard,
    /// At the end of the message alone: hold it, and say why.
    Quarantine(&'static str),
}

/// Command, text to match, and answer. The command is `C`onnect, `H`elo, `M`ail, `R`cpt, `T` for data, `L` for a header
/// or `E`nd of the message. The text is a part of the client's name at `C`, of its own name at `H`, and of the sender
/// from `M` on.
pub type Rule = (u8, &'static str, Answer);

/// Starts a filter with `rules`.
pub fn start(rules: &'static [Rule]) -> Server {
    Server::start(move |stream| {
        // The connection ends when smtpd or cleanup closes it.
        let _ = filter(stream, rules);
    })
}

fn filter(mut stream: TcpStream, rules: &[Rule]) -> io::Result<()> {
    let mut sender = String::new();
    loop {
        let (command, data) = read(&mut stream)?;
        match command {
            // Version, actions: all of them, and the commands not wanted: none.
            b'O' => write(&mut stream, b'O', &[6_u32, 0x1ff, 0].map(u32::to_be_bytes).concat())?,
            // Macros, the end of a transaction: no answer.
            b'D' | b'A' | b'K' => {}
            b'Q' => return Ok(()),
            _ => {
                let data = String::from_utf8_lossy(&data).into_owned();
                if command == b'M' {
                    sender.clone_from(&data);
                }
                let who = if matches!(command, b'C' | b'H') { &data } else { &sender };
                let rule = rules.iter().find(|(at, part, _)| *at == command && who.contains(part));
                answer(&mut stream, rule.map(|(_, _, answer)| *answer))?;
            }
        }
    }
}

fn answer(stream: &mut TcpStream, answer: Option<Answer>) -> io::Result<()> {
    match answer {
        None => write(stream, b'c', b""),
        Some(Answer::Reject) => write(stream, b'r', b""),
        Some(Answer::TempFail) => write(stream, b't', b""),
        Some(Answer::Reply(text)) => write(stream, b'y', format!("{text}\0").as_bytes()),
        Some(Answer::Discard) => write(stream, b'd', b""),
        Some(Answer::Quarantine(reason)) => {
            write(stream, b'q', format!("{reason}\0").as_bytes())?;
            write(stream, b'c', b"")
        }
    }
}

/// A packet: the length of what follows, the command, its data.
fn read(stream: &mut TcpStream) -> io::Result<(u8, Vec<u8>)> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut packet = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut packet)?;
    if packet.is_empty() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let data = packet.split_off(1);
    Ok((packet[0], data))
}

fn write(stream: &mut TcpStream, command: u8, data: &[u8]) -> io::Result<()> {
    let length = u32::try_from(data.len() + 1).expect("a short packet");
    stream.write_all(&[&length.to_be_bytes(), [command].as_slice(), data].concat())
}
