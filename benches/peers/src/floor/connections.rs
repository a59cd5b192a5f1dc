//! Connections that come and go, and such that rest.

use std::sync::Arc;
use std::time::Duration;

use spacetime_comparisons::Job;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::sockets::{Socket, Sockets};

/// As much as a Handshake says.
const FIRST_WORDS: usize = 200;

/// Waits for what never comes.
async fn rest(mut socket: Socket) {
    let mut byte = [0];
    while socket.read(&mut byte).await.is_ok_and(|count| count > 0) {}
}

pub(crate) async fn idle(job: &Job, sockets: &Sockets) {
    let mut ends = JoinSet::new();
    // The first one pays for what all have in common.
    for number in 0..=job.count {
        let (near, far) = sockets.pair().await;
        ends.spawn(rest(near));
        ends.spawn(rest(far));
        if number == 0 {
            job.start();
        }
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    job.stop();
}

pub(crate) async fn connect(job: &Job, parallel: usize, sockets: Sockets) {
    let sockets = Arc::new(sockets);
    let (count, each) = (job.count, job.count / parallel);
    job.start();
    let listener = Arc::clone(&sockets);
    let accepting = tokio::spawn(async move {
        let mut accepted = JoinSet::new();
        for _ in 0..count {
            let stream = listener.accept_stream().await;
            let listener = Arc::clone(&listener);
            accepted.spawn(async move {
                let mut socket = listener.secure(stream).await;
                let mut words = [0; FIRST_WORDS];
                socket.read_exact(&mut words).await.expect("the dialler speaks");
                socket.write_all(&words).await.expect("the dialler reads");
                socket.flush().await.expect("the dialler reads");
                rest(socket).await;
            });
        }
        accepted.join_all().await;
    });
    let mut diallers = JoinSet::new();
    for _ in 0..parallel {
        let sockets = Arc::clone(&sockets);
        diallers.spawn(async move {
            let mut words = [7; FIRST_WORDS];
            for _ in 0..each {
                let mut socket = sockets.dial().await;
                socket.write_all(&words).await.expect("the listener reads");
                socket.flush().await.expect("the listener reads");
                socket.read_exact(&mut words).await.expect("the listener speaks");
                socket.shutdown().await.expect("the listener is there");
            }
        });
    }
    diallers.join_all().await;
    accepting.await.expect("all are accepted");
    job.stop();
}
