//! The standard input. When it ends, Postrider drains and leaves.

use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Intake;
use super::stream::Stream;
use crate::config::StdinConfig;
use crate::frame::Framing;

/// How soon a stop is seen while nothing comes in.
const POLL_MS: u16 = 100;

/// The standard input, read by a thread of its own: it may be a file, a pipe or a terminal, and only a blocking read
/// serves all of them.
#[derive(Debug)]
pub(super) struct Stdin {
    framing: Framing,
}

impl Stdin {
    pub(super) const fn new(config: &StdinConfig) -> Self {
        Self { framing: config.framing }
    }

    pub(super) async fn run(self, intake: Intake) {
        let runtime = tokio::runtime::Handle::current();
        let read = move || {
            let result = self.read(&intake, &runtime);
            if let Err(error) = result {
                tracing::error!(source = intake.name(), %error, "cannot read the standard input; it ends here");
            }
        };
        if tokio::task::spawn_blocking(read).await.is_err() {
            tracing::error!("the reader of the standard input failed");
        }
    }

    fn read(&self, intake: &Intake, runtime: &tokio::runtime::Handle) -> io::Result<()> {
        let stdin = io::stdin();
        let mut stream = Stream::new(self.framing, intake.max_frame_size());
        let mut buffer = vec![0; 64 * 1024];
        let mut whole = false;
        while !intake.stop().is_cancelled() {
            let mut ready = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::from(POLL_MS))? == 0 {
                continue;
            }
            match stdin.lock().read(&mut buffer) {
                Ok(0) => {
                    whole = true;
                    break;
                }
                Ok(size) => {
                    stream.push(&buffer[..size]);
                    runtime.block_on(stream.submit(None, intake));
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        runtime.block_on(stream.finish(whole, None, intake));
        Ok(())
    }
}
