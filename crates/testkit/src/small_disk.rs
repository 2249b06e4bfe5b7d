//! Postrider with a small file system of its own, which ends with it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::postrider::program;
use super::unread::Unread;
use super::wait::wait_until;

const START: Duration = Duration::from_secs(20);

/// Postrider and its file system, in a mount namespace of their own.
pub struct SmallDisk {
    /// Process itself. The file system ends with it.
    pub postrider: Unread,
    /// The directory that is the file system, as Postrider sees it.
    pub path: PathBuf,
}

impl SmallDisk {
    /// Starts it with a file system of this size at `directory`, which is made.
    pub fn spawn(directory: &Path, size: &str, config: &str, stderr: &Path) -> Self {
        fs::create_dir(directory).expect("a directory");
        let mut command = Command::new("unshare");
        if fs::metadata("/proc/self").expect("this process").uid() != 0 {
            command.arg("--map-root-user");
        }
        let script = format!("mount -t tmpfs -o size={size},mode=700 tmpfs {} && exec \"$@\"", directory.display());
        command.args(["--mount", "sh", "-c", &script, "sh"]).arg(program());
        let postrider = Unread::spawn_by(command, config, stderr);
        let path = PathBuf::from(format!("/proc/{}/root{}", postrider.pid(), directory.display()));
        Self { postrider, path }
    }

    /// Leaves no byte of the file system to Postrider.
    pub fn fill(&self) {
        self.take(usize::MAX);
    }

    /// Takes this number of bytes of the file system, in whole blocks, or all that there are.
    pub fn take(&self, bytes: usize) {
        const BLOCK: [u8; 4096] = [b'x'; 4096];
        // Before that, it would be the disk of the machine.
        let device = |path: &Path| fs::metadata(path).map(|metadata| metadata.dev()).ok();
        let parent = self.path.parent().expect("a directory");
        wait_until(START, "the file system", || device(&self.path) != device(parent));
        let mut file = File::create(self.path.join("filler")).expect("a file");
        let mut blocks = 0..bytes / BLOCK.len();
        while blocks.next().is_some() && file.write(&BLOCK).is_ok_and(|written| written > 0) {}
    }

    /// Returns the free space of the file system in bytes.
    pub fn free(&self) -> u64 {
        let space = nix::sys::statvfs::statvfs(&self.path).expect("a file system");
        space.blocks_available() * space.fragment_size()
    }

    /// Gives back everything that [`Self::take`] took.
    pub fn make_room(&self) {
        fs::remove_file(self.path.join("filler")).expect("the filler");
    }
}
