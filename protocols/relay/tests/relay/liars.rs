//! Peers that announce what they never send, and those who must not suffer for it.

use std::time::Duration;

use spacetime_relay::MAX_FETCHES_PER_HOST;

use super::*;

/// More than any item has, and as much as an announcement can say.
const HUGE: u32 = 16_777_215;

fn announces(case: &mut Case, from: ConnectionId, item: &Item, payload_bytes: u32) {
    let message_type = item.kind().message_type();
    case.lone.give(from, &Announce::new(&[Announced { message_type, payload_bytes, id: item.id() }]));
}

fn is_asked(case: &mut Case, peer: ConnectionId) -> bool {
    case.sent(peer).contains(&MessageType::FETCH)
}

fn told(case: &mut Case) -> Vec<ConnectionId> {
    let signals = case.signals().into_iter();
    let news = signals.filter_map(|it| match it {
        Signal::BlockAnnounced { from, .. } => Some(from),
        _ => None,
    });
    news.collect()
}

/// Takes as many announcements as anybody sends.
fn greedy() -> Config {
    Config::default().with_adaptive(false).with_rate(Rate { capacity: 1_000_000, interval: SECOND })
}

/// Made-up items of the largest size.
fn announce_made_up(case: &mut Case, from: ConnectionId, numbers: std::ops::Range<u32>) {
    let items: Vec<_> = numbers
        .map(|number| Announced {
            message_type: MessageType::NEW_BLOCK,
            payload_bytes: HUGE,
            id: Hash::of(&number.to_le_bytes()),
        })
        .collect();
    items.chunks(500).for_each(|items| case.lone.give(from, &Announce::new(items)));
}

#[test]
fn whoever_announces_after_many_liars_is_asked_once_one_of_each_of_their_hosts_was() {
    let mut case = Case::new(Config::default());
    let item = Item::block(&block(1, 5000)).unwrap();
    // Three hosts with three connections each.
    let liars: Vec<_> =
        (0..9).map(|number| case.connect(&format!("9.9.{}.9:{}", number % 3, 1000 + number), true)).collect();
    liars.iter().for_each(|liar| announces(&mut case, *liar, &item, HUGE));
    let [honest] = case.peers();
    announces(&mut case, honest, &item, item.payload().len() as u32);
    case.lone.advance(SECOND * 10);
    assert!(is_asked(&mut case, honest));
    case.lone.give_bytes(honest, item.frame().bytes());
    assert_eq!(case.received().len(), 1);
    let charged: Vec<_> = case.offences().into_iter().map(|(peer, _)| peer).collect();
    assert!(liars.iter().all(|liar| charged.contains(liar)) && !charged.contains(&honest));
}

#[test]
fn whom_this_node_has_dialled_is_asked_before_those_who_came_by_themselves() {
    let mut case = Case::new(Config::default());
    let item = Item::block(&block(1, 5000)).unwrap();
    let liars: [_; 9] = case.peers();
    liars.iter().for_each(|liar| announces(&mut case, *liar, &item, HUGE));
    let chosen = case.dial("9.9.9.9:8333");
    announces(&mut case, chosen, &item, item.payload().len() as u32);
    case.lone.advance(SECOND * 7 / 2);
    assert!(is_asked(&mut case, chosen));
}

#[test]
fn when_nobody_sends_a_block_sync_hears_of_all_who_were_not_asked() {
    let mut case = Case::new(Config::default());
    let item = Item::block(&block(1, 5000)).unwrap();
    let peers: [_; 40] = case.peers();
    // None of them gives another the chance before time is over.
    peers.iter().for_each(|peer| announces(&mut case, *peer, &item, HUGE));
    case.lone.advance(SECOND * 600);
    assert_eq!(case.relay().fetches(), 0);
    let told = told(&mut case);
    assert!(peers[2..].iter().all(|peer| told.contains(peer)), "{told:?}");
}

#[test]
fn of_a_block_that_was_ignored_sync_hears_from_each_who_announces_it() {
    let mut case = Case::new(Config::default());
    let [liar, honest] = case.peers();
    let item = Item::block(&block(1, 5000)).unwrap();
    case.lone.give_bytes(liar, item.frame().bytes());
    case.decide(&item, Verdict::Ignore);
    assert_eq!(told(&mut case), [liar]);
    announces(&mut case, honest, &item, item.payload().len() as u32);
    announces(&mut case, honest, &item, item.payload().len() as u32);
    assert_eq!(told(&mut case), [honest], "once");
    assert!(!is_asked(&mut case, honest));
}

#[test]
fn a_host_that_announces_what_is_not_there_takes_no_room_from_others() {
    let mut case = Case::new(greedy());
    let liars: Vec<_> =
        (0..8).map(|number| case.connect(&format!("9.9.{}.9:{}", number / 4, 1000 + number), true)).collect();
    for (number, liar) in (0..).zip(&liars) {
        announce_made_up(&mut case, *liar, number * 1000..number * 1000 + 1000);
    }
    assert_eq!(case.relay().fetches(), 2 * MAX_FETCHES_PER_HOST);
    let honest: [_; 12] = case.peers();
    for (number, peer) in (0..).zip(honest) {
        announce_made_up(&mut case, peer, 100_000 + number * 1000..100_000 + number * 1000 + 100);
        assert!(is_asked(&mut case, peer), "{number}");
    }
    assert_eq!(case.relay().fetches(), 2 * MAX_FETCHES_PER_HOST + 12 * 100);
}

#[test]
fn whoever_sends_another_payload_of_a_block_that_is_known_is_not_charged_with_silence() {
    let mut case = Case::new(Config::default());
    let [first, second, third] = case.peers();
    let bytes = block(1, 5000);
    let mut resigned = bytes.clone();
    resigned[289] ^= 1;
    let (one, other) = (Item::block(&bytes).unwrap(), Item::block(&resigned).unwrap());
    for peer in [second, third] {
        announces(&mut case, peer, &other, other.payload().len() as u32);
    }
    case.lone.give_bytes(first, one.frame().bytes());
    case.decide(&one, Verdict::Accept);
    case.sent(third);
    case.lone.give_bytes(second, other.frame().bytes());
    assert_eq!(case.relay().fetches(), 0);
    case.lone.advance(SECOND * 60);
    assert_eq!(case.offences(), []);
    assert!(!is_asked(&mut case, third));
}

#[test]
fn what_was_asked_for_before_a_download_began_is_waited_for_no_more() {
    let mut case = Case::new(Config::default());
    let [first, second] = case.peers();
    let item = Item::block(&block(1, 5000)).unwrap();
    for peer in [first, second] {
        announces(&mut case, peer, &item, item.payload().len() as u32);
    }
    case.lone.act(|_, cx| cx.signal(Signal::InitialDownload(true)));
    assert_eq!(case.relay().fetches(), 0);
    case.lone.give_bytes(first, item.frame().bytes());
    case.lone.advance(SECOND * 60);
    assert_eq!(case.offences(), []);
    assert!(!is_asked(&mut case, second));
}

#[test]
fn a_busy_peer_may_send_the_largest_blocks_as_slowly_as_its_upload_is_shared_out() {
    let mut case = Case::new(Config::default());
    let [origin] = case.peers();
    let item = Item::block(&block(1, 5000)).unwrap();
    announces(&mut case, origin, &item, HUGE);
    // 48 sessions share 10 MiB/s.
    let share = Bandwidth::reference().upload().bytes_per_second() / 48;
    case.lone.advance(Duration::from_secs(u64::from(HUGE) / share));
    assert_eq!((case.offences(), case.relay().fetches()), (Vec::new(), 1));
}

#[test]
fn what_is_asked_of_one_peer_may_come_one_after_the_other() {
    let mut case = Case::new(Config::default());
    let [busy] = case.peers();
    let bytes = vec![1; 1024 * 1024 - 100];
    let items: Vec<_> = (0..20).map(|number| Item::proof(&proof(number, &bytes)).unwrap()).collect();
    for item in &items {
        announces(&mut case, busy, item, item.payload().len() as u32);
    }
    assert_eq!(case.relay().fetches(), 20);
    for item in &items {
        case.lone.advance(SECOND);
        case.lone.give_bytes(busy, item.frame().bytes());
        assert_eq!(case.offences(), []);
        for (item, _) in case.received() {
            case.decide(&item, Verdict::Ignore);
        }
    }
    assert_eq!(case.relay().fetches(), 0);
}

#[test]
fn being_held_back_for_a_moment_excuses_nobody_who_never_sends() {
    let slow = Bandwidth::default().with_upload_per_peer(Some(100_000));
    let mut case = Case::with_limits(Config::default(), Limits::default().with_bandwidth(slow));
    let [liar] = case.peers();
    let item = Item::proof(&proof(1, &[1; 400])).unwrap();
    announces(&mut case, liar, &item, item.payload().len() as u32);
    assert!(is_asked(&mut case, liar));
    // Two seconds' worth, and something that waits behind it.
    case.lone.act(|_, cx| cx.send(liar, &proof(1, &[1; 200_000])).unwrap());
    case.lone.act(|_, cx| cx.send(liar, &proof(1, &[1; 500])).unwrap());
    case.lone.advance(SECOND * 4);
    assert_eq!(case.offences(), [], "its time is that in which it could send");
    case.lone.advance(SECOND * 3);
    assert_eq!(case.offences(), [(liar, Offence::NoAnswer(MessageType::PROOF_SUBMISSION))]);
}

#[test]
fn a_false_kind_costs_who_said_it_and_hides_no_block_from_sync() {
    for is_sent in [true, false] {
        let mut case = Case::new(Config::default());
        let [liar, honest] = case.peers();
        let item = Item::block(&block(1, 5000)).unwrap();
        let payload_bytes = item.payload().len() as u32;
        let lie = Announced { message_type: MessageType::TRANSACTION, payload_bytes, id: item.id() };
        case.lone.give(liar, &Announce::new(&[lie]));
        announces(&mut case, honest, &item, payload_bytes);
        case.lone.advance(SECOND * 7 / 2);
        assert_eq!(case.offences(), [(liar, Offence::NoAnswer(MessageType::TRANSACTION))]);
        if is_sent {
            case.lone.give_bytes(honest, item.frame().bytes());
            assert_eq!(case.offences(), [(liar, FALSE_ANNOUNCEMENT)]);
        } else {
            case.lone.advance(SECOND * 4);
            assert_eq!(told(&mut case), [honest]);
        }
    }
}
