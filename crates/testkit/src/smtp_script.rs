//! A mail server that says what it is told to say.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;

use super::server::Server;

/// Beginning of a command, and the reply, whose lines have LF between them; an empty reply hangs up. Two commands are
/// none of SMTP's: `connect`, whose reply is the greeting, and `.`, the end of a message. The first that fits counts.
pub type Reply = (&'static str, &'static str);

/// Starts a server with these replies. It answers every other command as a server that accepts all mail.
pub fn start(replies: &'static [Reply]) -> Server {
    Server::start(move |stream| {
        // The connection ends when the client has enough of it.
        let _ = serve(stream, replies);
    })
}

fn serve(stream: TcpStream, replies: &[Reply]) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut command = "connect".to_owned();
    loop {
        let reply = replies.iter().find(|(start, _)| command.starts_with(start)).map(|(_, reply)| *reply);
        let reply = reply.unwrap_or(match command.as_str() {
            "connect" => "220 script.test ESMTP",
            "DATA" => "354 Go ahead",
            "QUIT" => "221 2.0.0 Bye",
            _ => "250 2.0.0 Ok",
        });
        if reply.is_empty() {
            return Ok(());
        }
        stream.get_mut().write_all((reply.replace('\n', "\r\n") + "\r\n").as_bytes())?;
        let in_data = command == "DATA" && reply.starts_with('3');
        loop {
            let mut line = Vec::new();
            if stream.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            String::from_utf8_lossy(&line).trim_end().clone_into(&mut command);
            if !in_data || command == "." {
                break;
            }
        }
    }
}
