//! The limits of a mail system: its oldest parts leave while it has more than its share.

use hashbrown::HashTable;

use super::MailJoins;
use crate::correlate::outcome::Scratch;
use crate::record::ClosedBy;

/// A part that can be evicted.
enum Oldest {
    Message(u32),
    Process(u32),
    Screened(u32),
    Expected,
    Agent,
}

impl MailJoins {
    /// Counts the memory of free buffers and of tables.
    pub(super) fn measure_tables(&mut self) {
        let slots = self.messages.spare() + self.processes.spare() + self.screened.spare();
        let indices = [&self.by_id, &self.by_process, &self.by_ip].map(HashTable::allocation_size);
        let tables = self.patterns.held() + self.past.held() + self.held_by_due() + indices.iter().sum::<usize>();
        let remembered = self.expected.held() + self.agents.held();
        let before = std::mem::replace(&mut self.held_by_tables, slots + tables + remembered + self.pool.held());
        self.hold(before, self.held_by_tables);
    }

    /// Evicts what is oldest in this system while it has more than its share.
    pub(in crate::correlate) fn keep_to_budget(&mut self, most: usize, scratch: &mut Scratch) {
        self.fit_due();
        self.measure_tables();
        while self.exceeds_memory() && self.past.halve() {
            self.measure_tables();
        }
        let most = scratch.outcomes().len() + most;
        while scratch.outcomes().len() < most && (self.exceeds_messages() || self.exceeds_memory()) {
            let Some(oldest) = self.oldest(self.exceeds_memory()) else { return };
            match oldest {
                Oldest::Message(slot) => {
                    self.budget.count_evictions(1);
                    self.close(slot, ClosedBy::Evicted, scratch);
                }
                Oldest::Process(slot) => self.end_process(slot, scratch),
                Oldest::Screened(slot) => self.forget_screened(slot, scratch),
                Oldest::Expected => _ = self.expected.forget_oldest(),
                Oldest::Agent => _ = self.agents.forget_oldest(),
            }
            self.measure_tables();
        }
    }

    fn exceeds_messages(&self) -> bool {
        self.budget.is_exceeded_by(self.messages.len(), 0, self.sender.systems())
    }

    fn exceeds_memory(&self) -> bool {
        self.budget.is_exceeded_by(0, self.held, self.sender.systems())
    }

    /// Returns what was not touched for the longest time: the oldest message, or anything that holds memory.
    fn oldest(&self, is_any: bool) -> Option<Oldest> {
        let message = self.messages.oldest().and_then(|slot| Some((self.messages.get(slot)?.touched, slot)));
        let process = self.processes.oldest().and_then(|slot| Some((self.processes.get(slot)?.touched, slot)));
        let screened = self.screened.oldest().and_then(|slot| Some((self.screened.get(slot)?.touched, slot)));
        let others = [
            process.map(|(at, slot)| (at, Oldest::Process(slot))),
            screened.map(|(at, slot)| (at, Oldest::Screened(slot))),
            self.expected.oldest().map(|at| (at, Oldest::Expected)),
            self.agents.oldest().map(|at| (at, Oldest::Agent)),
        ];
        let message = message.map(|(at, slot)| (at, Oldest::Message(slot)));
        let others = others.into_iter().flatten().filter(|_| is_any);
        message.into_iter().chain(others).min_by_key(|(at, _)| *at).map(|(_, oldest)| oldest)
    }
}
