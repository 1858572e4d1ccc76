//! Two endpoints and a network, by operations: open and close flows, send, reject, lose, repeat, swap, wait. Reliable
//! flows deliver in order and nothing twice, whatever happens; after a quiet time all has come.
#![no_main]

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Time;
use libfuzzer_sys::fuzz_target;
use rtmfp::profile::certificate::{Discriminator, Identity};
use rtmfp::profile::dh::{Group, KeyPair};
use rtmfp::{Endpoint, EndpointConfig, Event, Handle, Output, Priority, SessionEvent};

fn identity(exponent: u8, server: bool) -> Option<Arc<Identity>> {
    let pair = KeyPair::from_exponent(Group::Modp1024, vec![0x1F, exponent])?;
    Identity::fixed(vec![pair], server).map(Arc::new)
}

struct Pair {
    now: Time,
    ends: [Endpoint; 2],
    addresses: [SocketAddr; 2],
    wire: [VecDeque<Vec<u8>>; 2],
    /// Of each flow of the first end: the number of the next message expected.
    expected: BTreeMap<u64, u32>,
    closed: bool,
}

impl Pair {
    fn drain(&mut self) {
        for n in 0..2 {
            let mut steps = 0;
            while let Some(output) = self.ends[n].poll_output(self.now) {
                steps += 1;
                assert!(steps < 20_000);
                match output {
                    Output::Transmit { datagram, .. } => self.wire[n].push_back(datagram),
                    Output::Seek(_) => {}
                    Output::Work(work) => self.ends[n].handle_work(self.now, work.run()),
                    Output::Event { event: Event::Session(event), .. } => match event {
                        SessionEvent::Message { flow, data } if n == 1 => {
                            let number = u32::from_be_bytes(*data.first_chunk().unwrap());
                            let expected = self.expected.entry(flow).or_default();
                            assert_eq!(number, *expected, "flow {flow}");
                            *expected += 1;
                        }
                        SessionEvent::Closed(_) => self.closed = true,
                        _ => {}
                    },
                    Output::Event { .. } => {}
                }
            }
        }
    }

    fn deliver(&mut self, n: usize, datagram: &[u8]) {
        let from = self.addresses[n];
        self.ends[1 - n].handle_datagram(self.now, from, datagram);
        self.drain();
    }

    fn deliver_all(&mut self) {
        for _ in 0..10_000 {
            let mut idle = true;
            for n in 0..2 {
                if let Some(datagram) = self.wire[n].pop_front() {
                    idle = false;
                    self.deliver(n, &datagram);
                }
            }
            if idle {
                return;
            }
        }
        panic!("the two never come to rest");
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..10_000 {
            let next = self.ends.iter().filter_map(Endpoint::poll_timeout).min();
            let Some(next) = next.filter(|at| *at <= until) else {
                self.now = until;
                return;
            };
            self.now = self.now.max(next);
            self.ends.iter_mut().for_each(|e| e.handle_timeout(next));
            self.drain();
        }
        panic!("a timer that never rests");
    }
}

fuzz_target!(|bytes: &[u8]| {
    let config = |server, client| EndpointConfig {
        server,
        client,
        ..EndpointConfig::default()
    };
    let mut p = Pair {
        now: Time::from_secs(1),
        ends: [
            Endpoint::new(config(None, identity(1, false)), [1; 32]),
            Endpoint::new(config(identity(2, true), None), [2; 32]),
        ],
        addresses: ["192.0.2.1:1".parse().unwrap(), "192.0.2.2:2".parse().unwrap()],
        wire: Default::default(),
        expected: BTreeMap::new(),
        closed: false,
    };
    let to = [p.addresses[1]];
    let handle = p.ends[0].open(p.now, &to, &Discriminator::uri("rtmfp://a/b"));
    p.drain();
    p.deliver_all();
    let mut sent: BTreeMap<u64, u32> = BTreeMap::new();
    let mut over: Vec<u64> = Vec::new();
    let mut flows: Vec<u64> = Vec::new();
    for pair in bytes.chunks_exact(2).take(400) {
        let (what, arg) = (pair[0], usize::from(pair[1]));
        let pick = |flows: &[u64]| flows.get(arg % flows.len().max(1)).copied();
        match what % 10 {
            0 => flows.extend(p.ends[0].open_flow(handle, b"TC\x04\x00", None, Priority::Routine)),
            1 | 2 => {
                if let Some(flow) = pick(&flows) {
                    let number = sent.entry(flow).or_default();
                    let mut message = number.to_be_bytes().to_vec();
                    message.resize(4 + arg * arg / 4, 0);
                    if p.ends[0].send(handle, flow, message, None) {
                        *number += 1;
                    }
                }
            }
            3 => drop(p.wire[arg & 1].pop_front()),
            4 => {
                if let Some(datagram) = p.wire[arg & 1].front().cloned() {
                    p.deliver(arg & 1, &datagram);
                }
            }
            5 => {
                if let Some(datagram) = p.wire[arg & 1].pop_back() {
                    p.deliver(arg & 1, &datagram);
                }
            }
            6 => p.wait(Duration::from_millis(arg as u64 * 4)),
            7 => {
                if let Some(flow) = pick(&flows) {
                    p.ends[0].close_flow(handle, flow);
                }
            }
            8 => {
                if let (Some(flow), 0..4) = (pick(&flows), arg) {
                    p.ends[1].reject_flow(Handle(1), flow, 3);
                    over.push(flow);
                }
            }
            _ => {
                if let Some(datagram) = p.wire[arg & 1].pop_front() {
                    p.deliver(arg & 1, &datagram);
                }
            }
        }
        p.drain();
    }
    for _ in 0..100 {
        p.deliver_all();
        p.wait(Duration::from_millis(400));
    }
    if !p.closed {
        for (flow, count) in &sent {
            let came = p.expected.get(flow).copied().unwrap_or(0);
            assert!(came == *count || over.contains(flow), "flow {flow}: {came} of {count}");
        }
    }
});
