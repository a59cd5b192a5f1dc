//! Bytes that are no TLS, or TLS at the wrong time.

use std::time::Duration;

use spacetime_network::SecurityError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::{PATIENCE, VERSIONS, accept, dial, listen, reason, speaks};

/// A record with a handshake message.
fn record(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[0x16, 0x03, 0x01], &length[..], bytes].concat()
}

/// What our listener says of one who sends this and then nothing more.
pub(crate) async fn sending(bytes: &[u8]) -> Vec<SecurityError> {
    let mut reasons = Vec::new();
    for version in VERSIONS {
        let mut listener = listen(&speaks(version)).await;
        let address = listener.local_address().to_string();
        let attack = async {
            let mut stream = TcpStream::connect(address).await.unwrap();
            // It may be refused before it has said all.
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            stream
        };
        let (_stream, accepted) = tokio::join!(attack, accept(&mut *listener));
        reasons.extend(reason(accepted));
    }
    reasons
}

#[tokio::test]
async fn plaintext_on_a_port_that_encrypts_is_refused() {
    // A Handshake of version 1, HTTP, and one byte of a frame.
    for bytes in [&[40, 0, 0, 0, 1, 1, 0, 0, 0][..], b"GET / HTTP/1.1\r\n\r\n", &[5]] {
        assert_eq!(sending(bytes).await, [SecurityError::Plaintext; 2], "{bytes:?}");
    }
    // SSL 3.0, and what stands for no version at all.
    for version in [[3, 0], [3, 5], [2, 0]] {
        let bytes = [&[0x16][..], &version, &[0, 1, 1]].concat();
        assert_eq!(sending(&bytes).await, [SecurityError::Plaintext; 2], "{version:?}");
    }
}

#[tokio::test]
async fn a_truncated_hello_is_refused() {
    for bytes in [&[][..], &[0x16], &[0x16, 3, 1], &record(&[1, 0, 1, 0, 3, 3])] {
        assert_eq!(sending(bytes).await, [SecurityError::Truncated; 2], "{bytes:?}");
    }
}

#[tokio::test]
async fn an_oversized_hello_is_refused() {
    // A ClientHello of 16 MiB, of which as much comes as is taken.
    let hello = [&[1, 0xff, 0xff, 0xff][..], &[0; 16_000]].concat();
    let bytes = [record(&hello), record(&hello), record(&hello)].concat();
    assert_eq!(sending(&bytes).await, [SecurityError::TooLarge; 2]);
    // One that is small enough to be read, in so many records that they are not.
    let tiny: Vec<u8> = std::iter::repeat_n(record(&[0]), 10_000).flatten().collect();
    let bytes = [record(&[1, 0, 0xff, 0xff]), tiny].concat();
    assert_eq!(sending(&bytes).await, [SecurityError::TooLarge; 2]);
}

#[tokio::test]
async fn garbage_in_a_record_is_refused() {
    let garbage = record(&[1, 0, 0, 8, 9, 9, 9, 9, 9, 9, 9, 9]);
    assert_eq!(sending(&garbage).await, [SecurityError::Malformed; 2]);
    // A Finished where a hello is due.
    let finished = record(&[20, 0, 0, 4, 0, 0, 0, 0]);
    assert_eq!(sending(&finished).await, [SecurityError::OutOfPlace; 2]);
}

#[tokio::test]
async fn a_listener_that_does_not_encrypt_is_refused() {
    for version in VERSIONS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().into();
        let answer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(&[1, 0, 0, 0, 2]).await.unwrap();
            stream
        };
        let (_stream, dialled) = tokio::join!(answer, dial(&speaks(version), &address));
        assert_eq!(reason(dialled), Some(SecurityError::Plaintext));
    }
}

#[tokio::test]
async fn a_listener_that_leaves_in_the_middle_is_named() {
    for version in VERSIONS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().into();
        let answer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).await.unwrap();
            let mut rest = vec![0; usize::from(u16::from_be_bytes([hello[3], hello[4]]))];
            stream.read_exact(&mut rest).await.unwrap();
        };
        let ((), dialled) = tokio::join!(answer, dial(&speaks(version), &address));
        assert_eq!(reason(dialled), Some(SecurityError::Truncated));
    }
}

#[tokio::test]
async fn a_replayed_handshake_is_refused() {
    for version in VERSIONS {
        let mut listener = listen(&speaks(version)).await;
        let address = listener.local_address().to_string();
        // Between an honest dialer and the listener, somebody writes down what the dialer says.
        let middle = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let middle_address = middle.local_addr().unwrap().into();
        let recording = async {
            let (dialer, _) = middle.accept().await.unwrap();
            let listener = TcpStream::connect(&address).await.unwrap();
            let (mut dialer_says, mut to_dialer) = dialer.into_split();
            let (mut listener_says, mut to_listener) = listener.into_split();
            tokio::spawn(async move { copy(&mut listener_says, &mut to_dialer).await });
            let mut recorded = Vec::new();
            let mut bytes = [0; 4096];
            while let Ok(count) = dialer_says.read(&mut bytes).await
                && count > 0
            {
                recorded.extend_from_slice(&bytes[..count]);
                to_listener.write_all(&bytes[..count]).await.unwrap();
            }
            recorded
        };
        let honest = async {
            let config = speaks(version);
            let (dialled, accepted) = tokio::join!(dial(&config, &middle_address), accept(&mut *listener));
            let mut dialled = dialled.unwrap();
            assert!(accepted.is_ok());
            dialled.stream.shutdown().await.unwrap();
        };
        let (recorded, ()) = tokio::join!(recording, honest);

        let replay = async {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(&recorded).await.unwrap();
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
        };
        let ((), accepted) = tokio::join!(replay, accept(&mut *listener));
        let reason = reason(accepted).unwrap();
        let expected = [SecurityError::Undecryptable, SecurityError::BadSignature];
        assert!(expected.contains(&reason), "{version:?}: {reason:?}");
    }
}

#[tokio::test]
async fn what_was_changed_on_the_way_ends_the_connection() {
    for version in VERSIONS {
        let mut listener = listen(&speaks(version)).await;
        let address = listener.local_address().to_string();
        let middle = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let middle_address = middle.local_addr().unwrap().into();
        let changing = async {
            let (mut dialer, _) = middle.accept().await.unwrap();
            let mut listener = TcpStream::connect(&address).await.unwrap();
            let (mut bytes, mut answer) = ([0; 4096], [0; 4096]);
            loop {
                tokio::select! {
                    count = dialer.read(&mut bytes) => match count {
                        Ok(count) if count > 0 => {
                            // An application record that says "hello": its last byte is changed.
                            if bytes[0] == 0x17 && count < 60 {
                                bytes[count - 1] ^= 1;
                            }
                            listener.write_all(&bytes[..count]).await.unwrap();
                        }
                        _ => break,
                    },
                    count = listener.read(&mut answer) => match count {
                        Ok(count) if count > 0 => dialer.write_all(&answer[..count]).await.unwrap(),
                        _ => break,
                    },
                }
            }
        };
        let talking = async {
            let config = speaks(version);
            let (dialled, accepted) = tokio::join!(dial(&config, &middle_address), accept(&mut *listener));
            let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
            tokio::time::sleep(Duration::from_millis(50)).await;
            dialled.stream.write_all(b"hello").await.unwrap();
            dialled.stream.flush().await.unwrap();
            let error = accepted.stream.read(&mut [0; 10]).await.unwrap_err();
            let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<SecurityError>());
            assert_eq!(reason, Some(&SecurityError::Undecryptable), "{version:?}");
        };
        timeout(PATIENCE, async { tokio::join!(changing, talking) }).await.unwrap();
    }
}
