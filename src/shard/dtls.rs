//! DTLS-SRTP handshakes (RFC 5764). The arithmetic of one takes as long as some hundred packets: it leaves the shard
//! as an output and comes back as an input, with the machine that does it.

use std::time::Instant;

use base::Time;
use dimpl::{Dtls, Output, SrtpProfile};
use media::{SrtpKey, SrtpKeys, Suite};

use super::command::DtlsParams;
use crate::net::{Clock, dtls_identity};

/// The largest datagram of a handshake.
const DATAGRAM: usize = 2_048;

/// One association.
pub(super) struct Machine {
    dtls: Dtls,
    params: DtlsParams,
    /// What stands for `began` in the library, which counts in instants.
    base: Instant,
    began: Time,
    /// Whether the peer's certificate is the one that was signalled.
    proven: bool,
}

impl std::fmt::Debug for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine")
            .field("dtls", &self.dtls)
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// Whether it is for that session.
    pub(super) fn is_of(&self, params: &DtlsParams) -> bool {
        self.params == *params
    }

    /// A fresh one; `None` when we have no certificate.
    pub(super) fn new(now: Time, params: DtlsParams) -> Option<Machine> {
        let identity = dtls_identity()?;
        let base = Clock::instant_now();
        let mut dtls = Dtls::new_12(identity.config.clone(), identity.certificate.clone(), base);
        dtls.set_active(params.active);
        Some(Machine {
            dtls,
            params,
            base,
            began: now,
            proven: false,
        })
    }
}

/// Datagrams for a machine, or its deadline.
#[derive(Debug)]
pub struct DtlsWork {
    pub(super) machine: Box<Machine>,
    pub(super) inputs: Vec<Vec<u8>>,
    pub(super) now: Time,
}

/// What came of it.
#[derive(Debug)]
pub struct DtlsDone {
    pub(super) machine: Box<Machine>,
    /// To be sent.
    pub(super) packets: Vec<Vec<u8>>,
    /// When the machine wants to go on by itself.
    pub(super) timeout: Option<Time>,
    pub(super) outcome: Outcome,
}

/// How a handshake stands.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    /// It goes on, or its keys are known.
    Going,
    /// It ended well just now.
    Keys(SrtpKeys),
    /// It ended: there will be no media.
    Failed(&'static str),
}

impl DtlsWork {
    /// Does the arithmetic, on whatever thread.
    pub fn run(self) -> DtlsDone {
        let mut done = DtlsDone {
            machine: self.machine,
            packets: Vec::new(),
            timeout: None,
            outcome: Outcome::Going,
        };
        let at = done.machine.base + self.now.since(done.machine.began);
        let mut good = done.machine.dtls.handle_timeout(at).is_ok();
        done.take();
        for input in &self.inputs {
            good = good && done.machine.dtls.handle_packet(input).is_ok();
            if good {
                done.take();
            }
        }
        if !good && done.outcome == Outcome::Going {
            done.outcome = Outcome::Failed("the handshake failed");
        }
        done
    }
}

impl DtlsDone {
    /// Takes what the library has to say, up to its next deadline.
    fn take(&mut self) {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            match self.machine.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => self.packets.push(packet.to_vec()),
                Output::BufferTooSmall { needed } if needed <= 16 * DATAGRAM => buffer.resize(needed, 0),
                Output::Timeout(at) => {
                    let machine = &self.machine;
                    self.timeout = Some(machine.began + at.saturating_duration_since(machine.base));
                    return;
                }
                Output::PeerCert(der) => {
                    if self.machine.params.fingerprint.is_of(der) {
                        self.machine.proven = true;
                    } else {
                        self.outcome = Outcome::Failed("the peer's certificate is not the one it announced");
                    }
                }
                Output::KeyingMaterial(material, profile) if self.machine.proven => {
                    self.outcome = match keys(&material, profile, self.machine.params.active) {
                        Some(keys) => Outcome::Keys(keys),
                        None => Outcome::Failed("no way to protect media was agreed on"),
                    };
                }
                Output::BufferTooSmall { .. } => {
                    self.outcome = Outcome::Failed("a datagram of the handshake is too large");
                    return;
                }
                _ => {}
            }
        }
    }
}

/// Both keys, then both salts, the client's first (RFC 5764 §4.2).
fn keys(material: &[u8], profile: SrtpProfile, active: bool) -> Option<SrtpKeys> {
    let (suite, key_len, salt_len) = match profile {
        SrtpProfile::AES128_CM_SHA1_80 => (Suite::AesCm128HmacSha1_80, 16, 14),
        SrtpProfile::AEAD_AES_128_GCM => (Suite::AeadAes128Gcm, 16, 12),
        SrtpProfile::AEAD_AES_256_GCM => (Suite::AeadAes256Gcm, 32, 12),
        _ => return None,
    };
    let of = |n: usize| {
        let key = material.get(n * key_len..)?.get(..key_len)?;
        let salt = material.get(2 * key_len + n * salt_len..)?.get(..salt_len)?;
        SrtpKey::new(suite, &[key, salt].concat())
    };
    let (client, server) = (of(0)?, of(1)?);
    Some(if active {
        SrtpKeys {
            send: client,
            receive: server,
        }
    } else {
        SrtpKeys {
            send: server,
            receive: client,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use media::Fingerprint;

    fn machine(active: bool, fingerprint: &str) -> Box<Machine> {
        let params = DtlsParams {
            active,
            fingerprint: Fingerprint::parse(fingerprint).unwrap(),
        };
        Box::new(Machine::new(Time::from_secs(5), params).unwrap())
    }

    /// Runs both until they have nothing to say; what each came to.
    fn shake(client: Box<Machine>, server: Box<Machine>) -> [Outcome; 2] {
        let mut machines = [Some(client), Some(server)];
        let mut inbox = [Vec::new(), Vec::new()];
        let mut outcomes = [Outcome::Going, Outcome::Going];
        for turn in 0..40 {
            let (me, you) = (turn % 2, 1 - turn % 2);
            let done = DtlsWork {
                machine: machines[me].take().unwrap(),
                inputs: std::mem::take(&mut inbox[me]),
                now: Time::from_secs(6) + std::time::Duration::from_millis(turn as u64),
            }
            .run();
            inbox[you].extend(done.packets);
            machines[me] = Some(done.machine);
            if done.outcome != Outcome::Going {
                outcomes[me] = done.outcome;
            }
        }
        outcomes
    }

    #[test]
    fn both_sides_come_to_the_same_keys() {
        let ours = &dtls_identity().unwrap().fingerprint;
        let [client, server] = shake(machine(true, ours), machine(false, ours));
        let (Outcome::Keys(client), Outcome::Keys(server)) = (client, server) else {
            panic!("no keys");
        };
        assert_eq!((&client.send, &client.receive), (&server.receive, &server.send));
        assert_ne!(client.send, client.receive);
    }

    #[test]
    fn another_certificate_gives_no_keys() {
        let ours = &dtls_identity().unwrap().fingerprint;
        let other = format!("sha-256 {}", ["00"; 32].join(":"));
        let [client, server] = shake(machine(true, &other), machine(false, ours));
        assert!(matches!(client, Outcome::Failed(_)), "{client:?}");
        assert!(!matches!(server, Outcome::Failed(_)));
        let [client, server] = shake(machine(true, ours), machine(false, &other));
        assert!(matches!(server, Outcome::Failed(_)), "{server:?}");
        assert!(!matches!(client, Outcome::Failed(_)));
    }
}
