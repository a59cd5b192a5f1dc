//! How other processes of the same user talk to a running node: a socket in its data folder.
//!
//! One line of JSON each way, then the connection ends: `{"command":"status"}` is answered with
//! the status, or with `{"error":".."}`. A question that changes something is answered when the
//! change is on the disk.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use spacetime_node::Status;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::node_handle::NodeHandle;
use super::questions::Question;

const FILE_NAME: &str = "control.sock";

/// The longest path that a socket can have on every system, in bytes.
const MAX_SOCKET_PATH_BYTES: usize = 100;

/// A question is one short line.
const MAX_QUESTION_BYTES: u64 = 4096;

/// A full book has 48 MiB.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

/// Clients that are answered at a time.
const MAX_CLIENTS: usize = 8;

/// How long a client may take to ask, as long again to read, and the node in between to answer.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a client waits for all of that.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(16);

/// What is answered when the node has no time: its disk is slow, or it checks many blocks.
const BUSY: &str = "the node is busy; it may still do what it was asked to";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Refusal {
    error: String,
}

/// The socket of a running node.
#[derive(Debug)]
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Listens in a data folder that this process has locked. Only the owner can connect.
    pub fn bind(folder: &Path) -> io::Result<Self> {
        let path = folder.join(FILE_NAME);
        // It gets its name when nobody else can connect any more.
        let temporary = folder.join("control.new");
        for leftover in [&path, &temporary] {
            match fs::remove_file(leftover) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        let listener = with_short_path(&temporary, UnixListener::bind)?;
        fs::set_permissions(&temporary, Permissions::from_mode(0o600))?;
        fs::rename(&temporary, &path)?;
        Ok(Self { listener, path })
    }

    /// Answers clients, for ever.
    pub async fn serve(self, node: NodeHandle) {
        let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
        loop {
            let Ok(permit) = Arc::clone(&clients).acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let node = node.clone();
                    tokio::spawn(async move {
                        let _permit = permit;
                        let answered = converse(stream, |question| question.answer(&node)).await;
                        if let Err(error) = answered {
                            tracing::debug!(%error, "control client");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a control client");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // The next start removes it too; this only keeps clients from knocking at a dead door.
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads a question, and writes the answer that `answer` has, if it has one in time.
async fn converse<A: Future<Output = Result<Vec<u8>, String>>>(
    mut stream: UnixStream,
    answer: impl FnOnce(Question) -> A,
) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut question = String::new();
    let mut read = BufReader::new(read.take(MAX_QUESTION_BYTES));
    timeout(STEP_TIMEOUT, read.read_line(&mut question)).await??;
    let answer = match serde_json::from_str::<Question>(&question) {
        Ok(question) => timeout(STEP_TIMEOUT, answer(question)).await.unwrap_or_else(|_| Err(BUSY.into())),
        Err(error) => Err(format!("cannot read the question: {error}")),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => serde_json::to_vec(&Refusal { error })?,
    };
    let written = async {
        write.write_all(&answer).await?;
        write.write_all(b"\n").await?;
        write.shutdown().await
    };
    timeout(STEP_TIMEOUT, written).await?
}

/// Asks the node that runs in a data folder for its status. An error if none does.
pub async fn query_status(folder: &Path) -> io::Result<Status> {
    ask(folder, &Question::Status).await?.map_err(io::Error::other)
}

/// Asks the node that runs in a data folder. An error if none does; a text if it refuses.
pub(super) async fn ask<T: DeserializeOwned>(
    folder: &Path,
    question: &Question,
) -> io::Result<Result<T, String>> {
    let path = folder.join(FILE_NAME);
    let exchange = async {
        let stream = with_short_path(&path, std::os::unix::net::UnixStream::connect)?;
        stream.set_nonblocking(true)?;
        let mut stream = UnixStream::from_std(stream)?;
        let mut question = serde_json::to_vec(question)?;
        question.push(b'\n');
        stream.write_all(&question).await?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    };
    let answer = timeout(ANSWER_TIMEOUT, exchange).await.map_err(|_| io::ErrorKind::TimedOut)??;
    if let Ok(Refusal { error }) = serde_json::from_slice(&answer) {
        return Ok(Err(error));
    }
    serde_json::from_slice(&answer).map(Ok).map_err(io::Error::other)
}

/// Calls `f` with a path that is short enough for a socket: through the open folder if need be.
fn with_short_path<T>(path: &Path, f: impl FnOnce(PathBuf) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= MAX_SOCKET_PATH_BYTES {
        return f(path.to_owned());
    }
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let folder = File::open(folder)?;
    f(Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ask_and_wait(answer_after: Duration) -> String {
        let (mut client, server) = UnixStream::pair().unwrap();
        let answer = move |_| async move {
            tokio::time::sleep(answer_after).await;
            Ok(b"7".to_vec())
        };
        let conversation = tokio::spawn(converse(server, answer));
        client.write_all(b"{\"command\":\"status\"}\n").await.unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        conversation.await.unwrap().unwrap();
        text
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_a_busy_node_is_told_so() {
        assert_eq!(ask_and_wait(Duration::from_secs(4)).await, "7\n");
        assert_eq!(ask_and_wait(Duration::from_secs(6)).await, format!("{{\"error\":\"{BUSY}\"}}\n"));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_asks_nothing_is_not_waited_for() {
        let (_client, server) = UnixStream::pair().unwrap();
        let result = converse(server, |_| async { Ok(Vec::new()) }).await;
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }
}
