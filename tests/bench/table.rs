//! The figures as a page.

use std::fmt::Write as _;

use crate::{KINDS, Setup, Steady};

/// Transcoding may cost so many times the bare codecs.
const TRANSCODING_GOAL: f64 = 1.25;
/// Pass-through may take so much of one processor for a call, in percent.
const PASS_THROUGH_GOAL: f64 = 0.1;
/// Heap of a call beyond codec state, in bytes.
const MEMORY_GOAL: f64 = 65_536.0;

pub fn line(s: &Steady) -> String {
    format!(
        "{} x {}: {:.3} % of a core a call, {:.3} allocations a packet, {:.1} KiB heap, {} lost, {} failed",
        s.calls,
        s.kind.name,
        s.cpu,
        s.allocations,
        s.heap / 1024.0,
        s.lost,
        s.failed
    )
}

fn ms(pair: Option<(f64, f64)>) -> String {
    pair.map_or("-".to_owned(), |(mean, p95)| format!("{mean:.1} / {p95:.1}"))
}

fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "missed" }
}

pub fn page(bare: f64, sockets: f64, idle: f64, steady: &[Steady], setup: &Setup) -> String {
    let mut out = String::from(
        "# What a call costs\n\nWritten by `cargo bench -p flashgate`. The gateway is measured in its own process; callers and phone run beside it \
         on\nthe same machine. \"a core\" is one processor of it; figures of a machine that has other work vary by a few tens of\npercent.\n\n",
    );
    // 50 frames a second, as percent of a processor.
    let bare_percent = bare * 50.0 / 10_000.0;
    let socket_percent = sockets * 50.0 / 10_000.0;
    let _ = writeln!(
        out,
        "Bare codecs of a Speex-PCMU call, both directions, same run: {bare:.1} us per 20 ms = {bare_percent:.3} % of a core.\n"
    );
    let _ = writeln!(
        out,
        "Bare system calls of any call, the same way: {sockets:.1} us per 20 ms = {:.3} % of a core: a message read and one written \
         over TCP,\na datagram received and one sent, on loopback, with warm caches. What the kernel does for the receiver is \
         billed to the sender.\n",
        socket_percent
    );
    out.push_str(
        "| calls | kind | % of a core per call | of it media threads | times the bare codecs | times bare codecs and system calls \
         | allocations per packet, media threads | allocations a second, other threads | wake-ups per packet \
         | heap per call KiB | resident per call KiB | round trip ms, mean / 95 % | frames lost | failed |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for s in steady {
        let times = if s.kind.transcodes {
            format!("{:.2}", s.cpu / bare_percent)
        } else {
            "-".to_owned()
        };
        let least = socket_percent + if s.kind.transcodes { bare_percent } else { 0.0 };
        let _ = writeln!(
            out,
            "| {} | {} | {:.3} | {:.3} | {times} | {:.2} | {:.4} | {:.0} | {:.2} | {:.1} | {:.1} | {} | {} | {} |",
            s.calls,
            s.kind.name,
            s.cpu,
            s.shards,
            s.cpu / least,
            s.allocations,
            s.other_allocations,
            s.switches,
            s.heap / 1024.0,
            s.resident / 1024.0,
            ms(s.round_trip),
            s.lost,
            s.failed
        );
    }
    let _ = writeln!(
        out,
        "\nAn idle session: {:.1} KiB of heap. Setting up: {} calls at {} a second, {} failed, first audio after {} ms (mean /\n\
         95 %), {:.2} ms of processor time each from connect to close.\n",
        idle / 1024.0,
        setup.calls,
        setup.rate,
        setup.failed,
        ms(setup.time),
        setup.cpu
    );
    out.push_str(
        "The round trip is measured in the audio: from a frame's leaving the caller to the same sound's coming back, through\nthe gateway, a \
         phone that echoes at once, and the gateway again. It holds two ways through the gateway, and with Speex\nthe codec's own delay.\n\n",
    );
    goals(&mut out, bare_percent, steady);
    out
}

/// A run that lost more than 1 % of its frames did less than its work: it judges nothing.
fn complete(s: &Steady) -> bool {
    s.failed == 0 && s.lost * 99 < s.received
}

/// The goals, for each kind at the most calls that were carried whole.
fn goals(out: &mut String, bare_percent: f64, steady: &[Steady]) {
    out.push_str("| goal | found | |\n|---|---|---|\n");
    for kind in KINDS {
        let of_kind = steady.iter().filter(|s| s.kind.name == kind.name && complete(s));
        let Some(s) = of_kind.max_by_key(|s| s.calls) else {
            let _ = writeln!(
                out,
                "| {} | every run lost more than 1 % of its frames | not judged |",
                kind.name
            );
            continue;
        };
        let name = format!("{} x {}", s.calls, s.kind.name);
        if s.kind.transcodes {
            let times = s.cpu / bare_percent;
            let met = verdict(times <= TRANSCODING_GOAL);
            let _ = writeln!(
                out,
                "| {name}: within {TRANSCODING_GOAL} times the bare codecs | {times:.2} | {met} |"
            );
        } else {
            let met = verdict(s.cpu < PASS_THROUGH_GOAL);
            let _ = writeln!(
                out,
                "| {name}: under {PASS_THROUGH_GOAL} % of a core | {:.3} % | {met} |",
                s.cpu
            );
        }
        let met = verdict(s.allocations < 0.001);
        let _ = writeln!(
            out,
            "| {name}: no allocation per packet | {:.3} | {met} |",
            s.allocations
        );
        let met = verdict(s.heap < MEMORY_GOAL);
        let _ = writeln!(
            out,
            "| {name}: under 64 KiB a call beyond codec state | {:.1} KiB | {met} |",
            s.heap / 1024.0
        );
        if let Some((mean, _)) = s.round_trip {
            let met = verdict(mean < 80.0);
            let _ = writeln!(
                out,
                "| {name}: under 40 ms each way beyond codec frames | {mean:.1} ms both ways | {met} |"
            );
        }
    }
}
