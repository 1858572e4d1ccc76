//! Why a leg ended, in every language that has to be told.

/// Who is at fault when a leg ends; metrics and call records group by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Fault {
    /// Nobody: the call went as its parties wanted.
    None,
    /// The party on this leg, or its network.
    Peer,
    /// A limit set by the operator.
    Limit,
    /// This gateway.
    Ours,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident: $status:literal, $cause:literal, $label:literal, $fault:ident, $text:literal;)*) => {
        /// Why a leg or a session ended. One table maps each reason to a SIP status, a Q.850 cause, a metric
        /// label, who is at fault, and a sentence.
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
        #[non_exhaustive]
        pub enum EndReason { $($(#[$doc])* $name,)* }

        impl EndReason {
            /// Every reason, for tests and metric tables.
            pub const ALL: &[EndReason] = &[$(EndReason::$name,)*];

            /// The SIP status with which a call that ends so is refused (RFC 3261 §21).
            pub const fn sip_status(self) -> u16 {
                match self { $(EndReason::$name => $status,)* }
            }

            /// The ITU-T Q.850 cause, as in a SIP Reason header (RFC 3326).
            pub const fn q850(self) -> u8 {
                match self { $(EndReason::$name => $cause,)* }
            }

            /// The label in metrics and call records.
            pub const fn label(self) -> &'static str {
                match self { $(EndReason::$name => $label,)* }
            }

            /// Who is at fault.
            pub const fn fault(self) -> Fault {
                match self { $(EndReason::$name => Fault::$fault,)* }
            }

            /// A sentence for people.
            pub const fn text(self) -> &'static str {
                match self { $(EndReason::$name => $text,)* }
            }
        }
    };
}

reasons! {
    /// A party hung up an answered call.
    HungUp: 480, 16, "hung_up", None, "hung up";
    /// The caller gave up before the answer.
    Cancelled: 487, 16, "cancelled", None, "cancelled before the answer";
    /// The called party is busy.
    Busy: 486, 17, "busy", None, "busy";
    /// The called party declined.
    Declined: 603, 21, "declined", None, "declined";
    /// Nobody answered in time.
    NoAnswer: 480, 19, "no_answer", None, "no answer";
    /// No such user, number or stream.
    NotFound: 404, 1, "not_found", Peer, "no such target";
    /// The number is too short or too long.
    InvalidNumber: 484, 28, "invalid_number", Peer, "not a complete number";
    /// The target exists but nobody is there now.
    Unavailable: 480, 18, "unavailable", Peer, "not available now";
    /// The caller may not do this.
    Forbidden: 403, 21, "forbidden", Peer, "not allowed";
    /// Credentials were missing or wrong.
    Unauthorized: 401, 21, "unauthorized", Peer, "wrong or missing credentials";
    /// The two ends have no codec or transport in common.
    Incompatible: 488, 88, "incompatible", Peer, "no codec in common";
    /// The peer broke its protocol.
    Malformed: 400, 111, "malformed", Peer, "the peer broke its protocol";
    /// The peer cannot be reached.
    Unreachable: 503, 38, "unreachable", Peer, "the peer cannot be reached";
    /// The peer went silent: no media or no answer to keep-alives.
    TimedOut: 408, 102, "timed_out", Peer, "the peer went silent";
    /// The client's connection was lost.
    ConnectionLost: 480, 41, "connection_lost", Peer, "the connection was lost";
    /// The far end refused with a status that has no reason of its own.
    Refused: 500, 31, "refused", Peer, "refused by the far end";
    /// A message was larger than allowed.
    TooLarge: 513, 95, "too_large", Peer, "a message was too large";
    /// A configured limit is reached.
    Overloaded: 503, 42, "overloaded", Limit, "the gateway is at its limit";
    /// Too many attempts in too short a time.
    RateLimited: 503, 42, "rate_limited", Limit, "too many attempts";
    /// Calls to that number are not allowed.
    Blocked: 403, 21, "blocked", Limit, "calls to that number are not allowed";
    /// The caller has as many calls as it may have, or made them too fast.
    CallerLimit: 480, 42, "caller_limit", Limit, "too many calls of one caller";
    /// The minutes of the day are used up.
    QuotaUsed: 403, 21, "quota_used", Limit, "the minutes of the day are used up";
    /// The call reached its longest allowed duration.
    DurationLimit: 480, 16, "duration_limit", Limit, "the longest allowed duration is reached";
    /// The gateway is shutting down.
    Draining: 503, 41, "draining", Ours, "the gateway is shutting down";
    /// A fault of the gateway.
    Internal: 500, 41, "internal", Ours, "internal error of the gateway";
}

impl EndReason {
    /// The reason that fits a final SIP failure status (300 to 699) received from a peer.
    pub const fn from_sip_status(status: u16) -> EndReason {
        match status {
            401 | 407 => EndReason::Unauthorized,
            403 => EndReason::Forbidden,
            484 => EndReason::InvalidNumber,
            404 | 410 | 604 => EndReason::NotFound,
            408 => EndReason::TimedOut,
            415 | 488 | 606 => EndReason::Incompatible,
            480 => EndReason::Unavailable,
            486 | 600 => EndReason::Busy,
            487 => EndReason::Cancelled,
            503 => EndReason::Unreachable,
            513 => EndReason::TooLarge,
            603 | 607 | 608 => EndReason::Declined,
            _ => EndReason::Refused,
        }
    }
}

impl std::fmt::Display for EndReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_unique_and_statuses_final() {
        for (i, a) in EndReason::ALL.iter().enumerate() {
            assert!((400..700).contains(&a.sip_status()), "{a:?}");
            assert!(
                EndReason::ALL[i + 1..].iter().all(|b| b.label() != a.label()),
                "{a:?}"
            );
        }
    }

    #[test]
    fn common_statuses_come_back_as_themselves() {
        for status in [403, 404, 408, 480, 486, 487, 488, 513, 603] {
            assert_eq!(EndReason::from_sip_status(status).sip_status(), status);
        }
    }
}
