//! Recorded sessions played again: our endpoint takes the place of one of the two programs, draws the randomness that it
//! drew, and has to answer the other as it did.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use base::Time;
use serde_json::Value;

use super::{Endpoint, EndpointConfig, Event, Handle, Output};
use crate::chunk::Chunk;
use crate::flow::Priority;
use crate::option;
use crate::packet::{self, Header};
use crate::profile::certificate::{Certificate, Discriminator, Identity};
use crate::profile::cipher::{Opener, Sealer};
use crate::profile::dh::{Group, KeyPair};
use crate::profile::keying::{self, Offer, Protection};
use crate::profile::random::Random;
use crate::session::{SessionConfig, SessionEvent};

const META: &[u8] = b"TC\x04\x00";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

fn field(v: &Value, name: &str) -> Vec<u8> {
    hex(v[name].as_str().unwrap())
}

struct Packet {
    at: Time,
    from: SocketAddr,
    key: String,
    datagram: Vec<u8>,
}

/// Messages with the number of their first fragment.
type Numbered = Vec<(u64, Vec<u8>)>;

/// One recorded session.
struct Recording {
    name: String,
    number: usize,
    session: Value,
    identities: Vec<Value>,
    packets: Vec<Packet>,
    /// Messages by direction and flow, in the order of their numbers.
    messages: BTreeMap<(String, u64), Vec<Vec<u8>>>,
}

fn recordings() -> Vec<Recording> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let mut out = Vec::new();
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(path.join("session.json")) else {
            continue;
        };
        let all: Value = serde_json::from_str(&text).unwrap();
        for (number, session) in all["sessions"].as_array().unwrap().iter().enumerate() {
            let packets = fs::read_to_string(path.join("packets.txt")).unwrap();
            let packets = packets.lines().map(|line| {
                let fields: Vec<&str> = line.split(' ').collect();
                Packet {
                    at: Time::from_secs(10) + std::time::Duration::from_micros(fields[0].parse().unwrap()),
                    from: fields[1].parse().unwrap(),
                    key: fields[3].to_owned(),
                    datagram: hex(fields[4]),
                }
            });
            let mut messages: BTreeMap<(String, u64), Numbered> = BTreeMap::new();
            for line in fs::read_to_string(path.join("messages.txt")).unwrap().lines() {
                let fields: Vec<&str> = line.split(' ').collect();
                let key = (fields[1].to_owned(), fields[2].parse().unwrap());
                let message = (fields[3].parse().unwrap(), hex(fields.get(4).unwrap_or(&"")));
                messages.entry(key).or_default().push(message);
            }
            let in_order = |mut list: Numbered| {
                list.sort();
                list.into_iter().map(|(_, m)| m).collect()
            };
            out.push(Recording {
                name: path.file_name().unwrap().to_str().unwrap().to_owned(),
                number,
                session: session.clone(),
                identities: all["identities"].as_array().unwrap().clone(),
                packets: packets.collect(),
                messages: messages
                    .into_iter()
                    .map(|(k, list)| (k, in_order(list)))
                    .collect(),
            });
        }
    }
    assert!(out.len() > 20);
    out
}

/// The first chunk of a startup packet, if a reader takes it.
fn startup<T>(datagram: &[u8], read: impl FnOnce(Chunk<'_>) -> Option<T>) -> Option<T> {
    let (_, sealed) = packet::split(datagram)?;
    let mut scratch = Vec::new();
    let plain = Opener::startup().open(sealed, &mut scratch).ok()?;
    let (kind, payload) = Header::read(plain)?.1.next()?;
    read(Chunk::read(kind, payload)?)
}

fn sealed_startup(id: u32, chunk: &Chunk<'_>) -> Vec<u8> {
    let (mut packet, mut datagram) = (Vec::new(), Vec::new());
    Header::startup(0).put(&mut packet);
    chunk.put(&mut packet);
    Sealer::startup().seal(id, &packet, &mut datagram);
    datagram
}

/// What the initiator sent to be keyed, but for its session id.
#[derive(Debug, PartialEq)]
struct Keying {
    session: u32,
    cookie: Vec<u8>,
    certificate: Vec<u8>,
    component: Vec<u8>,
    signature: Vec<u8>,
}

fn keying_of(datagram: &[u8]) -> Option<Keying> {
    startup(datagram, |chunk| match chunk {
        Chunk::InitiatorKeying {
            session,
            cookie,
            certificate,
            component,
            signature,
        } => Some(Keying {
            session,
            cookie: cookie.to_vec(),
            certificate: certificate.to_vec(),
            component: component.to_vec(),
            signature: signature.to_vec(),
        }),
        _ => None,
    })
}

fn options(component: &[u8]) -> BTreeMap<u64, Vec<u8>> {
    option::all(component)
        .map(|o| o.map(|(k, v)| (k, v.to_vec())).unwrap())
        .collect()
}

impl Recording {
    fn bytes(&self, name: &str) -> Vec<u8> {
        field(&self.session, name)
    }

    fn id(&self, name: &str) -> [u8; 4] {
        self.bytes(name).try_into().unwrap()
    }

    /// The identity of a side, when its private keys are known.
    fn identity(&self, side: &str) -> Option<Identity> {
        let wanted = self.bytes(&format!("{side}_certificate"));
        let known = self
            .identities
            .iter()
            .find(|i| field(i, "certificate") == wanted)?;
        let keys = known["static_dh"].as_array()?.iter().map(|k| {
            let group = Group::from_id(k["group"].as_u64()?)?;
            KeyPair::from_exponent(group, hex(k["private"].as_str()?))
        });
        Some(Identity::new(
            Certificate::read(&wanted)?,
            keys.collect::<Option<_>>()?,
        ))
    }

    /// What a side offers.
    fn protection(&self, component: &str) -> Protection {
        let options = options(&self.bytes(component));
        let offer = |flags: u8| Offer {
            always: flags & 4 != 0,
            on_request: flags & 2 != 0,
            request: flags & 1 != 0,
        };
        let hmac = &options[&0x1A];
        Protection {
            hmac: offer(hmac[0]),
            hmac_len: usize::from(hmac[1]),
            sequence: offer(options[&0x1E][0]),
        }
    }

    /// What a side drew for its component: the salt, or the exponent with its leading zeros.
    fn drawn(&self, side: &str, component: &str) -> Option<Vec<u8>> {
        let dh = &self.session[format!("{side}_dh")];
        if dh["mode"] == "static" {
            return options(&self.bytes(component)).remove(&0x0E);
        }
        let len = match self.session["group"].as_u64()? {
            2 => 28,
            14 => 40,
            _ => 60,
        };
        let exponent = hex(dh["private"].as_str()?);
        Some([vec![0; len - exponent.len()], exponent].concat())
    }

    fn endpoint(&self, random: Vec<Vec<u8>>, config: EndpointConfig) -> Endpoint {
        let config = EndpointConfig {
            session: SessionConfig {
                flows: 1000,
                ..SessionConfig::default()
            },
            ..config
        };
        let mut endpoint = Endpoint::new(config, [1; 32]);
        endpoint.random = Random::scripted(random);
        endpoint
    }

    fn what(&self) -> String {
        format!("{} session {}", self.name, self.number)
    }

    /// The messages that were to be delivered in a direction were.
    fn delivered(&self, direction: &str, got: &BTreeMap<u64, Vec<Vec<u8>>>) -> usize {
        let key = format!("s{}.{direction}", self.number);
        let mut total = 0;
        for ((_, flow), wanted) in self.messages.iter().filter(|((k, _), _)| *k == key) {
            let got = got.get(flow).map_or(&[][..], Vec::as_slice);
            assert!(got == wanted, "{} {direction} flow {flow}", self.what());
            total += wanted.len();
        }
        total
    }
}

/// What an endpoint did: datagrams, the sessions it opened, messages by flow.
#[derive(Default)]
struct Seen {
    sent: Vec<(SocketAddr, Vec<u8>)>,
    opened: Option<Handle>,
    messages: BTreeMap<u64, Vec<Vec<u8>>>,
}

impl Seen {
    fn drain(&mut self, now: Time, endpoint: &mut Endpoint) {
        while let Some(output) = endpoint.poll_output(now) {
            match output {
                Output::Transmit { to, datagram } => self.sent.push((to, datagram)),
                Output::Work(work) => endpoint.handle_work(now, work.run()),
                Output::Seek(_) => {}
                Output::Event { handle, event } => match event {
                    Event::Opened { .. } => {
                        self.opened = Some(handle);
                        // The flows that the recorded end had: those of the far end may answer them.
                        for _ in 0..64 {
                            endpoint.open_flow(handle, META, None, Priority::Routine).unwrap();
                        }
                    }
                    Event::Session(SessionEvent::Message { flow, data }) => {
                        self.messages.entry(flow).or_default().push(data);
                    }
                    Event::Session(_) => {}
                },
            }
        }
    }
}

#[test]
fn recorded_responders_get_what_their_initiators_sent() {
    let (mut replayed, mut total) = (0, 0);
    for r in recordings() {
        let Some(identity) = r.identity("initiator").map(Arc::new) else {
            continue;
        };
        let Some(drawn) = r.drawn("initiator", "skic") else {
            continue;
        };
        let what = r.what();
        let (certificate, skic) = (r.bytes("initiator_certificate"), r.bytes("skic"));
        let of_session = |p: &Packet| keying_of(&p.datagram).filter(|k| k.component == skic);
        let keyings: Vec<Keying> = r.packets.iter().filter_map(of_session).collect();
        let hello_of = |p: &Packet| {
            startup(&p.datagram, |chunk| match chunk {
                Chunk::ResponderHello { tag, cookie, .. } => {
                    Some((p.at, p.from, tag.to_vec(), cookie.to_vec()))
                }
                _ => None,
            })
        };
        let first = &keyings[0];
        let hello = r
            .packets
            .iter()
            .filter_map(hello_of)
            .find(|(.., cookie)| *cookie == first.cookie);
        let (at, responder, tag, _) = hello.unwrap();
        let asked = r.packets.iter().find_map(|p| {
            startup(&p.datagram, |chunk| match chunk {
                Chunk::InitiatorHello { epd, tag: t } if t == tag => Some(epd.to_vec()),
                _ => None,
            })
        });
        let asked = asked.unwrap();
        let [prefix, id @ ..] = r.id("initiator_session_id");
        let random = vec![tag, [&[0][..], &id].concat(), drawn];
        let mut endpoint = r.endpoint(
            random,
            EndpointConfig {
                client: Some(identity),
                protection: r.protection("skic"),
                id_prefix: prefix,
                ..EndpointConfig::default()
            },
        );
        let mut seen = Seen::default();
        endpoint.open(at, &[responder], &Discriminator::read(&asked).unwrap());
        seen.drain(at, &mut endpoint);
        let epd = startup(&seen.sent.remove(0).1, |chunk| match chunk {
            Chunk::InitiatorHello { epd, .. } => Some(epd.to_vec()),
            _ => None,
        });
        let epd = epd.as_deref().and_then(Discriminator::read);
        assert_eq!(epd, Discriminator::read(&asked), "{what}");
        // Everything that was said to the initiator, in its order.
        let key = format!("s{}.r2i", r.number);
        let mut answers = 0;
        for p in r.packets.iter().filter(|p| p.at >= at) {
            let to_us = p.key == key
                || startup(&p.datagram, |chunk| match chunk {
                    Chunk::ResponderHello { cookie, .. } => Some(keyings.iter().any(|k| k.cookie == cookie)),
                    Chunk::CookieChange { old, .. } => Some(keyings.iter().any(|k| k.cookie == old)),
                    Chunk::ResponderKeying { component, .. } => Some(component == r.bytes("skrc")),
                    _ => None,
                }) == Some(true);
            if !to_us {
                continue;
            }
            endpoint.handle_datagram(p.at, p.from, &p.datagram);
            seen.drain(p.at, &mut endpoint);
            for (to, datagram) in std::mem::take(&mut seen.sent) {
                if let Some(keying) = keying_of(&datagram) {
                    let recorded = keyings.iter().find(|k| k.cookie == keying.cookie);
                    assert_eq!(Some(&keying), recorded, "{what}");
                    assert_eq!((to, &keying.certificate), (responder, &certificate), "{what}");
                    answers += 1;
                }
            }
        }
        let different: std::collections::BTreeSet<&Vec<u8>> = keyings.iter().map(|k| &k.cookie).collect();
        assert!(
            answers >= different.len(),
            "{what}: {answers} of {}",
            different.len()
        );
        let handle = seen.opened.expect(&what);
        let nonces = endpoint.nonces(handle).unwrap_or_else(|| {
            // The recorded end closed it; the keys were compared by what they opened.
            (
                r.bytes("initiator_nonce").try_into().unwrap(),
                r.bytes("responder_nonce").try_into().unwrap(),
            )
        });
        assert_eq!(nonces.0.to_vec(), r.bytes("initiator_nonce"), "{what}");
        total += r.delivered("r2i", &seen.messages);
        replayed += 1;
    }
    assert!(
        replayed >= 18 && total > 100,
        "{replayed} sessions, {total} messages"
    );
}

#[test]
fn recorded_initiators_get_what_their_responders_sent() {
    let (mut replayed, mut total, mut identical) = (0, 0, 0);
    for r in recordings() {
        let Some(identity) = r.identity("responder").map(Arc::new) else {
            continue;
        };
        let Some(drawn) = r.drawn("responder", "skrc") else {
            continue;
        };
        let what = r.what();
        let (skic, skrc) = (r.bytes("skic"), r.bytes("skrc"));
        let keying = r.packets.iter().find_map(|p| {
            let keying = keying_of(&p.datagram).filter(|k| k.component == skic)?;
            Some((p.at, p.from, keying))
        });
        let (at, initiator, keying) = keying.unwrap();
        let [prefix, id @ ..] = r.id("responder_session_id");
        let mut endpoint = r.endpoint(
            vec![[&[0][..], &id].concat(), drawn],
            EndpointConfig {
                server: Some(identity.clone()),
                protection: r.protection("skrc"),
                id_prefix: prefix,
                ..EndpointConfig::default()
            },
        );
        let mut seen = Seen::default();
        // A hello as the initiator sent it; ours has a cookie of our own, which is put into the recorded keying.
        let tag = [7; 16];
        let epd = Discriminator::peer(identity.certificate().fingerprint()).bytes();
        let hello = sealed_startup(0, &Chunk::InitiatorHello { epd: &epd, tag: &tag });
        endpoint.handle_datagram(at, initiator, &hello);
        seen.drain(at, &mut endpoint);
        let cookie = startup(&seen.sent.remove(0).1, |chunk| match chunk {
            Chunk::ResponderHello {
                tag: echo,
                cookie,
                certificate,
            } => {
                assert_eq!(echo, tag, "{what}");
                assert_eq!(certificate, r.bytes("responder_certificate"), "{what}");
                Some(cookie.to_vec())
            }
            _ => None,
        });
        let again = sealed_startup(
            0,
            &Chunk::InitiatorKeying {
                session: keying.session,
                cookie: &cookie.unwrap(),
                certificate: &keying.certificate,
                component: &keying.component,
                signature: &keying.signature,
            },
        );
        endpoint.handle_datagram(at, initiator, &again);
        seen.drain(at, &mut endpoint);
        let (to, answer) = seen.sent.remove(0);
        assert_eq!(to, initiator, "{what}");
        let (near_id, component) = startup(&answer, |chunk| match chunk {
            Chunk::ResponderKeying {
                session, component, ..
            } => Some((session, component.to_vec())),
            _ => None,
        })
        .unwrap();
        assert_eq!(near_id.to_be_bytes(), r.id("responder_session_id"), "{what}");
        // The order of the options, and silence about what nobody asked for, are our own; the rest is as recorded.
        let (mut ours, mut theirs) = (options(&component), options(&skrc));
        for kind in [0x1A, 0x1E] {
            ours.remove(&kind);
            theirs.remove(&kind);
        }
        assert_eq!(ours, theirs, "{what}");
        identical += usize::from(component == skrc);
        let secret = r.bytes("dh_secret");
        let recorded = keying::derive(&skic, &skrc, &secret).unwrap();
        let keys = keying::derive(&skic, &component, &secret).unwrap();
        for (ours, theirs) in [(&keys.send, &recorded.send), (&keys.receive, &recorded.receive)] {
            assert_eq!(
                (ours.hmac_len, ours.sequence),
                (theirs.hmac_len, theirs.sequence),
                "{what}"
            );
        }
        // What the initiator said under the recorded keys, under those that our component gave it.
        let handle = seen.opened.unwrap();
        assert_eq!(
            endpoint.nonces(handle),
            Some((keys.far_nonce, keys.near_nonce)),
            "{what}"
        );
        let (mut opener, mut sealer) = (recorded.send.opener(), keys.send.sealer());
        let key = format!("s{}.i2r", r.number);
        for p in r.packets.iter().filter(|p| p.key == key) {
            let (_, sealed) = packet::split(&p.datagram).unwrap();
            let (mut scratch, mut datagram) = (Vec::new(), Vec::new());
            let Ok(plain) = opener.open(sealed, &mut scratch) else {
                continue;
            };
            sealer.seal(near_id, plain, &mut datagram);
            endpoint.handle_datagram(p.at, p.from, &datagram);
            seen.drain(p.at, &mut endpoint);
        }
        total += r.delivered("i2r", &seen.messages);
        replayed += 1;
    }
    assert!(
        replayed >= 18 && total > 300,
        "{replayed} sessions, {total} messages"
    );
    assert!(identical >= 2, "{identical} answers are the same byte for byte");
}
