//! Is nothing lost that was acknowledged: when Postrider dies at any step, when its disk is full or fails, and when
//! what lies there is damaged? All of it through the program itself.

mod damage;
mod faults;
mod files;
mod full;
mod points;
mod rsyslog;
mod sender;
mod slow;
mod spool;

use std::time::Duration;

const DEADLINE: Duration = Duration::from_secs(60);
