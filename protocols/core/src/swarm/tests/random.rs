//! Long random runs: nothing panics, and the invariants hold after every call.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRng, TestRunner};

use super::guarantees;
use super::operations::{Operation, Runner, any_run};

/// Thousands of operations on one Swarm. [`Node`](super::node::Node) checks the invariants after
/// each of them.
fn run_for_long(seed: u8) {
    let rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &[seed; 32]);
    let mut source = TestRunner::new_with_rng(Config::default(), rng);
    let mut runner = Runner::new(seed % 2 == 1);
    for _ in 0..20 {
        let run = any_run(400).new_tree(&mut source).unwrap().current();
        runner.go(run.without_end());
    }
    guarantees::check_all(&runner);
    assert!(runner.node.events.len() > 500, "things happen");
    runner.perform(Operation::ShutDown);
    guarantees::check_all(&runner);
    assert_eq!(runner.node.counters(), (0, 0));
    assert_eq!(runner.node.swarm.peers().count(), 0);
    let network = &runner.node.swarm.network;
    assert_eq!(runner.node.swarm.held_bytes(), 0);
    assert!(network.timers.is_empty());
    assert_eq!((network.upload.places(), network.download.places()), (0, 0));
}

#[test]
fn thousands_of_operations_break_nothing() {
    for seed in 0..6 {
        run_for_long(seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_same_run_gives_the_same_log_and_the_same_events(run in any_run(150)) {
        let (a, b) = (Runner::of(run.clone()), Runner::of(run));
        prop_assert_eq!(a.entries(), b.entries());
        let events = |runner: &Runner| alloc::format!("{:?}", runner.node.events);
        prop_assert_eq!(events(&a), events(&b));
    }
}
