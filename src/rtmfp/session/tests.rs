//! The packets of recorded sessions, given to a session of ours that has their keys.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use base::Time;
use serde_json::Value;

use super::{Session, SessionConfig, SessionEvent, Start};
use crate::chunk::Chunk;
use crate::flow::Priority;
use crate::flow::send::SendFlow;
use crate::packet::{self, Header, Mode};
use crate::profile::certificate::Certificate;
use crate::profile::keying::{self, SessionKeys};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

fn field(v: &Value, name: &str) -> Vec<u8> {
    hex(v[name].as_str().unwrap())
}

fn turned(keys: SessionKeys) -> SessionKeys {
    SessionKeys {
        send: keys.receive,
        receive: keys.send,
        near_nonce: keys.far_nonce,
        far_nonce: keys.near_nonce,
    }
}

/// Messages with the number of their first fragment.
type Numbered = Vec<(u64, Vec<u8>)>;

/// One end of a recorded session; it takes the packets of the other.
struct Replay {
    session: Session,
    delivered: BTreeMap<u64, Vec<Vec<u8>>>,
    rejected: Vec<u64>,
}

impl Replay {
    fn new(v: &Value, role: Mode) -> Replay {
        let secret = field(v, "dh_secret");
        let keys = keying::derive(&field(v, "skic"), &field(v, "skrc"), &secret).unwrap();
        let start = Start {
            role,
            near_id: 1,
            far_id: 2,
            dest: "127.0.0.1:1".parse().unwrap(),
            far: Certificate::read(&field(v, "initiator_certificate")).unwrap(),
            keys: if role == Mode::Initiator {
                keys
            } else {
                turned(keys)
            },
            far_component: Vec::new(),
            answer: Vec::new(),
            secret: [0; 32],
        };
        let config = SessionConfig {
            flows: 1000,
            ..SessionConfig::default()
        };
        let mut session = Session::new(Time::ZERO, config, start);
        // The flows that the recorded end had: those of the far end may answer them.
        for id in 0..64 {
            session
                .sends
                .insert(id, SendFlow::new(id, Vec::new(), Priority::Routine));
        }
        Replay {
            session,
            delivered: BTreeMap::new(),
            rejected: Vec::new(),
        }
    }

    fn packet(&mut self, now: Time, from: SocketAddr, datagram: &[u8]) {
        let (_, sealed) = packet::split(datagram).unwrap();
        self.session
            .handle_packet(now, from, sealed, false, &mut Vec::new());
        while let Some(event) = self.session.events.pop_front() {
            match event {
                SessionEvent::Message { flow, data } => self.delivered.entry(flow).or_default().push(data),
                SessionEvent::FlowRejected { flow, .. } => self.rejected.push(flow),
                _ => {}
            }
        }
    }

    /// The acknowledgements that are due: flow and highest number of the first range.
    fn acks(&mut self, now: Time) -> Vec<(u64, u64)> {
        let mut opener = self.session.keys.send.opener();
        let (mut packet, mut datagram, mut acks) = (Vec::new(), Vec::new(), Vec::new());
        while self
            .session
            .poll_packet(now, false, &mut packet, &mut datagram)
            .is_some()
        {
            let mut scratch = Vec::new();
            let (_, sealed) = packet::split(&datagram).unwrap();
            let plain = opener.open(sealed, &mut scratch).unwrap();
            for (kind, payload) in Header::read(plain).unwrap().1 {
                if let Some(Chunk::Ack(ack)) = Chunk::read(kind, payload) {
                    acks.push((ack.flow, ack.cumulative));
                }
            }
        }
        acks
    }
}

#[test]
fn recorded_sessions_are_taken_in_as_their_peers_did() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded");
    let mut total = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_dir() {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let s: Value = serde_json::from_str(&fs::read_to_string(path.join("session.json")).unwrap()).unwrap();
        let mut ends = BTreeMap::new();
        for (n, v) in s["sessions"].as_array().unwrap().iter().enumerate() {
            ends.insert(format!("s{n}.i2r"), Replay::new(v, Mode::Responder));
            ends.insert(format!("s{n}.r2i"), Replay::new(v, Mode::Initiator));
        }
        let mut acked = 0;
        for line in fs::read_to_string(path.join("packets.txt")).unwrap().lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let now = Time::from_micros(fields[0].parse().unwrap());
            if let Some(end) = ends.get_mut(fields[3]) {
                end.packet(now, fields[1].parse().unwrap(), &hex(fields[4]));
                acked += end.acks(now + Duration::from_millis(1)).len();
            }
        }
        let mut wanted: BTreeMap<(String, u64), Numbered> = BTreeMap::new();
        for line in fs::read_to_string(path.join("messages.txt")).unwrap().lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let key = (fields[1].to_owned(), fields[2].parse().unwrap());
            let message = (fields[3].parse().unwrap(), hex(fields.get(4).unwrap_or(&"")));
            wanted.entry(key).or_default().push(message);
        }
        for ((key, flow), mut messages) in wanted {
            messages.sort();
            let messages: Vec<Vec<u8>> = messages.into_iter().map(|(_, m)| m).collect();
            let delivered = ends[&key].delivered.get(&flow).cloned().unwrap_or_default();
            total += delivered.len();
            let (a, b) = (delivered.len(), messages.len());
            assert!(
                delivered == messages,
                "{name} {key} flow {flow}: {a} of {b} messages"
            );
        }
        assert!(acked > 0, "{name}: nothing was acknowledged");
        assert!(
            ends.values().all(|e| e.session.stats.rejected == 0),
            "{name}: packets were rejected"
        );
    }
    assert!(total > 500, "{total}");
}
