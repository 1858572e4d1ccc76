//! What a call costs: `cargo bench -p flashgate`; `-- --quick` for a short look that writes nothing.
//!
//! The gateway runs in this process, so that its processor time, memory and allocations can be read; the callers
//! (`flashgate call`) and the phone run in processes of their own. The result is `tests/bench/README.md`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a bench that cannot measure has to fail"
)]
#![allow(unsafe_code, reason = "a counting allocator")]
#![allow(missing_docs, unreachable_pub, reason = "a program")]

mod codec_cost;
mod idle;
mod measure;
mod peer;
mod socket_cost;
mod table;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use flashgate::config::Config;
use flashgate::daemon;
use flashgate::net::Signals;
use measure::Reading;

#[global_allocator]
static ALLOCATOR: measure::Counting = measure::Counting;

/// One kind of call.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    /// What the client speaks.
    client: &'static str,
    /// What the phone answers with.
    phone: &'static str,
    pub transcodes: bool,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "Speex-PCMU",
        client: "speex",
        phone: "PCMU/8000",
        transcodes: true,
    },
    Kind {
        name: "PCMU pass-through",
        client: "pcmu",
        phone: "PCMU/8000",
        transcodes: false,
    },
    Kind {
        name: "Speex pass-through",
        client: "speex",
        phone: "speex/16000",
        transcodes: false,
    },
];

/// A steady state of so many calls.
#[derive(Clone, Copy)]
pub struct Steady {
    pub kind: Kind,
    pub calls: u32,
    /// Percent of one processor for each call.
    pub cpu: f64,
    /// The part of it on the threads that carry media.
    pub shards: f64,
    /// Allocations of the media threads for each packet, both directions counted.
    pub allocations: f64,
    /// Allocations of the other threads (console, records, signalling) a second, whatever the number of calls.
    pub other_allocations: f64,
    /// Wake-ups for each packet.
    pub switches: f64,
    /// Bytes of Rust's heap for each call.
    pub heap: f64,
    /// Resident bytes for each call, codec state and the allocators' slack included.
    pub resident: f64,
    /// Round trip as the caller measured it in the audio: mean and 95th percentile, in ms.
    pub round_trip: Option<(f64, f64)>,
    pub lost: u64,
    pub received: u64,
    pub failed: u64,
}

/// What is measured for how long.
struct Extent {
    calls: &'static [u32],
    window: Duration,
}

const FULL: Extent = Extent {
    calls: &[10, 50, 100, 200],
    window: Duration::from_secs(8),
};
const QUICK: Extent = Extent {
    calls: &[10, 50],
    window: Duration::from_secs(3),
};
/// New calls a second while a steady state is built up.
const RAMP: f64 = 25.0;
/// From the last call's beginning to the first reading, and from the last reading to the first end.
const SETTLE: Duration = Duration::from_millis(2_500);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|a| a == "--peer") {
        return peer::run(arguments[at + 1].parse().unwrap(), &arguments[at + 2]);
    }
    let quick = arguments.iter().any(|a| a == "--quick");
    let extent = if quick { QUICK } else { FULL };
    let gateway = Gateway::start();
    let bare = codec_cost::speex_pcmu();
    let sockets = socket_cost::call();
    eprintln!("bare codecs, both directions: {bare:.1} us per 20 ms; bare sockets: {sockets:.1} us");

    let idle = idle::session_bytes(gateway.rtmp, if quick { 50 } else { 200 });
    eprintln!("idle session: {idle:.0} bytes");
    // The first calls fill caches and pools that later ones share.
    gateway.steady(KINDS[0], 10, Duration::from_millis(500));
    let mut steady = Vec::new();
    for kind in KINDS {
        for calls in extent.calls {
            let result = gateway.steady(*kind, *calls, extent.window);
            eprintln!("{}", table::line(&result));
            steady.push(result);
        }
    }
    let setup = gateway.setup(if quick { 50 } else { 300 });
    let text = table::page(bare, sockets, idle, &steady, &setup);
    println!("{text}");
    if !quick {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/README.md");
        std::fs::write(path, text).unwrap();
    }
    // The gateway has threads of its own; there is nothing to save.
    std::process::exit(0);
}

/// The gateway in this process.
struct Gateway {
    rtmp: u16,
}

/// What setting up calls costs.
pub struct Setup {
    /// Calls a second that were asked for.
    pub rate: f64,
    pub calls: u32,
    pub failed: u64,
    /// From the request to the first audio, in ms: mean and 95th percentile.
    pub time: Option<(f64, f64)>,
    /// Milliseconds of processor time for each call, from connect to close, media included.
    pub cpu: f64,
}

fn free_port() -> u16 {
    loop {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = tcp.local_addr().unwrap().port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

impl Gateway {
    fn start() -> Gateway {
        let (rtmp, sip) = (free_port(), free_port());
        let text = format!(
            "[rtmp]\nlisten = \"127.0.0.1:{rtmp}\"\n[rtmfp]\nlisten = \"127.0.0.1:{rtmp}\"\n[sip]\nudp = \"127.0.0.1:{sip}\"\ntcp = \"127.0.0.1:{sip}\"\n\
             [limits]\ncalls = 5000\nsessions = 5000\nconnections_per_address = 5000\ncalls_per_second = 5000\n\
             [log]\nlevel = \"error\"\n[records]\nenabled = false\n[console]\nlisten = []\n"
        );
        let config = Config::parse(&text, Path::new("bench"), &BTreeMap::new()).unwrap();
        let _ = flashgate::net::raise_file_limit();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .thread_name("control")
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                Box::pin(daemon::run(config, Signals::new().unwrap()))
                    .await
                    .unwrap()
            });
        });
        let begun = std::iter::repeat_with(|| {
            std::thread::park_timeout(Duration::from_millis(50));
            TcpStream::connect((Ipv4Addr::LOCALHOST, rtmp)).is_ok()
        });
        assert!(begun.take(100).any(|up| up), "the gateway does not listen");
        Gateway { rtmp }
    }

    fn call(&self, phone: u16, codec: &str, calls: u32, rate: f64, duration: Duration) -> Child {
        Command::new(env!("CARGO_BIN_EXE_flashgate"))
            .args(["call", &format!("rtmp://127.0.0.1:{}/call", self.rtmp)])
            .arg(format!("sip:bench@127.0.0.1:{phone}"))
            .args([
                "--codec",
                codec,
                "--json",
                "--calls",
                &calls.to_string(),
                "--rate",
                &rate.to_string(),
            ])
            .args(["--duration", &duration.as_secs_f64().to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn steady(&self, kind: Kind, calls: u32, window: Duration) -> Steady {
        let phone = Phone::start(kind.phone);
        let ramp = Duration::from_secs_f64(f64::from(calls) / RAMP);
        let before = Reading::now();
        let caller = self.call(phone.port, kind.client, calls, RAMP, ramp + 2 * SETTLE + window);
        rest(ramp + SETTLE);
        let first = Reading::now().recounted();
        rest(window);
        let last = Reading::now();
        let report = finish(caller);
        // Everything of these calls is gone before the next begin.
        rest(Duration::from_secs(3));

        let call_seconds = f64::from(calls) * window.as_secs_f64();
        // 50 packets a second each way.
        let packets = call_seconds * 100.0;
        let media_allocations = last.media_allocations - first.media_allocations;
        Steady {
            kind,
            calls,
            cpu: (last.cpu - first.cpu) / call_seconds * 100.0,
            shards: (last.shards - first.shards) / call_seconds * 100.0,
            allocations: media_allocations as f64 / packets,
            other_allocations: (last.allocations - first.allocations - media_allocations) as f64
                / window.as_secs_f64(),
            switches: (last.switches - first.switches) as f64 / packets,
            heap: (last.live - before.live) as f64 / f64::from(calls),
            resident: (last.resident as f64 - before.resident as f64) / f64::from(calls),
            round_trip: spread(&report["round_trip_ms"]),
            lost: report["frames_lost"].as_u64().unwrap_or(0),
            received: report["frames_received"].as_u64().unwrap_or(0),
            failed: report["failed"].as_u64().unwrap_or(u64::from(calls)),
        }
    }

    /// Short calls one after the other, far faster than people dial.
    fn setup(&self, calls: u32) -> Setup {
        let rate = 100.0;
        let phone = Phone::start("PCMU/8000");
        let before = Reading::now();
        let report = finish(self.call(phone.port, "pcmu", calls, rate, Duration::from_millis(500)));
        rest(Duration::from_secs(1));
        let after = Reading::now();
        Setup {
            rate,
            calls,
            failed: report["failed"].as_u64().unwrap_or(u64::from(calls)),
            time: spread(&report["setup_ms"]),
            cpu: (after.cpu - before.cpu) * 1000.0 / f64::from(calls),
        }
    }
}

fn spread(value: &serde_json::Value) -> Option<(f64, f64)> {
    Some((value["mean"].as_f64()?, value["p95"].as_f64()?))
}

fn finish(caller: Child) -> serde_json::Value {
    let output = caller.wait_with_output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

fn rest(time: Duration) {
    // Nobody unparks this thread; should it wake all the same, the reading is only a little early.
    std::thread::park_timeout(time);
}

/// The phone in a process of its own.
struct Phone {
    child: Child,
    port: u16,
}

impl Phone {
    fn start(codec: &str) -> Phone {
        let port = free_port();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--peer", &port.to_string(), codec])
            .spawn()
            .unwrap();
        rest(Duration::from_millis(200));
        Phone { child, port }
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
