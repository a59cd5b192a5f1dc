//! Bytes without frames. Each message counts with 4 bytes more, for a length.

use spacetime_comparisons::Job;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::sockets::{Socket, Sockets};

const LENGTH_BYTES: usize = 4;
const WRITE_BYTES: usize = 64 * 1024;

async fn send(mut to: Socket, bytes: usize) {
    let batch = vec![7; WRITE_BYTES];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(batch.len());
        to.write_all(&batch[..now]).await.expect("the receiver reads");
        left -= now;
    }
    to.flush().await.expect("the receiver reads");
}

async fn receive(mut from: Socket, bytes: usize) {
    let mut buffer = vec![0; WRITE_BYTES];
    let mut left = bytes;
    while left > 0 {
        let count = from.read(&mut buffer).await.expect("the sender sends");
        assert_ne!(count, 0, "the sender sends all");
        left -= count;
    }
}

pub(crate) async fn one_way(job: &Job, message_bytes: usize, sockets: &Sockets) {
    let (near, far) = sockets.pair().await;
    let bytes = job.count * (LENGTH_BYTES + message_bytes);
    job.start();
    let sender = tokio::spawn(send(near, bytes));
    tokio::spawn(receive(far, bytes)).await.expect("the receiver ends");
    job.stop();
    sender.await.expect("the sender ends");
}

pub(crate) async fn fan_in(job: &Job, connections: usize, sockets: &Sockets) {
    let bytes = job.count / connections * (LENGTH_BYTES + 1024);
    let mut pairs = Vec::new();
    for _ in 0..connections {
        pairs.push(sockets.pair().await);
    }
    job.start();
    let (mut senders, mut receivers) = (JoinSet::new(), JoinSet::new());
    for (near, far) in pairs {
        senders.spawn(send(near, bytes));
        receivers.spawn(receive(far, bytes));
    }
    receivers.join_all().await;
    job.stop();
    senders.join_all().await;
}

/// Sends back what arrives.
async fn echo(mut with: Socket, bytes: usize) {
    let mut buffer = vec![0; WRITE_BYTES];
    let mut left = bytes;
    while left > 0 {
        let count = with.read(&mut buffer).await.expect("the asker asks");
        with.write_all(&buffer[..count]).await.expect("the asker reads");
        with.flush().await.expect("the asker reads");
        left -= count;
    }
}

pub(crate) async fn round_trips(job: &Job, in_flight: usize, sockets: &Sockets) {
    let (mut near, far) = sockets.pair().await;
    let each = LENGTH_BYTES + 256;
    let bytes = job.count * each;
    job.start();
    let echo = tokio::spawn(echo(far, bytes));
    let asker = tokio::spawn(async move {
        let (question, mut buffer) = (vec![7; each * in_flight], vec![0; WRITE_BYTES]);
        let (mut asked, mut answered) = (0, 0);
        while answered < bytes {
            // Whole questions, for answers that came whole.
            let now = (bytes - asked).min(answered / each * each + each * in_flight - asked);
            if now > 0 {
                near.write_all(&question[..now]).await.expect("the echo reads");
                near.flush().await.expect("the echo reads");
                asked += now;
            }
            let count = near.read(&mut buffer).await.expect("the echo answers");
            assert_ne!(count, 0, "the echo answers all");
            answered += count;
        }
    });
    asker.await.expect("the asker ends");
    job.stop();
    echo.await.expect("the echo ends");
}
