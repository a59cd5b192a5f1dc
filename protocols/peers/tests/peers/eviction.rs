//! Who makes room.

use spacetime_peers::eviction;

use super::*;

/// Forty honest peers of as many groups: eight are near, eight others were of use, all have been
/// there for some time.
fn honest(net: &mut Net) -> Vec<ConnectionId> {
    let mut peers = Vec::new();
    for number in 0..40_u64 {
        let peer = net.connect(&format!("60.{number}.1.1:1"), None, None).unwrap();
        let near = if number % 5 == 0 { 10 + number } else { 150 + number };
        net.signal(Signal::RoundTrip { connection: peer, duration: Duration::from_millis(near) });
        net.run_for(MINUTE);
        peers.push(peer);
    }
    for peer in peers.iter().skip(1).step_by(5) {
        net.signal(Signal::Useful { connection: *peer });
    }
    peers
}

fn still_there(net: &Net, peers: &[ConnectionId]) -> Vec<usize> {
    (0..peers.len()).filter(|it| net.is_open(peers[*it])).collect()
}

#[test]
fn ten_thousand_attempts_from_a_thousand_groups_displace_none_who_is_near_useful_or_there_for_long() {
    let mut net = Net::new(Config::default());
    let honest = honest(&mut net);
    let mut let_in = 0;
    for number in 0..10_000 {
        let from = format!("{}.{}.{}.1:1", 70 + number / 2500, number / 10 % 250, number % 10);
        let_in += usize::from(net.connect(&from, None, None).is_ok());
        assert_eq!(net.peers().inbound(), 40);
    }
    assert!(let_in > 9000, "each takes the place of the one before: {let_in}");
    let left = still_there(&net, &honest);
    assert!(
        left.iter().filter(|it| *it % 5 <= 1).count() == 16,
        "all that are near or were of use: {left:?}"
    );
    assert!(
        (2..16).filter(|it| it % 5 > 1).all(|it| left.contains(&it)),
        "those there for longest: {left:?}"
    );
    // The youngest of the others, and at most as many as a lucky group protects.
    assert!(left.len() >= 40 - 1 - eviction::PROTECTED_BY_GROUP, "{left:?}");
}

#[test]
fn attackers_that_are_near_and_wait_displace_none_of_those_who_are_protected() {
    let mut net = Net::new(Config::default());
    let honest = honest(&mut net);
    for number in 0..10_000_u64 {
        let from = format!("{}.{}.{}.1:1", 70 + number / 2500, number / 10 % 250, number % 10);
        if let Ok(peer) = net.connect(&from, None, None) {
            // Nearer than anybody.
            let near = Duration::from_micros(100 + number % 50);
            net.signal(Signal::RoundTrip { connection: peer, duration: near });
        }
        if number % 100 == 0 {
            net.run_for(SECOND);
        }
    }
    let left = still_there(&net, &honest);
    let useful = left.iter().filter(|it| *it % 5 == 1).count();
    assert_eq!(useful, 8, "all that were of use");
    // The eight places of the nearest are the attacker's now; what was there for longest stays.
    assert!(left.len() >= 8 + 10 && left.contains(&0) && left.contains(&2), "{left:?}");
}

#[test]
fn the_largest_group_of_newcomers_goes_first() {
    let config = Config::default().with_max_inbound_per_group(40).with_max_inbound_per_host(40);
    let mut net = Net::new(config);
    let connect = |net: &mut Net, from: String| net.connect(&from, None, None).unwrap();
    let honest: Vec<_> = (0..20).map(|it| connect(&mut net, format!("60.{it}.1.1:1"))).collect();
    let operator: Vec<_> = (0..20).map(|it| connect(&mut net, format!("70.1.1.{it}:1"))).collect();
    let newcomers: Vec<_> = (0..10).map(|it| connect(&mut net, format!("80.{it}.1.1:1"))).collect();
    assert_eq!((still_there(&net, &honest).len(), still_there(&net, &newcomers).len()), (20, 10));
    assert_eq!(still_there(&net, &operator), Vec::from_iter(0..10), "the youngest first");
}

#[test]
fn those_who_are_there_for_longest_stay_even_if_all_are_of_one_group() {
    let mut net = Net::new(Config::default());
    let old: Vec<_> = (0..10).map(|it| net.connect(&format!("60.1.1.{it}:1"), None, None).unwrap()).collect();
    for number in 0..2000 {
        net.run_for(SECOND);
        let _ = net.connect(&format!("{}.{}.1.1:1", 70 + number / 250, number % 250), None, None);
    }
    assert_eq!(still_there(&net, &old).len(), 10);
}

#[test]
fn whoever_is_trusted_is_not_asked() {
    let mut net = Net::new(Config::default().with_max_inbound(12));
    net.command(Command::Trust(target("60.1.0.0/16")));
    for number in 0..11 {
        net.connect(&format!("65.{number}.1.1:1"), None, None).unwrap();
        net.run_for(SECOND);
    }
    // The youngest, who has done nothing.
    let trusted = net.connect("60.1.1.1:1", None, None).unwrap();
    for number in 0..100 {
        let _ = net.connect(&format!("70.{number}.1.1:1"), None, None);
    }
    assert!(net.is_open(trusted));
}
