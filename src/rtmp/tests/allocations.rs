//! The audio path in steady state: no allocation, in or out.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use base::{Rng, Time};
use rtmp::client::{ClientConfig, ConnectRequest, Connection as Client, Event as ClientEvent};
use rtmp::server::{Connection as Server, Event as ServerEvent, PublishKind, ServerConfig};

struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

#[allow(unsafe_code, reason = "a counting allocator can be written in no other way")]
// SAFETY: every call is handed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|c| c.set(c.get() + 1));
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: `ptr` came from `System` with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Moves bytes both ways until nothing moves; what the server plays to the client and the other way round.
fn exchange(now: Time, c: &mut Client, s: &mut Server, buffer: &mut Vec<u8>) -> (u32, u32) {
    let (mut played, mut published) = (0, 0);
    loop {
        buffer.clear();
        if c.poll_transmit(now, buffer, 1 << 16) > 0 {
            s.handle_input(now, buffer);
        }
        while let Ok(Some(event)) = s.poll_event() {
            match event {
                ServerEvent::Connect(_) => s.accept_connect(),
                ServerEvent::Publish { stream, .. } => s.accept_publish(stream),
                ServerEvent::Play { stream, .. } => s.accept_play(stream),
                ServerEvent::Audio { .. } => published += 1,
                _ => {}
            }
        }
        buffer.clear();
        if s.poll_transmit(now, buffer, 1 << 16) > 0 {
            c.handle_input(now, buffer);
        }
        while let Ok(Some(event)) = c.poll_event() {
            if let ClientEvent::Audio { .. } = event {
                played += 1;
            }
        }
        if !c.has_output() && !s.has_output() {
            return (played, published);
        }
    }
}

#[test]
fn audio_flows_without_allocation() {
    let mut now = Time::from_secs(1);
    let mut buffer = Vec::with_capacity(1 << 16);
    let mut c = Client::new(ClientConfig::default(), Rng::new(1), now);
    let mut s = Server::new(ServerConfig::default(), Rng::new(2), now);
    c.connect(&ConnectRequest::player("live", "rtmp://gw/live"));
    c.publish("a", PublishKind::Live);
    c.play("b");
    exchange(now, &mut c, &mut s, &mut buffer);
    let frame = [7u8; 70];
    let mut run = |frames: u32, from: u32| {
        let mut total = (0, 0);
        for i in from..from + frames {
            now += std::time::Duration::from_millis(20);
            let len = 40 + (i % 20) as usize;
            assert!(c.send_audio(now, 1, i * 20, &[&[0xB2], &frame[..len]], false));
            assert!(s.send_audio(now, 2, i * 20, &[&[0xB2], &frame[..len]], false));
            let (played, published) = exchange(now, &mut c, &mut s, &mut buffer);
            total = (total.0 + played, total.1 + published);
        }
        total
    };
    // The first second fills the tables.
    run(50, 0);
    let before = COUNT.with(Cell::get);
    let total = run(1000, 50);
    let allocations = COUNT.with(Cell::get) - before;
    assert_eq!(total, (1000, 1000));
    // The answers to 80 pings are the only commands: each has a body of its own.
    assert!(allocations <= 2 * 80, "{allocations} allocations for 2000 frames");
}
