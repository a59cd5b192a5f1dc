//! Two runs of the same script over memory: the same events in the same order.

use std::time::Duration;

use futures::StreamExt as _;
use spacetime_network::behaviour::NetworkBehaviour as _;
use spacetime_network::transport::MemoryNetwork;
use spacetime_network::{CloseReason, Rng};
use tokio::time::{Instant, timeout};

use crate::tree::{Command, NodeCommand, Note, node};

/// Five nodes that dial each other, talk, and leave, as the seed has it. What each of them was told,
/// and when.
fn run(seed: u64) -> Vec<String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let start = Instant::now();
        let network = MemoryNetwork::new();
        let mut rng = Rng::from_number(seed);
        let (log, mut logged) = tokio::sync::mpsc::unbounded_channel();
        let mut handles = Vec::new();
        let mut addresses = Vec::new();
        for number in 0..5 {
            let transport = network.transport();
            addresses.push(transport.address());
            let mut swarm = node(number, transport);
            swarm.listen(addresses[usize::from(number)].clone()).await.unwrap();
            handles.push(swarm.handle());
            let log = log.clone();
            tokio::spawn(async move {
                while let Some(event) = swarm.next().await {
                    if log.send(format!("{:?} {number} {event:?}", start.elapsed())).is_err() {
                        return;
                    }
                }
            });
        }
        for _ in 0..200 {
            let who = rng.below(5) as usize;
            let (to, text) = (rng.below(5) as usize, format!("echo {}", rng.u64()));
            let address = addresses[to].clone();
            match rng.below(4) {
                0 => drop(handles[who].dial(address).await.unwrap()),
                1 => tokio::time::sleep(Duration::from_millis(rng.below(30_000))).await,
                2 => {
                    let say_to_all =
                        move |node: &mut crate::tree::Node, cx: &mut spacetime_network::Context<'_, _>| {
                            let connections: Vec<_> = cx.peers().map(|(connection, _)| connection).collect();
                            for connection in connections {
                                let note = Note { text: text.clone() };
                                node.on_command(cx, NodeCommand::Notes(Command::Send(connection, note)));
                            }
                        };
                    handles[who].act(say_to_all).await.unwrap();
                }
                _ => {
                    let close_first =
                        |_: &mut crate::tree::Node, cx: &mut spacetime_network::Context<'_, _>| {
                            let first = cx.peers().map(|(connection, _)| connection).next();
                            first.into_iter().for_each(|it| cx.close(it, CloseReason::Requested));
                        };
                    handles[who].act(close_first).await.unwrap();
                }
            }
        }
        drop(log);
        let mut lines = Vec::new();
        while let Ok(Some(line)) = timeout(Duration::from_secs(1), logged.recv()).await {
            lines.push(line);
        }
        lines
    })
}

#[test]
fn the_same_seed_gives_the_same_events_in_the_same_order() {
    for seed in 0..5 {
        let (first, second) = (run(seed), run(seed));
        assert!(first.len() > 50, "something happens: {}", first.len());
        let difference = first.iter().zip(&second).position(|(first, second)| first != second);
        assert_eq!(
            difference,
            None,
            "{}\n{}",
            first[difference.unwrap_or(0)],
            second[difference.unwrap_or(0)]
        );
        assert_eq!(first.len(), second.len());
    }
    assert_ne!(run(1), run(2));
}
