//! What peers are told.

use spacetime_gossip::{MAX_FORWARDED, MAX_WAITING, VERSION_1_IDLE};

use super::*;

#[test]
fn what_is_new_is_passed_on_to_three_others_soon() {
    let mut lone = node(Config::default());
    let peers = connect_many(&mut lone, 10);
    let new = address("9.9.9.9:1");
    lone.give(peers[0], &Peers::new(&[new]));
    assert!(peers.iter().all(|peer| told(&mut lone, *peer).is_empty()), "not at once");
    let to = passed_on(&mut lone, &peers, new);
    assert_eq!(to.len(), 3);
    assert!(!to.contains(&peers[0]), "never back to who told it");
    assert!(to.is_sorted_by(|one, other| one < other), "each once");
}

#[test]
fn what_is_told_again_goes_to_the_same_few_whoever_tells_it() {
    let mut lone = node(Config::default());
    let peers = connect_many(&mut lone, 40);
    let new = address("9.9.9.9:1");
    let mut reached = BTreeSet::new();
    // A day, in which the favourites change once.
    for round in 0..20 {
        lone.give(peers[round % 3], &Peers::new(&[new]));
        reached.extend(passed_on(&mut lone, &peers, new));
        lone.advance(HOUR + MINUTE);
    }
    assert!((3..=8).contains(&reached.len()), "{reached:?}");
    let other: BTreeSet<_> = (1..30)
        .flat_map(|port| {
            let new = address(&format!("9.9.9.9:{port}"));
            lone.give(peers[port], &Peers::new(&[new]));
            passed_on(&mut lone, &peers, new)
        })
        .collect();
    assert!(other.len() > 30, "other addresses go to others: {}", other.len());
}

#[test]
fn what_was_passed_on_is_not_passed_on_again_for_an_hour() {
    let mut lone = node(Config::default().with_dedup_window(HOUR));
    let peers = connect_many(&mut lone, 4);
    let new = address("9.9.9.9:1");
    lone.give(peers[0], &Peers::new(&[new]));
    assert_eq!(passed_on(&mut lone, &peers, new).len(), 3);
    // Somebody who came later, and does not know it.
    let late = connect(&mut lone, "8.99.8.8:1000", None);
    lone.advance(MINUTE * 58);
    lone.give(peers[1], &Peers::new(&[new]));
    assert!(passed_on(&mut lone, &[late], new).is_empty());
    let mut reached = 0;
    for _ in 0..30 {
        lone.advance(HOUR);
        lone.give(peers[1], &Peers::new(&[new]));
        reached += passed_on(&mut lone, &[late], new).len();
    }
    assert!((1..=2).contains(&reached), "{reached}");
}

#[test]
fn many_at_once_are_learned_and_not_passed_on_and_stay_new() {
    let mut lone = node(Config::default().with_accepted_from_strangers(100));
    let peers = connect_many(&mut lone, 5);
    let all = addresses(MAX_FORWARDED + 1);
    lone.give(peers[0], &Peers::new(&all));
    assert_eq!(learned_count(&mut lone), MAX_FORWARDED + 1);
    assert!(passed_on(&mut lone, &peers, all[0]).is_empty());
    // Nobody keeps an address from being passed on by hiding it among many.
    lone.give(peers[1], &Peers::new(&all[..MAX_FORWARDED]));
    assert!(!passed_on(&mut lone, &peers, all[0]).is_empty());
}

#[test]
fn what_is_of_no_use_or_too_much_is_not_passed_on() {
    let mut lone = node(Config::default());
    let peers = connect_many(&mut lone, 5);
    lone.give(peers[0], &Peers::new(&["10.0.0.1:1", "9.9.9.9:0"].map(address)));
    lone.give(peers[0], &Peers::new(&addresses(20)));
    lone.advance(MINUTE);
    peers.iter().for_each(|peer| drop(told(&mut lone, *peer)));
    learned(&mut lone);
    let late: Vec<_> = (1..=7).map(|port| address(&format!("9.1.1.1:{port}"))).collect();
    lone.give(peers[0], &Peers::new(&late));
    assert_eq!(learned_count(&mut lone), 6, "6 in a minute");
    lone.advance(SECOND * 6);
    let all: BTreeSet<_> = peers.iter().flat_map(|peer| told(&mut lone, *peer).concat()).collect();
    assert_eq!(all, late[..6].iter().copied().collect());
}

#[test]
fn addresses_wait_for_each_other_and_go_in_messages_of_twenty() {
    let config = Config::default().with_accepted_from_strangers(1000);
    let mut lone = node(config);
    let peers = connect_many(&mut lone, 2);
    for message in addresses(60).chunks(MAX_FORWARDED) {
        lone.give(peers[0], &Peers::new(message));
    }
    lone.advance(SECOND * 30);
    let messages = told(&mut lone, peers[1]);
    assert_eq!(messages.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20, 20]);
    let all: BTreeSet<_> = messages.concat().into_iter().collect();
    assert_eq!(all, addresses(60).into_iter().collect());
    assert_ne!(messages.concat(), addresses(60), "in another order");
}

#[test]
fn what_waits_for_a_peer_is_bounded_and_what_found_no_room_stays_new() {
    let config = Config::default().with_accepted_from_strangers(1000);
    let mut lone = node(config);
    let peers = connect_many(&mut lone, 2);
    let all = addresses(1000);
    for message in all.chunks(MAX_FORWARDED) {
        lone.give(peers[0], &Peers::new(message));
    }
    lone.advance(MINUTE);
    assert_eq!(told(&mut lone, peers[1]).concat().len(), MAX_WAITING);
    let left_out = all[MAX_WAITING];
    let other = connect(&mut lone, "8.50.8.8:1", None);
    lone.give(other, &Peers::new(&[left_out]));
    assert_eq!(passed_on(&mut lone, &peers[1..], left_out).len(), 1);
}

#[test]
fn every_ten_minutes_three_peers_are_told_twenty_that_they_do_not_know() {
    let mut lone = node(Config::default());
    let all = addresses(1000);
    share(&mut lone, &all);
    let peers = connect_many(&mut lone, 8);
    lone.advance(MINUTE * 10 - SECOND);
    assert!(peers.iter().all(|peer| told(&mut lone, *peer).is_empty()));
    lone.advance(SECOND * 151);
    let first: Vec<_> = peers.iter().map(|peer| told(&mut lone, *peer)).filter(|it| !it.is_empty()).collect();
    assert_eq!(first.len(), 3);
    assert!(first.iter().all(|messages| messages.len() == 1 && messages[0].len() == 20));
    assert_ne!(first[0], first[1]);
    lone.advance(HOUR * 10);
    let messages = peers.iter().map(|peer| told(&mut lone, *peer));
    let messages: Vec<_> = messages.map(|it| (it.len(), it.concat())).collect();
    let rounds: usize = messages.iter().map(|(count, _)| count).sum();
    assert!((48 * 3..=60 * 3).contains(&rounds), "{rounds} messages in ten hours");
    for (_, told) in messages {
        let different: BTreeSet<_> = told.iter().collect();
        assert_eq!(different.len(), told.len(), "nobody is told anything twice");
    }
}

#[test]
fn nobody_is_told_what_it_told_or_where_it_listens_itself() {
    let mut lone = node(Config::default());
    let peer = connect(&mut lone, "8.8.8.8:1000", Some(8333));
    let all = addresses(2);
    lone.give(peer, &Peers::new(&all[..1]));
    let dialled = dial(&mut lone, "9.9.9.9:8333");
    lone.advance(SECOND * 6);
    told(&mut lone, dialled);
    share(&mut lone, &[all[0], all[1], address("9.9.9.9:8333"), address("10.0.0.1:1")]);
    lone.give(peer, &Peers::new(&[address("9.9.9.9:8333")]));
    lone.advance(HOUR);
    assert_eq!(told(&mut lone, peer), [vec![all[1]]]);
    let to_dialled: BTreeSet<_> = told(&mut lone, dialled).concat().into_iter().collect();
    assert_eq!(to_dialled, all.into_iter().collect());
}

#[test]
fn where_this_node_is_reached_is_told_to_each_soon_and_daily() {
    let own = address("7.7.7.7:8333");
    let mut lone = node(Config::default().with_own_address(Some(own)));
    let peers = [connect(&mut lone, "8.8.8.8:1000", None), dial(&mut lone, "9.9.9.9:8333")];
    lone.advance(SECOND * 6);
    for peer in peers {
        assert_eq!(told(&mut lone, peer), [vec![own]]);
    }
    lone.advance(HOUR * 23);
    assert!(told(&mut lone, peers[0]).is_empty());
    lone.advance(HOUR * 8);
    for peer in peers {
        assert_eq!(told(&mut lone, peer), [vec![own]]);
    }
}

#[test]
fn a_new_address_of_this_node_is_told_to_all_and_a_private_one_to_nobody() {
    let mut lone = node(Config::default());
    let peers = connect_many(&mut lone, 4);
    lone.act(|node, _| node.gossip.set_own_address(Some(address("7.7.7.7:1"))));
    lone.advance(SECOND);
    for peer in &peers {
        assert_eq!(told(&mut lone, *peer), [vec![address("7.7.7.7:1")]]);
    }
    lone.act(|node, _| node.gossip.set_own_address(Some(address("192.168.0.1:1"))));
    lone.advance(HOUR * 50);
    assert!(peers.iter().all(|peer| told(&mut lone, *peer).is_empty()));
}

#[test]
fn a_version_1_node_is_told_something_only_when_it_has_been_silent() {
    let own = address("7.7.7.7:8333");
    let mut lone = node(Config::default().with_own_address(Some(own)));
    share(&mut lone, &addresses(500));
    let (peer, other) = (connect_version_1(&mut lone, "8.8.8.8:1000"), connect(&mut lone, "8.9.8.8:1", None));
    for _ in 0..30 {
        lone.advance(VERSION_1_IDLE - SECOND);
        lone.give(other, &Peers::new(&[address("9.200.9.9:1")]));
        // It says something, and may be waiting for an answer.
        lone.give(peer, &Peers::new(&[]));
        let sent = lone.sent(peer);
        assert!(sent.iter().all(|(message_type, _)| *message_type != MessageType::PEERS), "{sent:?}");
    }
    lone.advance(MINUTE * 13);
    let messages = told(&mut lone, peer);
    assert_eq!(messages[0], [own]);
    assert_eq!(messages[1].len(), 20);
    lone.give(peer, &Peers::new(&[]));
    lone.give(other, &Peers::new(&[address("9.200.9.9:2")]));
    lone.advance(SECOND * 6);
    assert!(told(&mut lone, peer).is_empty(), "nothing is passed on to it");
}

#[test]
fn without_peers_there_is_nothing_to_wake_up_for() {
    let own = address("7.7.7.7:8333");
    let mut lone = node(Config::default().with_own_address(Some(own)));
    share(&mut lone, &addresses(500));
    assert_eq!(lone.deadline(), None);
    let peers = connect_many(&mut lone, 3);
    lone.give(peers[0], &Peers::new(&[address("9.9.9.9:1")]));
    assert!(lone.deadline().is_some());
    peers.into_iter().for_each(|peer| lone.end(peer));
    assert_eq!(lone.deadline(), None);
}
