//! Accounts of clients at registrars elsewhere.

use std::net::SocketAddr;
use std::sync::Arc;

use base::{EndReason, Rng, SessionId, ShardId, Time};
use call::{Intent, LineEvent, LineIntent};
use flashgate::config::Access;
use flashgate::daemon::Listening;
use flashgate::exchange::{self, Exchange};
use flashgate::shard::{Command, Event};

use super::lines::{answer, attach, dial, hang_up, has, login};
use crate::gateway::ADDRESS;
use crate::phone::Told;
use crate::world::{Who, World, ms, secs};

/// A gateway that takes accounts of elsewhere, a server with the account of alice, and a client.
fn world() -> (World, Who, Who, String) {
    let open = |c: &mut flashgate::config::Config| c.sip.accounts.external = Access::Open;
    let mut w = World::builder().config(open).build();
    let server = w.server("alice");
    let aor = format!("alice@{}", w.at(server).sip.ip());
    let client = w.telephone(false);
    (w, server, client, aor)
}

fn logged_in(e: &LineEvent) -> bool {
    matches!(e, LineEvent::LoggedIn { .. })
}

#[test]
fn a_client_registers_elsewhere_is_called_there_and_leaves() {
    let (mut w, server, client, aor) = world();
    w.intend(client, login(&aor, "alice-secret"));
    assert!(!has(&mut w, client, logged_in));
    w.run(ms(300));
    assert!(has(&mut w, client, logged_in));
    assert_eq!(w.at(server).bindings.len(), 1);

    let now = w.now;
    w.at(server).dial_binding(now);
    w.run(ms(300));
    let line = w.incoming_line(client);
    assert!(w.at(server).was(&Told::Progress(180, false)));
    w.intend(client, attach(line));
    w.intend(client, answer(line));
    w.run(secs(2));
    w.hear_each_other(client, server);
    w.intend(client, hang_up(line, 200));
    w.run(ms(300));
    assert!(w.at(server).was(&Told::Ended(EndReason::HungUp)));

    // The registration is kept while the client is there, and no longer.
    w.run(secs(1_800));
    assert_eq!(w.at(server).bindings.len(), 1);
    w.leave(client);
    w.run(ms(300));
    assert_eq!(w.at(server).bindings.len(), 0);
    w.ends_clean();
}

#[test]
fn calls_go_through_the_accounts_own_server_with_its_name_and_password() {
    let (mut w, server, client, aor) = world();
    w.intend(client, login(&aor, "alice-secret"));
    w.run(ms(300));
    for target in ["bob", "+49 30 123456", "\"Bob\" <sip:bob@192.0.2.10>"] {
        let n = w.told(client).len() as u32 + 1;
        w.intend(client, dial(n, target, &[]));
        w.intend(client, attach(call::Line(n)));
        w.run(secs(2));
        w.hear_each_other(client, server);
        let from = w.at(server).last_from.clone().unwrap();
        assert_eq!(from.uri.to_string(), format!("sip:{aor}"));
        assert_eq!(from.display, Some(format!("{aor} the tester")));
        w.intend(client, hang_up(call::Line(n), 200));
        w.run(ms(300));
    }
    // What is ours is not looked for there.
    w.intend(client, dial(900, "echo", &[]));
    w.intend(client, attach(call::Line(900)));
    w.run(secs(1));
    w.hears(client, client);
    w.intend(client, hang_up(call::Line(900), 200));
    w.ends_clean();
}

#[test]
fn a_wrong_password_is_told_and_not_tried_again() {
    let (mut w, server, client, aor) = world();
    w.intend(client, login(&aor, "guess"));
    w.run(ms(500));
    let told = w.told(client);
    assert!(
        matches!(told.last(), Some(LineEvent::LoginFailed { outcome, retrying: false, .. })
            if matches!(outcome.status, 401 | 403)),
        "{told:?}"
    );
    w.run(secs(600));
    assert_eq!(w.told(client).len(), told.len());
    assert!(w.at(server).bindings.is_empty());
    w.ends_clean();
}

#[test]
fn a_server_that_is_not_there_is_tried_again() {
    let (mut w, _, client, _) = world();
    w.intend(client, login("alice@192.0.2.77", "alice-secret"));
    w.run(secs(40));
    let told = w.told(client);
    assert!(
        matches!(told.last(), Some(LineEvent::LoginFailed { retrying: true, .. })),
        "{told:?}"
    );
    let tries = told.len();
    w.run(secs(120));
    assert!(w.told(client).len() > tries);
    w.ends_clean();
}

#[test]
fn who_may_log_in_elsewhere_is_the_operators_choice() {
    let named = |c: &mut flashgate::config::Config| c.sip.accounts.registrars = vec!["192.0.2.10".to_owned()];
    let mut w = World::builder().users(&["bob"]).config(named).build();
    let server = w.server("alice");
    assert_eq!(w.at(server).sip.ip().to_string(), "192.0.2.10");
    let client = w.telephone(false);
    w.intend(client, login("eve@192.0.2.66", "secret"));
    assert!(has(&mut w, client, |e| matches!(
        e,
        LineEvent::LoginFailed { outcome, retrying: false, .. } if outcome.status == 403
    )));
    w.intend(client, login("alice@192.0.2.10", "alice-secret"));
    w.run(ms(300));
    assert!(has(&mut w, client, logged_in));
    w.intend(
        client,
        LineIntent::Logout {
            account: call::AccountId(1),
        },
    );
    w.run(ms(300));
    assert!(w.at(server).bindings.is_empty());
    w.ends_clean();
}

#[test]
fn a_thousand_accounts_share_one_socket_and_leave_nothing() {
    let mut config = flashgate::config::Config::default();
    config.sip.accounts.external = Access::Open;
    let at = SocketAddr::new(ADDRESS, 5060);
    let listening = Listening {
        sip_udp: vec![at],
        ..Listening::default()
    };
    let settings = exchange::settings::exchange(&config, &listening, 1).unwrap();
    let endpoint = exchange::settings::endpoint(&config, &listening, &settings);
    let mut now = Time::from_secs(100);
    let here = Box::new(|_| ADDRESS);
    let mut gateway = Exchange::new(Arc::new(settings), endpoint, here, Rng::new(1), &[1; 32], now);
    let server_at: SocketAddr = "192.0.2.50:5060".parse().unwrap();
    let mut server = sip::Endpoint::new(
        sip::EndpointConfig {
            domains: vec![server_at.ip().to_string()],
            listeners: vec![sip::Listener::new(sip::Transport::Udp, server_at)],
            ..sip::EndpointConfig::default()
        },
        Rng::new(2),
    );
    let name = |n: u64| format!("user{n}");
    let accounts = (0..1_000).map(|n| sip::User {
        name: name(n),
        password: format!("{}-secret", name(n)),
    });
    server.set_users(accounts.collect());
    let source = |local, remote| sip::Source {
        transport: sip::Transport::Udp,
        local,
        remote,
        conn: None,
    };
    let mut logged_in = 0;
    // Datagrams go to and fro until nobody has anything to say.
    let mut settle = |gateway: &mut Exchange, now| {
        let mut more = true;
        while std::mem::take(&mut more) {
            while let Some(output) = gateway.poll_output() {
                more = true;
                match output {
                    exchange::Output::Shard(_, Command::Line { event, .. }) => {
                        logged_in += usize::from(matches!(event, LineEvent::LoggedIn { .. }));
                    }
                    exchange::Output::Sip(output) => match *output {
                        sip::Output::Send { bytes, remote, .. } => {
                            assert_eq!(remote, server_at);
                            server.handle_datagram(now, source(server_at, at), &bytes);
                        }
                        sip::Output::Lookup { id, uri } => {
                            gateway.handle_resolved(now, id, crate::gateway::locate(&uri));
                        }
                        sip::Output::Event(_) => {}
                    },
                    _ => {}
                }
            }
            while let Some(output) = server.poll_output() {
                more = true;
                if let sip::Output::Send { bytes, .. } = output {
                    gateway.handle_datagram(now, source(at, server_at), &bytes);
                }
            }
        }
        logged_in
    };
    for n in 0..1_000 {
        let (session, shard) = (SessionId(n), ShardId(0));
        let peer = SocketAddr::from(([198, 51, 100, (n % 250) as u8], 4_000));
        gateway.handle_shard(now, shard, Event::SessionOpened { session, peer });
        let aor = format!("{}@{}", name(n), server_at.ip());
        let intent = Intent::Line(login(&aor, &format!("{}-secret", name(n))));
        gateway.handle_shard(now, shard, Event::Intent { session, intent });
        settle(&mut gateway, now);
    }
    assert_eq!(settle(&mut gateway, now), 1_000);
    for n in 0..1_000 {
        let event = Event::SessionClosed {
            session: SessionId(n),
            reason: EndReason::HungUp,
        };
        gateway.handle_shard(now, ShardId(0), event);
    }
    settle(&mut gateway, now);
    now += crate::gateway::LINGER;
    gateway.handle_timeout(now);
    assert!(
        gateway.population().iter().all(|n| *n == 0),
        "{:?}",
        gateway.population()
    );
}
