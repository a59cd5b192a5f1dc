//! A pair of sockets with `LengthDelimitedCodec` and nothing else: the floor.

use bytes::Bytes;
use futures::{SinkExt, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::Work;

type Connection = Framed<TcpStream, LengthDelimitedCodec>;

fn framed(stream: TcpStream) -> Connection {
    stream.set_nodelay(true).expect("an option that every system has");
    LengthDelimitedCodec::builder().little_endian().max_frame_length(1 << 24).new_framed(stream)
}

async fn pair() -> (Connection, Connection) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port on loopback");
    let address = listener.local_addr().expect("a bound listener");
    let (dialed, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (framed(dialed.expect("it listens")), framed(accepted.expect("it was dialled").0))
}

async fn flush(connection: &mut Connection) {
    SinkExt::<Bytes>::flush(connection).await.expect("the other end reads");
}

pub(crate) async fn run(work: Work) {
    let (near, far) = pair().await;
    match work {
        Work::OneWay { bytes, count } => one_way(near, far, bytes, count).await,
        Work::RoundTrips { bytes, in_flight, count } => round_trips(near, far, bytes, in_flight, count).await,
    }
}

async fn one_way(mut near: Connection, mut far: Connection, bytes: usize, count: usize) {
    let sender = tokio::spawn(async move {
        let payload = Bytes::from(vec![7; bytes]);
        for _ in 0..count {
            near.feed(payload.clone()).await.expect("the receiver reads");
        }
        flush(&mut near).await;
    });
    let receiver = tokio::spawn(async move {
        for _ in 0..count {
            let message = far.next().await.expect("the sender sends").expect("whole frames");
            assert_eq!(message.len(), bytes);
        }
    });
    sender.await.expect("the sender ends");
    receiver.await.expect("the receiver ends");
}

async fn round_trips(
    mut near: Connection,
    mut far: Connection,
    bytes: usize,
    in_flight: usize,
    count: usize,
) {
    let echo = tokio::spawn(async move {
        let mut echoed = 0;
        while echoed < count {
            let question = far.next().await.expect("the asker asks").expect("whole frames");
            far.feed(question.freeze()).await.expect("the asker reads");
            echoed += 1;
            // What arrived together is answered together.
            if far.read_buffer().len() < bytes {
                flush(&mut far).await;
            }
        }
    });
    let asker = tokio::spawn(async move {
        let payload = Bytes::from(vec![7; bytes]);
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
                if near.read_buffer().len() < bytes {
                    break;
                }
            }
        }
    });
    asker.await.expect("the asker ends");
    echo.await.expect("the echo ends");
}
