//! The cursor: how far each file has been delivered, kept on disk across restarts and crashes.
//!
//! The cursor is one small text file that is replaced as a whole: written under a temporary name, fsync, rename, fsync
//! of the directory. A crash therefore leaves the old file or the new one, never a mixture. The last line is a checksum
//! of the rest. A damaged cursor is not used at all, because a cursor that leads loses lines, while one that lags only
//! repeats them.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::Flock;

use crate::crash::crash_point;
use crate::new_file::{self, NewFile};

/// Beginning of the first line. A version follows, and the state of the run that wrote the file.
const TITLE: &str = "postrider cursor ";
const VERSION: &str = "1";
const RUNNING: &str = "running";
const ENDED: &str = "ended";

/// Number of bytes in a full fingerprint; a shorter file has a shorter one.
pub(super) const FINGERPRINT: usize = 256;

/// The identity of a file, whatever its name: the device and the inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct FileIdentity {
    pub(super) dev: u64,
    pub(super) ino: u64,
}

/// Some bytes of a file (its first ones, or those before an offset), as a length of at most [`FINGERPRINT`] and a hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint {
    len: usize,
    hash: u64,
}

/// The entry of one file in the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CursorEntry {
    /// Path of the file when it was first seen: the `peer` of its records.
    pub(super) path: PathBuf,
    /// Zero if it is not known where the content is: after copytruncate.
    pub(super) identity: FileIdentity,
    pub(super) fingerprint: Fingerprint,
    /// All bytes before this offset (decompressed) are delivered.
    pub(super) offset: u64,
    /// Fingerprint of the last bytes before the offset: a file with different bytes there is another file, however it
    /// begins.
    pub(super) mark: Fingerprint,
    /// True if there is nothing after the offset, and never will be.
    pub(super) done: bool,
    /// Offset of the first line from which equal lines after `offset` have to be told apart.
    pub(super) lines_from: u64,
    /// All lines before this offset are in the checkpoint of the joins, if there is one.
    pub(super) joined: u64,
}

/// The place where the cursor is kept. It is locked against other processes as long as this value lives.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    name: String,
    _lock: Flock<File>,
}

/// The state of the cursor on disk at the start.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    /// There is no cursor.
    Missing,
    /// The cursor is damaged, for this reason.
    Damaged(String),
    /// The cursor is intact, and of a version that is not known here.
    Newer,
    /// The entries, and whether the run that wrote them ended with nothing delivered beyond the cursor.
    Entries { entries: Vec<CursorEntry>, ended: bool },
}

impl FileIdentity {
    pub(super) fn of(metadata: &fs::Metadata) -> Self {
        Self { dev: metadata.dev(), ino: metadata.ino() }
    }
}

impl Fingerprint {
    /// Returns the fingerprint of a file that starts with `bytes`.
    pub(super) fn of(bytes: &[u8]) -> Self {
        let bytes = &bytes[..bytes.len().min(FINGERPRINT)];
        Self { len: bytes.len(), hash: hash(bytes) }
    }

    /// Returns the fingerprint of the last bytes of `bytes`.
    pub(super) fn before_end(bytes: &[u8]) -> Self {
        Self::of(&bytes[bytes.len().saturating_sub(FINGERPRINT)..])
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// Returns true if a file that starts with `bytes` can be the file of this fingerprint, whether it has grown or
    /// not.
    pub(super) fn begins(&self, bytes: &[u8]) -> bool {
        self.is_empty() || bytes.get(..self.len).is_some_and(|start| hash(start) == self.hash)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) const fn is_full(&self) -> bool {
        self.len == FINGERPRINT
    }
}

/// Returns the 64-bit FNV-1a hash, which is the same on every machine and in every version. Every change of a single
/// byte changes it.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

// === the text ===

/// Returns the text of a cursor.
pub(super) fn encode<'e>(entries: impl IntoIterator<Item = &'e CursorEntry>, ended: bool) -> String {
    let mut text = format!("{TITLE}{VERSION} {}\n", if ended { ENDED } else { RUNNING });
    for CursorEntry { path, identity, fingerprint, offset, mark, done, lines_from, joined } in entries {
        let (FileIdentity { dev, ino }, Fingerprint { len, hash }) = (identity, fingerprint);
        // Writing to a string cannot fail.
        let _ = write!(text, "{dev} {ino} {len} {hash:016x} {offset} {} {:016x} ", mark.len, mark.hash);
        let _ = write!(text, "{} ", u8::from(*done));
        for byte in path.as_os_str().as_bytes() {
            let _ = match byte {
                b'%' | 0..=b' ' | 0x7f.. => write!(text, "%{byte:02x}"),
                plain => write!(text, "{}", char::from(*plain)),
            };
        }
        let _ = writeln!(text, " {lines_from} {joined}");
    }
    let sum = hash(text.as_bytes());
    let _ = writeln!(text, "sum {sum:016x}");
    text
}

/// Parses a cursor, or says what is wrong with it. A later version keeps the format of the checksum, so it can be told
/// apart from damage.
pub(super) fn decode(text: &[u8]) -> Loaded {
    read(text).unwrap_or_else(Loaded::Damaged)
}

fn read(text: &[u8]) -> Result<Loaded, String> {
    let text = std::str::from_utf8(text).map_err(|_| "it is not text")?;
    let rest = text.strip_suffix('\n').ok_or("its end is missing")?;
    let (_, last) = rest.rsplit_once('\n').ok_or("its end is missing")?;
    let body = &text[..text.len() - last.len() - 1];
    if last != format!("sum {:016x}", hash(body.as_bytes())) {
        return Err("its checksum is wrong".to_owned());
    }
    let mut lines = body.lines();
    let title = lines.next().and_then(|title| title.strip_prefix(TITLE)).ok_or("it is not a cursor")?;
    let ended = match title.strip_prefix(VERSION) {
        Some(rest) if rest.trim_start() == ENDED => true,
        Some(rest) if rest.trim_start() == RUNNING => false,
        _ => return Ok(Loaded::Newer),
    };
    let entries: Result<_, _> =
        lines.map(|line| entry(line).ok_or_else(|| format!("a line cannot be read: {line}"))).collect();
    Ok(Loaded::Entries { entries: entries?, ended })
}

fn entry(line: &str) -> Option<CursorEntry> {
    let mut fields = line.split(' ');
    let identity = FileIdentity { dev: number(&mut fields)?, ino: number(&mut fields)? };
    let first = fingerprint(&mut fields)?;
    let offset = number(&mut fields)?;
    let mark = fingerprint(&mut fields)?;
    let done = fields.next()? == "1";
    let path = unescape(fields.next()?)?;
    // A cursor of version 0.1.0 ends here.
    let mut earlier = || fields.next().map_or(Some(offset), |field| Some(offset.min(field.parse().ok()?)));
    let (lines_from, joined) = (earlier()?, earlier()?);
    Some(CursorEntry { path, identity, fingerprint: first, offset, mark, done, lines_from, joined })
}

fn number<'f>(fields: &mut impl Iterator<Item = &'f str>) -> Option<u64> {
    fields.next()?.parse().ok()
}

fn fingerprint<'f>(fields: &mut impl Iterator<Item = &'f str>) -> Option<Fingerprint> {
    let len = usize::try_from(number(fields)?).ok().filter(|len| *len <= FINGERPRINT)?;
    let hash = u64::from_str_radix(fields.next()?, 16).ok()?;
    Some(Fingerprint { len, hash })
}

fn unescape(text: &str) -> Option<PathBuf> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    Some(PathBuf::from(OsString::from_vec(bytes)))
}

// === impl Store ===

impl Store {
    /// Opens and locks the cursor of the source `name` in `directory`, which is created if it is missing.
    pub(super) fn open(directory: &Path, name: &str) -> io::Result<Self> {
        let is_new = !directory.exists();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        if let Some(parent) = directory.parent().filter(|_| is_new) {
            File::open(parent)?.sync_all()?;
        }
        let lock = new_file::lock(&directory.join(format!("{name}.lock")))?;
        Ok(Self { directory: directory.to_owned(), name: name.to_owned(), _lock: lock })
    }

    /// Returns the path of the cursor.
    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(format!("{}.cursor", self.name))
    }

    /// Reads the cursor. A file that cannot be read counts as damaged.
    pub(super) fn load(&self) -> Loaded {
        match fs::read(self.path()) {
            Ok(text) => decode(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Loaded::Missing,
            Err(error) => Loaded::Damaged(error.to_string()),
        }
    }

    /// Returns the time of the last look before the cursor was written, or the epoch if that is not known.
    pub(super) fn looked(&self) -> SystemTime {
        let modified = fs::metadata(self.path()).and_then(|metadata| metadata.modified());
        modified.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// Replaces the cursor. Its time of change is that of the last look, `looked`.
    pub(super) fn save(&self, text: &str, looked: SystemTime) -> io::Result<()> {
        let mut new = NewFile::create(&self.path())?;
        new.file().write_all(text.as_bytes())?;
        new.file().set_modified(looked)?;
        new.sync()?;
        crash_point("before-cursor-rename");
        new.replace()?;
        crash_point("after-cursor-rename");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn entries() -> impl Strategy<Value = Vec<CursorEntry>> {
        let path = proptest::collection::vec(1_u8.., 1..40).prop_map(|bytes| PathBuf::from(OsString::from_vec(bytes)));
        let lens = [0..=FINGERPRINT, 0..=FINGERPRINT];
        let entry = (path, any::<[u64; 6]>(), lens, any::<bool>()).prop_map(|(path, n, lens, done)| CursorEntry {
            path,
            identity: FileIdentity { dev: n[0], ino: n[1] },
            fingerprint: Fingerprint { len: lens[0], hash: n[2] },
            offset: n[3],
            mark: Fingerprint { len: lens[1], hash: n[4] },
            done,
            lines_from: n[3].min(n[5]),
            joined: n[3].min(n[4]),
        });
        proptest::collection::vec(entry, 0..8)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries in entries(), ended in any::<bool>()) {
            prop_assert_eq!(decode(encode(&entries, ended).as_bytes()), Loaded::Entries { entries, ended });
        }

        /// A cursor with bytes changed, cut off or put in anywhere is refused, or it equals the one that was written.
        /// Damage therefore never moves a position.
        #[test]
        fn damage_is_seen(
            entries in entries(),
            at in any::<prop::sample::Index>(),
            cut in any::<prop::sample::Index>(),
            bytes in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let mut damaged = encode(&entries, true).into_bytes();
            let text = damaged.len();
            let from = at.index(text + 1);
            let to = from + cut.index(text + 1 - from);
            damaged.splice(from..to, bytes);
            match decode(&damaged) {
                Loaded::Damaged(_) => {}
                read => prop_assert_eq!(read, Loaded::Entries { entries, ended: true }),
            }
        }

        #[test]
        fn noise_is_refused(noise in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(matches!(decode(&noise), Loaded::Damaged(_)));
        }
    }

    #[test]
    fn a_fingerprint_grows_with_its_file() {
        let short = Fingerprint::of(b"Nov 24");
        assert!(short.begins(b"Nov 24 02:10:35") && !short.begins(b"Nov 2") && !short.begins(b"Nov 25 02:10:35"));
        assert!(Fingerprint::default().begins(b""));
        assert!(Fingerprint::of(&[b'a'; 300]).is_full());
        assert_eq!(Fingerprint::of(&[b'a'; 300]), Fingerprint::of(&[b'a'; 256]));
        let bytes: Vec<u8> = (0..=255).cycle().take(600).collect();
        assert_eq!(Fingerprint::before_end(&bytes), Fingerprint::of(&bytes[600 - 256..]));
        assert_eq!(Fingerprint::before_end(b"Nov"), Fingerprint::of(b"Nov"));
    }

    #[test]
    fn a_cursor_is_its_owners_alone_and_one_process_has_it() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("state");
        let store = Store::open(&directory, "file").unwrap();
        assert_eq!(store.load(), Loaded::Missing);
        fs::write(directory.join("file.cursor.new"), "left by a crash").unwrap();
        let looked = SystemTime::now() - Duration::from_secs(7);
        store.save(&encode([], false), looked).unwrap();
        assert_eq!(store.looked(), looked);
        assert_eq!(store.load(), Loaded::Entries { entries: Vec::new(), ended: false });
        assert_eq!(fs::metadata(&directory).unwrap().mode() & 0o777, 0o700);
        assert_eq!(fs::metadata(store.path()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(Store::open(&directory, "file").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        fs::write(store.path(), "postrider").unwrap();
        assert!(matches!(store.load(), Loaded::Damaged(_)));
    }

    #[test]
    fn a_cursor_of_the_first_version_is_read() {
        let body = "postrider cursor 1 ended\n1 2 0 0000000000000000 30 0 0000000000000000 0 /var/log/mail.log\n";
        let text = format!("{body}sum {:016x}\n", hash(body.as_bytes()));
        let Loaded::Entries { entries, ended: true } = decode(text.as_bytes()) else { panic!("it is whole") };
        assert_eq!((entries[0].offset, entries[0].lines_from, entries[0].joined), (30, 30, 30));
    }

    #[test]
    fn a_later_version_is_no_damage() {
        let body = "postrider cursor 2 ended\nwhat nobody knows yet\n";
        let text = format!("{body}sum {:016x}\n", hash(body.as_bytes()));
        assert_eq!(decode(text.as_bytes()), Loaded::Newer);
        let torn = text.replace("nobody", "somebody");
        assert_eq!(decode(torn.as_bytes()), Loaded::Damaged("its checksum is wrong".to_owned()));
    }
}
