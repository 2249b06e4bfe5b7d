//! Prints each line of a log as a JSON record:
//!
//! ```text
//! cargo run --example json < /var/log/mail.log
//! ```

use std::io::{self, BufRead as _, Write as _};

use postrider_parser::encode::{Buffer, Encoder};
use postrider_parser::frame::Frame;
use postrider_parser::read_frame;
use postrider_parser::record::{Origin, Peer, RecordIds, Transport};
use postrider_parser::syslog::{Context, Format};
use postrider_parser::time::Timestamp;

fn main() -> io::Result<()> {
    let origin = Origin {
        name: "stdin".to_owned(),
        transport: Transport::Stdin,
        zone: jiff::tz::TimeZone::system(),
        format: Format::Auto,
    };
    let ids = RecordIds::default();
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let (mut line, mut json) = (Vec::new(), Buffer::default());
    while input.read_until(b'\n', &mut line)? > 0 {
        let now = Timestamp::now();
        let context = Context::new(now, &origin.zone);
        let frame = Frame { bytes: &line, truncated: false };
        read_frame(&frame, Peer::default(), &origin, &context, ids.reserve(now, 1).take(), |record| {
            Encoder::default().writer(&mut json).line(record);
        });
        output.write_all(&json)?;
        json.clear();
        line.clear();
    }
    Ok(())
}
