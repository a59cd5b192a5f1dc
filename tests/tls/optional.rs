//! One port for those who encrypt and those who do not, and who is dialled how.

use std::time::Duration;

use spacetime_network::SecurityError;
use spacetime_network::transport::{Connected, TcpTransport, TlsConfig, TlsMode, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::{accept, dial, key, listen, reason, transport};

fn optional() -> TlsConfig {
    TlsConfig::new(key()).with_mode(TlsMode::Optional)
}

/// The beginning of a frame of version 1.
const WORDS: &[u8] = &[40, 0, 0, 0, 1, 1, 0];

async fn hears(connected: &mut Connected, words: &[u8]) {
    let mut heard = vec![0; words.len()];
    connected.stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, words);
}

#[tokio::test]
async fn one_port_takes_both() {
    let mut listener = listen(&optional()).await;
    let address = listener.local_address();
    for near in [optional(), TlsConfig::new(key())] {
        let (dialled, accepted) = tokio::join!(dial(&near, &address), accept(&mut *listener));
        assert_eq!(accepted.unwrap().peer_id, Some(near.peer_id()));
        assert!(dialled.unwrap().peer_id.is_some());
    }
    // What was looked at to tell is not lost, in pieces of any size.
    for piece in 1..=WORDS.len() {
        let speak = async {
            let mut stream = TcpStream::connect(address.to_string()).await.unwrap();
            stream.set_nodelay(true).unwrap();
            for bytes in WORDS.chunks(piece) {
                stream.write_all(bytes).await.unwrap();
                tokio::task::yield_now().await;
            }
            stream
        };
        let (_stream, accepted) = tokio::join!(speak, accept(&mut *listener));
        let mut accepted = accepted.unwrap();
        assert_eq!(accepted.peer_id, None);
        hears(&mut accepted, WORDS).await;
    }
}

#[tokio::test]
async fn what_begins_like_tls_and_is_none_is_plaintext() {
    let mut listener = listen(&optional()).await;
    let address = listener.local_address().to_string();
    for words in [&[0x16, 0, 0, 0, 1][..], &[0x16, 3, 0, 0, 1], &[0x16, 3, 5, 0, 1], &[0, 3, 1, 0]] {
        let speak = async {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(words).await.unwrap();
            stream
        };
        let (_stream, accepted) = tokio::join!(speak, accept(&mut *listener));
        hears(&mut accepted.unwrap(), words).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_waited_for_unless_such_peers_are_served() {
    let silence = Duration::from_secs(1);
    let mut listener = listen(&optional().with_plaintext_after(Some(silence))).await;
    let _silent = TcpStream::connect(listener.local_address().to_string()).await.unwrap();
    assert_eq!(accept(&mut *listener).await.unwrap().peer_id, None);

    let mut listener = listen(&optional()).await;
    let _silent = TcpStream::connect(listener.local_address().to_string()).await.unwrap();
    let upgrade = listener.accept().await.unwrap().upgrade;
    assert!(tokio::time::timeout(silence * 4, upgrade).await.is_err(), "the Swarm ends it after 5 s");
}

/// A listener without TLS that says `answer` to whatever comes and hangs up.
async fn plaintext_listener(
    answer: &'static [u8],
) -> (spacetime_network::Address, impl Future<Output = usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().into();
    let serve = async move {
        let mut plaintext = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = [0; 5];
            let _ = stream.read_exact(&mut heard).await;
            if heard.first() != Some(&0x16) {
                plaintext += 1;
                if heard == *b"no_TL" {
                    return plaintext;
                }
            }
            let _ = stream.write_all(answer).await;
        }
    };
    (address, serve)
}

#[tokio::test]
async fn a_stranger_without_tls_is_dialled_in_plaintext_where_that_is_allowed() {
    for answer in [&b""[..], &[1, 0, 0, 0, 2]] {
        let (address, served) = plaintext_listener(answer).await;
        let dials = async {
            let mut dialled = dial(&optional(), &address).await.unwrap();
            assert_eq!(dialled.peer_id, None);
            dialled.stream.write_all(b"no_TLS").await.unwrap();
        };
        assert_eq!(tokio::join!(served, dials).0, 1);
    }
}

#[tokio::test]
async fn a_pinned_peer_is_never_dialled_in_plaintext() {
    for answer in [&b""[..], &[1, 0, 0, 0, 2]] {
        let (address, served) = plaintext_listener(answer).await;
        let dials = async {
            let pinned = address.clone().pinned(key().peer_id());
            assert!(dial(&optional(), &pinned).await.is_err());
            assert!(dial(&TlsConfig::new(key()), &address).await.is_err());
            let mut end = TcpStream::connect(address.to_string()).await.unwrap();
            end.write_all(b"no_TL").await.unwrap();
        };
        assert_eq!(tokio::join!(served, dials).0, 1, "the one that ended it");
    }
}

#[tokio::test]
async fn where_somebody_has_proven_who_it_is_plaintext_will_not_do_any_more() {
    let near = transport(&optional());
    let mut listener = listen(&TlsConfig::new(key())).await;
    let address = listener.local_address();
    let dial = || async { near.dial(&address).await?.upgrade.await };
    let (dialled, accepted) = tokio::join!(dial(), accept(&mut *listener));
    assert!(dialled.unwrap().peer_id.is_some() && accepted.is_ok());
    drop(listener);
    // Somebody without a key takes its place.
    let listener = TcpListener::bind(address.to_string()).await.unwrap();
    let serve = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(&[1, 0, 0, 0, 2]).await;
        }
    };
    tokio::select! {
        () = serve => {}
        dialled = dial() => assert_eq!(reason(dialled), Some(SecurityError::Plaintext)),
    }
}

#[tokio::test]
async fn where_somebody_has_proven_who_it_is_before_a_restart_plaintext_will_not_do_either() {
    for answer in [&b""[..], &[1, 0, 0, 0, 2]] {
        let (address, served) = plaintext_listener(answer).await;
        let near = optional().with_proven_endpoints([address.endpoint().clone()]);
        let dials = async {
            assert!(dial(&near, &address).await.is_err());
            let mut end = TcpStream::connect(address.to_string()).await.unwrap();
            end.write_all(b"no_TL").await.unwrap();
        };
        assert_eq!(tokio::join!(served, dials).0, 1, "the one that ended it");
    }
}

#[tokio::test]
async fn who_is_proven_at_a_pinned_address_is_expected_there_without_the_pin_as_well() {
    let near = transport(&optional());
    let far = TlsConfig::new(key());
    let mut listener = listen(&far).await;
    let address = listener.local_address();
    let pinned = address.clone().pinned(far.peer_id());
    let dial = async { near.dial(&pinned).await?.upgrade.await };
    let (dialled, accepted) = tokio::join!(dial, accept(&mut *listener));
    assert!(dialled.is_ok() && accepted.is_ok());
    drop(listener);
    let listener = TcpListener::bind(address.to_string()).await.unwrap();
    let serve = async {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.write_all(&[1, 0, 0, 0, 2]).await;
        }
    };
    let dial = async { near.dial(&address).await?.upgrade.await };
    tokio::select! {
        () = serve => {}
        dialled = dial => assert_eq!(reason(dialled), Some(SecurityError::Plaintext)),
    }
}

#[tokio::test]
async fn a_peer_that_begins_to_answer_in_tls_is_not_dialled_in_plaintext() {
    // An alert, and the end.
    let (address, served) = plaintext_listener(&[0x15, 3, 3, 0, 2]).await;
    let dials = async {
        assert!(dial(&optional(), &address).await.is_err());
        let mut end = TcpStream::connect(address.to_string()).await.unwrap();
        end.write_all(b"no_TL").await.unwrap();
    };
    assert_eq!(tokio::join!(served, dials).0, 1, "the one that ended it");
}

#[tokio::test]
async fn whoever_speaks_tls_after_a_silence_is_refused_by_name() {
    let served = optional().with_plaintext_after(Some(Duration::from_millis(20)));
    for config in [served, TlsConfig::new(key()).with_mode(TlsMode::Off)] {
        for (words, is_tls) in [(&[0x16, 3, 1, 2, 0][..], true), (&[0x16, 0, 0, 0, 1], false)] {
            let mut listener = listen(&config).await;
            let mut stream = TcpStream::connect(listener.local_address().to_string()).await.unwrap();
            stream.set_nodelay(true).unwrap();
            let mut accepted = accept(&mut *listener).await.unwrap();
            let speak = async {
                for byte in words {
                    stream.write_all(&[*byte]).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            let mut heard = vec![0; words.len()];
            let (_, read) = tokio::join!(speak, accepted.stream.read_exact(&mut heard));
            let refusal = read.map(|_| accepted).err().map(|error| reason(Err::<Connected, _>(error)));
            assert_eq!(refusal, is_tls.then_some(Some(SecurityError::Encrypted)));
        }
    }
}

#[tokio::test]
async fn a_plaintext_peer_may_say_more_than_a_handshake_of_tls() {
    let mut listener = listen(&optional()).await;
    let mut stream = TcpStream::connect(listener.local_address().to_string()).await.unwrap();
    let words = vec![7; 100_000];
    let speak = async { stream.write_all(&words).await.unwrap() };
    let listens = async { hears(&mut accept(&mut *listener).await.unwrap(), &words).await };
    tokio::join!(speak, listens);
}

#[test]
fn a_choice_of_peers_needs_encryption_of_all() {
    for mode in [TlsMode::Required, TlsMode::Optional, TlsMode::Off] {
        let allowed = TlsConfig::new(key()).with_mode(mode).with_allowed_peers([key().peer_id()]);
        assert_eq!(allowed.validate().is_ok(), mode == TlsMode::Required);
    }
}

#[tokio::test]
async fn a_node_without_tls_is_a_plain_one() {
    let off = || TlsConfig::new(key()).with_mode(TlsMode::Off);
    let mut listener = listen(&off()).await;
    let address = listener.local_address();
    let (dialled, accepted) = tokio::join!(dial(&off(), &address), accept(&mut *listener));
    assert_eq!((dialled.unwrap().peer_id, accepted.unwrap().peer_id), (None, None));
    let plain = TcpTransport::new();
    let dial = async { plain.dial(&address).await?.upgrade.await };
    let (dialled, accepted) = tokio::join!(dial, accept(&mut *listener));
    assert!(dialled.is_ok() && accepted.is_ok());
}
