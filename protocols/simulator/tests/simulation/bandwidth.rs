//! Limits of bandwidth: that they hold, and what they cost others.

use std::time::Duration;

use spacetime_core::wire::{FRAME_HEADER, MAX_PAYLOAD, Priority};
use spacetime_core::{Bandwidth, CloseReason, Time};
use spacetime_simulator::Simulation;

use crate::speaker::{Heard, Speaker, Stream, heard, quick, star};
use crate::talker::SECOND;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// The smallest frame, a usual one, and the largest.
const FRAME_BYTES: [usize; 3] = [FRAME_HEADER, 1024, FRAME_HEADER + MAX_PAYLOAD as usize];

/// A limit that is right for frames of this size: of the largest there are ten in ten seconds.
const fn rate_for(frame_bytes: usize) -> u64 {
    match frame_bytes {
        FRAME_HEADER => 50 * KIB,
        1024 => MIB,
        _ => 16 * MIB,
    }
}

/// By how much the rate at which frames arrived differs from `rate`, as a part of it.
fn error(arrivals: &[Heard], rate: u64) -> f64 {
    let (first, last) = (arrivals.first().expect("some arrive"), arrivals.last().expect("some arrive"));
    let seconds = last.at.since(first.at).as_secs_f64();
    assert!(seconds >= 9.9, "{seconds}");
    // What came last has only begun to be paid for.
    let before = arrivals.iter().filter(|it| it.at < last.at).map(|it| it.bytes).sum::<usize>();
    before as f64 / seconds / rate as f64 - 1.0
}

/// What `node` heard, from all or from each.
fn errors(simulation: &Simulation<Speaker>, nodes: &[usize], per_peer: bool, rate: u64) -> Vec<f64> {
    let mut all: Vec<(usize, Heard)> =
        nodes.iter().flat_map(|node| heard(simulation, *node).iter().map(|it| (*node, *it))).collect();
    all.sort_by_key(|(_, it)| it.at);
    let arrivals: Vec<Heard> = all.iter().map(|(_, it)| *it).collect();
    if !per_peer {
        return vec![error(&arrivals, rate)];
    }
    let mut peers: Vec<_> = all.iter().map(|(node, it)| (*node, it.from)).collect();
    peers.sort_unstable();
    peers.dedup();
    let of = |peer| {
        let its = all.iter().filter(|(node, it)| (*node, it.from) == peer).map(|(_, it)| *it);
        error(&its.collect::<Vec<_>>(), rate)
    };
    peers.into_iter().map(of).collect()
}

#[test]
fn each_limit_holds_within_two_percent_over_ten_seconds_whatever_the_size_of_frames() {
    for frame_bytes in FRAME_BYTES {
        let rate = rate_for(frame_bytes);
        let limit = Some(rate);
        let (speaks, listens) = (vec![Stream::of(frame_bytes)], Vec::new());
        for (what, bandwidth, is_upload, per_peer) in [
            ("upload per peer", Bandwidth::default().with_upload_per_peer(limit), true, true),
            ("upload in total", Bandwidth::default().with_upload(limit), true, false),
            ("download per peer", Bandwidth::default().with_download_per_peer(limit), false, true),
            ("download in total", Bandwidth::default().with_download(limit), false, false),
        ] {
            let (middle, other) = if is_upload { (&speaks, &listens) } else { (&listens, &speaks) };
            let streams = [middle, other, other, other].map(Clone::clone);
            let mut simulation = star(quick(), bandwidth, &streams);
            simulation.run_for(Duration::from_millis(11_500));
            let listeners: &[usize] = if is_upload { &[1, 2, 3] } else { &[0] };
            let errors = errors(&simulation, listeners, per_peer, rate);
            assert_eq!(errors.len(), if per_peer { 3 } else { 1 });
            assert!(errors.iter().all(|it| it.abs() <= 0.02), "{what}, {frame_bytes}: {errors:?}");
        }
    }
}

#[test]
fn a_block_larger_than_a_second_may_bring_passes_and_what_follows_waits_until_it_is_paid() {
    let block = Stream::of(FRAME_BYTES[2]).every(SECOND * 1000);
    let small = Stream::of(100).every(SECOND / 10).at(Priority::Low);
    let limit = Some(MIB);
    for (bandwidth, from, to) in [
        (Bandwidth::default().with_upload_per_peer(limit), 0, 1),
        (Bandwidth::default().with_upload(limit), 0, 1),
        (Bandwidth::default().with_download_per_peer(limit), 1, 0),
        (Bandwidth::default().with_download(limit), 1, 0),
    ] {
        let mut streams = [Vec::new(), Vec::new()];
        streams[from] = vec![block, small];
        let mut simulation = star(quick(), bandwidth, &streams);
        simulation.run_for(SECOND * 20);
        let heard = heard(&simulation, to);
        let block = heard.iter().position(|it| it.bytes > 1 << 20).expect("it arrives");
        assert!(heard[block].at < Time::ZERO + SECOND, "at once");
        let gap = heard[block + 1].at.since(heard[block].at);
        assert!(gap > SECOND * 15 && gap < SECOND * 17, "{gap:?}");
        assert!(heard.len() > 180, "nothing was lost");
        let statistics = simulation.swarm(0).statistics();
        let delayed = if from == 0 { statistics.sent_delayed } else { statistics.received_delayed };
        assert!(delayed.time > SECOND * 15 && delayed.time < SECOND * 17, "{delayed:?}");
        assert!(delayed.bytes > 0 && delayed.bytes < 20_000, "{delayed:?}");
    }
}

/// What each of the nodes from 1 on sent to the middle in ten seconds, in bytes.
fn shares(frame_bytes: &[usize], every: &[Option<Duration>], total: u64) -> Vec<f64> {
    let mut streams = vec![Vec::new()];
    for (frame_bytes, every) in frame_bytes.iter().zip(every) {
        streams.push(vec![Stream { every: *every, ..Stream::of(*frame_bytes) }]);
    }
    let mut simulation = star(quick(), Bandwidth::default().with_download(Some(total)), &streams);
    simulation.run_for(SECOND * 40);
    let heard = heard(&simulation, 0);
    let of = |node: usize| {
        let address = simulation.address(node);
        let all = heard.iter().filter(|it| {
            let peer = simulation.swarm(0).peer(it.from).expect("all stay");
            peer.address == address && it.at >= Time::ZERO + SECOND * 10
        });
        all.map(|it| it.bytes).sum::<usize>() as f64 / 30.0
    };
    (1..streams.len()).map(of).collect()
}

#[test]
fn two_who_flood_leave_eight_who_do_not_their_share_of_what_is_read() {
    let total = MIB;
    for flood_bytes in [64, 1024, 60_000, 1 << 20] {
        // Eight who want more than they can have.
        let frames = [vec![flood_bytes; 2], vec![1024; 8]].concat();
        let rates = shares(&frames, &[None; 10], total);
        let honest = rates[2..].iter().sum::<f64>() / total as f64;
        assert!(honest >= 0.75, "{flood_bytes}: {rates:?}");
        let (least, most) =
            (rates[2..].iter().copied().fold(f64::MAX, f64::min), rates[2..].iter().sum::<f64>() / 8.0);
        assert!(least > most * 0.95, "each of them: {rates:?}");

        // Eight who want less than their share: 80 KiB/s of 102.
        let every = [vec![None; 2], vec![Some(Duration::from_micros(12_500)); 8]].concat();
        let rates = shares(&frames, &every, total);
        for rate in &rates[2..] {
            let wanted = 1024.0 / 0.0125;
            // But for what waits at the end, while two of the largest frames are paid for.
            assert!(*rate > wanted * (1.0 - 2.5 / 30.0), "{flood_bytes}: {rates:?}");
        }
        let sum = rates.iter().sum::<f64>() / total as f64;
        assert!(sum > 0.95, "and what they leave is used: {sum}");
    }
}

#[test]
fn what_is_sent_is_shared_by_bytes_and_not_by_frames() {
    // To one of three more is sent, and in larger frames.
    let mut streams = vec![vec![Stream::of(1024), Stream::of(200_000).at(Priority::High)], Vec::new()];
    streams.resize(5, Vec::new());
    let bandwidth = Bandwidth::default().with_upload(Some(MIB));
    let mut simulation = star(quick(), bandwidth, &streams);
    simulation.run_for(SECOND * 30);
    let rates: Vec<f64> = (1..5)
        .map(|node| heard(&simulation, node).iter().map(|it| it.bytes).sum::<usize>() as f64 / 30.0)
        .collect();
    for rate in &rates {
        assert!((rate / (MIB as f64 / 4.0) - 1.0).abs() < 0.05, "{rates:?}");
    }
}

fn percentile(mut latencies: Vec<Duration>, percent: usize) -> Duration {
    latencies.sort_unstable();
    latencies[(latencies.len() - 1) * percent / 100]
}

#[test]
fn a_peer_that_never_reads_costs_its_budget_is_dropped_and_delays_nobody() {
    let streams = |count: usize| {
        let mut streams = vec![vec![Stream::of(40_000).every(SECOND / 5)]];
        streams.resize(count + 1, Vec::new());
        streams
    };
    // 1 MB/s is wanted for five, of 1.05, and twice as much at a time as passes at once.
    let bandwidth = Bandwidth::default().with_upload(Some(MIB)).with_upload_per_peer(Some(MIB / 4));
    let links = || quick().with_window_bytes(64 * 1024);
    let run = |is_deaf: bool| {
        let mut simulation = star(links(), bandwidth, &streams(5));
        simulation.run_for(SECOND);
        simulation.set_reading_paused(5, is_deaf);
        let mut most = 0;
        for _ in 0..600 {
            simulation.run_for(SECOND / 10);
            let swarm = simulation.swarm(0);
            let deaf = swarm.peers().find(|(_, peer)| peer.address == simulation.address(5));
            most = most.max(deaf.map_or(0, |(id, _)| swarm.queued_bytes(id)));
        }
        let latencies = (1..5).flat_map(|node| heard(&simulation, node).iter().map(|it| it.latency));
        let p99 = percentile(latencies.collect(), 99);
        (p99, most, simulation.swarm(0).behaviour().closed.clone())
    };
    let (without, _, closed) = run(false);
    assert!(closed.is_empty());
    let (with, most, closed) = run(true);
    assert!(with <= without * 2, "{with:?} and {without:?}");
    assert!(most > 100_000 && most <= spacetime_core::Limits::default().queue_bytes(), "{most}");
    let (at, _, why) = closed.first().expect("it is dropped");
    assert_eq!((closed.len(), why), (1, &CloseReason::SlowReader));
    let after = at.since(Time::ZERO + SECOND);
    assert!(after > SECOND * 30 && after < SECOND * 33, "{after:?}");
}

#[test]
fn what_is_critical_passes_while_a_block_of_sixteen_mebibytes_is_paid_for() {
    let limit = Some(MIB);
    let bandwidth = Bandwidth::default()
        .with_upload_per_peer(limit)
        .with_upload(limit)
        .with_download_per_peer(limit)
        .with_download(limit);
    let ping = Stream::of(FRAME_HEADER + 30).every(SECOND / 10).at(Priority::Critical);
    let block = Stream::of(FRAME_BYTES[2]).every(SECOND * 1000).at(Priority::High);
    let run = |streams: &[Vec<Stream>]| {
        // Both ends have limits, and a line of 100 MiB/s.
        let links = quick().with_bandwidth(100 * MIB, 100 * MIB);
        let mut simulation = Simulation::new(1).link(links).keep_events(false);
        for streams in streams {
            let limits = spacetime_core::Limits::default().with_bandwidth(bandwidth);
            simulation.add_node(limits, |_| Speaker::new(streams));
        }
        simulation.dial(1, 0).unwrap();
        simulation.run_for(SECOND * 15);
        let pings = heard(&simulation, 1).iter().filter(|it| it.priority == Priority::Critical);
        let latencies: Vec<_> = pings.map(|it| it.latency).collect();
        assert!(latencies.len() > 140, "{}", latencies.len());
        let most = latencies.iter().copied().max().unwrap();
        (percentile(latencies, 99), most)
    };
    let (idle, _) = run(&[vec![ping], Vec::new()]);
    let (p99, most) = run(&[vec![ping, block], Vec::new()]);
    assert!(p99 <= idle * 2, "{p99:?}");
    // The block itself takes 160 ms of each line.
    assert!(most < Duration::from_millis(350), "{most:?}");
}

#[test]
fn with_all_above_it_saturated_for_a_minute_the_lowest_level_moves_and_nothing_critical_is_lost() {
    let rate = 256 * KIB;
    let stream = |priority, bytes| Stream::of(bytes).at(priority);
    let levels = vec![
        stream(Priority::Critical, 100),
        stream(Priority::High, 50_000),
        stream(Priority::Normal, 1000),
        stream(Priority::Low, 300),
    ];
    let bandwidth = Bandwidth::default().with_upload_per_peer(Some(rate));
    let mut simulation = star(quick(), bandwidth, &[levels, Vec::new()]);
    let mut before = [0; 4];
    for second in 1..=60 {
        simulation.run_for(SECOND);
        let mut counts = [0; 4];
        for it in heard(&simulation, 1) {
            counts[Priority::ALL.iter().position(|level| *level == it.priority).unwrap()] += 1;
        }
        if second % 5 == 0 {
            for level in [0, 3] {
                assert!(counts[level] > before[level], "{level} stands still in second {second}");
            }
            before = counts;
        }
    }
    let swarm = simulation.swarm(0);
    assert!(swarm.behaviour().closed.is_empty());
    assert_eq!(swarm.statistics().frames_dropped, 0);
    let arrived = heard(&simulation, 1);
    let critical = arrived.iter().filter(|it| it.priority == Priority::Critical).count() as u64;
    let (id, _) = swarm.peers().next().unwrap();
    let waiting = swarm.queue_loads(id)[0].frames as u64;
    // What is under way for 2 ms.
    let sent = swarm.behaviour().sent[0];
    assert!(critical + waiting <= sent && sent - critical - waiting < 1000, "{critical} {waiting} {sent}");
    // The limit holds with what passes because it is urgent.
    let rate_there = arrived.iter().map(|it| it.bytes).sum::<usize>() as f64 / 60.0;
    assert!((rate_there / rate as f64 - 1.0).abs() < 0.02, "{rate_there}");
}

#[test]
fn runs_with_limits_are_repeatable() {
    let run = || {
        let mut streams = vec![vec![Stream::of(1024)]];
        streams.resize(6, vec![Stream::of(3000)]);
        let bandwidth = Bandwidth::default()
            .with_upload(Some(MIB))
            .with_upload_per_peer(Some(300 * KIB))
            .with_download(Some(MIB));
        let mut simulation = star(quick(), bandwidth, &streams);
        simulation.run_for(SECOND * 5);
        simulation.audit()
    };
    assert_eq!(run(), run());
}
