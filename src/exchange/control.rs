//! Call control of clients with lines: what may be done with a call that is up.

use base::{EndReason, SessionId, Time};
use call::{LineEvent, LineIntent, Outcome};

use super::Exchange;

impl Exchange {
    /// A client wants something done with a call.
    pub(super) fn control(&mut self, _now: Time, session: SessionId, intent: LineIntent) {
        let outcome = Outcome::new(EndReason::Refused);
        match intent {
            LineIntent::Hold { line, on } => {
                self.tell_client(session, LineEvent::LocalHold { line, on: !on });
            }
            LineIntent::Transfer { line, .. } | LineIntent::Join { line, .. } => {
                self.tell_client(session, LineEvent::Transfer { line, outcome });
            }
            LineIntent::Message { .. } => self.tell_client(session, LineEvent::MessageSent { outcome }),
            _ => {}
        }
    }
}
