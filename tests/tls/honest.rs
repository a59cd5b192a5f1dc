//! What works.

use spacetime_network::transport::TlsConfig;
use spacetime_network::transport::tls::TlsVersion;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{VERSIONS, accept, dial, key, listen, numbered_key, reason, speaks};

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
        for (from, to) in [(&mut dialled, &mut accepted)] {
            from.stream.write_all(b"hello").await.unwrap();
            from.stream.flush().await.unwrap();
            let mut heard = [0; 5];
            to.stream.read_exact(&mut heard).await.unwrap();
            assert_eq!(&heard, b"hello");
        }
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
