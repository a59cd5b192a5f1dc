//! What works.

use spacetime_network::transport::tls::TlsVersion;
use spacetime_network::transport::{Connected, TlsConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{VERSIONS, accept, dial, key, listen, numbered_key, reason, speaks};

/// One end says something, and the other one hears it.
async fn say(from: &mut Connected, to: &mut Connected, words: &[u8]) {
    from.stream.write_all(words).await.unwrap();
    from.stream.flush().await.unwrap();
    let mut heard = vec![0; words.len()];
    to.stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, words);
}

#[tokio::test]
async fn both_ends_know_each_other_and_can_talk_in_both_versions() {
    for version in VERSIONS {
        let (near, far) = (speaks(version), speaks(version));
        let mut listener = listen(&far).await;
        let address = listener.local_address().pinned(far.peer_id());
        let (dialled, accepted) = tokio::join!(dial(&near, &address), accept(&mut *listener));
        let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
        assert_eq!(dialled.peer_id, Some(far.peer_id()), "{version:?}");
        assert_eq!(accepted.peer_id, Some(near.peer_id()), "{version:?}");
        say(&mut dialled, &mut accepted, b"hello").await;
        say(&mut accepted, &mut dialled, b"world").await;
    }
}

#[tokio::test]
async fn the_highest_version_that_both_speak_is_spoken() {
    let both = |key| TlsConfig::new(key).with_versions(TlsVersion::V1_2, TlsVersion::V1_3);
    let mut listener = listen(&both(key())).await;
    for version in VERSIONS {
        let address = listener.local_address();
        let near = speaks(version);
        let (dialled, accepted) = tokio::join!(dial(&near, &address), accept(&mut *listener));
        assert_eq!(accepted.unwrap().peer_id, Some(near.peer_id()));
        assert!(dialled.is_ok());
    }
}

#[tokio::test]
async fn a_key_keeps_its_peer_id_across_transports() {
    let config = || TlsConfig::new(numbered_key(7));
    let expected = numbered_key(7).peer_id();
    for _ in 0..2 {
        let mut listener = listen(&config()).await;
        let address = listener.local_address();
        let near = TlsConfig::new(key());
        let (dialled, _) = tokio::join!(dial(&near, &address), accept(&mut *listener));
        assert_eq!(dialled.unwrap().peer_id, Some(expected));
    }
}

#[tokio::test]
async fn nobody_falls_back_to_a_version_that_is_not_wanted() {
    use spacetime_network::SecurityError;
    let mut listener = listen(&speaks(TlsVersion::V1_3)).await;
    let address = listener.local_address();
    let near = speaks(TlsVersion::V1_2);
    let (dialled, accepted) = tokio::join!(dial(&near, &address), accept(&mut *listener));
    assert_eq!(reason(accepted), Some(SecurityError::WrongVersion));
    // protocol_version
    assert_eq!(reason(dialled), Some(SecurityError::Alert(70)));

    let mut listener = listen(&speaks(TlsVersion::V1_2)).await;
    let address = listener.local_address();
    let near = speaks(TlsVersion::V1_3);
    let (dialled, accepted) = tokio::join!(dial(&near, &address), accept(&mut *listener));
    assert_eq!(reason(accepted), Some(SecurityError::WrongVersion));
    assert_eq!(reason(dialled), Some(SecurityError::Alert(70)));
}

#[tokio::test]
async fn what_records_take_beside_what_they_hold_is_counted() {
    for version in VERSIONS {
        let far = speaks(version);
        let mut listener = listen(&far).await;
        let address = listener.local_address();
        let near = speaks(version);
        let (dialled, accepted) = tokio::join!(dial(&near, &address), accept(&mut *listener));
        let (mut dialled, mut accepted) = (dialled.unwrap(), accepted.unwrap());
        let overhead = accepted.overhead.clone().unwrap();
        for _ in 0..1000 {
            say(&mut dialled, &mut accepted, b"x").await;
        }
        // A header of 5 bytes and a tag of 16, and one to eight more in each.
        let beside = overhead.take();
        assert!((21_000..=29_000).contains(&beside), "{version:?}: {beside}");
        assert_eq!(overhead.take(), 0, "it is counted once");
        // Full records cost next to nothing; one that is still to be passed on may be counted.
        let words = vec![7; 1 << 20];
        let write = async {
            dialled.stream.write_all(&words).await.unwrap();
            dialled.stream.flush().await.unwrap();
        };
        let mut heard = vec![0; words.len()];
        let (_, read) = tokio::join!(write, accepted.stream.read_exact(&mut heard));
        read.unwrap();
        let beside = overhead.take();
        assert!((64 * 21..=64 * 29 + 40_000).contains(&beside), "{version:?}: {beside}");
    }
}
