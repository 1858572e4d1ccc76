//! What an endpoint asks of its driver and tells its user.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use base::{ConnId, EndReason};

use super::guard::Ban;
use crate::auth::Credentials;
use crate::header::{Headers, NameAddr};
use crate::transport::{Source, Transport};
use crate::uri::Uri;

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) u64);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

handle!(
    /// One call: an INVITE sent or received and the dialog it makes. Never used twice.
    CallHandle,
    "call"
);
handle!(
    /// One binding that we keep at a registrar.
    RegistrationHandle,
    "reg"
);
handle!(
    /// One request outside calls, sent or received.
    RequestHandle,
    "req"
);
handle!(
    /// One address lookup.
    LookupId,
    "lookup"
);
handle!(
    /// One [`Output::Send`].
    SendId,
    "send"
);

/// A message body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Body {
    /// Content-Type.
    pub content_type: String,
    /// The bytes.
    pub data: Vec<u8>,
}

impl Body {
    /// A session description.
    pub fn sdp(data: impl Into<Vec<u8>>) -> Body {
        Body {
            content_type: "application/sdp".to_owned(),
            data: data.into(),
        }
    }
}

/// A call to make.
#[derive(Clone, Debug)]
pub struct Invite {
    /// The Request-URI.
    pub target: Uri,
    /// From, without tag.
    pub from: NameAddr,
    /// To; the target when `None`.
    pub to: Option<NameAddr>,
    /// Proxies to pass, in order.
    pub route: Vec<Uri>,
    /// The path to send along instead of looking the target up: that of a [`Binding`].
    pub flow: Option<Source>,
    /// The offer; `None` leaves the offer to the called party, whose 2xx must then be answered by
    /// [`Endpoint::ack`](crate::Endpoint::ack).
    pub body: Option<Body>,
    /// Further header fields.
    pub headers: Vec<(String, String)>,
    /// For challenges.
    pub credentials: Option<Credentials>,
    /// Max-Forwards: 70, or one less than that of the call being passed on.
    pub max_forwards: u8,
}

impl Invite {
    /// A call with nothing but its parties.
    pub fn new(target: Uri, from: NameAddr) -> Invite {
        Invite {
            target,
            from,
            to: None,
            route: Vec::new(),
            flow: None,
            body: None,
            headers: Vec::new(),
            credentials: None,
            max_forwards: 70,
        }
    }
}

/// A request outside calls to send: MESSAGE or OPTIONS.
#[derive(Clone, Debug)]
pub struct OutOfDialog {
    /// The Request-URI.
    pub target: Uri,
    /// From, without tag.
    pub from: NameAddr,
    /// Proxies to pass, in order.
    pub route: Vec<Uri>,
    /// The path to send along instead of looking the target up.
    pub flow: Option<Source>,
    /// The body.
    pub body: Option<Body>,
    /// For challenges.
    pub credentials: Option<Credentials>,
}

/// A binding to keep at a registrar.
#[derive(Clone, Debug)]
pub struct Registration {
    /// The registrar: the Request-URI, `sip:example.com`.
    pub registrar: Uri,
    /// The address of record: To and From.
    pub aor: NameAddr,
    /// The user part of the Contact.
    pub user: String,
    /// Proxies to pass, in order.
    pub route: Vec<Uri>,
    /// For challenges.
    pub credentials: Option<Credentials>,
    /// The duration to ask for, in seconds.
    pub expires: u32,
}

/// One contact of an address of record at the embedded registrar.
#[derive(Clone, PartialEq, Debug)]
pub struct Binding {
    /// The Contact URI: the Request-URI of a request to it.
    pub target: Uri,
    /// The path of the REGISTER, by which the contact is reached even behind a NAT. `None` when the REGISTER
    /// came through a proxy or its connection is gone: then the target is looked up.
    pub flow: Option<Source>,
    /// Path of the REGISTER (RFC 3327): the route to take instead of the flow when not empty.
    pub path: Vec<Uri>,
    /// The contact's preference, 0 to 1000.
    pub q: u16,
    /// Seconds until it ends.
    pub expires: u32,
    /// User-Agent of the REGISTER.
    pub user_agent: Option<String>,
}

/// A local account for digest.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("name", &base::Redacted(&self.name))
            .finish_non_exhaustive()
    }
}

/// Why the endpoint did not take a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The handle is of a call or registration that is over.
    #[error("no such call or registration, or it is over")]
    Gone,
    /// The command does not fit the state, as answering an answered call.
    #[error("not possible in this state")]
    State,
    /// An offer is already under way on this call.
    #[error("an offer is already under way")]
    Pending,
    /// A limit is reached.
    #[error("a limit on calls or transactions is reached")]
    Limit,
    /// The target is no sip or sips URI.
    #[error("the target is not a SIP URI")]
    Target,
}

/// What the endpoint wants done.
#[derive(Clone, PartialEq, Debug)]
#[allow(clippy::large_enum_variant, reason = "moved once to the driver")]
pub enum Output {
    /// Send a message.
    Send {
        /// Names the attempt in [`Endpoint::handle_send_failed`](crate::Endpoint::handle_send_failed).
        id: SendId,
        /// The transport.
        transport: Transport,
        /// The socket to send from, or the address to connect from.
        local: Option<SocketAddr>,
        /// The peer.
        remote: SocketAddr,
        /// The connection to use. When `None` for a transport with connections, or when that connection is
        /// gone, the driver uses any that it has to `remote`, or opens one.
        conn: Option<ConnId>,
        /// Whose certificate the server must show when the transport is encrypted and no connection is named: a
        /// domain or an address (RFC 5922 §7). A connection that was made for another one must not be used.
        /// `None` lets any connection to `remote` do.
        domain: Option<Arc<str>>,
        /// The message.
        bytes: Vec<u8>,
    },
    /// Find where a URI leads (RFC 3263) and say so by
    /// [`Endpoint::handle_resolved`](crate::Endpoint::handle_resolved).
    Lookup {
        /// Names the lookup.
        id: LookupId,
        /// The URI of the next hop.
        uri: Uri,
    },
    /// Tell the user.
    Event(Event),
}

/// What happened. Each call ends with exactly one [`Event::Failed`] or [`Event::Ended`], after which its
/// handle is dead.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "moved once to the user")]
pub enum Event {
    /// A call comes in; answer with [`Endpoint::answer`](crate::Endpoint::answer),
    /// [`refuse`](crate::Endpoint::refuse) or [`challenge`](crate::Endpoint::challenge). 100 was sent.
    Incoming {
        /// The new call.
        call: CallHandle,
        /// The Request-URI.
        target: Uri,
        /// From.
        from: NameAddr,
        /// To.
        to: NameAddr,
        /// All header fields, Call-ID among them.
        headers: Headers,
        /// Where it came from.
        source: Source,
        /// The local account that proved its password.
        user: Option<String>,
        /// Max-Forwards less one, for a call that passes this on.
        max_forwards: u8,
        /// The offer; `None` when the answer must hold one.
        offer: Option<Body>,
        /// The call that this one is to take the place of (RFC 3891): answer this one, then hang up that one.
        replaces: Option<CallHandle>,
    },
    /// A provisional response, 101 to 199.
    Provisional {
        /// The call.
        call: CallHandle,
        /// The status.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// Early media.
        body: Option<Body>,
    },
    /// Our call was answered.
    Answered {
        /// The call.
        call: CallHandle,
        /// The answer, or the offer when our INVITE held none: then
        /// [`Endpoint::ack`](crate::Endpoint::ack) must be called.
        body: Option<Body>,
    },
    /// Our call was not answered. The last event of the call.
    Failed {
        /// The call.
        call: CallHandle,
        /// The status, 300 to 699.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// The response's header fields (Contact of a redirection, Retry-After); empty when nobody answered.
        headers: Headers,
        /// Nobody answered; the status is our own finding: 408 after time, 503 after errors of the network.
        local: bool,
    },
    /// The caller acknowledged our answer.
    Confirmed {
        /// The call.
        call: CallHandle,
        /// The caller's answer, when our 2xx held the offer; also after [`Event::Reoffer`] without body.
        body: Option<Body>,
    },
    /// The peer answered the offer in our reliable provisional response.
    EarlyAnswer {
        /// The call.
        call: CallHandle,
        /// The answer.
        body: Body,
    },
    /// The peer asks for a transfer, and [`EndpointConfig::transfers`](crate::EndpointConfig::transfers) says that
    /// we take them; answer with [`Endpoint::accept_refer`](crate::Endpoint::accept_refer) or
    /// [`refuse_refer`](crate::Endpoint::refuse_refer).
    Refer {
        /// The call to be transferred.
        call: CallHandle,
        /// To where (RFC 3515). Its headers, if any, are in `replaces`.
        target: Uri,
        /// The value of the Replaces header field for the new INVITE (RFC 3891), for an attended transfer.
        replaces: Option<String>,
        /// Referred-By, to be passed on (RFC 3892).
        referred_by: Option<String>,
    },
    /// How our own REFER goes.
    ReferProgress {
        /// The call.
        call: CallHandle,
        /// The status of the REFER if that failed, else of the call that the peer makes; final from 200 on.
        status: u16,
    },
    /// The peer sends a new offer, or asks for ours; answer with
    /// [`Endpoint::accept_reoffer`](crate::Endpoint::accept_reoffer) or
    /// [`refuse_reoffer`](crate::Endpoint::refuse_reoffer).
    Reoffer {
        /// The call.
        call: CallHandle,
        /// The offer; `None` when the answer must hold one.
        body: Option<Body>,
    },
    /// The end of our own re-INVITE.
    ReofferResult {
        /// The call.
        call: CallHandle,
        /// The final status. After a failure the session goes on as before.
        status: u16,
        /// The answer; or the offer when the re-INVITE held none: then
        /// [`Endpoint::ack`](crate::Endpoint::ack) must be called.
        body: Option<Body>,
    },
    /// The call is over. The last event of the call.
    Ended {
        /// The call.
        call: CallHandle,
        /// Why.
        reason: EndReason,
        /// The Q.850 cause the peer gave (RFC 3326).
        cause: Option<u8>,
    },
    /// INFO arrived and was answered 200.
    Info {
        /// The call.
        call: CallHandle,
        /// What it carries.
        body: Body,
    },
    /// MESSAGE arrived; answer with [`Endpoint::respond_message`](crate::Endpoint::respond_message).
    Message {
        /// Names it for the answer.
        request: RequestHandle,
        /// The call within which it came.
        call: Option<CallHandle>,
        /// The Request-URI.
        target: Uri,
        /// From.
        from: NameAddr,
        /// To.
        to: NameAddr,
        /// Where it came from.
        source: Source,
        /// The local account that proved its password.
        user: Option<String>,
        /// What it carries.
        body: Option<Body>,
    },
    /// The end of a request outside calls that we sent.
    RequestResult {
        /// The request.
        request: RequestHandle,
        /// The final status; 408 after time, 503 after errors of the network.
        status: u16,
        /// Where the answer came from; `None` when there was none.
        peer: Option<SocketAddr>,
    },
    /// Our registration holds.
    Registered {
        /// The registration.
        registration: RegistrationHandle,
        /// Seconds granted.
        expires: u32,
        /// Where the answer came from.
        peer: Option<SocketAddr>,
        /// The way that our requests are to take (RFC 3608); empty when the registrar asks for none.
        service_route: Vec<Uri>,
    },
    /// An attempt to register failed; the next is made by itself, unless the registration was ended.
    RegisterFailed {
        /// The registration.
        registration: RegistrationHandle,
        /// The final status; 408 after time, 503 after errors of the network.
        status: u16,
        /// Seconds until the next attempt.
        retry: u32,
    },
    /// Our registration is removed, as asked by [`Endpoint::unregister`](crate::Endpoint::unregister).
    Unregistered {
        /// The registration.
        registration: RegistrationHandle,
    },
    /// A source is not answered for a while.
    Banned {
        /// Which, and why.
        ban: Ban,
    },
    /// The bindings of an address of record at the embedded registrar changed, by a request or by time.
    BindingsChanged {
        /// `user@domain`.
        aor: String,
        /// What is bound now.
        bindings: Vec<Binding>,
    },
}
