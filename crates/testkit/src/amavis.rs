//! Debian's amavis: a content filter that passes all mail on.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::chown;
use std::time::Duration;

use tempfile::TempDir;

use super::port::Port;
use super::process::Process;
use super::scratch;

/// It loads much Perl.
const START: Duration = Duration::from_secs(60);
/// Debian's user `nobody`, and its group.
const NOBODY: u32 = 65534;

/// Process of amavis. It is killed when the value is dropped.
pub struct Amavis {
    // In the order in which they must go: the process first.
    _process: Process,
    port: Port,
    _directory: TempDir,
}

impl Amavis {
    /// Starts it. It brings all mail to the smtpd on the port `back` of this machine.
    pub fn start(back: &Port) -> Self {
        let directory = scratch::directory("amavis");
        let home = directory.path().join("home");
        fs::create_dir(&home).expect("a directory for amavis");
        chown(&home, Some(NOBODY), Some(NOBODY)).expect("root, which may give a directory away");
        let port = Port::reserve();
        // It looks for nothing in the mail: no other program is needed, and no name server.
        let configuration = format!(
            "use strict;\n\
             $daemon_user = 'nobody'; $daemon_group = 'nogroup'; $max_servers = 1;\n\
             $mydomain = 'test'; $myhostname = 'mx1.test';\n\
             $MYHOME = '{}'; $TEMPBASE = $helpers_home = $MYHOME;\n\
             $pid_file = \"$MYHOME/pid\"; $lock_file = \"$MYHOME/lock\";\n\
             $enable_db = $enable_zmq = 0; $unix_socketname = undef;\n\
             $inet_socket_bind = '127.0.0.1'; $inet_socket_port = {}; @inet_acl = ('127.0.0.1');\n\
             $forward_method = $notify_method = 'smtp:[127.0.0.1]:{}';\n\
             @bypass_virus_checks_maps = @bypass_spam_checks_maps = (1);\n\
             @bypass_banned_checks_maps = @bypass_header_checks_maps = (1);\n\
             $bypass_decode_parts = 1;\n\
             $do_syslog = 0; $log_level = 0;\n\
             1;\n",
            home.display(),
            port.number(),
            back.number()
        );
        // It reads no file that another user than root could have written.
        let file = directory.path().join("amavis.conf");
        fs::write(&file, configuration).expect("amavis's configuration");
        let arguments = ["-c".as_ref(), file.as_os_str(), "foreground".as_ref()];
        let mut process = Process::start("/usr/sbin/amavisd", &arguments, &directory.path().join("amavis.log"));
        process.wait_ready(START, || TcpStream::connect(port.address()).ok());
        Self { _process: process, port, _directory: directory }
    }

    /// The destination in the words of transport(5), without the transport: `[127.0.0.1]:PORT`.
    pub fn nexthop(&self) -> String {
        format!("[127.0.0.1]:{}", self.port.number())
    }
}
