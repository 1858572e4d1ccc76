//! The handshake of chunk streams (RTMP 1.0 §5.2), plain and with digests.
//!
//! Digest handshakes are what Flash Player 9.0.115 and later does before it plays H.264 or AAC: C1 and S1
//! carry an HMAC-SHA256 of themselves at one of two places ("schemes" 0 and 1), C2 and S2 one of the other
//! side's. The keys are public constants. Echoes are not checked (errata §3).

mod digest;

use base::Rng;

use crate::error::Error;
use digest::{PACKET, Side};

/// Version in C0 and S0.
const VERSION: u8 = 3;
/// What a server that does digests reports as its version in S1.
const SERVER_VERSION: [u8; 4] = [4, 5, 0, 1];
/// What a player that does digests reports as its version in C1 (10.0.32).
const CLIENT_VERSION: [u8; 4] = [10, 0, 32, 2];

/// The request a player sends on a connection of its own to learn whether it may connect; a NUL follows.
pub const POLICY_REQUEST: &[u8] = b"<policy-file-request/>";

/// What a handshake made of the input so far.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// More input is needed; so many bytes were used.
    More(usize),
    /// Done; so many bytes were used, the rest are chunks.
    Done(usize),
    /// The peer asked for the policy file and expects nothing else.
    Policy,
}

/// The server half.
#[derive(Debug, Default)]
pub struct Server {
    answered: bool,
}

impl Server {
    /// Reads from the start of `input` and appends the answer to `out`. `time` is the time for S1 in ms.
    pub fn step(
        &mut self,
        input: &[u8],
        time: u32,
        rng: &mut Rng,
        out: &mut Vec<u8>,
    ) -> Result<Progress, Error> {
        if self.answered {
            // C2 says nothing that is needed.
            return Ok(if input.len() < PACKET {
                Progress::More(0)
            } else {
                Progress::Done(PACKET)
            });
        }
        let Some((&version, rest)) = input.split_first() else {
            return Ok(Progress::More(0));
        };
        match version {
            b'<' => {
                let there = input.get(..POLICY_REQUEST.len()).unwrap_or(input);
                return match POLICY_REQUEST.starts_with(there) {
                    true if there.len() == POLICY_REQUEST.len() => Ok(Progress::Policy),
                    true => Ok(Progress::More(0)),
                    false => Err(Error::NotRtmp { first: version }),
                };
            }
            6 | 8 | 9 => return Err(Error::Encrypted { version }),
            // A higher version is answered with ours; 32 and above are other protocols (§5.2.2).
            1..=31 => {}
            _ => return Err(Error::NotRtmp { first: version }),
        }
        let Some(c1) = rest.first_chunk::<PACKET>() else {
            return Ok(Progress::More(0));
        };
        out.push(VERSION);
        let mut s1 = random_packet(rng, time);
        // A version of zero asks for the plain handshake; a digest that is not there means the same.
        let plain = c1.get(4..8) == Some(&[0; 4]);
        match (!plain).then(|| digest::find(c1, Side::Client)).flatten() {
            Some((scheme, seen)) => {
                set(&mut s1, 4, SERVER_VERSION);
                digest::sign(&mut s1, Side::Server, scheme);
                out.extend_from_slice(&s1);
                let mut s2 = random_packet(rng, time);
                digest::answer(&mut s2, Side::Server, &seen);
                out.extend_from_slice(&s2);
            }
            None => {
                out.extend_from_slice(&s1);
                // With the time of reading put in, as §5.2.4 has it, librtmp warns of a bad signature.
                out.extend_from_slice(c1);
            }
        }
        self.answered = true;
        Ok(Progress::More(1 + PACKET))
    }
}

/// The client half.
#[derive(Debug)]
pub struct Client {
    digest: bool,
    greeted: bool,
}

impl Client {
    /// Begins: appends C0 and C1 to `out`. With `digest`, C1 is signed by scheme 0; a server that knows no
    /// digests answers plainly, which is accepted.
    pub fn start(digest: bool, time: u32, rng: &mut Rng, out: &mut Vec<u8>) -> Client {
        let mut c1 = random_packet(rng, time);
        if digest {
            set(&mut c1, 4, CLIENT_VERSION);
            digest::sign(&mut c1, Side::Client, 0);
        }
        out.push(VERSION);
        out.extend_from_slice(&c1);
        Client {
            digest,
            greeted: false,
        }
    }

    /// Reads from the start of `input` and appends C2 to `out` once S1 is there.
    pub fn step(
        &mut self,
        input: &[u8],
        time: u32,
        rng: &mut Rng,
        out: &mut Vec<u8>,
    ) -> Result<Progress, Error> {
        if self.greeted {
            return Ok(if input.len() < PACKET {
                Progress::More(0)
            } else {
                Progress::Done(PACKET)
            });
        }
        let Some((&version, rest)) = input.split_first() else {
            return Ok(Progress::More(0));
        };
        if version != VERSION {
            return Err(match version {
                6 | 8 | 9 => Error::Encrypted { version },
                first => Error::NotRtmp { first },
            });
        }
        let Some(s1) = rest.first_chunk::<PACKET>() else {
            return Ok(Progress::More(0));
        };
        let seen = self.digest.then(|| digest::find(s1, Side::Server)).flatten();
        match seen {
            Some((_, seen)) => {
                let mut c2 = random_packet(rng, time);
                digest::answer(&mut c2, Side::Client, &seen);
                out.extend_from_slice(&c2);
            }
            None => {
                out.extend_from_slice(s1);
            }
        }
        self.greeted = true;
        Ok(Progress::More(1 + PACKET))
    }
}

/// Time, four zero bytes, random bytes.
fn random_packet(rng: &mut Rng, time: u32) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    rng.fill(&mut packet);
    set(&mut packet, 0, time.to_be_bytes());
    set(&mut packet, 4, [0; 4]);
    packet
}

fn set(packet: &mut [u8; PACKET], at: usize, value: [u8; 4]) {
    for (to, from) in packet.iter_mut().skip(at).zip(value) {
        *to = from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both halves against each other, a byte at a time.
    fn shake(digest: bool) -> (Vec<u8>, Vec<u8>) {
        let mut rng = Rng::new(1);
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        let mut client = Client::start(digest, 5, &mut rng, &mut to_server);
        let mut server = Server::default();
        let (mut c_in, mut s_in) = (Vec::new(), Vec::new());
        let (mut c_at, mut s_at) = (0, 0);
        let (mut c_done, mut s_done) = (false, false);
        while !(c_done && s_done) {
            if let Some(&b) = to_server.get(s_at) {
                s_at += 1;
                s_in.push(b);
                match server.step(&s_in, 7, &mut rng, &mut to_client).unwrap() {
                    Progress::More(n) => drop(s_in.drain(..n)),
                    Progress::Done(n) => {
                        assert_eq!((n, s_in.len()), (PACKET, PACKET));
                        s_done = true;
                    }
                    Progress::Policy => panic!("no policy"),
                }
            }
            if let Some(&b) = to_client.get(c_at) {
                c_at += 1;
                c_in.push(b);
                match client.step(&c_in, 6, &mut rng, &mut to_server).unwrap() {
                    Progress::More(n) => drop(c_in.drain(..n)),
                    Progress::Done(_) => c_done = true,
                    Progress::Policy => panic!("no policy"),
                }
            }
        }
        (to_server, to_client)
    }

    #[test]
    fn plain_handshake_echoes() {
        let (c, s) = shake(false);
        assert_eq!((c.len(), s.len()), (1 + 2 * PACKET, 1 + 2 * PACKET));
        assert_eq!(s[1..9], [0, 0, 0, 7, 0, 0, 0, 0]);
        let (c1, s2) = (&c[1..1 + PACKET], &s[1 + PACKET..]);
        assert_eq!(c1, s2);
        assert_eq!(c[1 + PACKET..], s[1..1 + PACKET]);
    }

    #[test]
    fn digest_handshake_signs_and_answers() {
        let (c, s) = shake(true);
        let c1 = c[1..].first_chunk::<PACKET>().unwrap();
        let s1 = s[1..].first_chunk::<PACKET>().unwrap();
        let s2 = s[1 + PACKET..].first_chunk::<PACKET>().unwrap();
        let c2 = c[1 + PACKET..].first_chunk::<PACKET>().unwrap();
        let (scheme, of_c1) = digest::find(c1, Side::Client).unwrap();
        let (answered, of_s1) = digest::find(s1, Side::Server).unwrap();
        assert_eq!((scheme, answered), (0, 0));
        assert!(digest::answers(s2, Side::Server, &of_c1));
        assert!(digest::answers(c2, Side::Client, &of_s1));
    }

    #[test]
    fn scheme_1_is_recognised_and_answered_in_kind() {
        let mut rng = Rng::new(9);
        let mut c1 = random_packet(&mut rng, 0);
        set(&mut c1, 4, [9, 0, 124, 2]);
        digest::sign(&mut c1, Side::Client, 1);
        let mut input = vec![3];
        input.extend(c1);
        let mut out = Vec::new();
        Server::default().step(&input, 0, &mut rng, &mut out).unwrap();
        let s1 = out[1..].first_chunk::<PACKET>().unwrap();
        assert_eq!(digest::find(s1, Side::Server).unwrap().0, 1);
    }

    #[test]
    fn a_version_without_a_digest_is_answered_plainly() {
        // librtmp without crypto and several encoders fill the version with anything.
        let mut input = vec![3];
        input.extend([0u8, 0, 0, 1, 9, 0, 124, 2]);
        input.extend([0x55; PACKET - 8]);
        let mut out = Vec::new();
        Server::default()
            .step(&input, 0, &mut Rng::new(1), &mut out)
            .unwrap();
        assert_eq!(out[1 + PACKET + 8..], [0x55; PACKET - 8]);
    }

    #[test]
    fn other_protocols_are_told_apart() {
        let step = |input: &[u8]| Server::default().step(input, 0, &mut Rng::new(1), &mut Vec::new());
        assert_eq!(step(&[6]), Err(Error::Encrypted { version: 6 }));
        assert_eq!(step(&[8, 1]), Err(Error::Encrypted { version: 8 }));
        assert_eq!(step(b"GET / HTTP/1.1"), Err(Error::NotRtmp { first: b'G' }));
        assert_eq!(step(&[0x16, 3, 1]), Ok(Progress::More(0)));
        assert_eq!(step(b""), Ok(Progress::More(0)));
        assert_eq!(step(b"<policy-file-req"), Ok(Progress::More(0)));
        assert_eq!(step(b"<policy-file-request/>\0"), Ok(Progress::Policy));
        assert_eq!(step(b"<html>"), Err(Error::NotRtmp { first: b'<' }));
    }
}
