//! Private networks: certificates that an authority issued, and pinned keys.

use rcgen::{CertifiedIssuer, KeyPair, PublicKeyData as _};
use spacetime_network::transport::TlsConfig;
use spacetime_network::transport::tls::NodeKey;
use spacetime_network::{Hash, SecurityError};
use tokio::net::TcpListener;

use crate::attacker::{Attacker, authority, pair_of, parameters};
use crate::{VERSIONS, accept, dial, key, listen, reason};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn certificate(key: &NodeKey, authority: &Authority) -> Vec<u8> {
    parameters().signed_by(&pair_of(key), authority).unwrap().der().to_vec()
}

fn der(authority: &Authority) -> Vec<u8> {
    authority.as_ref().der().to_vec()
}

/// A node of a private network.
fn member(authority: &Authority) -> TlsConfig {
    let key = key();
    let certificate = certificate(&key, authority);
    TlsConfig::new(key).with_certificates([certificate]).with_authorities([der(authority)])
}

#[tokio::test]
async fn members_of_a_private_network_know_each_other_by_their_keys() {
    let authority = authority();
    let (near, far) = (member(&authority), member(&authority));
    let mut listener = listen(&far).await;
    let address = listener.local_address().pinned(far.peer_id());
    let (dialled, accepted) = tokio::join!(dial(&near, &address), accept(&mut *listener));
    assert_eq!(dialled.unwrap().peer_id, Some(far.peer_id()));
    assert_eq!(accepted.unwrap().peer_id, Some(near.peer_id()));
}

#[tokio::test]
async fn strangers_to_a_private_network_are_refused() {
    let (ours, theirs) = (authority(), authority());
    let stranger = Attacker::new(VERSIONS[1]);
    let mut of_another_network = Attacker::new(VERSIONS[1]);
    let issued = parameters().signed_by(&of_another_network.key, &theirs).unwrap();
    of_another_network.certificates = vec![issued.der().clone()];
    for attacker in [stranger, of_another_network] {
        let mut listener = listen(&member(&ours)).await;
        let address = listener.local_address().to_string();
        let (_, accepted) = tokio::join!(attacker.dial(&address), accept(&mut *listener));
        assert_eq!(reason(accepted), Some(SecurityError::UntrustedIssuer));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().into();
        let dialling = dial(&member(&ours), &address);
        let (_, dialled) = tokio::join!(attacker.accept(&listener), dialling);
        assert_eq!(reason(dialled), Some(SecurityError::UntrustedIssuer));
    }
}

#[tokio::test]
async fn a_key_of_the_chain_must_be_pinned_where_keys_are() {
    let authority = authority();
    let pin = |key: &KeyPair| Hash::of(&key.subject_public_key_info());
    let peer = key();
    let peers_certificate = certificate(&peer, &authority);
    for (pinned, is_let_in) in
        [(pin(&pair_of(&peer)), true), (pin(authority.key()), true), (pin(&pair_of(&key())), false)]
    {
        let mut listener = listen(&member(&authority).with_pinned_keys([pinned])).await;
        let address = listener.local_address().to_string();
        let mut attacker = Attacker::with_key(VERSIONS[1], pair_of(&peer));
        attacker.certificates = vec![peers_certificate.clone().into()];
        let (_, accepted) = tokio::join!(attacker.dial(&address), accept(&mut *listener));
        match accepted {
            Ok(_) => assert!(is_let_in),
            refused => assert_eq!((reason(refused), is_let_in), (Some(SecurityError::NotPinned), false)),
        }
    }
    // A certificate that is merely sent along is in no chain.
    let own_key = key();
    let certificates = [certificate(&own_key, &authority), peers_certificate];
    let config = member(&authority).with_pinned_keys([pin(&pair_of(&peer))]);
    let mut listener = listen(&config).await;
    let address = listener.local_address().to_string();
    let mut attacker = Attacker::with_key(VERSIONS[1], pair_of(&own_key));
    attacker.certificates = certificates.map(Into::into).into();
    let (_, accepted) = tokio::join!(attacker.dial(&address), accept(&mut *listener));
    assert_eq!(reason(accepted), Some(SecurityError::NotPinned));
}
