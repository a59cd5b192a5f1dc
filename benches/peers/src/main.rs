//! The same work as `benches/stack`, done by others. See the README beside the manifest.

use std::future::Future;
use std::time::Instant;

use bytes::Bytes;
use futures::{SinkExt, StreamExt as _};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

const MESSAGE_BYTES: usize = 256;
const MESSAGES: usize = 2_000_000;

fn main() {
    println!("| one-way {MESSAGE_BYTES} B | messages/s | CPU us/message |");
    println!("|---|---|---|");
    measure("raw sockets, batched", raw_sockets);
    measure("codec", codec);
    measure("codec through a channel", codec_through_a_channel);
}

/// The cheapest of three runs.
fn measure<F: Future<Output = ()>>(name: &str, subject: impl Fn(usize) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(subject(MESSAGES / 10));
    let runs = (0..3).map(|_| {
        let (cpu, wall) = (cpu_seconds(), Instant::now());
        runtime.block_on(subject(MESSAGES));
        (cpu_seconds() - cpu, wall.elapsed().as_secs_f64())
    });
    let (cpu, wall) = runs.min_by(|a, b| a.0.total_cmp(&b.0)).expect("three runs");
    println!("| {name} | {:.0} | {:.3} |", MESSAGES as f64 / wall, cpu * 1e6 / MESSAGES as f64);
}

/// CPU time that this process has used.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    let address = listener.local_addr().expect("a bound listener");
    let (dialed, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (dialed, (accepted, _)) = (dialed.expect("it listens"), accepted.expect("it was dialled"));
    for stream in [&dialed, &accepted] {
        stream.set_nodelay(true).expect("an option that every system has");
    }
    (dialed, accepted)
}

fn framed(stream: TcpStream) -> Framed<TcpStream, LengthDelimitedCodec> {
    LengthDelimitedCodec::builder().little_endian().new_framed(stream)
}

async fn raw_sockets(messages: usize) {
    let (mut near, mut far) = pair().await;
    let bytes = messages * (4 + MESSAGE_BYTES);
    let sender = tokio::spawn(async move {
        let batch = vec![7; 64 * 1024];
        let mut left = bytes;
        while left > 0 {
            let now = left.min(batch.len());
            near.write_all(&batch[..now]).await.expect("the receiver reads");
            left -= now;
        }
    });
    let receiver = tokio::spawn(async move {
        let mut buffer = vec![0; 64 * 1024];
        let mut left = bytes;
        while left > 0 {
            left -= far.read(&mut buffer).await.expect("the sender sends");
        }
    });
    sender.await.expect("the sender ends");
    receiver.await.expect("the receiver ends");
}

async fn receive(far: TcpStream, messages: usize) {
    let mut far = framed(far);
    for _ in 0..messages {
        let message = far.next().await.expect("the sender sends").expect("whole frames");
        assert_eq!(message.len(), MESSAGE_BYTES);
    }
}

async fn codec(messages: usize) {
    let (near, far) = pair().await;
    let sender = tokio::spawn(async move {
        let mut near = framed(near);
        let payload = Bytes::from(vec![7; MESSAGE_BYTES]);
        for _ in 0..messages {
            near.feed(payload.clone()).await.expect("the receiver reads");
        }
        SinkExt::<Bytes>::close(&mut near).await.expect("the receiver reads");
    });
    tokio::spawn(receive(far, messages)).await.expect("the receiver ends");
    sender.await.expect("the sender ends");
}

async fn codec_through_a_channel(messages: usize) {
    let (near, far) = pair().await;
    let (queue, mut queued) = mpsc::channel(1024);
    let producer = tokio::spawn(async move {
        let payload = Bytes::from(vec![7; MESSAGE_BYTES]);
        for _ in 0..messages {
            queue.send(payload.clone()).await.expect("the sender takes");
        }
    });
    let sender = tokio::spawn(async move {
        let mut near = framed(near);
        let mut batch = Vec::new();
        while queued.recv_many(&mut batch, 256).await > 0 {
            for message in batch.drain(..) {
                near.feed(message).await.expect("the receiver reads");
            }
            SinkExt::<Bytes>::flush(&mut near).await.expect("the receiver reads");
        }
    });
    tokio::spawn(receive(far, messages)).await.expect("the receiver ends");
    producer.await.expect("the producer ends");
    sender.await.expect("the sender ends");
}
