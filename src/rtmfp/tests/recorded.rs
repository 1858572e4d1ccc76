//! Every recorded session: each datagram opens to its plaintext and is made again byte for byte; each key derivation
//! and each elementary encoding comes out as recorded.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use rtmfp::chunk::{self, Chunk};
use rtmfp::option::{self, Address, Origin};
use rtmfp::packet::{self, Header};
use rtmfp::profile::certificate::{Certificate, Discriminator};
use rtmfp::profile::cipher::{HmacKey, Opener, Sealer, checksum};
use rtmfp::profile::dh::{Group, KeyPair};
use rtmfp::profile::keying::{self, DirectionKeys};
use rtmfp::vlu::{self, Cursor};
use serde_json::Value;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/recorded")
}

fn json(name: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(folder().join(name)).unwrap()).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let text = if text.len() % 2 == 1 {
        format!("0{text}")
    } else {
        text.to_owned()
    };
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

fn field(v: &Value, name: &str) -> Vec<u8> {
    hex(v[name].as_str().unwrap())
}

fn key16(bytes: &[u8]) -> [u8; 16] {
    bytes[..16].try_into().unwrap()
}

fn key32(bytes: &[u8]) -> [u8; 32] {
    bytes.try_into().unwrap()
}

fn list(v: &Value) -> impl Iterator<Item = &Value> {
    v.as_array().unwrap().iter()
}

#[test]
fn numbers_options_and_addresses() {
    let p = json("primitives.json");
    for v in list(&p["vlu"]) {
        let value: u64 = v["value"].as_str().unwrap().parse().unwrap();
        let mut out = Vec::new();
        vlu::put(value, &mut out);
        assert_eq!(out, field(v, "hex"));
        assert_eq!(vlu::len(value), out.len());
        assert_eq!(Cursor(&out).vlu(), Some(value));
    }
    for v in list(&p["vlu_decode_nonminimal"]) {
        let value: u64 = v["value"].as_str().unwrap().parse().unwrap();
        assert_eq!(Cursor(&field(v, "hex")).vlu(), Some(value));
    }
    for v in list(&p["vlu_invalid"]) {
        assert_eq!(Cursor(&hex(v.as_str().unwrap())).vlu(), None);
    }
    assert_eq!(Cursor(&hex("83ffffffffffffffff7f")).vlu(), None, "beyond 64 bits");
    for v in list(&p["option"]) {
        let (kind, value, bytes) = (v["type"].as_u64().unwrap(), field(v, "value"), field(v, "hex"));
        let mut out = Vec::new();
        option::put(kind, &value, &mut out);
        assert_eq!(out, bytes);
        assert_eq!(
            option::all(&bytes).collect::<Vec<_>>(),
            [Some((kind, &value[..]))]
        );
    }
    for v in list(&p["address"]) {
        let bytes = field(v, "hex");
        let address = Address::read(&mut Cursor(&bytes)).unwrap();
        assert_eq!(address.addr, v["addr"].as_str().unwrap().parse().unwrap());
        let origins = [Origin::Unknown, Origin::Local, Origin::Observed, Origin::Relay];
        assert_eq!(address.origin, origins[v["origin"].as_u64().unwrap() as usize]);
        let mut out = Vec::new();
        address.put(&mut out);
        assert_eq!(out, bytes);
    }
    for v in list(&p["internet_checksum"]) {
        let sum = u16::from_str_radix(v["checksum"].as_str().unwrap(), 16).unwrap();
        assert_eq!(checksum(&field(v, "hex")), sum);
    }
    for v in list(&p["epd"]) {
        let bytes = field(v, "hex");
        assert_eq!(Discriminator::read(&bytes).unwrap().bytes(), bytes);
    }
}

#[test]
fn single_chunks_and_packets() {
    let p = json("primitives.json");
    for v in list(&p["chunks"]) {
        let bytes = field(v, "hex");
        // Behind a header of startup mode, so that the chunk reader finds them.
        let packet = [&[3][..], &bytes].concat();
        let (_, chunks) = Header::read(&packet).unwrap();
        let mut out = Vec::new();
        for (kind, payload) in chunks {
            let chunk = Chunk::read(kind, payload).unwrap();
            chunk.put(&mut out);
            if let (Chunk::Ack(ack), Some(text)) = (&chunk, v["acked"].as_str()) {
                let mut ranges = vec![(0, ack.cumulative)];
                for (from, to) in ack.ranges() {
                    match ranges.last_mut() {
                        Some(last) if last.1 + 1 == from => last.1 = to,
                        _ => ranges.push((from, to)),
                    }
                }
                let said: Vec<String> = ranges
                    .iter()
                    .map(|(a, b)| if a == b { a.to_string() } else { format!("{a}-{b}") })
                    .collect();
                assert_eq!(said.join(","), text);
            }
        }
        assert_eq!(out, bytes, "{}", v["what"]);
    }
    for v in list(&p["session_id_scrambling"]) {
        let id = u32::from_str_radix(v["session_id"].as_str().unwrap(), 16).unwrap();
        let (body, datagram) = (field(v, "encrypted"), field(v, "datagram"));
        assert_eq!(packet::split(&datagram), Some((id, &body[..])));
        assert_eq!(packet::scramble(id, &body)[..], datagram[..4]);
    }
    for v in list(&p["startup_packet"]) {
        let mut out = Vec::new();
        Sealer::startup().seal(0, &field(v, "packet"), &mut out);
        assert_eq!(out, field(v, "datagram"));
    }
    let s = &p["session_packet"];
    let (aes, mac, packet) = (field(s, "aes_key"), field(s, "hmac_key"), field(s, "packet"));
    for v in list(&s["cases"]) {
        let len = v["hmac_len"].as_u64().unwrap() as usize;
        let mac = (len > 0).then(|| HmacKey {
            key: key32(&mac),
            len,
        });
        let mut sealer = Sealer::new(&key16(&aes), mac.clone(), v["sseq"].is_u64());
        let mut out = Vec::new();
        for _ in 0..=v["sseq"].as_u64().unwrap_or(0) {
            out.clear();
            sealer.seal(1, &packet, &mut out);
        }
        let sent = [
            field(v, "encrypted"),
            v["hmac"].as_str().map(hex).unwrap_or_default(),
        ]
        .concat();
        assert!(out[4..] == sent || out[4..4 + field(v, "encrypted").len()] == field(v, "encrypted"));
        let mut opener = Opener::new(&key16(&aes), mac, v["sseq"].is_u64());
        let mut scratch = Vec::new();
        assert!(opener.open(&out[4..], &mut scratch).unwrap().starts_with(&packet));
    }
}

#[test]
fn key_derivations() {
    let k = json("kdf.json");
    for v in list(&k["vectors"]) {
        let name = v["name"].as_str().unwrap();
        let group = Group::from_id(v["group"].as_u64().unwrap()).unwrap();
        let pair = |who: &str| {
            let pair = KeyPair::from_exponent(group, field(v, &format!("{who}_private"))).unwrap();
            assert_eq!(pair.public(), field(v, &format!("{who}_public")), "{name}");
            pair
        };
        let (i, r) = (pair("initiator"), pair("responder"));
        let secret = field(v, "dh_secret");
        assert_eq!(i.shared_secret(r.public()).unwrap(), secret, "{name}");
        assert_eq!(r.shared_secret(i.public()).unwrap(), secret, "{name}");
        let (skic, skrc) = (field(v, "skic"), field(v, "skrc"));
        let near = keying::derive(&skic, &skrc, &secret).unwrap();
        let far = keying::derive(&skrc, &skic, &secret).unwrap();
        assert_eq!((&near.send, &near.receive), (&far.receive, &far.send));
        assert_eq!(near.near_nonce[..], field(v, "initiator_nonce"), "{name}");
        assert_eq!(near.far_nonce[..], field(v, "responder_nonce"), "{name}");
        for (direction, keys) in [("i2r", &near.send), ("r2i", &near.receive)] {
            let of = |what: &str| &v[format!("{direction}_{what}")];
            assert_eq!(keys.key[..], hex(of("key256").as_str().unwrap()), "{name}");
            assert_eq!(keys.hmac_key[..], hex(of("hmac_key").as_str().unwrap()), "{name}");
            assert_eq!(keys.hmac_len as u64, of("hmac_len").as_u64().unwrap(), "{name}");
            assert_eq!(keys.sequence, of("sseq").as_bool().unwrap(), "{name}");
        }
    }
}

/// The keys of a recorded direction.
fn direction(v: &Value) -> DirectionKeys {
    DirectionKeys {
        key: key32(&field(v, "key256")),
        hmac_key: key32(&field(v, "hmac_key")),
        hmac_len: if v["hmac"].as_bool().unwrap() {
            v["hmac_len"].as_u64().unwrap() as usize
        } else {
            0
        },
        sequence: v["sseq"].as_bool().unwrap(),
    }
}

fn sessions() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names.len(), 18);
    names
}

#[test]
fn every_session_derives_its_keys() {
    for name in sessions() {
        let s = json(&format!("{name}/session.json"));
        for identity in list(&s["identities"]) {
            let certificate = Certificate::read(&field(identity, "certificate")).unwrap();
            assert_eq!(
                certificate.fingerprint().to_string(),
                identity["fingerprint"].as_str().unwrap()
            );
        }
        for v in list(&s["sessions"]) {
            let keys = keying::derive(&field(v, "skic"), &field(v, "skrc"), &field(v, "dh_secret")).unwrap();
            assert_eq!(keys.send, direction(&v["i2r"]), "{name}");
            assert_eq!(keys.receive, direction(&v["r2i"]), "{name}");
        }
    }
}

#[test]
fn every_datagram_opens_and_is_made_again() {
    let mut count = 0;
    for name in sessions() {
        let s = json(&format!("{name}/session.json"));
        let mut keys: HashMap<String, (Opener, Sealer)> = HashMap::new();
        keys.insert("default".to_owned(), (Opener::startup(), Sealer::startup()));
        for (n, v) in list(&s["sessions"]).enumerate() {
            for way in ["i2r", "r2i"] {
                let direction = direction(&v[way]);
                keys.insert(format!("s{n}.{way}"), (direction.opener(), direction.sealer()));
            }
        }
        let text = fs::read_to_string(folder().join(&name).join("packets.txt")).unwrap();
        let mut seen = std::collections::HashSet::new();
        for (n, line) in text.lines().enumerate() {
            let at = format!("{name} packet {}", n + 1);
            let fields: Vec<&str> = line.split(' ').collect();
            let [_, _, _, key, datagram, plaintext] = fields[..] else {
                panic!("{at}: fields");
            };
            let (datagram, plaintext) = (hex(datagram), hex(plaintext));
            // Forwarded ones were recorded twice.
            if !seen.insert(datagram.clone()) {
                continue;
            }
            count += 1;
            let (opener, sealer) = keys.get_mut(key).unwrap();
            let (id, sealed) = packet::split(&datagram).unwrap();
            let mut scratch = Vec::new();
            let packet = opener
                .open(sealed, &mut scratch)
                .unwrap_or_else(|e| panic!("{at}: {e:?}"));
            assert!(
                plaintext.ends_with(packet) && plaintext.len() - packet.len() < 8,
                "{at}"
            );
            let (header, mut chunks) = Header::read(packet).unwrap();
            let mut again = Vec::new();
            header.put(&mut again);
            for (kind, payload) in chunks.by_ref() {
                let chunk = Chunk::read(kind, payload).unwrap_or_else(|| panic!("{at}: chunk {kind:#x}"));
                if let Chunk::Redirect { addresses, .. } = chunk {
                    assert!(chunk::addresses(addresses).count() > 0, "{at}");
                }
                chunk.put(&mut again);
            }
            assert!(chunks.rest().iter().all(|b| *b == 0xFF), "{at}: padding");
            let mut sealed_again = Vec::new();
            sealer.seal(id, &again, &mut sealed_again);
            assert_eq!(sealed_again, datagram, "{at}");
        }
    }
    assert!(count > 1300, "{count}");
}
