//! Everybody does anything at any time; afterwards nothing is left.

use std::time::Duration;

use base::Rng;
use media::netem::NetemOptions;
use sip::sdp::Direction;

use crate::phone::Answers;
use crate::world::{FAIR, Who, World, ms, secs};

const NAMES: [&str; 4] = ["alice", "bob", "carol", "dave"];
const TARGETS: [&str; 9] = [
    "alice",
    "bob",
    "carol",
    "dave",
    "echo",
    "tone",
    "live/cam",
    "live/stage",
    "nobody",
];

fn pick<T: Copy>(rng: &mut Rng, of: &[T]) -> T {
    of[rng.below(of.len() as u64) as usize]
}

fn phone_acts(w: &mut World, rng: &mut Rng, who: Who) {
    w.at(who).answers = pick(
        rng,
        &[
            Answers::After(ms(300)),
            Answers::After(ms(10)),
            Answers::EarlyThenAfter(ms(700)),
            Answers::Never,
            Answers::Busy,
            Answers::Declines,
        ],
    );
    w.at(who).offers_late = rng.chance(0.2);
    if w.at(who).is_idle() {
        let target = pick(rng, &TARGETS);
        w.dial(who, target);
    } else if rng.chance(0.5) {
        w.hang_up(who);
    } else if w.at(who).in_call() {
        let direction = pick(
            rng,
            &[Direction::SendOnly, Direction::Inactive, Direction::SendRecv],
        );
        w.reoffer(who, direction);
    }
}

fn client_acts(w: &mut World, rng: &mut Rng, who: Who) -> Who {
    if !w.on(who).gone && rng.chance(0.7) {
        match rng.below(5) {
            0 => w.on(who).stop_publishing(),
            1 => w.on(who).stop_playing(),
            2 => w.kill(who),
            3 => {
                let until = w.now + Duration::from_millis(rng.below(3_000));
                w.tcp(who).up.stall(until);
            }
            _ => w.leave(who),
        }
        return who;
    }
    if !w.on(who).gone {
        w.leave(who);
    }
    let beside = rng.chance(0.5);
    let new = if beside { w.client_beside(who) } else { w.client() };
    let name = pick(rng, &["alice", "bob", "echo", "tone", "cam", "stage", "nobody"]);
    let live = rng.chance(0.4);
    let (publishes, plays) = pick(rng, &[(true, true), (true, false), (false, true)]);
    let app = if live { "live" } else { "call" };
    w.on(new).connect(
        app,
        rng.chance(0.5),
        publishes.then_some(name),
        plays.then_some(name),
    );
    new
}

#[test]
fn random_calls_and_streams_leave_nothing_behind() {
    for seed in 0..12 {
        let mut w = World::builder()
            .users(&NAMES)
            .shards(1 + seed as usize % 3)
            .config(|c| c.sip.ring_timeout = secs(5))
            .seed(seed)
            .build();
        let mut rng = Rng::new(w.seed + 1_000);
        let phones = NAMES.map(|name| w.registered_phone(name));
        for who in phones {
            w.signalling_weather(
                who,
                NetemOptions {
                    loss: 0.05,
                    jitter: ms(20),
                    duplicate: 0.02,
                    ..FAIR
                },
            );
        }
        let mut clients = [w.client(), w.client(), w.client()];
        for _ in 0..150 {
            let n = rng.below(7) as usize;
            match n {
                0..4 => phone_acts(&mut w, &mut rng, phones[n]),
                n => clients[n - 4] = client_acts(&mut w, &mut rng, clients[n - 4]),
            }
            w.run(Duration::from_millis(rng.below(800)));
        }
        for who in phones {
            w.signalling_weather(who, FAIR);
            w.at(who).answers = Answers::Busy;
        }
        w.leave_all();
        // Whoever still hears an answer on its way hangs up when it has come.
        for _ in 0..10 {
            for who in phones {
                w.hang_up(who);
            }
            w.run(secs(1));
        }
        // A change of the session that is never answered is given up with the ringing.
        w.run(secs(180));
        w.ends_clean();
    }
}
