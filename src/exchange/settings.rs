//! What the exchange and the SIP endpoint need of the configuration.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use call::{Limits, RoomRules, Route, RouteTo, Routes};
use media::{PipeOptions, RoomOptions, Suite};
use sip::auth::Algorithm;
use sip::{EndpointConfig, Host, Listener, OpenRegistration, Transport, Uri};

use super::{
    AccountSettings, Admits, Conference, ConfiguredRoom, NamedRemote, OutboundSettings, Prompts, Protection,
    Settings,
};
use crate::config::{self, Access, Config};
use crate::daemon::{Listening, StartError};
use crate::recorder::Recorder;
use crate::shard::Remote;

mod trunks;

/// Settings of the exchange.
pub fn exchange(config: &Config, listening: &Listening, shards: usize) -> Result<Settings, StartError> {
    let sip_addresses: Vec<SocketAddr> = listening
        .sip_udp
        .iter()
        .chain(&listening.sip_tcp)
        .copied()
        .chain(tls_contacts(listening))
        .chain(listening.sip_ws.iter().chain(&listening.sip_wss).copied())
        .collect();
    let mut domains = vec![config.sip.domain.clone()];
    if sip_addresses
        .iter()
        .any(|a| a.ip().is_loopback() || a.ip().is_unspecified())
    {
        domains.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
    }
    let mut rtp_addresses: Vec<IpAddr> = Vec::new();
    for address in &sip_addresses {
        if !rtp_addresses.contains(&address.ip()) {
            rtp_addresses.push(address.ip());
        }
    }
    let trunks = config.sip.trunk.iter().map(trunks::trunk);
    let trunks = trunks.collect::<Result<Vec<_>, _>>()?;
    let numbering = trunks::numbering(&config.sip.numbers);
    Ok(Settings {
        domains,
        sip_addresses,
        public_address: config.node.public_address,
        rtp_addresses,
        codecs: config.media.codecs.clone(),
        ptime_ms: u32::try_from(config.media.ptime.as_millis()).unwrap_or(20),
        protection: protection(config),
        dtmf: config.media.telephone_event,
        ring_timeout: config.sip.ring_timeout,
        ringback: media::Cadence::of(config.media.ringback.as_str()),
        limits: Limits {
            calls: usize::try_from(config.limits.calls).unwrap_or(usize::MAX),
            calls_per_second: config.limits.calls_per_second,
        },
        callers: admits(config.sip.inbound, &config.user),
        streamers: admits(config.rtmp.access, &config.user),
        refer: config.sip.transfer_by == config::TransferBy::Refer,
        accounts: AccountSettings {
            // Where nobody is known, those who are here may; where users are, strangers may not.
            external: admits(config.sip.accounts.external, &config.user),
            registrars: config.sip.accounts.registrars.clone(),
            proxy: config
                .sip
                .accounts
                .proxy
                .as_deref()
                .map(|p| uri("sip.accounts.proxy", p))
                .transpose()?,
            expires: config.sip.accounts.expires,
            names: admits(config.sip.registration, &config.user),
            failures: u32::from(config.sip.accounts.wrong_logins),
            wait: config.sip.accounts.wrong_login_wait,
        },
        users: config
            .user
            .iter()
            .map(|u| (u.name.clone(), u.password.expose().to_owned()))
            .collect(),
        shares_domains: config.directory.backend == config::Backend::P2p,
        routes: routes(config)?,
        trunks,
        user_numbers: trunks::user_numbers(config, &numbering),
        trunk_logins: trunks::logins(config),
        rules: trunks::rules(config),
        guard: trunks::guard(&config.sip.guard),
        numbering,
        emergency: config.sip.numbers.emergency.clone(),
        emergency_to: config.sip.numbers.emergency_to.clone(),
        outbound_proxy: config
            .sip
            .outbound_proxy
            .as_deref()
            .map(|p| uri("sip.outbound_proxy", p))
            .transpose()?,
        conference: conference(config)?,
        outbound: outbound(config)?,
        ladder: usize::try_from(config.log.ladder.0).unwrap_or(usize::MAX),
        shards: u16::try_from(shards).unwrap_or(1),
    })
}

fn protection(config: &Config) -> Protection {
    let users = config.user.iter().filter_map(|u| Some((u.name.clone(), u.srtp?)));
    let trunks = config.sip.trunk.iter();
    Protection {
        default: config.media.srtp,
        users: users.collect(),
        trunks: trunks.filter_map(|t| Some((t.name.clone(), t.srtp?))).collect(),
        keys: config.media.srtp_keys,
        ice: config.media.ice,
        fingerprint: crate::net::dtls_identity().map(|i| i.fingerprint.clone()),
        suites: config
            .media
            .srtp_suites
            .iter()
            .filter_map(|s| Suite::by_name(s.as_str()))
            .collect(),
    }
}

fn outbound(config: &Config) -> Result<OutboundSettings, StartError> {
    let named = |remote: &config::RemoteStream| {
        let read = Remote::parse(&remote.url).map_err(|what| StartError::Config {
            key: format!("rtmp.remote.{}.url", remote.name),
            what,
        })?;
        Ok(NamedRemote {
            name: remote.name.clone(),
            remote: read,
        })
    };
    Ok(OutboundSettings {
        dial: config.rtmp.outbound.dial,
        give_up: config.rtmp.outbound.give_up,
        named: config
            .rtmp
            .remote
            .iter()
            .map(named)
            .collect::<Result<_, StartError>>()?,
    })
}

fn conference(config: &Config) -> Result<Conference, StartError> {
    let conference = &config.conference;
    let secret = |pin: &Option<config::Secret>| pin.as_ref().map(|p| call::Secret::new(p.expose()));
    let members = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
    let recorder = conference.recordings.as_ref().map(|folder| {
        Recorder::start(Path::new(folder)).map_err(|e| StartError::Config {
            key: "conference.recordings".to_owned(),
            what: format!("{folder}: {e}"),
        })
    });
    let prompts = conference.prompts.as_ref().map(|folder| {
        Prompts::load(Path::new(folder)).map_err(|what| StartError::Config {
            key: "conference.prompts".to_owned(),
            what,
        })
    });
    let webcast = |room: &config::Room| {
        let all = room.webcast.iter().map(|url| Remote::parse(url));
        let all = all
            .collect::<Result<Vec<_>, _>>()
            .map_err(|what| StartError::Config {
                key: format!("conference.room.{}.webcast", room.name),
                what,
            })?;
        if all.iter().all(|remote| remote.publishes) {
            return Ok(all);
        }
        Err(StartError::Config {
            key: format!("conference.room.{}.webcast", room.name),
            what: "a room is published, not played: rtmp+publish:URL".to_owned(),
        })
    };
    let room = |room: &config::Room| {
        Ok(ConfiguredRoom {
            name: room.name.clone(),
            numbers: room.numbers.clone(),
            webcast: webcast(room)?,
            rules: RoomRules {
                pin: secret(&room.pin),
                moderator_pin: secret(&room.moderator_pin),
                max_members: members(room.max_members.unwrap_or(conference.max_members)),
                start_with_moderator: room.start_with_moderator,
                end_with_moderator: room.end_with_moderator,
                tones: room.tones.unwrap_or(conference.tones),
                mute_on_entry: room.mute_on_entry,
                digits: room.digits,
            },
        })
    };
    Ok(Conference {
        on_demand: conference.on_demand,
        numbers: conference.numbers.clone(),
        rules: RoomRules {
            max_members: members(conference.max_members),
            tones: conference.tones,
            ..RoomRules::default()
        },
        rooms: conference
            .room
            .iter()
            .map(room)
            .collect::<Result<_, StartError>>()?,
        mix: RoomOptions {
            max_rate: conference.max_rate,
            talkers: usize::from(conference.talkers),
            levelling: conference.levelling,
            comfort_noise: RoomOptions::default()
                .comfort_noise
                .filter(|_| conference.comfort_noise),
            pipe: PipeOptions {
                quality: config.media.speex_quality,
                complexity: config.media.speex_complexity,
                ..PipeOptions::default()
            },
        },
        prompts: prompts.transpose()?.unwrap_or_default(),
        recorder: recorder.transpose()?,
    })
}

/// Settings of the SIP endpoint.
pub fn endpoint(config: &Config, listening: &Listening, settings: &Settings) -> EndpointConfig {
    let listener = |transport, local: &SocketAddr| {
        let mut listener = Listener::new(transport, *local);
        let shown = match config.node.public_address {
            Some(public) => Some(public),
            // A wildcard is no address to write into a message; the one that leads out is.
            None if local.ip().is_unspecified() => crate::net::local_address_toward(far_away(local)).ok(),
            None => None,
        };
        if let Some(shown) = shown {
            listener.host = match shown {
                IpAddr::V4(a) => Host::V4(a),
                IpAddr::V6(a) => Host::V6(a),
            };
        }
        listener
    };
    let udp = listening.sip_udp.iter().map(|a| listener(Transport::Udp, a));
    let tcp = listening.sip_tcp.iter().map(|a| listener(Transport::Tcp, a));
    let ws = listening.sip_ws.iter().map(|a| listener(Transport::Ws, a));
    let wss = listening.sip_wss.iter().map(|a| listener(Transport::Wss, a));
    let tls = tls_contacts(listening);
    let tls = tls.iter().map(|a| listener(Transport::Tls, a));
    let seconds = |d: Duration| u32::try_from(d.as_secs()).unwrap_or(u32::MAX);
    EndpointConfig {
        domains: settings.domains.clone(),
        user_agent: config.sip.user_agent.clone(),
        listeners: udp.chain(tcp).chain(tls).chain(ws).chain(wss).collect(),
        outbound_proxy: settings.outbound_proxy.clone(),
        t1: config.sip.t1,
        t2: config.sip.t2,
        t4: config.sip.t4,
        ring_time: config.sip.ring_timeout + Duration::from_secs(5),
        min_expires: seconds(config.sip.register_min),
        max_expires: seconds(config.sip.register_max),
        default_expires: seconds(config.sip.register_max),
        transfers: config.sip.transfers,
        digest: config.sip.digest.iter().map(|d| digest(*d)).collect(),
        open_registration: match config.sip.registration {
            Access::Open => OpenRegistration::Anybody,
            Access::Auto if config.user.is_empty() => OpenRegistration::Loopback,
            Access::Auto | Access::Users => OpenRegistration::Nobody,
        },
        ..EndpointConfig::default()
    }
}

/// Where peers reach us by TLS. What we connect has a Via and a Contact too, whether or not we can be connected to:
/// then they name the usual port, and the connection itself is the way back.
fn tls_contacts(listening: &Listening) -> Vec<SocketAddr> {
    if !listening.sip_tls.is_empty() {
        return listening.sip_tls.clone();
    }
    let hosts: BTreeSet<IpAddr> = listening
        .sip_udp
        .iter()
        .chain(&listening.sip_tcp)
        .map(SocketAddr::ip)
        .collect();
    let port = Transport::Tls.default_port();
    hosts.into_iter().map(|ip| SocketAddr::new(ip, port)).collect()
}

/// An address of the same family on no network of ours, to find the way out.
fn far_away(local: &SocketAddr) -> SocketAddr {
    match local {
        SocketAddr::V4(_) => SocketAddr::from(([192, 0, 2, 1], 9)),
        SocketAddr::V6(_) => SocketAddr::from(([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 9)),
    }
}

fn digest(digest: config::Digest) -> Algorithm {
    match digest {
        config::Digest::Md5 => Algorithm::Md5,
        config::Digest::Sha256 => Algorithm::Sha256,
    }
}

fn admits(access: Access, users: &[config::User]) -> Admits {
    match access {
        Access::Open => Admits::Anybody,
        Access::Auto if users.is_empty() => Admits::Loopback,
        Access::Auto | Access::Users => Admits::Users,
    }
}

fn routes(config: &Config) -> Result<Routes, StartError> {
    let mut routes = Vec::new();
    for route in &config.route {
        let from = (!route.from.is_empty()).then(|| {
            route
                .from
                .iter()
                .map(|u| regex::escape(u))
                .collect::<Vec<_>>()
                .join("|")
        });
        let made = Route::new(
            route.r#match.as_str(),
            from.as_deref(),
            RouteTo::Trunks(route.to.clone()),
            route.rewrite.as_deref(),
        );
        let made = made.map_err(|e| StartError::Config {
            key: "route.match".to_owned(),
            what: e.to_string(),
        })?;
        routes.push(made.with(route.caller_id.clone(), route.max_duration));
    }
    Ok(Routes::new(routes))
}

fn uri(key: &str, text: &str) -> Result<Uri, StartError> {
    Uri::parse(text).map_err(|e| StartError::Config {
        key: key.to_owned(),
        what: e.to_string(),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_country_of_the_configuration_has_a_tone() {
        let countries: Vec<&str> = media::RINGING.iter().map(|c| c.country).collect();
        let known: Vec<&str> = crate::config::Ringback::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(known[0], "none");
        assert_eq!(known[1..], countries);
    }
}
