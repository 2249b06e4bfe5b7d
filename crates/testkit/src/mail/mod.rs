//! Random histories of Postfix hosts: their log lines, and the truth about each message and each SMTP session.
//!
//! [`MailHistory::new`] simulates hosts from a seed. The simulation writes the lines and notes the truth at the same
//! time: no truth is read from a line. The lines have the wording of Postfix 3.7 to 3.10.
//!
//! # Limits
//!
//! A recipient of `always_bcc` that gets the message anyway gets it once: Postfix would log two equal recipients.
//! Nothing is lost, repeated or out of order: a test does this to the lines by itself. There are no lines of
//! anvil, qmqpd and master.

mod agent;
mod arrival;
mod chain;
mod delay;
mod figures;
mod line;
mod message;
mod names;
mod plan;
mod postscreen;
mod queue;
mod queue_id;
mod replies;
mod session;
mod simulation;
mod smtpd;
mod transaction;
mod visit;

use fastrand::Rng;

pub use delay::postfix_seconds;
pub use figures::MailFigures;
pub use line::{MailHeader, MailLine, MailLineKind};
pub use message::{
    MailAttempt, MailEnd, MailMessage, MailOrigin, MailRecipient, MailResult, MailSasl, MailStatus, MailTls,
    MailVerdict,
};
pub use plan::{MailInstance, MailPlan};
pub use session::{MailClient, MailScreening, MailSession, MailSessionEnd};

use simulation::Simulation;

/// Log of one or more Postfix instances, with the truth about it.
#[derive(Debug)]
pub struct MailHistory {
    /// The instances that wrote the log.
    pub instances: Vec<MailInstance>,
    /// Lines in the order of their times.
    pub lines: Vec<MailLine>,
    /// Every message that had a queue id, in the order in which they got it.
    pub messages: Vec<MailMessage>,
    /// Every SMTP session.
    pub sessions: Vec<MailSession>,
    /// Every client at which postscreen looked.
    pub screenings: Vec<MailScreening>,
}

impl MailHistory {
    /// Simulates what `plan` asks for. The same plan and the same state of `rng` give the same history.
    pub fn new(plan: &MailPlan, rng: Rng) -> Self {
        let mut simulation = Simulation::new(plan, rng);
        simulation.run();
        simulation.finish()
    }

    /// Simulates a random plan with about `arrivals` connections and local submissions.
    pub fn random(mut rng: Rng, arrivals: u32) -> Self {
        let plan = MailPlan::random(&mut rng, arrivals);
        Self::new(&plan, rng)
    }

    /// Returns a line with its header, as rsyslog sends it, without an end of line.
    pub fn text(&self, line: &MailLine, header: MailHeader) -> String {
        line.text(&self.instances[line.instance], header)
    }
}
