//! The world: a gateway, those who use it, the network between them, and the time.

use std::net::SocketAddr;
use std::time::Duration;

use base::{Rng, Time};
use call::{Line, LineEvent, LineIntent};
use codecs::CodecId;
use flashgate::config::{Access, Config, Secret, User};
use flashgate::exchange::RoomOrder;
use media::netem::{Netem, NetemOptions};
use sip::auth::Credentials;

use crate::client::Client;
use crate::ear::{Ear, Mark};
use crate::gateway::{ADDRESS, DOMAIN, Datagram, Gateway, LINGER, Population};
use crate::line::PORT;
use crate::phone::{Phone, Told};
use crate::server::{Mood, Server};
use crate::tcp::Tcp;
use crate::voice::Voice;

/// One way through the network when nothing is wrong with it.
pub const NET_DELAY: Duration = Duration::from_millis(5);
/// Overrides the seed of every scenario.
const SEED_VARIABLE: &str = "FLASHGATE_SIM_SEED";
const DEFAULT_SEED: u64 = 20_260_214;

pub const fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A perfect network but for the way.
pub const FAIR: NetemOptions = NetemOptions {
    loss: 0.0,
    burst: 1.0,
    delay: NET_DELAY,
    jitter: Duration::ZERO,
    in_order: true,
    reorder: 0.0,
    reorder_by: Duration::from_millis(50),
    duplicate: 0.0,
};

/// Somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Phone(usize),
    Client(usize),
    Server(usize),
}

/// The four ways between a phone and the gateway.
struct Paths {
    sip_up: Netem<Datagram>,
    sip_down: Netem<Datagram>,
    rtp_up: Netem<Datagram>,
    rtp_down: Netem<Datagram>,
}

impl Paths {
    fn all(&mut self) -> [&mut Netem<Datagram>; 4] {
        [
            &mut self.sip_up,
            &mut self.sip_down,
            &mut self.rtp_up,
            &mut self.rtp_down,
        ]
    }
}

pub struct World {
    pub now: Time,
    pub seed: u64,
    rng: Rng,
    pub gateway: Gateway,
    phones: Vec<Phone>,
    paths: Vec<Paths>,
    clients: Vec<Client>,
    /// The ways of the datagrams of each client: up, down.
    flow_paths: Vec<[Netem<Datagram>; 2]>,
    pub tcps: Vec<Tcp>,
    /// RTMP servers elsewhere.
    servers: Vec<Server>,
    /// Whether the scenario has shown that nothing is left.
    checked: bool,
}

/// What a world is made from.
pub struct Builder {
    config: Config,
    shards: usize,
    seed: u64,
}

impl Builder {
    /// Local accounts; each has its name with "-secret" as password.
    pub fn users(mut self, names: &[&str]) -> Builder {
        self.config.user = names
            .iter()
            .map(|name| User {
                srtp: None,
                name: (*name).to_owned(),
                password: Secret::new(format!("{name}-secret")),
                number: None,
            })
            .collect();
        self
    }

    pub fn shards(mut self, n: usize) -> Builder {
        self.shards = n;
        self
    }

    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Builder {
        change(&mut self.config);
        self
    }

    /// For scenarios that are run with many seeds; the variable overrides it all the same.
    pub fn seed(mut self, seed: u64) -> Builder {
        self.seed = seed;
        self
    }

    pub fn build(self) -> World {
        let seed = std::env::var(SEED_VARIABLE).map_or(self.seed, |s| s.parse().unwrap());
        let mut rng = Rng::new(seed);
        // Any time but the first: nothing may hang on zero.
        let now = Time::from_secs(100) + Duration::from_micros(rng.below(1_000_000));
        World {
            now,
            seed,
            gateway: Gateway::new(&self.config, self.shards, rng.fork(), now),
            rng,
            phones: Vec::new(),
            paths: Vec::new(),
            clients: Vec::new(),
            flow_paths: Vec::new(),
            tcps: Vec::new(),
            servers: Vec::new(),
            checked: false,
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "at {}: to see this again: {SEED_VARIABLE}={}",
                self.now, self.seed
            );
            for phone in &self.phones {
                eprintln!("  {}: {:?}", phone.user, phone.told);
            }
            for (n, client) in self.clients.iter().enumerate() {
                eprintln!("  client {n}: {:?}", client.told);
                for event in self.gateway.lines.of(client.tcp) {
                    eprintln!("    {event:?}");
                }
            }
            eprintln!("  {:?}", self.gateway.population());
        } else {
            assert!(self.checked, "a scenario has to end with `ends_clean`");
        }
    }
}

impl World {
    /// A gateway with one shard and nobody known to it.
    pub fn builder() -> Builder {
        let mut config = Config::default();
        config.sip.domain = DOMAIN.to_owned();
        config.sip.udp = vec![SocketAddr::new(ADDRESS, 5060)];
        config.sip.tcp = Vec::new();
        // Clients need no account, unless a scenario is about that.
        config.rtmp.access = Access::Open;
        Builder {
            config,
            shards: 1,
            seed: DEFAULT_SEED,
        }
    }

    /// A phone with that user name. With a password it can show one.
    pub fn phone(&mut self, user: &str) -> Who {
        let n = self.phones.len();
        let mut phone = Phone::new(user, n, self.now, self.rng.fork());
        phone.credentials = Some(Credentials::new(user, format!("{user}-secret")));
        self.phones.push(phone);
        let mut path = || Netem::new(FAIR, self.rng.fork());
        self.paths.push(Paths {
            sip_up: path(),
            sip_down: path(),
            rtp_up: path(),
            rtp_down: path(),
        });
        Who::Phone(n)
    }

    /// A phone that is a registrar and a server as well, with one account.
    pub fn server(&mut self, account: &str) -> Who {
        let who = self.phone("server");
        let rng = self.rng.fork();
        self.at(who).serve(account, rng);
        who
    }

    /// A phone that has registered.
    pub fn registered_phone(&mut self, user: &str) -> Who {
        let who = self.phone(user);
        let now = self.now;
        self.at(who).register(now);
        self.run(ms(200));
        assert!(self.at(who).was(&Told::Registered));
        who
    }

    /// The phone itself.
    pub fn at(&mut self, who: Who) -> &mut Phone {
        match who {
            Who::Phone(n) => &mut self.phones[n],
            _ => panic!("{who:?} is no phone"),
        }
    }

    /// A client from an address of its own.
    pub fn client(&mut self) -> Who {
        let n = self.clients.len() as u8;
        self.client_from(SocketAddr::from(([192, 0, 2, 100 + n % 100], 50_000)))
    }

    /// A client over RTMFP, from an address of its own.
    pub fn rtmfp_client(&mut self) -> Who {
        let n = self.clients.len();
        let address = SocketAddr::from(([192, 0, 2, 100 + (n % 100) as u8], 50_000));
        let rng = self.rng.fork();
        let tcp = self.tcps.len();
        self.tcps.push(Tcp::new(NET_DELAY));
        let client = Client::new(n + 4, address, tcp, self.now, rng.clone()).over_rtmfp(self.now, rng);
        self.clients.push(client);
        self.add_flow_paths();
        Who::Client(n)
    }

    fn add_flow_paths(&mut self) {
        let mut path = || Netem::new(FAIR, self.rng.fork());
        self.flow_paths.push([path(), path()]);
    }

    /// Makes the way of a client's datagrams worse or better, in both directions.
    pub fn flow_weather(&mut self, who: Who, options: NetemOptions) {
        let Who::Client(n) = who else {
            panic!("{who:?} is no client")
        };
        self.flow_paths[n].iter_mut().for_each(|p| p.set(options));
    }

    /// A client's NAT forgets it: its packets come from another address from now on.
    pub fn rebind(&mut self, who: Who, address: SocketAddr) {
        let client = self.on(who);
        client.address = address;
        client.flows().unwrap().rebind(address);
    }

    /// One more program on the machine of `who`.
    pub fn client_beside(&mut self, who: Who) -> Who {
        let Who::Client(n) = who else {
            panic!("{who:?} is no client")
        };
        let mut address = self.clients[n].address;
        address.set_port(address.port() + 1);
        self.client_from(address)
    }

    fn client_from(&mut self, address: SocketAddr) -> Who {
        let n = self.clients.len();
        let tcp = self.tcps.len();
        self.tcps.push(Tcp::new(NET_DELAY));
        // Voices of clients come after those of the first phones.
        let client = Client::new(n + 4, address, tcp, self.now, self.rng.fork());
        self.clients.push(client);
        self.add_flow_paths();
        self.gateway.accept(self.now, address, tcp, &mut self.tcps);
        Who::Client(n)
    }

    /// An RTMP server elsewhere; its URL is `rtmp://198.51.100.N/APP/STREAM`, N from 1.
    pub fn rtmp_server(&mut self) -> Who {
        let n = self.servers.len();
        let address = SocketAddr::from(([198, 51, 100, n as u8 + 1], 1935));
        let rng = self.rng.fork();
        // Voices as far from those of the first phones and clients as there are.
        self.servers.push(Server::new(n + 6, address, self.now, rng));
        Who::Server(n)
    }

    /// The server itself.
    pub fn there(&mut self, who: Who) -> &mut Server {
        match who {
            Who::Server(n) => &mut self.servers[n],
            _ => panic!("{who:?} is no server"),
        }
    }

    /// A server's program is killed: its connections break, and it takes no more before its mood is another.
    pub fn fail(&mut self, who: Who) {
        let Who::Server(n) = who else {
            panic!("{who:?} is no server")
        };
        self.servers[n].mood = Mood::Down;
        self.servers[n].die(&mut self.tcps);
        self.run(Duration::ZERO);
    }

    /// The client itself.
    pub fn on(&mut self, who: Who) -> &mut Client {
        match who {
            Who::Client(n) => &mut self.clients[n],
            _ => panic!("{who:?} is no client"),
        }
    }

    /// A client publishes and plays `call/TARGET`: a call both ways.
    pub fn call(&mut self, who: Who, target: &str) {
        self.on(who).connect("call", true, Some(target), Some(target));
        self.run(Duration::ZERO);
    }

    /// A client that speaks for itself in line intents; it decodes Speex, and G.711 when `g711`.
    pub fn telephone(&mut self, g711: bool) -> Who {
        let who = self.client();
        let mut codecs = vec![CodecId::SpeexWb];
        if g711 {
            codecs.extend([CodecId::Pcmu, CodecId::Pcma]);
        }
        self.intend(who, LineIntent::Media { codecs });
        self.on(who).connect("call", g711, Some("mouth"), Some("ear"));
        self.run(ms(200));
        who
    }

    pub fn intend(&mut self, who: Who, intent: LineIntent) {
        let (now, tcp) = (self.now, self.on(who).tcp);
        self.gateway.intend(now, tcp, intent, &mut self.tcps);
        self.collect();
    }

    /// What a telephone-like client was told so far.
    pub fn told(&mut self, who: Who) -> Vec<LineEvent> {
        let tcp = self.on(who).tcp;
        self.gateway
            .lines
            .of(tcp)
            .map(|(_, event)| event.clone())
            .collect()
    }

    /// The line of the call that last came in for a client.
    #[track_caller]
    pub fn incoming_line(&mut self, who: Who) -> Line {
        let told = self.told(who);
        let incoming = told.iter().rev().find_map(|e| match e {
            LineEvent::Incoming { line, .. } => Some(*line),
            _ => None,
        });
        incoming.unwrap_or_else(|| panic!("{who:?} was not called: {told:?}"))
    }

    /// The connection of a client.
    pub fn tcp(&mut self, who: Who) -> &mut Tcp {
        let tcp = self.on(who).tcp;
        &mut self.tcps[tcp]
    }

    /// A client ends its connection in order.
    pub fn leave(&mut self, who: Who) {
        let now = self.now;
        self.on(who).leave(now);
        self.run(Duration::ZERO);
    }

    /// Every client ends its connection.
    pub fn leave_all(&mut self) {
        let now = self.now;
        for client in self.clients.iter_mut().filter(|c| !c.gone) {
            client.leave(now);
        }
        self.run(Duration::ZERO);
    }

    /// A client's program is killed.
    pub fn kill(&mut self, who: Who) {
        let Who::Client(n) = who else {
            panic!("{who:?} is no client")
        };
        let client = &mut self.clients[n];
        client.die(&mut self.tcps[client.tcp]);
        self.run(Duration::ZERO);
    }

    pub fn dial(&mut self, who: Who, target: &str) {
        let now = self.now;
        self.at(who).dial(now, target);
        self.collect();
    }

    pub fn hang_up(&mut self, who: Who) {
        let now = self.now;
        self.at(who).hang_up(now);
        self.collect();
    }

    pub fn reoffer(&mut self, who: Who, direction: sip::sdp::Direction) {
        let now = self.now;
        self.at(who).reoffer(now, direction);
        self.collect();
    }

    /// Somebody who runs the gateway does something with a room.
    pub fn order(&mut self, room: &str, order: RoomOrder) -> Result<(), call::Outcome> {
        let now = self.now;
        self.gateway.exchange.room_order(now, room, order)
    }

    /// Makes the way of a phone's media worse or better, in both directions.
    pub fn weather(&mut self, who: Who, options: NetemOptions) {
        let Who::Phone(n) = who else {
            panic!("{who:?} has no RTP")
        };
        self.paths[n].rtp_up.set(options);
        self.paths[n].rtp_down.set(options);
    }

    /// The same for its signalling.
    pub fn signalling_weather(&mut self, who: Who, options: NetemOptions) {
        let Who::Phone(n) = who else {
            panic!("{who:?} has no SIP")
        };
        self.paths[n].sip_up.set(options);
        self.paths[n].sip_down.set(options);
    }

    /// Gives somebody a sound card that is that much too fast, parts per million.
    pub fn set_clock(&mut self, who: Who, ppm: i64) {
        let now = self.now;
        match who {
            Who::Phone(n) => self.phones[n].voice.set_clock(now, ppm),
            Who::Client(n) => self.clients[n].voice.set_clock(now, ppm),
            Who::Server(n) => self.servers[n].voice.set_clock(now, ppm),
        }
    }

    pub fn drain(&mut self) {
        self.gateway.drain(self.now, &mut self.tcps);
        self.collect();
    }

    pub fn hang_up_all(&mut self) {
        self.gateway.hang_up_all(self.now, &mut self.tcps);
        self.collect();
    }

    /// Somebody speaks with that tone alone.
    pub fn set_tone(&mut self, who: Who, hz: f32) {
        let voice = match who {
            Who::Phone(n) => &mut self.phones[n].voice,
            Who::Client(n) => &mut self.clients[n].voice,
            Who::Server(n) => &mut self.servers[n].voice,
        };
        voice.hz = hz;
        voice.manner = crate::voice::Manner::Plain;
    }

    fn voice(&self, who: Who) -> &Voice {
        match who {
            Who::Phone(n) => &self.phones[n].voice,
            Who::Client(n) => &self.clients[n].voice,
            Who::Server(n) => &self.servers[n].voice,
        }
    }

    pub fn ear(&self, who: Who) -> &Ear {
        match who {
            Who::Phone(n) => &self.phones[n].ear,
            Who::Client(n) => &self.clients[n].ear,
            Who::Server(n) => &self.servers[n].ear,
        }
    }

    /// `listener` hears `speaker` now, and nobody else of `all`.
    #[track_caller]
    pub fn hears(&self, listener: Who, speaker: Who) {
        let hz = self.voice(speaker).hz;
        let ear = self.ear(listener);
        assert!(
            ear.hears(self.now, hz),
            "{listener:?} does not hear {speaker:?}: {:?}",
            ear.level(self.now, hz)
        );
    }

    /// `listener` does not hear `speaker` now.
    #[track_caller]
    pub fn hears_nothing_of(&self, listener: Who, speaker: Who) {
        let hz = self.voice(speaker).hz;
        let ear = self.ear(listener);
        assert!(
            ear.is_deaf_to(self.now, hz),
            "{listener:?} hears {speaker:?}: {:?}",
            ear.level(self.now, hz)
        );
    }

    #[track_caller]
    pub fn hear_each_other(&self, a: Who, b: Who) {
        self.hears(a, b);
        self.hears(b, a);
        self.hears_nothing_of(a, a);
        self.hears_nothing_of(b, b);
    }

    /// The delays at which `listener` heard the marks of `speaker` since `from`.
    pub fn marks(&self, speaker: Who, listener: Who, from: Time) -> Vec<Mark> {
        self.ear(listener).marks(self.voice(speaker), from, self.now)
    }

    /// The median delay from `speaker` to `listener` since `from`, ms.
    #[track_caller]
    pub fn delay(&self, speaker: Who, listener: Who, from: Time) -> f64 {
        median(&self.marks(speaker, listener, from))
    }

    /// A datagram comes to the gateway from nowhere in particular.
    pub fn inject(&mut self, datagram: &Datagram) {
        self.gateway.datagram(self.now, datagram, &mut self.tcps);
    }

    /// Lets time pass.
    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.step();
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
    }

    fn next(&mut self) -> Option<Time> {
        let mut at = self.gateway.poll_timeout();
        for phone in &self.phones {
            at = base::earliest(at, phone.poll_timeout());
        }
        for client in &self.clients {
            at = base::earliest(at, client.poll_timeout(self.now));
        }
        for server in &self.servers {
            at = base::earliest(at, server.poll_timeout());
        }
        for paths in &mut self.paths {
            for path in paths.all() {
                at = base::earliest(at, path.poll_timeout());
            }
        }
        for path in self.flow_paths.iter_mut().flatten() {
            at = base::earliest(at, path.poll_timeout());
        }
        for tcp in &self.tcps {
            at = base::earliest(at, base::earliest(tcp.up.poll_timeout(), tcp.down.poll_timeout()));
        }
        at
    }

    /// Everything that is due happens.
    fn step(&mut self) {
        let now = self.now;
        for n in 0..self.phones.len() {
            loop {
                let paths = &mut self.paths[n];
                if let Some(datagram) = paths.sip_up.poll(now).or_else(|| paths.rtp_up.poll(now)) {
                    self.gateway.datagram(now, &datagram, &mut self.tcps);
                } else if let Some(datagram) = paths.sip_down.poll(now).or_else(|| paths.rtp_down.poll(now)) {
                    self.phones[n].datagram(now, &datagram);
                } else {
                    break;
                }
            }
            if self.phones[n].poll_timeout().is_some_and(|at| at <= now) {
                self.phones[n].timeout(now);
            }
        }
        let mut between = Vec::new();
        for (client, [up, down]) in self.clients.iter_mut().zip(&mut self.flow_paths) {
            while let Some(datagram) = up.poll(now) {
                if datagram.to.ip() == ADDRESS {
                    self.gateway.datagram(now, &datagram, &mut self.tcps);
                } else {
                    between.push(datagram);
                }
            }
            while let Some(datagram) = down.poll(now) {
                // What goes to an address that the client has left is lost.
                if datagram.to == client.address {
                    client.datagram(now, &datagram);
                }
            }
        }
        // From one client to another.
        for datagram in between {
            let to = self.clients.iter().position(|c| c.address == datagram.to);
            if let Some(n) = to {
                self.flow_paths[n][1].send(now, datagram);
            }
        }
        for tcp in &mut self.tcps {
            tcp.up.run(now);
            tcp.down.run(now);
        }
        for client in &mut self.clients {
            if client.poll_timeout(now).is_some_and(|at| at <= now) {
                client.timeout(now);
            }
            client.sockets(now, &mut self.tcps[client.tcp]);
        }
        for server in &mut self.servers {
            server.step(now, &mut self.tcps);
        }
        self.gateway.sockets(now, &mut self.tcps);
        if self.gateway.poll_timeout().is_some_and(|at| at <= now) {
            self.gateway.timeout(now, &mut self.tcps);
        }
        self.collect();
    }

    /// Takes what was said to the network.
    fn collect(&mut self) {
        let now = self.now;
        for (phone, paths) in self.phones.iter_mut().zip(&mut self.paths) {
            for datagram in phone.outgoing.drain(..) {
                let path = if datagram.to.port() == 5060 {
                    &mut paths.sip_up
                } else {
                    &mut paths.rtp_up
                };
                path.send(now, datagram);
            }
        }
        for (client, [up, _]) in self.clients.iter_mut().zip(&mut self.flow_paths) {
            if let Some(flows) = client.flows() {
                flows
                    .outgoing
                    .drain(..)
                    .for_each(|datagram| up.send(now, datagram));
            }
        }
        while let Some((shard, dial)) = self.gateway.dials.pop_front() {
            let host = |s: &Server| s.address.ip().to_string() == dial.remote.host() && s.mood != Mood::Down;
            let tcp = self.servers.iter_mut().find(|s| host(s)).map(|server| {
                self.tcps.push(Tcp::new(NET_DELAY));
                server.accept(now, self.tcps.len() - 1);
                self.tcps.len() - 1
            });
            self.gateway.dialled(now, shard, dial, tcp, &mut self.tcps);
        }
        for datagram in self.gateway.sent.drain(..) {
            if datagram.from.port() == PORT {
                let to = self
                    .clients
                    .iter()
                    .position(|c| c.address.ip() == datagram.to.ip());
                if let Some(n) = to {
                    self.flow_paths[n][1].send(now, datagram);
                }
                continue;
            }
            let to = self.phones.iter().position(|p| p.sip.ip() == datagram.to.ip());
            let Some(n) = to else { continue };
            let path = if datagram.to.port() == 5060 {
                &mut self.paths[n].sip_down
            } else {
                &mut self.paths[n].rtp_down
            };
            path.send(now, datagram);
        }
    }

    /// Everybody leaves, all timers run out, and nothing is left in the gateway.
    #[track_caller]
    pub fn ends_clean(&mut self) {
        let now = self.now;
        for phone in &mut self.phones {
            assert!(phone.is_idle(), "{} is still in a call", phone.user);
            phone.unregister(now);
        }
        self.leave_all();
        self.run(LINGER);
        assert_eq!(self.gateway.population(), Population::default());
        for phone in &self.phones {
            let left = (phone.endpoint.calls(), phone.endpoint.transactions());
            assert_eq!(left, (0, 0), "{}: {:?}", phone.user, phone.endpoint);
        }
        self.checked = true;
    }
}

/// The median of delays, ms.
#[track_caller]
pub fn median(marks: &[Mark]) -> f64 {
    assert!(!marks.is_empty(), "nothing was heard");
    let mut delays: Vec<f64> = marks.iter().map(|m| m.delay.as_secs_f64() * 1e3).collect();
    delays.sort_by(f64::total_cmp);
    delays[delays.len() / 2]
}
