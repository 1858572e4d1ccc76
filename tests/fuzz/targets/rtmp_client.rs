//! A client connection against any bytes after a handshake, while it publishes and plays.
#![no_main]

use std::time::Duration;

use base::{Rng, Time};
use libfuzzer_sys::fuzz_target;
use rtmp::client::{ClientConfig, ConnectRequest, Connection, Event, PublishKind};

fuzz_target!(|bytes: &[u8]| {
    let Some((&how, bytes)) = bytes.split_first() else {
        return;
    };
    let mut now = Time::from_secs(1);
    let config = ClientConfig {
        digest: how & 2 == 0,
        ..ClientConfig::default()
    };
    let mut c = Connection::new(config, Rng::new(u64::from(how)), now);
    c.connect(&ConnectRequest::player("live", "rtmp://gw/live"));
    c.publish("a", PublishKind::Live);
    c.play("b");
    if how & 1 == 0 {
        let mut hello = vec![3];
        hello.resize(1 + 1536 + 1536, 0);
        c.handle_input(now, &hello);
    }
    let mut out = Vec::new();
    for part in bytes.chunks(usize::from(how | 1)) {
        now += Duration::from_millis(20);
        c.handle_input(now, part);
        loop {
            match c.poll_event() {
                Ok(None) => break,
                Err(e) => {
                    assert_eq!(c.poll_event(), Err(e));
                    return;
                }
                Ok(Some(Event::Audio { payload, .. })) => assert!(payload.len() > 1),
                Ok(Some(_)) => {}
            }
        }
        c.send_audio(now, 1, now.as_millis() as u32, &[&[0xB2, 1]], false);
        if c.poll_timeout().is_some_and(|t| t <= now) {
            c.handle_timeout(now);
        }
        out.clear();
        c.poll_transmit(now, &mut out, 1000);
    }
    c.close(now);
    while c.poll_transmit(now, &mut out, 1 << 16) > 0 {}
    let _ = c.poll_event();
    assert!(c.is_finished());
});
