//! Several connections of one host.

use super::*;

fn two_connections(config: Config) -> (Case, [ConnectionId; 2]) {
    let mut case = Case::new(config);
    let connections = [1000, 1001].map(|port| case.connect(&format!("8.8.8.8:{port}"), true));
    (case, connections)
}

fn taken(case: &mut Case, from: ConnectionId, numbers: std::ops::Range<u64>) -> usize {
    numbers.for_each(|number| case.lone.give(from, &Transaction { bytes: &transaction(number) }));
    case.received().len()
}

#[test]
fn two_connections_of_a_host_have_one_rate_together() {
    let (mut case, [first, second]) = two_connections(Config::default().with_adaptive(false));
    assert_eq!(taken(&mut case, first, 0..60), 60);
    assert_eq!(taken(&mut case, second, 100..200), 40);
    case.lone.end(first);
    assert_eq!(taken(&mut case, second, 200..300), 0);
    case.lone.end(second);
    let again = case.connect("8.8.8.8:1002", true);
    assert_eq!(taken(&mut case, again, 300..400), 0);
    case.lone.advance(SECOND);
    assert_eq!(taken(&mut case, again, 400..500), 10);
}

#[test]
fn what_waits_of_a_host_is_one_part_whatever_connections_it_came_on() {
    let rate = Rate { capacity: 100_000, interval: SECOND };
    let (mut case, [first, second]) = two_connections(Config::default().with_rate(rate));
    assert_eq!(taken(&mut case, first, 0..1000), 1000);
    assert_eq!(taken(&mut case, second, 1000..2000), 24);
    case.lone.end(first);
    case.lone.end(second);
    let again = case.connect("8.8.8.8:1002", true);
    assert_eq!(taken(&mut case, again, 2000..2100), 0);
    // What was decided makes room, though who had sent it is gone.
    for number in 0..10 {
        let id = Kind::Transaction.id(&transaction(number));
        case.lone.command(NodeCommand::Relay(Command::Verdict { id, verdict: Verdict::Ignore }));
    }
    assert_eq!(taken(&mut case, again, 2000..2100), 10);
}

#[test]
fn a_host_whose_peer_has_left_gets_less_for_what_that_sent() {
    let rate = Rate { capacity: 1, interval: SECOND };
    let mut case = Case::new(Config::default().with_rate(rate));
    let [liar] = case.peers();
    case.lone.give(liar, &Transaction { bytes: &transaction(1) });
    let [(item, _)] = case.received().try_into().unwrap();
    case.lone.end(liar);
    case.decide(&item, Verdict::Reject);
    let again = case.connect("8.8.0.8:1001", true);
    let mut numbers = 10..;
    let mut count = 0;
    for number in numbers.by_ref().take(16) {
        case.lone.advance(SECOND);
        count += taken(&mut case, again, number..number + 1);
    }
    assert_eq!(count, 4, "one in four seconds");
}

#[test]
fn of_those_who_left_before_the_verdict_as_many_are_charged_as_are_remembered() {
    let mut case = Case::new(Config::default());
    let [witness] = case.peers();
    case.lone.give(witness, &Transaction { bytes: &transaction(1) });
    let [(item, _)] = case.received().try_into().unwrap();
    for number in 0..300 {
        let leaver = case.connect(&format!("{}.{}.9.9:1", 11 + number / 250, number % 250), true);
        case.lone.give(leaver, &Transaction { bytes: &transaction(1) });
        case.lone.end(leaver);
    }
    case.offences();
    case.decide(&item, Verdict::Reject);
    // 256 that have left are remembered, and of 256 it is noted that they have the item as well.
    let charged = case.offences().len();
    assert_eq!(charged, 256 - 44 + 1);
}
