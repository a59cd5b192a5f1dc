//! Whatever happens, in whatever order, some things hold.

use std::collections::BTreeSet;

use spacetime_core::Endpoint;

use super::*;

fn group(address: &SocketAddr) -> [u8; 2] {
    match address.ip() {
        std::net::IpAddr::V4(ip) => [ip.octets()[0], ip.octets()[1]],
        std::net::IpAddr::V6(_) => unreachable!(),
    }
}

fn config() -> Config {
    Config::default()
        .with_seeds(["seed.example:8333".parse().unwrap(), apart(9000).into()])
        .with_max_inbound(12)
}

fn somebody(rng: &mut Rng, connections: &[ConnectionId]) -> Option<ConnectionId> {
    rng.pick(connections).copied()
}

fn some_target(rng: &mut Rng) -> Target {
    let address = apart(rng.below(40) as u32);
    match rng.below(4) {
        0 => Target::Peer(id(rng.below(20) as u8 + 1)),
        1 => Target::Endpoint(Endpoint::Socket(address)),
        2 => target(&format!("{}/16", address.ip())),
        _ => target(&address.ip().to_string()),
    }
}

fn hold(net: &Net) {
    let chosen = net.with_role(Role::Outbound);
    let groups: BTreeSet<_> = chosen.iter().map(group).collect();
    assert_eq!(groups.len(), chosen.len(), "two of one group: {chosen:?}");
    assert!(chosen.len() <= 8 && net.with_role(Role::Seed).len() <= 3);
    assert!(net.peers().inbound() <= 12 + net.peers().trusted().count());
    // The pool, its dials, feelers and those for the lost, seeds, what came, and what the user keeps.
    assert!(net.connections() <= 8 + 8 + 17 + 3 + 40 + 5, "{}", net.connections());
}

fn act(net: &mut Net, rng: &mut Rng) {
    let open: Vec<_> = net.open_connections();
    let address = apart(rng.below(40) as u32);
    match rng.below(20) {
        0 => {
            let proven = rng.chance(1, 2).then(|| id(rng.below(20) as u8 + 1));
            net.answers.insert(address, Answer::Peer(proven));
        }
        1 => drop(net.answers.insert(address, Answer::Silence)),
        2 => drop(net.answers.insert(address, Answer::Full)),
        3 => drop(net.answers.remove(&address)),
        4 | 5 => {
            let proven = rng.chance(1, 2).then(|| id(rng.below(20) as u8 + 1));
            let port = rng.chance(1, 2).then_some(8333);
            let _ = net.connect(&format!("{}:{}", address.ip(), 1000 + rng.below(9)), proven, port);
        }
        6 => {
            let reasons =
                [CloseReason::EndOfStream, CloseReason::PingTimeout, CloseReason::Transport("broken".into())];
            let reason = rng.pick(&reasons).unwrap().clone();
            somebody(rng, &open).into_iter().for_each(|it| net.end(it, reason.clone()));
        }
        7 | 8 => {
            let offence = *rng.pick(&[MINOR, SERIOUS, GRAVE]).unwrap();
            somebody(rng, &open).into_iter().for_each(|it| net.report(it, offence));
        }
        9 => somebody(rng, &open).into_iter().for_each(|it| net.signal(Signal::Useful { connection: it })),
        10 => {
            let told: Vec<_> = (0..rng.below(30)).map(|_| apart(rng.below(300) as u32)).collect();
            somebody(rng, &open).into_iter().for_each(|it| net.tell(it, &told));
        }
        11 => {
            let duration = rng.chance(1, 2).then(|| SECOND * rng.below(5000) as u32);
            net.command(Command::Ban { target: some_target(rng), duration, reason: "test".into() });
        }
        12 => net.command(Command::Unban(some_target(rng))),
        13 if net.peers().trusted().count() < 3 => net.command(Command::Trust(some_target(rng))),
        14 => net.command(Command::Distrust(some_target(rng))),
        15 if rng.chance(1, 4) => net.command(Command::Add(apart(rng.below(5) as u32).into())),
        16 => net.command(Command::Remove(apart(rng.below(5) as u32).into())),
        17 => net.command(resolved("seed.example:8333", (0..rng.below(9) as u32).map(apart).collect())),
        18 if rng.chance(1, 10) => net.crash(config(), SECOND * rng.below(5000) as u32),
        19 => {
            let duration = Duration::from_millis(rng.below(30));
            somebody(rng, &open)
                .into_iter()
                .for_each(|it| net.signal(Signal::RoundTrip { connection: it, duration }));
        }
        _ => net.command(Command::Store),
    }
}

#[test]
fn groups_stay_distinct_and_numbers_bounded_whatever_happens() {
    let mut full = 0;
    for seed in 0..60 {
        let mut rng = Rng::from_number(seed);
        let known: Vec<_> = (0..40).map(apart).collect();
        let mut net = Net::restart(config(), disk(&known, 20, &[]), UNIX_SECONDS);
        net.add_answers(0..40);
        for _ in 0..300 {
            act(&mut net, &mut rng);
            hold(&net);
            net.run_for(Duration::from_millis(rng.below(20_000)));
            hold(&net);
        }
        full += usize::from(net.peers().outbound() >= 8);
        // When all is well again, it is as if nothing had happened.
        for ban in net.peers().bans().collect::<Vec<_>>() {
            net.command(Command::Unban(ban.target));
        }
        net.answers.clear();
        net.add_answers(0..300);
        net.run_for(MINUTE * 30);
        hold(&net);
        assert!(net.peers().outbound() >= 8, "seed {seed}: {}", net.peers().outbound());
    }
    assert!(full > 10, "{full}");
}
