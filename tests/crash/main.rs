//! Is nothing lost that was acknowledged: when Postrider dies at any step, when its disk is full or fails, and when what lies
//! there is damaged? All of it through the program itself.

mod files;
mod messages;
mod output;
#[path = "../peers/mod.rs"]
mod peers;
mod points;
mod rsyslog;
mod sender;

use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
