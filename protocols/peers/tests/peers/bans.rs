//! Bans and trust.

use spacetime_core::Limits;

use super::*;

fn ban(net: &mut Net, text: &str, duration: Option<Duration>) {
    net.command(Command::Ban { target: target(text), duration, reason: "test".into() });
}

fn is_denied(result: Result<ConnectionId, CloseReason>) -> bool {
    match result {
        Ok(_) => false,
        Err(reason) => {
            assert_eq!(reason, CloseReason::Refused("banned"));
            true
        }
    }
}

/// A peer with a proven identity, and one without, by what each can be banned and trusted.
const BY: [(&str, bool, &str); 9] = [
    ("9.9.9.9:1000", false, "9.9.9.9"),
    ("9.9.9.9:1000", true, "9.9.0.0/16"),
    ("9.9.9.9:1000", false, "9.9.9.9:1000"),
    ("9.9.9.9:1000", false, "9.9.9.9:8333"),
    ("9.9.9.9:1000", true, "0505050505050505050505050505050505050505050505050505050505050505"),
    ("[2a00:1:2:3::4]:1000", false, "2a00:1:2:3::/64"),
    ("[2002:909:909::1]:1000", false, "9.9.9.9"),
    ("10.0.0.1:1000", false, "10.0.0.1:8333"),
    ("10.0.0.1:1000", true, "10.0.0.0/8"),
];

fn connect(net: &mut Net, from: &str, is_proven: bool) -> Result<ConnectionId, CloseReason> {
    net.connect(from, is_proven.then(|| id(5)), Some(8333))
}

#[test]
fn a_ban_ends_the_session_and_holds_until_it_is_taken_back() {
    for (from, is_proven, by) in BY {
        let mut net = Net::new(Config::default());
        let peer = connect(&mut net, from, is_proven).unwrap();
        let other = net.connect("8.8.8.8:1", Some(id(6)), None).unwrap();
        ban(&mut net, by, None);
        assert_eq!(net.closed.get(&peer), Some(&CloseReason::Refused("banned")), "{by}");
        assert!(net.is_open(other));
        assert!(is_denied(connect(&mut net, from, is_proven)), "{by}");
        net.run_for(HOUR * 1000);
        assert!(is_denied(connect(&mut net, from, is_proven)), "{by}");
        net.crash(Config::default(), HOUR * 1000);
        assert!(is_denied(connect(&mut net, from, is_proven)), "{by} after a restart");
        net.command(Command::Unban(target(by)));
        assert!(connect(&mut net, from, is_proven).is_ok(), "{by}");
        net.crash(Config::default(), SECOND);
        assert!(connect(&mut net, from, is_proven).is_ok(), "{by} after a restart");
    }
}

#[test]
fn the_first_ban_after_a_while_does_not_wake_the_node_at_once() {
    for seconds in 1..200 {
        let mut net = Net::new(Config::default());
        let peer = net.connect("9.9.9.9:1000", None, None).unwrap();
        net.run_for(SECOND * seconds);
        net.report(peer, GRAVE);
        assert_eq!(net.peers().bans().count(), 1);
        assert!(net.deadline().unwrap() > net.clock().time);
    }
}

#[test]
fn a_ban_with_an_end_ends_then_also_while_the_node_is_off() {
    for restarts in [false, true] {
        let mut net = Net::new(Config::default());
        ban(&mut net, "9.9.9.9", Some(HOUR));
        net.run_for(MINUTE * 30);
        assert!(is_denied(connect(&mut net, "9.9.9.9:1000", false)));
        if restarts {
            net.crash(Config::default(), MINUTE * 29);
        } else {
            net.run_for(MINUTE * 29);
        }
        assert!(is_denied(connect(&mut net, "9.9.9.9:1000", false)));
        net.run_for(MINUTE * 2);
        assert!(connect(&mut net, "9.9.9.9:1000", false).is_ok());
        assert_eq!(net.peers().bans().count(), 0);
    }
}

#[test]
fn a_ban_ends_within_a_minute_also_where_nothing_else_happens() {
    let mut net = Net::new(Config::default().with_max_outbound(0));
    ban(&mut net, "9.9.9.9", Some(HOUR));
    net.run_for(HOUR - SECOND);
    assert!(is_denied(connect(&mut net, "9.9.9.9:1000", false)));
    net.run_for(MINUTE + SECOND);
    assert!(connect(&mut net, "9.9.9.9:1000", false).is_ok());
}

#[test]
fn durations_and_clocks_at_their_ends_are_no_panic() {
    for unix_seconds in [i64::MIN, -1, 0, i64::MAX / 2] {
        let mut net = Net::restart(Config::default(), Stored::default(), unix_seconds);
        for duration in [Some(Duration::MAX), Some(Duration::ZERO), None] {
            ban(&mut net, "9.9.9.9", duration);
            let peer = net.connect("8.8.8.8:1", None, None).unwrap();
            net.report(peer, Offence::Other("test"));
            net.end(peer, CloseReason::EndOfStream);
        }
        assert!(is_denied(connect(&mut net, "9.9.9.9:1000", false)));
        net.run_for(HOUR * 100);
    }
}

#[test]
fn whoever_is_trusted_is_let_in_and_kept_whatever_it_does() {
    for (from, is_proven, by) in BY {
        let mut net = Net::new(Config::default().with_max_inbound(1).with_max_inbound_per_host(1));
        net.command(Command::Trust(target(by)));
        net.crash(Config::default(), SECOND);
        assert_eq!(net.peers().trusted().count(), 1);
        let peer = connect(&mut net, from, is_proven).unwrap();
        for _ in 0..50 {
            net.report(peer, GRAVE);
        }
        assert!(net.is_open(peer), "{by}");
        assert_eq!((net.peers().bans().count(), net.peers().score(peer)), (0, 0), "{by}");
        net.command(Command::Distrust(target(by)));
        for _ in 0..4 {
            net.report(peer, GRAVE);
        }
        assert!(!net.is_open(peer), "{by}");
        assert!(is_denied(connect(&mut net, from, is_proven)), "{by}");
    }
}

#[test]
fn whoever_is_trusted_by_its_host_comes_as_often_as_it_wants() {
    // As many sessions as anybody wants, so that only the rates hold.
    let config = || {
        Config::default().with_max_inbound(100).with_max_inbound_per_host(100).with_max_inbound_per_group(100)
    };
    let come = |net: &mut Net, first_port: u16| {
        let mut comes = |port| net.connect(&format!("8.8.8.8:{port}"), None, None).is_ok();
        (first_port..first_port + 20).filter(|port| comes(*port)).count()
    };
    let node = || Net::with_limits(config(), Stored::default(), UNIX_SECONDS, Limits::default());
    assert_eq!(come(&mut node(), 1000), 8);
    let mut net = node();
    net.command(Command::Trust(target("8.8.8.8")));
    assert_eq!(come(&mut net, 1000), 20);
    net.command(Command::Distrust(target("8.8.8.8")));
    assert_eq!(come(&mut net, 2000), 8, "what came before was not counted");
}

#[test]
fn trust_comes_before_any_ban_but_one_of_the_same_target() {
    let mut net = Net::new(Config::default());
    net.command(Command::Trust(target("9.9.9.9")));
    let peer = connect(&mut net, "9.9.9.9:1000", false).unwrap();
    ban(&mut net, "9.0.0.0/8", None);
    assert!(net.is_open(peer));
    assert!(is_denied(connect(&mut net, "9.9.9.8:1000", false)));
    ban(&mut net, "9.9.9.9", None);
    assert!(!net.is_open(peer));
    assert_eq!(net.peers().trusted().count(), 0);
}

#[test]
fn a_trusted_peer_does_not_pay_for_its_neighbours_while_it_is_connected() {
    let mut net = Net::new(Config::default());
    net.command(Command::Trust(target(&id(5).to_string())));
    let trusted = net.connect("9.9.9.9:1000", Some(id(5)), None).unwrap();
    for number in 10..20 {
        if let Ok(neighbour) = net.connect("9.9.9.9:1001", Some(id(number)), None) {
            net.report(neighbour, GRAVE);
            assert!(!net.is_open(neighbour));
        }
    }
    assert!(net.peers().bans().any(|it| it.target == target("9.9.9.9")), "a host that only offends");
    assert!(net.is_open(trusted));
}

#[test]
fn who_is_trusted_by_identity_is_dialled_and_kept_where_its_host_is_banned() {
    let mut net = Net::new(Config::default());
    net.command(Command::Trust(target(&id(5).to_string())));
    ban(&mut net, "9.9.9.9", None);
    for (identity, is_kept) in [(id(5), true), (id(6), false)] {
        let place = socket(&format!("9.9.9.9:{}", 8000 + u16::from(identity.0[0])));
        net.answers.insert(place, Answer::Peer(Some(identity)));
        net.command(Command::Add(Address::socket(place).pinned(identity)));
        net.run_for(MINUTE * 2);
        assert_eq!(net.outbound().contains_key(&place), is_kept);
    }
}

#[test]
fn a_banned_network_is_neither_dialled_nor_let_in() {
    let mut known: Vec<_> = (0..20).map(|it| socket(&format!("9.9.{it}.1:8333"))).collect();
    known.push(apart(1));
    let mut stored = disk(&known, 21, &known[..2]);
    stored.state.as_mut().unwrap().bans.push(spacetime_peers::Ban {
        target: target("9.9.0.0/16"),
        until: None,
        reason: "test".into(),
    });
    let mut net = Net::restart(Config::default(), stored, UNIX_SECONDS);
    for address in &known {
        net.answers.insert(*address, Answer::Peer(None));
    }
    net.run_for(HOUR * 3);
    assert!(net.dials.iter().all(|it| it.1 == apart(1)));
    assert!(is_denied(connect(&mut net, "9.9.200.1:1", true)));
    let teller = net.connect("8.8.8.8:1", None, None).unwrap();
    net.tell(teller, &[socket("9.9.77.1:8333")]);
    net.run_for(HOUR);
    assert_eq!(net.times_dialled(socket("9.9.77.1:8333")), 0);
}

#[test]
fn a_ban_closes_what_this_node_chose_too_and_does_not_look_for_it() {
    let known: Vec<_> = (0..30).map(apart).collect();
    let mut net = Net::restart(Config::default(), disk(&known, 30, &[]), UNIX_SECONDS);
    net.add_answers(0..30);
    net.run_for(SECOND * 10);
    let (address, connection) = net.outbound().pop_first().unwrap();
    ban(&mut net, &address.ip().to_string(), None);
    assert!(!net.is_open(connection));
    let dialled = net.times_dialled(address);
    net.run_for(HOUR * 3);
    assert_eq!((net.times_dialled(address), net.peers().outbound()), (dialled, 8));
}

#[test]
fn an_address_where_a_banned_identity_answers_is_dialled_ever_more_rarely() {
    let known = [apart(0), apart(1)];
    let mut net = Net::restart(Config::default(), disk(&known, 2, &[]), UNIX_SECONDS);
    net.answers.insert(apart(0), Answer::Peer(Some(id(5))));
    net.answers.insert(apart(1), Answer::Peer(Some(id(6))));
    ban(&mut net, &id(5).to_string(), None);
    net.run_for(HOUR * 5);
    let (book, now) = (net.peers().book(), net.clock().unix_seconds);
    assert!(book.get(apart(0)).unwrap().failure_count > 0 || net.times_dialled(apart(0)) < 50);
    assert!(net.times_dialled(apart(0)) < 50, "{} at {now}", net.times_dialled(apart(0)));
    assert_eq!(net.outbound().len(), 1);
}

#[test]
fn as_many_bans_and_trusted_peers_as_anybody_wants_are_no_more_than_the_limits() {
    let mut net = Net::new(Config::default());
    let mut stored = disk(&[], 0, &[]);
    let state = stored.state.as_mut().unwrap();
    for number in 0..spacetime_peers::MAX_BANS as u64 + 500 {
        let target = target(&format!("memory:{number}"));
        state.trusted.push(target.clone());
        state.bans.push(spacetime_peers::Ban { target, until: Some(i64::MAX), reason: "".into() });
    }
    let net_after = Net::restart(Config::default(), stored, UNIX_SECONDS);
    assert_eq!(net_after.peers().bans().count(), spacetime_peers::MAX_BANS);
    assert_eq!(net_after.peers().trusted().count(), spacetime_peers::MAX_TRUSTED);
    for number in 0..2 * spacetime_peers::MAX_TRUSTED {
        net.command(Command::Trust(target(&format!("memory:{number}"))));
    }
    assert_eq!(net.peers().trusted().count(), spacetime_peers::MAX_TRUSTED);
}
