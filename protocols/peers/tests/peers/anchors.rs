//! Anchors: who is dialled first after a restart.

use super::*;

fn anchors(net: &Net) -> Vec<SocketAddr> {
    net.disk.state.as_ref().unwrap().anchors.clone()
}

fn known() -> Vec<SocketAddr> {
    (0..200).map(apart).collect()
}

fn filled() -> Net {
    let mut net = Net::restart(Config::default(), disk(&known(), 200, &[]), UNIX_SECONDS);
    net.add_answers(0..200);
    net.run_for(SECOND * 10);
    assert_eq!(net.peers().outbound(), 8);
    net
}

#[test]
fn who_was_connected_for_longest_is_dialled_first_after_a_crash() {
    let mut net = filled();
    let oldest: Vec<_> = net.dials[..2].iter().map(|it| it.1).collect();
    assert_eq!(anchors(&net), oldest);
    for _ in 0..20 {
        net.crash(Config::default(), SECOND * 30);
        net.run_for(SECOND * 10);
        let mut first: Vec<_> = net.dials[..2].iter().map(|it| it.1).collect();
        first.sort_unstable();
        let mut expected = oldest.clone();
        expected.sort_unstable();
        assert_eq!(first, expected);
    }
}

#[test]
fn a_crash_within_a_second_of_the_start_loses_no_anchor() {
    let mut net = filled();
    let before = anchors(&net);
    for moment in 0..20 {
        net.crash(Config::default(), SECOND);
        net.run_for(SECOND / 10 * moment);
        assert_eq!(anchors(&net).len(), 2, "{moment}");
    }
    assert!(anchors(&net).iter().any(|it| before.contains(it)));
}

#[test]
fn anchors_that_are_still_being_dialled_are_not_forgotten() {
    let anchors_before = [apart(0), apart(1)];
    let mut net = Net::restart(Config::default(), disk(&known()[..3], 3, &anchors_before), UNIX_SECONDS);
    net.answers.insert(apart(0), Answer::Silence);
    net.answers.insert(apart(1), Answer::Silence);
    net.answers.insert(apart(2), Answer::Peer(None));
    net.run_for(SECOND * 5);
    assert_eq!(anchors(&net), [apart(2), apart(0)]);
}

#[test]
fn neither_a_stop_nor_the_loss_of_the_network_wipes_them_out() {
    let mut net = filled();
    let before = anchors(&net);
    net.shut_down();
    net.command(Command::Store);
    assert_eq!(anchors(&net), before);

    let mut net = filled();
    net.answers.clear();
    for connection in net.outbound().into_values() {
        net.end(connection, CloseReason::PingTimeout);
    }
    net.run_for(HOUR * 10);
    assert_eq!(net.peers().outbound(), 0);
    assert_eq!(anchors(&net).len(), 2);
}

#[test]
fn what_the_disk_says_is_checked_like_anything_else() {
    let bad = ["127.0.0.1:8333", "10.0.0.1:8333", "9.9.9.9:0", "224.0.0.1:1"].map(socket);
    let many: Vec<_> = bad.into_iter().chain((50..1000).map(apart)).collect();
    let mut stored = disk(&known()[..1], 1, &many);
    let state = stored.state.as_mut().unwrap();
    state.bans.push(spacetime_peers::Ban { target: target("11.50.0.0/16"), until: None, reason: "".into() });
    let mut net = Net::restart(Config::default(), stored, UNIX_SECONDS);
    net.run_for(MINUTE);
    // The first two that may be dialled, of which one is banned.
    assert_eq!(
        net.dials.iter().filter(|it| it.1 != apart(0)).map(|it| it.1).collect::<Vec<_>>(),
        [apart(51)]
    );
}

#[test]
fn two_anchors_of_one_group_make_one_connection() {
    let (one, other) = (socket("11.0.1.1:8333"), socket("11.0.2.1:8333"));
    let mut net = Net::restart(Config::default(), disk(&known()[100..110], 10, &[one, other]), UNIX_SECONDS);
    net.answers.insert(one, Answer::Peer(None));
    net.answers.insert(other, Answer::Peer(None));
    net.run_for(SECOND * 20);
    assert_eq!(net.times_dialled(one) + net.times_dialled(other), 1);
}

#[test]
fn stored_records_with_stamps_at_the_ends_of_time_are_cut_and_none_lives_for_ever() {
    for (stamp, is_kept) in [(i64::MIN, false), (0, false), (UNIX_SECONDS, true), (i64::MAX, true)] {
        let mut stored = disk(&known()[..1], 1, &[]);
        let record = &mut stored.records[0];
        (record.first_seen, record.last_seen, record.last_told) = (stamp, stamp, stamp);
        (record.last_attempt, record.last_success) = (Some(stamp), Some(stamp));
        (record.success_count, record.failure_count) = (u32::MAX, u32::MAX);
        let mut net = Net::restart(Config::default(), stored, UNIX_SECONDS);
        assert_eq!(net.peers().book().len(), usize::from(is_kept), "{stamp}");
        net.run_for(HOUR * 24 * 31);
        let now = net.clock().unix_seconds;
        assert!(net.peers().book().entries().all(|it| it.is_terrible(now)), "{stamp}");
    }
}
