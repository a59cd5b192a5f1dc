//! `LengthDelimitedCodec` and nothing else.

use bytes::Bytes;
use futures::{SinkExt, StreamExt as _};
use spacetime_comparisons::Job;
use tokio::sync::mpsc;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::sockets::{Socket, Sockets};

pub(crate) type Connection = Framed<Socket, LengthDelimitedCodec>;

pub(crate) fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().little_endian().max_frame_length(1 << 24).new_codec()
}

async fn pair(sockets: &Sockets) -> (Connection, Connection) {
    let (near, far) = sockets.pair().await;
    (Framed::new(near, codec()), Framed::new(far, codec()))
}

async fn flush(connection: &mut Connection) {
    SinkExt::<Bytes>::flush(connection).await.expect("the other end reads");
}

async fn receive(mut from: Connection, bytes: usize, count: usize) {
    for _ in 0..count {
        let message = from.next().await.expect("the sender sends").expect("whole frames");
        assert_eq!(message.len(), bytes);
    }
}

pub(crate) async fn one_way(job: &Job, bytes: usize, sockets: &Sockets) {
    let (mut near, far) = pair(sockets).await;
    let count = job.count;
    job.start();
    let sender = tokio::spawn(async move {
        let payload = Bytes::from(vec![7; bytes]);
        for _ in 0..count {
            near.feed(payload.clone()).await.expect("the receiver reads");
        }
        flush(&mut near).await;
    });
    tokio::spawn(receive(far, bytes, count)).await.expect("the receiver ends");
    job.stop();
    sender.await.expect("the sender ends");
}

pub(crate) async fn one_way_through_channel(job: &Job, bytes: usize, sockets: &Sockets) {
    let (mut near, far) = pair(sockets).await;
    let count = job.count;
    let (queue, mut queued) = mpsc::channel(1024);
    job.start();
    let producer = tokio::spawn(async move {
        let payload = Bytes::from(vec![7; bytes]);
        for _ in 0..count {
            queue.send(payload.clone()).await.expect("the sender takes");
        }
    });
    let sender = tokio::spawn(async move {
        let mut batch = Vec::new();
        while queued.recv_many(&mut batch, 256).await > 0 {
            for message in batch.drain(..) {
                near.feed(message).await.expect("the receiver reads");
            }
            flush(&mut near).await;
        }
    });
    tokio::spawn(receive(far, bytes, count)).await.expect("the receiver ends");
    job.stop();
    producer.await.expect("the producer ends");
    sender.await.expect("the sender ends");
}

pub(crate) async fn round_trips(job: &Job, in_flight: usize, sockets: &Sockets) {
    const BYTES: usize = 256;
    let (mut near, mut far) = pair(sockets).await;
    let count = job.count;
    job.start();
    let echo = tokio::spawn(async move {
        for _ in 0..count {
            let question = far.next().await.expect("the asker asks").expect("whole frames");
            far.feed(question.freeze()).await.expect("the asker reads");
            // What arrived together is answered together.
            if far.read_buffer().len() < BYTES {
                flush(&mut far).await;
            }
        }
    });
    let asker = tokio::spawn(async move {
        let payload = Bytes::from(vec![7; BYTES]);
        let (mut asked, mut answered) = (0, 0);
        while answered < count {
            while asked < count && asked - answered < in_flight {
                near.feed(payload.clone()).await.expect("the echo reads");
                asked += 1;
            }
            flush(&mut near).await;
            loop {
                near.next().await.expect("the echo answers").expect("whole frames");
                answered += 1;
                if near.read_buffer().len() < BYTES {
                    break;
                }
            }
        }
    });
    asker.await.expect("the asker ends");
    job.stop();
    echo.await.expect("the echo ends");
}
