//! Methods.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::parse::is_token;

macro_rules! methods {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A request method. Names are case-sensitive (RFC 3261 §7.1).
        #[derive(Clone, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum Method {
            $($(#[$doc])* $name,)*
            /// Any other token.
            Other(String),
        }

        impl Method {
            /// The name on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Method::$name => $text,)*
                    Method::Other(s) => s,
                }
            }

            fn known(s: &str) -> Option<Method> {
                match s {
                    $($text => Some(Method::$name),)*
                    _ => None,
                }
            }
        }
    };
}

methods! {
    /// Begins or changes a session (RFC 3261 §13, §14).
    Invite = "INVITE",
    /// Acknowledges the final response to INVITE.
    Ack = "ACK",
    /// Ends a session (RFC 3261 §15).
    Bye = "BYE",
    /// Gives up a pending INVITE (RFC 3261 §9).
    Cancel = "CANCEL",
    /// Asks for capabilities (RFC 3261 §11).
    Options = "OPTIONS",
    /// Binds an address of record to contacts (RFC 3261 §10).
    Register = "REGISTER",
    /// Acknowledges a reliable provisional response (RFC 3262).
    Prack = "PRACK",
    /// Changes a session before the answer (RFC 3311).
    Update = "UPDATE",
    /// Carries application data inside a dialog (RFC 6086).
    Info = "INFO",
    /// An instant message (RFC 3428).
    Message = "MESSAGE",
    /// Asks for a call transfer (RFC 3515).
    Refer = "REFER",
    /// Reports an event (RFC 6665).
    Notify = "NOTIFY",
    /// Asks for event reports (RFC 6665).
    Subscribe = "SUBSCRIBE",
    /// Publishes event state (RFC 3903).
    Publish = "PUBLISH",
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Method {
    type Err = Error;

    fn from_str(s: &str) -> Result<Method, Error> {
        match Method::known(s) {
            Some(m) => Ok(m),
            None if is_token(s) => Ok(Method::Other(s.to_owned())),
            None => Err(Error::StartLine),
        }
    }
}
