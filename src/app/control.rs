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

/// How long a client may take to ask and to read, and a disk to store what it wants.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);

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
                        match timeout(CLIENT_TIMEOUT, answer(stream, &node)).await {
                            Ok(Ok(())) => {}
                            Ok(Err(error)) => tracing::debug!(%error, "control client"),
                            Err(_) => tracing::debug!("control client was too slow"),
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

async fn answer(mut stream: UnixStream, node: &NodeHandle) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut question = String::new();
    BufReader::new(read.take(MAX_QUESTION_BYTES)).read_line(&mut question).await?;
    let answer = match serde_json::from_str::<Question>(&question) {
        Ok(question) => question.answer(node).await,
        Err(error) => Err(format!("cannot read the question: {error}")),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => serde_json::to_vec(&Refusal { error })?,
    };
    write.write_all(&answer).await?;
    write.write_all(b"\n").await?;
    write.shutdown().await
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
    let answer = timeout(2 * CLIENT_TIMEOUT, exchange).await.map_err(|_| io::ErrorKind::TimedOut)??;
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
