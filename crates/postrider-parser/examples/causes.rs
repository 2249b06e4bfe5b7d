//! Counts why the messages in a log were deferred or bounced, by cause:
//!
//! ```text
//! cargo run --example causes < /var/log/mail.log
//! ```

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, Write as _};

use postrider_parser::frame::Frame;
use postrider_parser::read_frame;
use postrider_parser::record::{Event, Origin, Peer, RecordIds, Transport};
use postrider_parser::syslog::{Context, Format};
use postrider_parser::time::Timestamp;

fn main() -> io::Result<()> {
    let origin = Origin {
        name: "stdin".to_owned(),
        transport: Transport::Stdin,
        zone: jiff::tz::TimeZone::system(),
        format: Format::Auto,
    };
    let now = Timestamp::now();
    let context = Context::new(now, &origin.zone);
    let ids = RecordIds::default();
    let mut counts: BTreeMap<(&str, String), u64> = BTreeMap::new();
    for line in io::stdin().lock().split(b'\n') {
        let line = line?;
        let frame = Frame { bytes: &line, truncated: false };
        read_frame(&frame, Peer::default(), &origin, &context, ids.reserve(now, 1).take(), |record| {
            let Some(Event::Delivery(delivery)) = record.postfix.as_ref().map(|postfix| &postfix.event) else { return };
            if let Some(cause) = delivery.cause {
                *counts.entry((cause.name(), delivery.status.to_owned())).or_default() += 1;
            }
        });
    }
    let mut output = io::stdout().lock();
    for ((cause, status), count) in counts {
        writeln!(output, "{count:8} {status:9} {cause}")?;
    }
    Ok(())
}
