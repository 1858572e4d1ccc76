//! Each machine and each timer, as lists of what is done when.

use std::time::Duration;

use base::Time;

use super::*;
use crate::timer::Timers;

const BASE: Base = Base {
    t1: Duration::from_millis(500),
    t2: Duration::from_secs(4),
    t4: Duration::from_secs(5),
};

enum Machine {
    Ict(Ict),
    Nict(Nict),
    Ist(Ist),
    Nist(Nist),
}

/// A machine with its timers in virtual time, and a log of what it did: `(ms, what)`.
struct Bench {
    machine: Machine,
    timers: Timers<Timer>,
    now: Time,
    log: Vec<(u64, &'static str)>,
    done: bool,
}

impl Bench {
    fn new(machine: Machine, todo: Vec<Do>) -> Bench {
        let mut b = Bench {
            machine,
            timers: Timers::default(),
            now: Time::ZERO,
            log: Vec::new(),
            done: false,
        };
        b.perform(todo);
        b
    }

    fn ict(reliable: bool) -> Bench {
        let (m, todo) = Ict::new(BASE, reliable);
        Bench::new(Machine::Ict(m), todo)
    }

    fn nict(reliable: bool) -> Bench {
        let (m, todo) = Nict::new(BASE, reliable);
        Bench::new(Machine::Nict(m), todo)
    }

    fn ist(reliable: bool) -> Bench {
        Bench::new(Machine::Ist(Ist::new(BASE, reliable)), Vec::new())
    }

    fn nist(reliable: bool) -> Bench {
        let (m, todo) = Nist::new(BASE, reliable);
        Bench::new(Machine::Nist(m), todo)
    }

    fn perform(&mut self, todo: Vec<Do>) {
        for what in todo {
            let name = match what {
                Do::Set(timer, after) => {
                    self.timers.set(timer, self.now + after);
                    continue;
                }
                Do::Clear(timer) => {
                    self.timers.clear(&timer);
                    continue;
                }
                Do::Done => {
                    self.done = true;
                    "done"
                }
                Do::Send => "send",
                Do::Ack => "ack",
                Do::Trying => "trying",
                Do::Deliver => "deliver",
                Do::Timeout => "timeout",
            };
            self.log.push((self.now.as_millis(), name));
        }
    }

    /// Lets time pass to `ms`.
    fn until(&mut self, ms: u64) -> &mut Bench {
        while let Some(at) = self.timers.next().filter(|at| *at <= Time::from_millis(ms)) {
            if self.done {
                break;
            }
            self.now = at;
            let timer = self.timers.pop_due(at).unwrap();
            let todo = match &mut self.machine {
                Machine::Ict(m) => m.handle_timer(timer),
                Machine::Nict(m) => m.handle_timer(timer),
                Machine::Ist(m) => m.handle_timer(timer),
                Machine::Nist(m) => m.handle_timer(timer),
            };
            self.perform(todo);
        }
        self.now = Time::from_millis(ms);
        self
    }

    /// A status: received by a client, given by the user of a server.
    fn status(&mut self, status: u16) -> &mut Bench {
        let todo = match &mut self.machine {
            Machine::Ict(m) => m.handle_response(status),
            Machine::Nict(m) => m.handle_response(status),
            Machine::Ist(m) => m.respond(status),
            Machine::Nist(m) => m.respond(status),
        };
        self.perform(todo);
        self
    }

    /// The request arrives again.
    fn again(&mut self) -> &mut Bench {
        let todo = match &mut self.machine {
            Machine::Ist(m) => m.handle_retransmission(),
            Machine::Nist(m) => m.handle_retransmission(),
            _ => panic!("a server"),
        };
        self.perform(todo);
        self
    }

    fn ack(&mut self) -> &mut Bench {
        let Machine::Ist(m) = &mut self.machine else {
            panic!("an INVITE server");
        };
        let todo = m.handle_ack();
        self.perform(todo);
        self
    }

    fn times(&self, what: &str) -> Vec<u64> {
        self.log
            .iter()
            .filter(|(_, w)| *w == what)
            .map(|(t, _)| *t)
            .collect()
    }

    fn take(&mut self) -> Vec<(u64, &'static str)> {
        std::mem::take(&mut self.log)
    }
}

#[test]
fn timer_a_doubles_without_end_and_b_ends_at_64_t1() {
    let mut b = Bench::ict(false);
    b.until(60_000);
    assert_eq!(b.times("send"), [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!(b.times("timeout"), [32_000]);
    assert!(b.done);
}

#[test]
fn a_reliable_invite_is_sent_once() {
    let mut b = Bench::ict(true);
    b.until(60_000);
    assert_eq!(b.take(), [(0, "send"), (32_000, "timeout"), (32_000, "done")]);
}

#[test]
fn a_provisional_response_stops_a_and_b() {
    let mut b = Bench::ict(false);
    b.until(700).status(180).until(200_000).status(183);
    assert_eq!(
        b.take(),
        [(0, "send"), (500, "send"), (700, "deliver"), (200_000, "deliver")]
    );
}

#[test]
fn timer_d_absorbs_repeated_refusals_with_an_ack_each() {
    let mut b = Bench::ict(false);
    b.until(100)
        .status(486)
        .until(600)
        .status(486)
        .status(180)
        .status(200);
    assert_eq!(
        b.take(),
        [(0, "send"), (100, "ack"), (100, "deliver"), (600, "ack")]
    );
    b.until(99_000);
    assert_eq!(b.take(), [(32_100, "done")]);
}

#[test]
fn a_reliable_refusal_ends_at_once() {
    let mut b = Bench::ict(true);
    b.status(486);
    assert_eq!(b.take(), [(0, "send"), (0, "ack"), (0, "deliver"), (0, "done")]);
}

#[test]
fn timer_m_lets_every_2xx_through() {
    for reliable in [false, true] {
        let mut b = Bench::ict(reliable);
        b.until(100)
            .status(200)
            .until(600)
            .status(200)
            .status(180)
            .status(486);
        assert_eq!(b.times("deliver"), [100, 600]);
        assert_eq!(b.times("ack"), []);
        b.until(99_000);
        assert_eq!(b.times("done"), [32_100]);
        assert_eq!(b.times("timeout"), []);
    }
}

#[test]
fn timer_e_doubles_to_t2_and_f_ends_at_64_t1() {
    let mut b = Bench::nict(false);
    b.until(60_000);
    let sends = [
        0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ];
    assert_eq!(b.times("send"), sends);
    assert_eq!(b.times("timeout"), [32_000]);
}

#[test]
fn after_a_provisional_response_e_runs_at_t2() {
    let mut b = Bench::nict(false);
    b.until(600).status(100).until(10_000);
    assert_eq!(b.times("send"), [0, 500, 1_500, 5_500, 9_500]);
    b.until(60_000);
    assert_eq!(b.times("timeout"), [32_000]);
}

#[test]
fn timer_k_absorbs_repeated_responses() {
    let mut b = Bench::nict(false);
    b.until(100).status(200).until(200).status(200).until(60_000);
    assert_eq!(b.take(), [(0, "send"), (100, "deliver"), (5_100, "done")]);
    let mut b = Bench::nict(true);
    b.until(100).status(404).until(60_000);
    assert_eq!(b.take(), [(0, "send"), (100, "deliver"), (100, "done")]);
}

#[test]
fn a_repeated_invite_gets_the_last_provisional_response() {
    let mut b = Bench::ist(false);
    b.status(100).until(500).again().status(180).until(900).again();
    assert_eq!(b.times("send"), [0, 500, 500, 900]);
}

#[test]
fn timer_g_doubles_to_t2_and_h_ends_without_ack() {
    let mut b = Bench::ist(false);
    b.status(486).until(60_000);
    let sends = [
        0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500,
    ];
    assert_eq!(b.times("send"), sends);
    assert_eq!(b.times("timeout"), [32_000]);
    let mut b = Bench::ist(true);
    b.status(486).until(60_000);
    assert_eq!(b.take(), [(0, "send"), (32_000, "timeout"), (32_000, "done")]);
}

#[test]
fn the_ack_stops_g_and_timer_i_absorbs_more_of_them() {
    let mut b = Bench::ist(false);
    b.status(486)
        .until(700)
        .again()
        .ack()
        .until(800)
        .ack()
        .again()
        .until(60_000);
    assert_eq!(
        b.take(),
        [(0, "send"), (500, "send"), (700, "send"), (5_700, "done")]
    );
    let mut b = Bench::ist(true);
    b.status(486).until(700).ack();
    assert_eq!(b.take(), [(0, "send"), (700, "done")]);
}

#[test]
fn timer_l_absorbs_repeated_invites_after_a_2xx_and_lets_acks_through() {
    let mut b = Bench::ist(false);
    b.status(200)
        .until(500)
        .again()
        .ack()
        .status(200)
        .status(486)
        .until(60_000);
    assert_eq!(
        b.take(),
        [(0, "send"), (500, "deliver"), (500, "send"), (32_000, "done")]
    );
}

#[test]
fn timer_j_absorbs_repeated_requests() {
    let mut b = Bench::nist(false);
    b.again()
        .until(100)
        .status(200)
        .until(500)
        .again()
        .status(500)
        .until(60_000);
    assert_eq!(b.take(), [(100, "send"), (500, "send"), (32_100, "done")]);
    let mut b = Bench::nist(true);
    b.until(100).status(200);
    assert_eq!(b.take(), [(100, "send"), (100, "done")]);
}

#[test]
fn a_slow_user_causes_a_late_100_and_never_a_408() {
    let mut b = Bench::nist(false);
    b.until(60_000);
    assert_eq!(
        b.take(),
        [(3_500, "trying"), (32_000, "timeout"), (32_000, "done")]
    );
    let mut b = Bench::nist(true);
    b.until(1_000).status(200).until(60_000);
    assert_eq!(b.take(), [(250, "trying"), (1_000, "send"), (1_000, "done")]);
}
