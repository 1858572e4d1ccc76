//! Dialogs (RFC 3261 §12).

use std::net::IpAddr;

use crate::header::{HeaderName, Headers, NameAddr};
use crate::msg::{Method, Request, Response};
use crate::transport::Source;
use crate::uri::{Host, Uri};

/// What two user agents share about a peer-to-peer relation: identifiers, sequence and route.
#[derive(Clone, Debug)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    /// We, with our tag.
    pub(crate) local: NameAddr,
    /// The peer, with its tag when it has one (RFC 2543 peers may have none).
    pub(crate) remote: NameAddr,
    /// The remote target: the peer's Contact.
    pub(crate) target: Uri,
    /// The route set, nearest hop first.
    pub(crate) routes: Vec<NameAddr>,
    /// The highest CSeq received.
    pub(crate) remote_cseq: Option<u32>,
    /// RSeq of the last reliable provisional response taken; 0 before the first (RFC 3262 §4).
    pub(crate) rseq: u32,
    /// The path to the peer when its Contact does not lead there: the accepted connection, or the address
    /// behind a NAT.
    pub(crate) flow: Option<Source>,
}

impl Dialog {
    /// The dialog that our response with `local` (To, tag included) to an INVITE makes (RFC 3261 §12.1.1).
    pub(crate) fn uas(req: &Request, local: NameAddr, source: Source) -> Option<Dialog> {
        let contact = match req.headers.contacts().ok()?.into_iter().next() {
            Some(contact) => contact.uri,
            // RFC 2543 did not demand one.
            None if !has_rfc3261_branch(req) => req.headers.from().ok()?.uri,
            None => return None,
        };
        let routes = req.headers.record_routes().ok()?;
        let flow = routes.is_empty().then(|| flow_for(&contact, source)).flatten();
        Some(Dialog {
            call_id: req.headers.call_id().ok()?.to_owned(),
            local,
            remote: req.headers.from().ok()?,
            target: contact,
            routes,
            remote_cseq: Some(req.headers.cseq().ok()?.seq),
            rseq: 0,
            flow,
        })
    }

    /// The dialog that a response to our INVITE makes (RFC 3261 §12.1.2). Without Contact the peer is taken to
    /// be where the INVITE went.
    pub(crate) fn uac(req: &Request, res: &Response, source: Source) -> Option<Dialog> {
        let mut routes = res.headers.record_routes().ok()?;
        routes.reverse();
        let target = contact_of(&res.headers).unwrap_or_else(|| req.uri.clone());
        let flow = routes.is_empty().then(|| flow_for(&target, source)).flatten();
        Some(Dialog {
            call_id: req.headers.call_id().ok()?.to_owned(),
            local: req.headers.from().ok()?,
            remote: res.headers.to().ok()?,
            target,
            routes,
            remote_cseq: None,
            rseq: 0,
            flow,
        })
    }

    /// The peer's tag; empty when it has none.
    pub(crate) fn remote_tag(&self) -> &str {
        self.remote.tag().unwrap_or("")
    }

    /// A target refresh request or its 2xx carried this Contact (RFC 3261 §12.2).
    pub(crate) fn refresh(&mut self, headers: &Headers, source: Source) {
        if let Some(contact) = contact_of(headers) {
            self.target = contact;
            if self.routes.is_empty() {
                self.flow = flow_for(&self.target, source);
            }
        }
    }

    /// Takes the CSeq of a request; false when it is out of order (RFC 3261 §12.2.2).
    pub(crate) fn take_cseq(&mut self, seq: u32) -> bool {
        if self.remote_cseq.is_some_and(|last| seq < last) {
            return false;
        }
        self.remote_cseq = Some(seq);
        true
    }

    /// A request within the dialog (RFC 3261 §12.2.1.1), without Via and Contact, and its next hop.
    pub(crate) fn request(&self, method: Method, cseq: u32) -> (Request, Uri) {
        let mut req = Request::new(method.clone(), self.target.clone());
        req.headers.push(HeaderName::MaxForwards, 70);
        req.headers.push(HeaderName::From, &self.local);
        req.headers.push(HeaderName::To, &self.remote);
        req.headers.push(HeaderName::CallId, &self.call_id);
        req.headers.push(HeaderName::CSeq, format!("{cseq} {method}"));
        let hop = set_route(&mut req, self.routes.clone());
        (req, hop)
    }
}

/// Puts a route set into a request and gives the next hop (RFC 3261 §8.1.2, §12.2.1.1).
pub(crate) fn set_route(req: &mut Request, mut routes: Vec<NameAddr>) -> Uri {
    let hop = match routes.first() {
        None => None,
        Some(first) if first.uri.params().has("lr") => Some(first.uri.clone()),
        Some(_) => {
            // Strict routing: the first hop takes the Request-URI, the target goes last.
            let hop = routes.remove(0).uri;
            routes.push(NameAddr::new(std::mem::replace(&mut req.uri, hop.clone())));
            Some(hop)
        }
    };
    req.uri.strip_for_request();
    for route in routes {
        req.headers.push(HeaderName::Route, route);
    }
    hop.unwrap_or_else(|| req.uri.clone())
}

fn has_rfc3261_branch(req: &Request) -> bool {
    let via = req.headers.via_top();
    via.is_ok_and(|via| via.branch().is_some_and(|b| b.starts_with("z9hG4bK")))
}

fn contact_of(headers: &Headers) -> Option<Uri> {
    Some(headers.contacts().ok()?.into_iter().next()?.uri)
}

/// The path by which to reach a contact that came along `source`, when the contact itself is of no use.
pub(crate) fn flow_for(contact: &Uri, source: Source) -> Option<Source> {
    if source.conn.is_some() {
        return Some(source);
    }
    let behind_nat = match contact.host() {
        Host::Name(name) => name.to_ascii_lowercase().ends_with(".invalid"),
        host => host
            .ip()
            .is_some_and(|ip| ip != source.remote.ip() && is_private(ip)),
    };
    behind_nat.then_some(source)
}

fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(a) => {
            let shared = matches!(a.octets(), [100, 64..=127, ..]);
            a.is_private() || a.is_loopback() || a.is_link_local() || a.is_unspecified() || shared
        }
        IpAddr::V6(a) => {
            a.is_loopback() || a.is_unspecified() || a.is_unique_local() || a.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Transport;
    use crate::{Message, parse_datagram};

    fn source() -> Source {
        Source {
            transport: Transport::Udp,
            local: "192.0.2.1:5060".parse().unwrap(),
            remote: "192.0.2.9:5060".parse().unwrap(),
            conn: None,
        }
    }

    fn invite(extra: &str) -> Request {
        let text = format!(
            "INVITE sip:bob@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\n\
             Max-Forwards: 70\r\nFrom: <sip:alice@a.test>;tag=a1\r\nTo: <sip:bob@b.test>\r\nCall-ID: c1\r\n\
             CSeq: 7 INVITE\r\nContact: <sip:alice@192.0.2.9>\r\n{extra}Content-Length: 0\r\n\r\n"
        );
        match parse_datagram(text.as_bytes()).unwrap() {
            Message::Request(r) => r,
            Message::Response(_) => panic!("a request"),
        }
    }

    fn dialog(extra: &str) -> Dialog {
        let req = invite(extra);
        let mut to = req.headers.to().unwrap();
        to.set_tag("b1");
        Dialog::uas(&req, to, source()).unwrap()
    }

    #[test]
    fn loose_routes_stay_in_order_for_the_called_side() {
        let d = dialog("Record-Route: <sip:p2.test;lr>, <sip:p1.test;lr>\r\n");
        let (bye, hop) = d.request(Method::Bye, 1);
        assert_eq!(bye.uri.to_string(), "sip:alice@192.0.2.9");
        let routes: Vec<_> = bye.headers.get_all(&HeaderName::Route).collect();
        assert_eq!(routes, ["<sip:p2.test;lr>", "<sip:p1.test;lr>"]);
        assert_eq!(hop.to_string(), "sip:p2.test;lr");
        assert_eq!(
            bye.headers.get(&HeaderName::From),
            Some("<sip:bob@b.test>;tag=b1")
        );
    }

    #[test]
    fn a_strict_router_becomes_the_request_uri_and_the_target_the_last_route() {
        let d = dialog("Record-Route: <sip:p2.test;transport=tcp>, <sip:p1.test;lr>\r\n");
        let (bye, hop) = d.request(Method::Bye, 1);
        assert_eq!(bye.uri.to_string(), "sip:p2.test;transport=tcp");
        let routes: Vec<_> = bye.headers.get_all(&HeaderName::Route).collect();
        assert_eq!(routes, ["<sip:p1.test;lr>", "<sip:alice@192.0.2.9>"]);
        assert_eq!(hop.to_string(), "sip:p2.test;transport=tcp");
    }

    #[test]
    fn cseq_must_not_fall() {
        let mut d = dialog("");
        assert!(!d.take_cseq(6));
        assert!(d.take_cseq(8));
        assert!(!d.take_cseq(7));
        assert!(d.take_cseq(100));
    }

    #[test]
    fn a_private_contact_from_a_public_address_is_reached_by_its_flow() {
        let contact = Uri::parse("sip:a@10.0.0.7:5062").unwrap();
        assert_eq!(flow_for(&contact, source()), Some(source()));
        let contact = Uri::parse("sip:a@192.0.2.9:5062").unwrap();
        assert_eq!(flow_for(&contact, source()), None);
        let contact = Uri::parse("sip:a@198.51.100.3").unwrap();
        assert_eq!(flow_for(&contact, source()), None);
        let contact = Uri::parse("sip:a@x7.invalid;transport=ws").unwrap();
        assert_eq!(flow_for(&contact, source()), Some(source()));
    }
}
