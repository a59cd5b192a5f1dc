//! What peers ask for while their queues are full.

use spacetime_core::wire::Priority;

use super::*;

const LARGE: usize = 5000;

fn items(count: u16) -> Vec<Item> {
    let of = |number: u16| {
        let bytes = number.to_le_bytes().repeat(LARGE / 2);
        Item::proof(&proof(1, &bytes)).unwrap()
    };
    (0..count).map(of).collect()
}

fn offers(items: &[Item]) -> (Case, ConnectionId) {
    let mut case = Case::new(Config::default().with_push_peers(0));
    let [peer] = case.peers();
    items.iter().for_each(|item| case.publish(item.clone()));
    case.sent(peer);
    (case, peer)
}

#[test]
fn what_is_asked_for_comes_whole_though_it_does_not_fit_the_queue_at_once() {
    // 600 KB of answers, and 512 KiB of room.
    let items = items(120);
    let (mut case, peer) = offers(&items);
    let ids: Vec<_> = items.iter().map(Item::id).collect();
    case.lone.give(peer, &Fetch { hashes: Hashes::from(&*ids) });
    let sent = case.lone.sent(peer);
    assert_eq!(sent.len(), 120);
    assert!(sent.iter().zip(&items).all(|((_, payload), item)| payload == item.payload()));
    // Each once.
    case.lone.give(peer, &Fetch { hashes: Hashes::from(&*ids) });
    assert_eq!(case.sent(peer), [MessageType::NOT_FOUND]);
}

#[test]
fn what_is_not_there_is_said_as_soon_as_there_is_room() {
    let items = items(120);
    let (mut case, peer) = offers(&items);
    let unknown: Vec<_> = (0..100_u8).map(|number| Hash([number; 32])).collect();
    let ids: Vec<_> = items.iter().map(Item::id).chain(unknown.iter().copied()).collect();
    case.lone.give(peer, &Fetch { hashes: Hashes::from(&*ids) });
    let sent = case.lone.sent(peer);
    let missing = sent.iter().filter(|(message_type, _)| *message_type == MessageType::NOT_FOUND);
    let missing: Vec<_> =
        missing.flat_map(|(_, it)| NotFound::decode(it).unwrap().hashes.iter().collect::<Vec<_>>()).collect();
    assert_eq!((sent.len(), missing), (121, unknown));
}

#[test]
fn blocks_are_sent_though_there_is_no_room_for_what_is_asked_for_with_them() {
    let small = QueueLimit { max_frames: 2, max_bytes: 256 * 1024 };
    let limits = Limits::default().with_queue(Priority::Normal, small);
    let mut case = Case::with_limits(Config::default().with_push_peers(0), limits);
    let [peer] = case.peers();
    let mut wanted = items(8);
    wanted.push(Item::block(&block(1, 5000)).unwrap());
    wanted.iter().for_each(|item| case.publish(item.clone()));
    case.sent(peer);
    let ids: Vec<_> = wanted.iter().map(Item::id).collect();
    case.lone.give(peer, &Fetch { hashes: Hashes::from(&*ids) });
    let sent = case.sent(peer);
    assert_eq!(sent.len(), 9);
    assert_eq!(sent[0], MessageType::NEW_BLOCK, "the more urgent one is first: {sent:?}");
}

#[test]
fn announcements_wait_for_room_and_go_out_together() {
    let small = QueueLimit { max_frames: 2, max_bytes: 256 * 1024 };
    let limits = Limits::default().with_queue(Priority::Normal, small);
    let mut case = Case::with_limits(Config::default().with_push_peers(0), limits);
    let [peer] = case.peers();
    let items = items(700);
    case.lone.act(|node, cx| {
        for item in &items {
            node.on_command(cx, NodeCommand::Relay(Command::Publish(item.clone())));
        }
    });
    let sent = case.lone.sent(peer);
    let announced: Vec<_> = sent
        .iter()
        .flat_map(|(_, payload)| {
            Announce::decode(payload).unwrap().iter().map(|it| it.id).collect::<Vec<_>>()
        })
        .collect();
    // Two at once, and of the others the 500 last.
    let expected = items.iter().take(2).chain(items.iter().skip(200)).map(Item::id);
    assert_eq!((sent.len(), announced), (3, expected.collect::<Vec<_>>()));
}

#[test]
fn a_peer_that_asks_without_end_and_reads_nothing_is_remembered_no_more_than_an_honest_one_asks() {
    let mut case = Case::new(Config::default());
    let [peer] = case.peers();
    let frames: Vec<_> = (0..40_u32)
        .map(|message| {
            let ids: Vec<_> =
                (0..500).map(|number| Hash::of(&(message * 500 + number).to_le_bytes())).collect();
            Frame::encode(&Fetch { hashes: Hashes::from(&*ids) }).unwrap()
        })
        .collect();
    case.lone.act(|node, cx| {
        for frame in &frames {
            node.on_input(cx, &Input::Frame { connection: peer, frame }).unwrap();
        }
    });
    let missing: usize = case
        .lone
        .sent(peer)
        .iter()
        .map(|(_, payload)| NotFound::decode(payload).unwrap().hashes.iter().count())
        .sum();
    // 32 answers of 16 KB fit the queue, and one more waits.
    assert_eq!(missing, 32 * 500 + 500);
    assert!(case.lone.closed(peer).is_none());
}

#[test]
fn an_item_that_is_published_twice_is_offered_once() {
    let mut case = Case::new(Config::default().with_push_peers(0));
    let [peer] = case.peers();
    let item = items(1).remove(0);
    case.publish(item.clone());
    case.publish(item.clone());
    case.sent(peer);
    let ids = [item.id()];
    for expected in [MessageType::PROOF_SUBMISSION, MessageType::NOT_FOUND] {
        case.lone.give(peer, &Fetch { hashes: Hashes::from(&ids[..]) });
        assert_eq!(case.sent(peer), [expected]);
    }
}
