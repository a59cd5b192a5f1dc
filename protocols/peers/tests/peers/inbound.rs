//! Who else is let in.

use super::*;

fn count(net: &mut Net, from: impl Iterator<Item = String>) -> usize {
    from.filter(|from| net.connect(from, None, None).is_ok()).count()
}

#[test]
fn four_of_one_host_ten_of_one_network_and_forty_of_all_are_let_in() {
    let mut net = Net::new(Config::default());
    assert_eq!(count(&mut net, (1..50).map(|it| format!("9.9.9.9:{it}"))), 4);
    assert_eq!(count(&mut net, (1..50).map(|it| format!("9.9.1.{it}:1"))), 6);
    assert_eq!(count(&mut net, (1..50).map(|it| format!("[2a00:1:2:3::{it}]:1"))), 4);
    assert_eq!(count(&mut net, (1..50).map(|it| format!("[2a00:1:{it}::1]:1"))), 6);
    assert_eq!(net.peers().inbound(), 20);
    count(&mut net, (1..200).map(|it| format!("12.{it}.1.1:1")));
    assert_eq!(net.peers().inbound(), 40);
}

#[test]
fn an_address_that_carries_another_one_counts_as_that() {
    let mut net = Net::new(Config::default());
    let six_to_four = (1..50).map(|it| format!("[2002:909:909:{it}::1]:1"));
    let nat64 = (1..50).map(|it| format!("[64:ff9b::9.9.9.9]:{it}"));
    let teredo = (1..50).map(|it| format!("[2001:0:{it}::f6f6:f6f6]:1"));
    let plain = (1..50).map(|it| format!("9.9.9.9:{it}"));
    assert_eq!(count(&mut net, six_to_four.chain(nat64).chain(teredo).chain(plain)), 4);
    let group = (1..50).map(|it| format!("[2002:909:{it:x}09:1::1]:1"));
    assert_eq!(count(&mut net, group), 6);
}

#[test]
fn on_a_private_network_hosts_are_not_scarce() {
    let mut net = Net::new(Config::default());
    assert_eq!(count(&mut net, (1..=40).map(|it| format!("127.0.0.1:{it}"))), 40);
}

#[test]
fn whoever_goes_makes_room_at_once() {
    let mut net = Net::new(Config::default());
    for _ in 0..100 {
        let peers: Vec<_> =
            (1..=4).map(|it| net.connect(&format!("9.9.9.9:{it}"), None, None).unwrap()).collect();
        assert!(net.connect("9.9.9.9:5", None, None).is_err());
        for peer in peers {
            net.end(peer, CloseReason::EndOfStream);
        }
    }
    assert_eq!(net.peers().inbound(), 0);
}

#[test]
fn when_nobody_may_be_asked_to_go_nobody_is_let_in() {
    let mut net = Net::new(Config::default().with_max_inbound(10));
    assert_eq!(count(&mut net, (1..100).map(|it| format!("12.{it}.1.1:1"))), 99, "the youngest goes");
    assert_eq!(net.peers().inbound(), 10);
    let mut net = Net::new(Config::default().with_max_inbound(10));
    for number in 1..=10 {
        let peer = net.connect(&format!("12.{number}.1.1:1"), None, None).unwrap();
        net.signal(Signal::RoundTrip { connection: peer, duration: SECOND });
        net.signal(Signal::Useful { connection: peer });
    }
    let refused = CloseReason::Refused("no place is left for connections from others");
    assert_eq!(net.connect("12.11.1.1:1", None, None), Err(refused));
    net.command(Command::Trust(target("12.12.0.0/16")));
    assert!(net.connect("12.12.1.1:1", None, None).is_ok(), "whom the user trusts is one more");
}

#[test]
fn what_others_open_takes_no_place_of_what_this_node_chooses() {
    let known: Vec<_> = (0..30).map(apart).collect();
    let mut net = Net::restart(Config::default(), disk(&known, 30, &[]), UNIX_SECONDS);
    count(&mut net, (1..200).map(|it| format!("99.{it}.1.1:1")));
    net.add_answers(0..30);
    net.run_for(SECOND * 10);
    assert_eq!((net.peers().inbound(), net.peers().outbound()), (40, 8));
}
