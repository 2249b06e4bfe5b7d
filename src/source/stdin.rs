//! The standard input. When it ends and no other source is left, Postrider drains and exits.

use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::stream::Stream;
use super::{Bound, Intake, Running, Sockets};
use crate::config::StdinConfig;
use crate::crash::panic_point;
use crate::frame::Framing;
use crate::panics::Blocking;
use crate::record::Peer;
use crate::standard;

/// How often to check for a stop while there is no input, in milliseconds.
const POLL_MS: u16 = 100;

/// Maximum number of bytes that are still read after a stop, if they are there already: more than a pipe holds.
const MOST_DRAINED: usize = 1024 * 1024;

/// The standard input, read by a thread of its own. It may be a file, a pipe or a terminal, and only a blocking read
/// works for all of them.
#[derive(Debug)]
pub(super) struct Stdin {
    framing: Framing,
}

impl Stdin {
    /// Returns the standard input, or an error if the program has none.
    pub(super) fn bind(config: &StdinConfig) -> io::Result<Self> {
        standard::input().map(|()| Self { framing: config.framing })
    }

    /// Reads until told to stop, and then drains what a pipe still holds. At the end, also after an error, hands on
    /// what is left.
    fn read(&self, intake: &Intake, runtime: &tokio::runtime::Handle) -> io::Result<()> {
        let mut stream = Stream::new(self.framing, intake.max_frame_size());
        let mut buffer = vec![0; 64 * 1024];
        let mut drained = 0;
        let end = loop {
            let stopping = intake.stop().is_cancelled();
            if stopping && (drained >= MOST_DRAINED || intake.is_over()) {
                break Ok(false);
            }
            match read_some(&mut buffer, if stopping { 0 } else { POLL_MS }) {
                Ok(Some(0)) => break Ok(true),
                Ok(Some(size)) => {
                    panic_point("stdin");
                    stream.push(&buffer[..size]);
                    runtime.block_on(stream.submit(Peer::default(), intake));
                    drained += if stopping { size } else { 0 };
                }
                Ok(None) if stopping => break Ok(false),
                Ok(None) => {}
                Err(error) => break Err(error),
            }
        };
        let whole = matches!(end, Ok(true));
        runtime.block_on(stream.finish(whole, Peer::default(), intake));
        end.map(drop)
    }
}

impl Bound for Stdin {
    fn address(&self) -> String {
        "the standard input".to_owned()
    }

    fn sockets(&self) -> Sockets {
        Sockets::default()
    }

    fn run(self: Box<Self>, intake: Intake) -> Running {
        Box::pin(async move {
            let runtime = tokio::runtime::Handle::current();
            Ok(Blocking::start(move || self.read(&intake, &runtime)).end().await??)
        })
    }
}

/// Reads the bytes that are available or become available within `time` milliseconds. Returns `None` if there are none,
/// or if a signal came.
fn read_some(buffer: &mut [u8], time: u16) -> io::Result<Option<usize>> {
    let stdin = io::stdin();
    let mut ready = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
    match poll(&mut ready, PollTimeout::from(time)) {
        Ok(0) | Err(Errno::EINTR) => return Ok(None),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    match stdin.lock().read(buffer) {
        Ok(size) => Ok(Some(size)),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
        Err(error) => Err(error),
    }
}
