use super::*;

const A: LegId = LegId(1);
const B: LegId = LegId(2);
const C: LegId = LegId(3);
const T: Time = Time::from_secs(100);

fn secret(pin: &str) -> Option<Secret> {
    Some(Secret::new(pin))
}

fn room(rules: RoomRules) -> Room {
    Room::new(rules)
}

fn join(room: &mut Room, leg: LegId) -> Vec<RoomAction> {
    room.join(T, leg, format!("{leg}"), Role::Participant, false);
    room.take_actions()
}

fn keys(room: &mut Room, leg: LegId, keys: &str) -> Vec<RoomAction> {
    keys.chars().for_each(|c| room.digit(T, leg, c));
    room.take_actions()
}

fn is_in(room: &Room, leg: LegId) -> bool {
    room.members().any(|(l, m)| l == leg && !m.at_door)
}

#[test]
fn who_comes_is_heard_and_announced() {
    let mut r = room(RoomRules::default());
    let actions = join(&mut r, A);
    assert_eq!(
        actions,
        [
            RoomAction::Mute(A, false),
            RoomAction::Deafen(A, false),
            RoomAction::Play(None, Prompt::Join),
            RoomAction::Play(Some(A), Prompt::Alone),
        ]
    );
    assert!(join(&mut r, B).contains(&RoomAction::Hush(Some(A))));
    r.leave(B);
    assert_eq!(
        r.take_actions(),
        [
            RoomAction::Play(None, Prompt::Leave),
            RoomAction::Play(Some(A), Prompt::Alone)
        ]
    );
    let names: Vec<RoomEvent> = r.take_events();
    assert!(matches!(
        &names[..],
        [
            RoomEvent::Joined { leg: A, .. },
            RoomEvent::Joined { leg: B, .. },
            RoomEvent::Left { leg: B }
        ]
    ));
    r.leave(A);
    assert!(r.is_empty());
}

#[test]
fn the_pin_is_asked_three_times_at_most() {
    let rules = RoomRules {
        pin: secret("1234"),
        ..RoomRules::default()
    };
    let mut r = room(rules.clone());
    let asked = join(&mut r, A);
    assert!(asked.contains(&RoomAction::Deafen(A, true)) && asked.contains(&RoomAction::Mute(A, true)));
    assert!(asked.contains(&RoomAction::Play(Some(A), Prompt::AskPin)));
    assert!(keys(&mut r, A, "99#").contains(&RoomAction::Play(Some(A), Prompt::WrongPin)));
    assert!(!is_in(&r, A));
    // The last digit of the right one is enough.
    assert!(keys(&mut r, A, "1234").contains(&RoomAction::Mute(A, false)));
    assert!(is_in(&r, A));

    let mut r = room(rules);
    join(&mut r, A);
    keys(&mut r, A, "1#2#");
    let sent_away = |actions: &[RoomAction]| {
        actions
            .iter()
            .any(|a| matches!(a, RoomAction::HangUp(leg, o) if *leg == A && o.reason == EndReason::Forbidden))
    };
    assert!(sent_away(&keys(&mut r, A, "3#")));
    // Who keys in nothing is not waited for for ever.
    join(&mut r, A);
    for n in 1..=3 {
        assert!(r.poll_timeout().is_some());
        r.handle_timeout(T + PIN_TIME * n);
    }
    assert!(sent_away(&r.take_actions()));
    assert!(r.take_events().is_empty());
}

#[test]
fn a_room_starts_and_ends_with_its_moderator() {
    let mut r = room(RoomRules {
        pin: secret("11"),
        moderator_pin: secret("117"),
        start_with_moderator: true,
        end_with_moderator: true,
        ..RoomRules::default()
    });
    join(&mut r, A);
    // One PIN begins with the other: `#` tells them apart.
    assert!(!keys(&mut r, A, "11").contains(&RoomAction::Mute(A, true)));
    let waits = keys(&mut r, A, "#");
    assert!(waits.contains(&RoomAction::Mute(A, true)) && waits.contains(&RoomAction::Deafen(A, true)));
    assert!(waits.contains(&RoomAction::Play(Some(A), Prompt::Waiting)));
    join(&mut r, B);
    let starts = keys(&mut r, B, "117");
    for leg in [A, B] {
        assert!(starts.contains(&RoomAction::Mute(leg, false)), "{leg}");
        assert!(starts.contains(&RoomAction::Deafen(leg, false)), "{leg}");
    }
    assert!(r.take_events().contains(&RoomEvent::Started));
    r.leave(B);
    assert!(
        r.take_actions()
            .contains(&RoomAction::HangUp(A, Outcome::new(EndReason::HungUp)))
    );
}

#[test]
fn full_and_locked_rooms_turn_away() {
    let mut r = room(RoomRules {
        max_members: 2,
        ..RoomRules::default()
    });
    join(&mut r, A);
    assert_eq!(r.admits(Role::Participant), Ok(()));
    join(&mut r, B);
    assert_eq!(r.admits(Role::Participant).unwrap_err().status, 486);
    // Who only listens takes nobody's place.
    assert_eq!(r.admits(Role::Listener), Ok(()));
    r.leave(B);
    r.lock(true);
    assert_eq!(r.admits(Role::Participant).unwrap_err().status, 403);
    assert_eq!(r.admits(Role::Listener).unwrap_err().status, 403);
    assert_eq!(r.admits(Role::Moderator), Ok(()));
    r.lock(false);
    assert_eq!(r.admits(Role::Participant), Ok(()));
}

#[test]
fn keys_mute_count_and_raise_hands() {
    let mut r = room(RoomRules::default());
    [A, B, C].into_iter().for_each(|leg| drop(join(&mut r, leg)));
    r.take_events();
    assert_eq!(
        keys(&mut r, A, "*6"),
        [
            RoomAction::Mute(A, true),
            RoomAction::Play(Some(A), Prompt::Muted)
        ]
    );
    assert_eq!(keys(&mut r, A, "*6")[0], RoomAction::Mute(A, false));
    // Without the star, and long after it, a key means nothing.
    assert_eq!(keys(&mut r, A, "6"), []);
    r.digit(T, A, '*');
    r.digit(T + COMMAND_TIME * 2, A, '6');
    assert_eq!(r.take_actions(), []);
    assert_eq!(keys(&mut r, B, "*2").len(), 3);
    assert_eq!(
        keys(&mut r, B, "*5*5"),
        [RoomAction::Volume(B, 3), RoomAction::Volume(B, 6)]
    );
    keys(&mut r, B, "*1");
    assert!(r.take_events().contains(&RoomEvent::Hand { leg: B, on: true }));
    // Only moderators lock, mute the others and end the room.
    assert_eq!(keys(&mut r, B, "*7*8*9"), []);
    r.join(T, LegId(9), "boss".into(), Role::Moderator, true);
    r.take_actions();
    let actions = keys(&mut r, LegId(9), "*8");
    for leg in [A, B, C] {
        assert!(actions.contains(&RoomAction::Mute(leg, true)));
    }
    keys(&mut r, LegId(9), "*7");
    assert!(r.is_locked());
    assert_eq!(keys(&mut r, LegId(9), "*9").len(), 4);
}

#[test]
fn the_floor_goes_to_the_loudest_of_all_shards() {
    let mut r = room(RoomRules::default());
    [A, B].into_iter().for_each(|leg| drop(join(&mut r, leg)));
    r.take_events();
    r.set_talkers(0, vec![(A, -30)]);
    r.set_talkers(1, vec![(B, -20)]);
    r.set_talkers(1, vec![(B, -20)]);
    r.set_talkers(1, vec![]);
    assert_eq!(
        r.take_events(),
        [
            RoomEvent::Speaker(A),
            RoomEvent::Speaker(B),
            RoomEvent::Speaker(A)
        ]
    );
    assert!(r.speaks(A) && !r.speaks(B));
    r.leave(A);
    assert_eq!(r.speaker(), None);
}
