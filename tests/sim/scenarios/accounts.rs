//! Accounts of clients at registrars elsewhere.

use base::EndReason;
use call::{LineEvent, LineIntent};
use flashgate::config::Access;

use super::lines::{answer, attach, dial, hang_up, has, login};
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
