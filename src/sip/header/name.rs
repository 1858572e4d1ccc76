//! Header field names.

use std::fmt;
use std::hash::{Hash, Hasher};

macro_rules! names {
    ($($name:ident = $text:literal $(| $compact:literal)?,)*) => {
        /// The name of a header field. Full and compact forms are one and the same; names are compared without
        /// case (RFC 3261 §7.3.1, §7.3.3).
        #[derive(Clone, Debug)]
        #[non_exhaustive]
        pub enum HeaderName {
            $(
                #[doc = concat!("`", $text, "`")]
                $name,
            )*
            /// Any other, as written.
            Other(Box<str>),
        }

        impl HeaderName {
            /// The name as written in a message we send.
            pub fn as_str(&self) -> &str {
                match self {
                    $(HeaderName::$name => $text,)*
                    HeaderName::Other(s) => s,
                }
            }

            fn known(s: &str) -> Option<HeaderName> {
                $(
                    if s.eq_ignore_ascii_case($text) $(|| s.eq_ignore_ascii_case($compact))? {
                        return Some(HeaderName::$name);
                    }
                )*
                None
            }
        }
    };
}

names! {
    Via = "Via" | "v",
    From = "From" | "f",
    To = "To" | "t",
    CallId = "Call-ID" | "i",
    CSeq = "CSeq",
    Contact = "Contact" | "m",
    MaxForwards = "Max-Forwards",
    ContentLength = "Content-Length" | "l",
    ContentType = "Content-Type" | "c",
    Route = "Route",
    RecordRoute = "Record-Route",
    Allow = "Allow",
    Supported = "Supported" | "k",
    Require = "Require",
    ProxyRequire = "Proxy-Require",
    Unsupported = "Unsupported",
    UserAgent = "User-Agent",
    Server = "Server",
    Expires = "Expires",
    MinExpires = "Min-Expires",
    Accept = "Accept",
    AcceptEncoding = "Accept-Encoding",
    AcceptLanguage = "Accept-Language",
    Authorization = "Authorization",
    ProxyAuthorization = "Proxy-Authorization",
    WwwAuthenticate = "WWW-Authenticate",
    ProxyAuthenticate = "Proxy-Authenticate",
    AuthenticationInfo = "Authentication-Info",
    SessionExpires = "Session-Expires" | "x",
    MinSe = "Min-SE",
    Subject = "Subject" | "s",
    Date = "Date",
    Timestamp = "Timestamp",
    RetryAfter = "Retry-After",
    Warning = "Warning",
    Reason = "Reason",
    ContentEncoding = "Content-Encoding" | "e",
    ContentDisposition = "Content-Disposition",
    ContentLanguage = "Content-Language",
    MimeVersion = "MIME-Version",
    RSeq = "RSeq",
    RAck = "RAck",
    Event = "Event" | "o",
    AllowEvents = "Allow-Events" | "u",
    SubscriptionState = "Subscription-State",
    ReferTo = "Refer-To" | "r",
    ReferredBy = "Referred-By" | "b",
    Replaces = "Replaces",
    Path = "Path",
    ServiceRoute = "Service-Route",
    PAssertedIdentity = "P-Asserted-Identity",
    PPreferredIdentity = "P-Preferred-Identity",
    Privacy = "Privacy",
    Identity = "Identity" | "y",
    RequestDisposition = "Request-Disposition" | "d",
    AcceptContact = "Accept-Contact" | "a",
    RejectContact = "Reject-Contact" | "j",
    InReplyTo = "In-Reply-To",
    ReplyTo = "Reply-To",
    Organization = "Organization",
    Priority = "Priority",
    AlertInfo = "Alert-Info",
    CallInfo = "Call-Info",
    ErrorInfo = "Error-Info",
}

impl HeaderName {
    /// The name written so, in full or compact form and any case.
    pub fn new(s: &str) -> HeaderName {
        HeaderName::known(s).unwrap_or_else(|| HeaderName::Other(s.into()))
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &HeaderName) -> bool {
        match (self, other) {
            (HeaderName::Other(a), HeaderName::Other(b)) => a.eq_ignore_ascii_case(b),
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }
}

impl Eq for HeaderName {}

impl Hash for HeaderName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        if let HeaderName::Other(s) = self {
            s.to_ascii_lowercase().hash(state);
        }
    }
}

impl From<&str> for HeaderName {
    fn from(s: &str) -> HeaderName {
        HeaderName::new(s)
    }
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
