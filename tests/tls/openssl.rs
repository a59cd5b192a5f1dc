//! Another implementation on the other end.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use spacetime_network::transport::TlsConfig;
use spacetime_network::transport::tls::TlsVersion;
use spacetime_network::{PeerId, SecurityError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::{VERSIONS, accept, key, listen, reason, speaks};

/// Whether there is an openssl here to test with.
fn is_there() -> bool {
    let is_there = Command::new("openssl").arg("version").output().is_ok_and(|it| it.status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "openssl is missing");
    is_there
}

fn openssl(folder: &Path, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new("openssl");
    command.current_dir(folder).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
    // It may have ended before it has read all.
    let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
    process.wait_with_output().unwrap()
}

/// A certificate as one line on a command line makes it, and the peer id that belongs to its key.
fn make_certificate(folder: &Path, algorithm: &str) -> PeerId {
    let line = "req -x509 -nodes -subj /CN=anybody -days 3 -keyout key.pem -out certificate.pem -newkey";
    let arguments: Vec<_> = line.split(' ').chain([algorithm]).collect();
    let output = openssl(folder, &arguments, "");
    assert!(output.status.success(), "{output:?}");
    let public = openssl(folder, &["pkey", "-in", "key.pem", "-pubout", "-outform", "DER"], "").stdout;
    PeerId::of_public_key(public.last_chunk().unwrap())
}

fn connect<'a>(address: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let line = ["s_client", "-connect", address, "-alpn", "spacetime/1", "-ign_eof"];
    [&line[..], more].concat()
}

const OWN: [&str; 4] = ["-cert", "certificate.pem", "-key", "key.pem"];

#[tokio::test]
async fn s_client_gets_in_with_a_certificate_that_it_made_itself() {
    if !is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let peer_id = make_certificate(folder.path(), "ed25519");
    for version in VERSIONS {
        let mut listener = listen(&speaks(version)).await;
        let address = listener.local_address().to_string();
        let path = folder.path().to_owned();
        let client = spawn_blocking(move || openssl(&path, &connect(&address, &OWN), "hello\n"));
        let mut accepted = accept(&mut *listener).await.unwrap();
        assert_eq!(accepted.peer_id, Some(peer_id), "{version:?}");
        let mut heard = [0; 6];
        accepted.stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello\n");
        drop(accepted);
        let output = client.await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("ALPN protocol: spacetime/1"), "{said}");
        // Nothing to come back with, and nothing that could be taken for a session.
        assert!(!said.contains("TLS session ticket:"), "{said}");
        assert!(said.contains("Reused") || said.contains("New, "), "{said}");
    }
}

#[tokio::test]
async fn s_client_is_refused_without_a_certificate_and_with_another_kind_of_key() {
    if !is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make_certificate(folder.path(), "rsa:2048");
    for more in [&[][..], &OWN] {
        for version in VERSIONS {
            let mut listener = listen(&speaks(version)).await;
            let address = listener.local_address().to_string();
            let path = folder.path().to_owned();
            let client = spawn_blocking(move || openssl(&path, &connect(&address, more), ""));
            let accepted = accept(&mut *listener).await;
            let reason = reason(accepted).unwrap();
            let is_named = matches!(reason, SecurityError::NoCertificate | SecurityError::Incompatible);
            assert!(is_named, "{version:?} {more:?}: {reason:?}");
            drop(client.await.unwrap());
        }
    }
}

#[tokio::test]
async fn renegotiation_is_refused() {
    if !is_there() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make_certificate(folder.path(), "ed25519");
    let config = TlsConfig::new(key()).with_versions(TlsVersion::V1_2, TlsVersion::V1_3);
    let mut listener = listen(&config).await;
    let address = listener.local_address().to_string();
    let path = folder.path().to_owned();
    let client = spawn_blocking(move || {
        // Without -ign_eof, a line with an R asks for it.
        let line = ["s_client", "-connect", &address, "-alpn", "spacetime/1", "-tls1_2"];
        openssl(&path, &[&line[..], &OWN].concat(), "R\n")
    });
    let mut accepted = accept(&mut *listener).await.unwrap();
    // The refusal goes out with whatever is written next.
    let mut heard = Vec::new();
    loop {
        tokio::select! {
            _ = accepted.stream.read_buf(&mut heard) => break,
            () = sleep(Duration::from_millis(20)) => accepted.stream.flush().await.unwrap(),
        }
    }
    assert_eq!(heard, b"");
    drop(accepted);
    let said = String::from_utf8_lossy(&client.await.unwrap().stderr).into_owned();
    assert!(said.contains("no renegotiation"), "{said}");
}
