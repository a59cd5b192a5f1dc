//! Seeds: asked only when nobody else is there to be asked.

use spacetime_peers::MAX_ADDRESSES_PER_SEED;

use super::*;

fn with_seeds(seeds: &[&str]) -> Config {
    Config::default().with_seeds(seeds.iter().map(|it| it.parse().unwrap()))
}

#[test]
fn who_knows_peers_that_answer_asks_no_seed() {
    let known: Vec<_> = (0..20).map(apart).collect();
    let seed = "198.41.0.4:8333";
    let config = with_seeds(&["seed.example:8333", seed]);
    let mut net = Net::restart(config, disk(&known, 20, &[]), UNIX_SECONDS);
    net.add_answers(0..20);
    net.run_for(HOUR * 5);
    assert_eq!((net.resolves.len(), net.times_dialled(socket(seed))), (0, 0));
}

#[test]
fn an_empty_book_asks_at_once_and_one_that_nobody_answers_after_eleven_seconds() {
    let config = || with_seeds(&["seed.example:8333"]);
    let mut net = Net::new(config());
    net.run_for(Duration::ZERO);
    assert_eq!(net.resolves.len(), 1);
    let known: Vec<_> = (0..20).map(apart).collect();
    let mut net = Net::restart(config(), disk(&known, 20, &[]), UNIX_SECONDS);
    net.run_for(SECOND * 10);
    assert_eq!(net.resolves.len(), 0);
    net.run_for(SECOND * 2);
    assert_eq!(net.resolves.len(), 1);
}

#[test]
fn a_seeds_name_may_lead_to_so_many_addresses_and_no_more() {
    let mut net = Net::new(with_seeds(&["seed.example:8333"]));
    net.run_for(SECOND);
    net.command(resolved("seed.example:8333", (0..5000).map(apart).collect()));
    let taken = net.peers().book().len();
    assert!((MAX_ADDRESSES_PER_SEED - 3..=MAX_ADDRESSES_PER_SEED).contains(&taken), "{taken}");
    net.add_answers(0..5000);
    net.run_for(SECOND * 10);
    assert_eq!(net.with_role(Role::Outbound).len(), 8);
    assert_eq!(net.resolves.len(), 1);
}

#[test]
fn a_pinned_seed_is_looked_for_at_all_that_its_name_leads_to_and_nobody_else_is_taken_for_it() {
    let text = format!("{}@seed.example:8333", id(5));
    let mut net = Net::new(with_seeds(&[&text]));
    net.run_for(SECOND);
    assert_eq!(net.resolves, [(Time::ZERO, text.parse().unwrap())]);
    // Some do not answer, and at one place there is somebody else.
    net.answers.insert(apart(1), Answer::Peer(Some(id(6))));
    net.answers.insert(apart(2), Answer::Peer(Some(id(5))));
    net.command(resolved(&text, (0..8).map(apart).collect()));
    net.run_for(MINUTE / 2);
    assert_eq!(net.with_role(Role::Seed), [apart(2)].into());
    assert_eq!(net.peers().book().len(), 1, "it is no hearsay of others");
    assert_eq!(net.peers().book().get(apart(2)).unwrap().peer_id, Some(id(5)));
    let dialled = net.dials.len();
    net.run_for(HOUR);
    assert!(net.dials.len() <= dialled + 40, "what was left is forgotten: {}", net.dials.len());
    assert!(net.times_dialled(apart(1)) <= 1);
}

#[test]
fn the_name_of_a_pinned_seed_leads_nowhere_where_this_node_dials_nobody() {
    let text = format!("{}@seed.example:8333", id(5));
    let mut net = Net::new(with_seeds(&[&text]));
    net.run_for(SECOND);
    net.command(resolved(&text, ["127.0.0.1:1", "10.0.0.1:8333", "9.9.9.9:0"].map(socket).to_vec()));
    net.run_for(SECOND * 5);
    assert!(net.dials.is_empty());
}

#[test]
fn what_a_name_leads_to_is_admitted_like_hearsay() {
    let mut net = Net::new(with_seeds(&["seed.example:8333"]));
    let bad = ["127.0.0.1:1", "10.0.0.1:8333", "9.9.9.9:0", "224.0.0.1:5", "[::]:8333", "[fe80::1]:8333"];
    net.command(resolved("seed.example:8333", bad.map(socket).to_vec()));
    assert!(net.peers().book().is_empty());
}

#[test]
fn seeds_that_do_not_answer_are_asked_ever_more_rarely() {
    let names: Vec<_> = (0..10).map(|it| format!("seed{it}.example:8333")).collect();
    let mut net = Net::new(with_seeds(&names.iter().map(String::as_str).collect::<Vec<_>>()));
    net.run_for(HOUR * 4);
    let mut times: Vec<_> = net.resolves.iter().map(|it| it.0).collect();
    assert!(times.chunks(3).all(|it| it.len() == 3 && it[0] == it[2]), "three at a time: {times:?}");
    times.dedup();
    let waits: Vec<_> = times.windows(2).map(|it| it[1].since(it[0]).as_secs_f64()).collect();
    for (wait, base) in waits.iter().zip([60., 120., 240., 480., 960., 1800., 1800.]) {
        assert!((base..base * 1.25 + 11.1).contains(wait), "{waits:?}");
    }
    assert!(waits.len() >= 10);
}

#[test]
fn a_seed_that_is_a_node_stays_until_there_are_enough_others_and_is_no_anchor() {
    let seed = socket("198.41.0.4:8333");
    let mut net = Net::new(with_seeds(&["198.41.0.4:8333"]));
    net.answers.insert(seed, Answer::Peer(None));
    net.run_for(SECOND * 5);
    assert_eq!((net.with_role(Role::Seed).len(), net.peers().outbound()), (1, 0));
    assert!(net.disk.state.as_ref().unwrap().anchors.is_empty());
    let connection = net.outbound()[&seed];
    net.add_answers(0..30);
    let told: Vec<_> = (0..30).map(apart).collect();
    net.tell(connection, &told);
    net.run_for(SECOND * 10);
    assert_eq!((net.with_role(Role::Seed).len(), net.with_role(Role::Outbound).len()), (0, 8));
    assert_eq!(net.closed[&connection], CloseReason::Requested);
    assert_eq!(net.times_dialled(seed), 1);
}

#[test]
fn seeds_are_asked_again_after_everybody_is_lost_for_eleven_seconds() {
    let known: Vec<_> = (0..8).map(apart).collect();
    let mut net = Net::restart(with_seeds(&["seed.example:8333"]), disk(&known, 8, &[]), UNIX_SECONDS);
    net.add_answers(0..8);
    net.run_for(HOUR);
    assert_eq!(net.peers().outbound(), 8);
    net.answers.clear();
    for connection in net.outbound().into_values() {
        net.end(connection, CloseReason::EndOfStream);
    }
    net.run_for(SECOND * 10);
    assert_eq!(net.resolves.len(), 0);
    net.run_for(SECOND * 2);
    assert_eq!(net.resolves.len(), 1);
}

#[test]
fn who_has_few_peers_and_nobody_left_to_dial_asks_the_seeds() {
    let known: Vec<_> = (0..3).map(apart).collect();
    let mut net = Net::restart(with_seeds(&["seed.example:8333"]), disk(&known, 3, &[]), UNIX_SECONDS);
    net.add_answers(0..3);
    net.run_for(SECOND * 10);
    assert_eq!((net.peers().outbound(), net.resolves.len()), (3, 0));
    net.run_for(MINUTE);
    assert_eq!(net.peers().outbound(), 3);
    assert_eq!(net.resolves.len(), 1);
}

#[test]
fn a_seed_stays_until_somebody_is_there_of_whom_it_told() {
    let seed = socket("198.41.0.4:8333");
    let mut net = Net::new(with_seeds(&["198.41.0.4:8333"]));
    net.answers.insert(seed, Answer::Peer(None));
    net.run_for(SECOND * 5);
    let connection = net.outbound()[&seed];
    // Somebody else tells of everybody, and of the whole of another part of the network nobody does.
    net.add_answers(0..30);
    let other = net.connect("203.0.113.9:4000", None, None).unwrap();
    net.tell(other, &(0..30).map(apart).collect::<Vec<_>>());
    net.run_for(MINUTE);
    assert_eq!(net.with_role(Role::Outbound).len(), 8);
    assert!(net.is_open(connection));
}

#[test]
fn a_book_that_has_doubled_is_stored_soon() {
    let mut net = Net::new(Config::default());
    let teller = net.connect("203.0.113.9:4000", None, None).unwrap();
    net.tell(teller, &(0..30).map(apart).collect::<Vec<_>>());
    net.run_for(SECOND * 11);
    let stored = net.disk.records.len();
    assert!(stored >= 20, "{stored}");
    net.tell(teller, &[apart(40)]);
    net.run_for(MINUTE);
    assert_eq!(net.disk.records.len(), stored);
}
