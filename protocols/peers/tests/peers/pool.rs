//! The connections that the node chooses.

use std::collections::BTreeSet;

use super::*;

/// A book of four addresses in each of 25 groups, all reached before.
fn four_in_each_group() -> Vec<SocketAddr> {
    (0..100).map(|it| socket(&format!("{}.1.{}.1:8333", 20 + it % 25, it / 25))).collect()
}

fn groups(addresses: &BTreeSet<SocketAddr>) -> BTreeSet<u8> {
    addresses
        .iter()
        .map(|it| match it.ip() {
            std::net::IpAddr::V4(ip) => ip.octets()[0],
            std::net::IpAddr::V6(_) => unreachable!(),
        })
        .collect()
}

fn filled() -> Net {
    let known = four_in_each_group();
    let mut net = Net::restart(Config::default(), disk(&known, 100, &[]), UNIX_SECONDS);
    net.answers = known.iter().map(|it| (*it, Answer::Peer(None))).collect();
    net.run_for(SECOND * 10);
    net
}

#[test]
fn the_pool_fills_with_so_many_peers_of_as_many_groups() {
    let net = filled();
    let chosen = net.with_role(Role::Outbound);
    assert_eq!((chosen.len(), groups(&chosen).len(), net.dials.len()), (8, 8, 8));
    assert_eq!(net.peers().outbound(), 8);
}

#[test]
fn a_book_with_fewer_groups_makes_a_smaller_pool() {
    let known: Vec<_> = (0..12).map(|it| four_in_each_group()[it / 3 * 25 + it % 3]).collect();
    let mut net = Net::restart(Config::default(), disk(&known, 12, &[]), UNIX_SECONDS);
    net.answers = known.iter().map(|it| (*it, Answer::Peer(None))).collect();
    net.run_for(HOUR);
    assert_eq!(net.with_role(Role::Outbound).len(), 3);
}

#[test]
fn at_most_eight_dials_wait_at_a_time_and_no_two_begin_at_once() {
    let known: Vec<_> = (0..300).map(apart).collect();
    let config = Config::default().with_max_outbound(40);
    let mut net = Net::restart(config, disk(&known, 300, &[]), UNIX_SECONDS);
    net.answers = known.iter().map(|it| (*it, Answer::Silence)).collect();
    for _ in 0..600 {
        net.run_for(SECOND / 5);
        assert!(net.connections() <= 8 + 1, "and a feeler");
    }
    assert!(net.dials.len() >= 8 * 5, "each waits for 10 s: {}", net.dials.len());
    assert!(net.dials.windows(2).all(|it| it[1].0.since(it[0].0) >= SECOND / 10));
}

#[test]
fn the_more_dials_fail_the_slower_they_come_and_each_address_waits_ever_longer() {
    let known: Vec<_> = (0..300).map(apart).collect();
    let mut net = Net::restart(Config::default(), disk(&known, 300, &[]), UNIX_SECONDS);
    net.run_for(MINUTE);
    let at_first = net.dials.len();
    net.run_for(HOUR);
    let before = net.dials.len();
    net.run_for(MINUTE);
    assert!(at_first >= 40 && net.dials.len() - before <= 8, "{at_first}, then {}", net.dials.len() - before);
    // Alone in the book, and a network there is: its own wait doubles.
    let mut net = Net::restart(Config::default(), disk(&known[..2], 1, &[]), UNIX_SECONDS);
    net.answers.insert(known[0], Answer::Peer(None));
    net.run_for(HOUR * 2);
    let times: Vec<_> = net.dials.iter().filter(|it| it.1 == known[1]).map(|it| it.0).collect();
    assert!((3..=20).contains(&times.len()), "{times:?}");
}

#[test]
fn a_dead_connection_leaves_the_pool_at_once_and_another_group_takes_its_place() {
    let mut net = filled();
    let (address, connection) = net.outbound().pop_first().unwrap();
    net.answers.remove(&address);
    net.end(connection, CloseReason::EndOfStream);
    assert_eq!(net.peers().role(connection), None);
    assert_eq!((net.dials.len(), net.peers().outbound()), (9, 8), "in the same step");
    let chosen = net.with_role(Role::Outbound);
    assert_eq!((chosen.len(), groups(&chosen).len()), (8, 8));
    assert!(!chosen.contains(&address));
}

#[test]
fn peers_that_were_lost_are_looked_for_and_take_their_places_again() {
    let mut net = filled();
    let before = net.with_role(Role::Outbound);
    let answers = net.answers.clone();
    net.answers.retain(|address, _| !before.contains(address));
    for connection in net.outbound().into_values() {
        net.end(connection, CloseReason::Transport("no route".into()));
    }
    net.run_for(MINUTE * 9);
    let meanwhile = net.with_role(Role::Outbound);
    assert!(meanwhile.len() == 8 && meanwhile.is_disjoint(&before));
    let waits: Vec<_> = net.dials.iter().filter(|it| before.contains(&it.1)).skip(8).collect();
    assert!((8 * 7..=8 * 14).contains(&waits.len()), "each once in 45 s: {}", waits.len());
    net.answers = answers;
    net.run_for(MINUTE * 2);
    let after = net.with_role(Role::Outbound);
    assert_eq!((after.len(), groups(&after).len()), (8, 8), "never two of one group");
    // Whoever has a rival of its group meanwhile waits until that one is gone.
    let has_rival = |it: &SocketAddr| !groups(&meanwhile).is_disjoint(&groups(&[*it].into()));
    let expected: BTreeSet<_> = before.iter().filter(|it| !has_rival(it)).copied().collect();
    assert!(expected.len() >= 4 && after.is_superset(&expected), "{expected:?} {after:?}");
}

#[test]
fn a_peer_that_was_lost_is_given_up_after_an_hour() {
    let mut net = filled();
    let (address, connection) = net.outbound().pop_first().unwrap();
    net.answers.remove(&address);
    net.end(connection, CloseReason::EndOfStream);
    net.run_for(MINUTE * 61);
    let dialled = net.times_dialled(address);
    assert!((60..=82).contains(&dialled), "{dialled}");
    net.run_for(HOUR * 10);
    assert_eq!(net.times_dialled(address), dialled);
}

#[test]
fn a_peer_that_comes_and_goes_takes_the_place_of_nobody_who_was_there_for_long() {
    let mut net = filled();
    let attacker = apart(7000);
    net.run_for(HOUR);
    let old: BTreeSet<_> = net.with_role(Role::Outbound);
    // It once had a place.
    let (first, connection) = net.outbound().pop_first().unwrap();
    net.answers.remove(&first);
    net.answers.insert(attacker, Answer::Peer(None));
    net.end(connection, CloseReason::Requested);
    for _ in 0..50 {
        net.run_for(MINUTE);
        let shortest = net.outbound().into_iter().find(|(address, _)| !old.contains(address));
        if let Some((_, connection)) = shortest {
            net.end(connection, CloseReason::EndOfStream);
        }
    }
    net.run_for(MINUTE);
    let stayed = net.with_role(Role::Outbound).intersection(&old).count();
    assert_eq!((stayed, net.peers().outbound()), (7, 8));
}

#[test]
fn attackers_that_had_one_place_one_after_the_other_get_back_one() {
    let honest: Vec<_> = (0..7).map(apart).collect();
    let attackers: Vec<_> = (100..112).map(apart).collect();
    let mut net = Net::restart(Config::default(), disk(&honest, 7, &[]), UNIX_SECONDS);
    net.add_answers(0..7);
    net.run_for(SECOND * 10);
    let teller = net.connect("9.9.9.9:1000", None, None).unwrap();
    for attacker in &attackers {
        net.answers.insert(*attacker, Answer::Peer(None));
        net.tell(teller, &[*attacker]);
        net.run_for(MINUTE * 2);
        net.answers.remove(attacker);
        let connection = net.outbound()[attacker];
        net.end(connection, CloseReason::EndOfStream);
    }
    net.add_answers(50..51);
    net.tell(teller, &[apart(50)]);
    net.run_for(MINUTE);
    net.answers.extend(attackers.iter().map(|it| (*it, Answer::Peer(None))));
    let before = net.dials.len();
    net.run_for(HOUR);
    let dialled = net.dials[before..].iter().filter(|it| attackers.contains(&it.1)).count();
    assert_eq!(dialled, 1, "with the first the matter is settled");
    let chosen = net.with_role(Role::Outbound);
    assert!(honest.iter().all(|it| chosen.contains(it)), "{chosen:?}");
    assert_eq!(chosen.len(), 8);
}

#[test]
fn who_comes_and_goes_in_one_place_makes_nobody_forget_who_was_lost_in_another() {
    let honest: Vec<_> = (0..7).map(apart).collect();
    let mut net = Net::restart(Config::default(), disk(&honest, 7, &[]), UNIX_SECONDS);
    net.add_answers(0..7);
    net.run_for(SECOND * 10);
    let teller = net.connect("9.9.9.9:1000", None, None).unwrap();
    net.answers.remove(&honest[0]);
    let lost = net.outbound()[&honest[0]];
    net.end(lost, CloseReason::EndOfStream);
    for number in 100..121 {
        net.answers.insert(apart(number), Answer::Peer(None));
        net.tell(teller, &[apart(number)]);
        net.run_for(MINUTE);
        // The first one stays, and has the place of the one that was lost.
        if number > 100 {
            net.answers.remove(&apart(number));
            let connection = net.outbound()[&apart(number)];
            net.end(connection, CloseReason::EndOfStream);
        }
    }
    net.add_answers(50..51);
    net.tell(teller, &[apart(50)]);
    net.run_for(MINUTE);
    assert!(net.peers().outbound() == 8 && !net.outbound().contains_key(&honest[0]));
    net.add_answers(0..1);
    net.run_for(MINUTE * 2);
    let chosen = net.with_role(Role::Outbound);
    assert!(chosen.contains(&honest[0]) && !chosen.contains(&apart(100)) && chosen.contains(&apart(50)));
}

#[test]
fn an_address_at_which_the_node_meets_itself_is_forgotten_and_not_believed_again() {
    let own = apart(1);
    let mut net = Net::restart(Config::default(), disk(&[own], 0, &[]), UNIX_SECONDS);
    net.answers.insert(own, Answer::Peer(Some(PeerId([0; 32]))));
    net.run_for(SECOND);
    assert_eq!(net.times_dialled(own), 1);
    assert!(net.peers().book().is_empty());
    let teller = net.connect("9.9.9.9:1000", None, None).unwrap();
    let mapped = socket(&format!("[::ffff:{}]:{}", own.ip(), own.port()));
    net.tell(teller, &[own, mapped]);
    net.run_for(HOUR);
    assert_eq!((net.times_dialled(own), net.peers().book().len()), (1, 0));
}

#[test]
fn a_node_given_its_own_address_in_any_form_never_dials_it() {
    let mapped = socket("[::ffff:9.9.9.9]:8333");
    let mut net = Net::new(Config::default().with_own_addresses([mapped]));
    net.command(resolved("seed.example:8333", vec![socket("9.9.9.9:8333"), mapped]));
    net.run_for(MINUTE);
    assert!(net.dials.is_empty() && net.peers().book().is_empty());
}

#[test]
fn a_peer_that_has_no_place_is_no_failure() {
    let full = apart(0);
    let mut net = Net::restart(Config::default(), disk(&[full], 1, &[]), UNIX_SECONDS);
    net.answers.insert(full, Answer::Full);
    net.run_for(HOUR);
    assert_eq!(net.peers().book().get(full).unwrap().failure_count, 0);
    assert!(net.times_dialled(full) > 10);
}

#[test]
fn a_node_that_wants_no_connections_dials_nobody_and_never_wakes_for_it() {
    let known: Vec<_> = (0..20).map(apart).collect();
    let config = Config::default().with_max_outbound(0).with_seeds(["seed.example:1".parse().unwrap()]);
    let mut net = Net::restart(config, disk(&known, 20, &known[..2]), UNIX_SECONDS);
    net.run_for(HOUR);
    assert!(net.dials.is_empty() && net.resolves.is_empty());
}
