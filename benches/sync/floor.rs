//! The same bytes over one bare connection.

use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use rustix::time::{ClockId, clock_gettime};
use spacetime_network::chain::ChainRules as _;
use spacetime_network::store::{ChainStore as _, CheckedBlock};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufWriter};
use tokio::net::{TcpListener, TcpStream};

use crate::{Row, open_store, rules};

/// Blocks of one transaction, as sync has them applied.
const BATCH_BLOCKS: usize = 256;
/// Their bytes.
const BATCH_BYTES: usize = 8 << 20;

/// Batches that may wait for the thread that stores them.
const WAITING_BATCHES: usize = 2;

fn cpu_seconds(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Runs a future on a runtime of this thread; what CPU time the thread took.
fn on_this_thread(future: impl Future<Output = std::io::Result<()>>) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(future).expect("the connection holds");
    cpu_seconds(ClockId::ThreadCPUTime)
}

/// Moves a chain from one store to another.
pub(crate) fn run(source: &Path, target: &Path, blocks: u64) -> Row {
    std::fs::create_dir(target).expect("a folder can be made");
    let (source, store) = (open_store(source), open_store(target));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address");
    listener.set_nonblocking(true).expect("the socket is good");
    let (began, cpu_began) = (Instant::now(), cpu_seconds(ClockId::ProcessCPUTime));
    let sender = thread::spawn(move || {
        on_this_thread(async {
            let (stream, _) = TcpListener::from_std(listener)?.accept().await?;
            let mut stream = BufWriter::with_capacity(64 << 10, stream);
            for height in 1..=blocks {
                let block = source.block(height).expect("the store is good").expect("the block is there");
                stream.write_u32_le(block.len() as u32).await?;
                stream.write_all(&block).await?;
            }
            stream.flush().await
        })
    });
    let (batches, arrived) = mpsc::sync_channel::<Vec<Bytes>>(WAITING_BATCHES);
    let receiver = thread::spawn(move || {
        on_this_thread(async {
            let mut stream = TcpStream::connect(address).await?;
            let (mut batch, mut batch_bytes, mut bytes) = (Vec::new(), 0, 0);
            for height in 1..=blocks {
                let len = stream.read_u32_le().await? as usize;
                let mut block = BytesMut::with_capacity(len);
                while block.len() < len {
                    let missing = len - block.len();
                    (&mut stream).take(missing as u64).read_buf(&mut block).await?;
                }
                (batch_bytes, bytes) = (batch_bytes + len, bytes + len);
                batch.push(block.freeze());
                if batch.len() >= BATCH_BLOCKS || batch_bytes >= BATCH_BYTES || height == blocks {
                    batch_bytes = 0;
                    batches.send(std::mem::take(&mut batch)).expect("somebody stores them");
                }
            }
            assert!(bytes > 0);
            Ok(())
        })
    });
    let (rules, mut bytes) = (rules(), 0);
    let mut parent = rules.check_block(rules.genesis()).expect("the genesis block is well-formed");
    for batch in arrived {
        let checked: Vec<_> = batch
            .iter()
            .map(|block| {
                let info = rules.check_block(block).expect("the block is good");
                rules.check_link(&parent, &info).expect("it follows");
                (parent, bytes) = (info, bytes + block.len() as u64);
                CheckedBlock { info, header: rules.header_of(block).expect("it has one"), bytes: block }
            })
            .collect();
        store.append(&checked).expect("the store is good");
    }
    let seconds = began.elapsed().as_secs_f64();
    receiver.join().expect("it has ended");
    let sending = sender.join().expect("it has ended");
    let cpu = cpu_seconds(ClockId::ProcessCPUTime) - cpu_began;
    Row {
        name: String::new(),
        blocks,
        bytes,
        seconds,
        cpu_seconds: [cpu - sending, sending],
        peak_bytes: None,
    }
}
