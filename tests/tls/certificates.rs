//! Peers that are not who they say, or say it wrongly.

use rcgen::date_time_ymd;
use rustls::CipherSuite;
use spacetime_network::SecurityError;
use spacetime_network::transport::TlsConfig;
use spacetime_network::transport::tls::TlsVersion;
use tokio::net::TcpListener;

use crate::attacker::{Attacker, authority, ed25519, p256, pair_of, parameters};
use crate::{VERSIONS, accept, dial, key, listen, reason, speaks};

/// What our listener says of one who dials, in each version.
async fn accepting(attacker: impl Fn(Attacker) -> Attacker, is_expected: impl Fn(SecurityError) -> bool) {
    for version in VERSIONS {
        let mut listener = listen(&speaks(version)).await;
        let address = listener.local_address().to_string();
        let attacker = attacker(Attacker::new(version));
        let (attack, accepted) = tokio::join!(attacker.dial(&address), accept(&mut *listener));
        let reason = reason(accepted).unwrap();
        assert!(is_expected(reason), "{version:?}: {reason:?}, and it was told {:?}", attack.err());
    }
}

/// What our dialer says of one who listens, in each version.
async fn dialling(attacker: impl Fn(Attacker) -> Attacker, is_expected: impl Fn(SecurityError) -> bool) {
    for version in VERSIONS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().into();
        let attacker = attacker(Attacker::new(version));
        let (attack, dialled) = tokio::join!(attacker.accept(&listener), dial(&speaks(version), &address));
        let reason = reason(dialled).unwrap();
        assert!(is_expected(reason), "{version:?}: {reason:?}, and it was told {:?}", attack.err());
    }
}

async fn in_both_directions(attacker: impl Fn(Attacker) -> Attacker, expected: SecurityError) {
    accepting(&attacker, |reason| reason == expected).await;
    dialling(&attacker, |reason| reason == expected).await;
}

#[tokio::test]
async fn one_who_is_as_it_should_be_is_let_in() {
    for version in VERSIONS {
        let mut listener = listen(&speaks(version)).await;
        let address = listener.local_address().to_string();
        let attacker = Attacker::new(version);
        let (attack, accepted) = tokio::join!(attacker.dial(&address), accept(&mut *listener));
        assert!(attack.is_ok() && accepted.is_ok());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().into();
        let (attack, dialled) = tokio::join!(attacker.accept(&listener), dial(&speaks(version), &address));
        assert!(attack.is_ok() && dialled.is_ok());
    }
}

#[tokio::test]
async fn who_leaves_the_choice_to_the_dialler_gets_the_cipher_that_costs_least() {
    for (version, suite) in [
        (TlsVersion::V1_2, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        (TlsVersion::V1_3, CipherSuite::TLS13_AES_128_GCM_SHA256),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().into();
        let peer = Attacker::new(version);
        let (accepted, dialled) = tokio::join!(peer.accept(&listener), dial(&speaks(version), &address));
        let accepted = accepted.unwrap();
        assert_eq!(accepted.get_ref().1.negotiated_cipher_suite().unwrap().suite(), suite);
        dialled.unwrap();
    }
}

#[tokio::test]
async fn the_certificate_of_somebody_else_is_a_bad_signature() {
    let steals = |attacker| Attacker { key: ed25519(), ..attacker };
    in_both_directions(steals, SecurityError::BadSignature).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let expired = |attacker: Attacker| {
        let mut parameters = parameters();
        parameters.not_after = date_time_ymd(2020, 1, 1);
        attacker.with_certificate(&parameters)
    };
    in_both_directions(expired, SecurityError::Expired).await;
}

#[tokio::test]
async fn an_expired_certificate_of_somebody_who_calls_itself_an_authority_is_refused() {
    let expired = |attacker: Attacker| {
        let mut parameters = parameters();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        parameters.not_after = date_time_ymd(2020, 1, 1);
        attacker.with_certificate(&parameters)
    };
    in_both_directions(expired, SecurityError::Expired).await;
}

#[tokio::test]
async fn one_who_calls_itself_an_authority_must_have_signed_that_itself() {
    let calls_itself_an_authority = |attacker: Attacker| {
        let mut parameters = parameters();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        attacker.with_certificate(&parameters)
    };
    for version in VERSIONS {
        let mut listener = listen(&speaks(version)).await;
        let address = listener.local_address().to_string();
        let attacker = calls_itself_an_authority(Attacker::new(version));
        let (_, accepted) = tokio::join!(attacker.dial(&address), accept(&mut *listener));
        assert!(accepted.is_ok(), "as openssl makes them");
    }
    let changed = |attacker: Attacker| {
        let mut attacker = calls_itself_an_authority(attacker);
        let mut der = attacker.certificates.remove(0).to_vec();
        *der.last_mut().unwrap() ^= 1;
        Attacker { certificates: vec![der.into()], ..attacker }
    };
    in_both_directions(changed, SecurityError::UntrustedIssuer).await;
    let issued = |attacker: Attacker| {
        let mut parameters = parameters();
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = parameters.signed_by(&attacker.key, &authority()).unwrap();
        Attacker { certificates: vec![certificate.der().clone()], ..attacker }
    };
    in_both_directions(issued, SecurityError::UntrustedIssuer).await;
}

#[tokio::test]
async fn a_certificate_for_later_is_refused() {
    let early = |attacker: Attacker| {
        let mut parameters = parameters();
        parameters.not_before = date_time_ymd(4000, 1, 1);
        attacker.with_certificate(&parameters)
    };
    in_both_directions(early, SecurityError::NotYetValid).await;
}

#[tokio::test]
async fn a_certificate_that_somebody_else_signed_is_refused() {
    let issued = |attacker: Attacker| {
        let certificate = parameters().signed_by(&attacker.key, &authority()).unwrap();
        Attacker { certificates: vec![certificate.der().clone()], ..attacker }
    };
    in_both_directions(issued, SecurityError::UntrustedIssuer).await;
}

#[tokio::test]
async fn another_kind_of_key_is_refused() {
    let other = |attacker: Attacker| Attacker::with_key(attacker.version, p256());
    // It knows no signature that would be taken, so it sends no certificate, or leaves.
    let no_certificate = [SecurityError::NoCertificate, SecurityError::Truncated];
    accepting(other, |reason| no_certificate.contains(&reason)).await;
    let no_signature = [SecurityError::Alert(40), SecurityError::Truncated];
    dialling(other, |reason| no_signature.contains(&reason)).await;
    // It sends the certificate all the same.
    let lies = |attacker: Attacker| {
        let certificates = Attacker::with_key(attacker.version, p256()).certificates;
        Attacker { certificates, ..attacker }
    };
    in_both_directions(lies, SecurityError::WrongKeyType).await;
}

#[tokio::test]
async fn one_without_a_certificate_is_refused() {
    let nobody = |attacker: Attacker| Attacker { certificates: Vec::new(), ..attacker };
    accepting(nobody, |reason| reason == SecurityError::NoCertificate).await;
}

#[tokio::test]
async fn a_long_certificate_and_too_many_of_them_are_refused() {
    let long = |attacker: Attacker| {
        let mut parameters = parameters();
        parameters.distinguished_name.push(rcgen::DnType::OrganizationName, "x".repeat(5000));
        attacker.with_certificate(&parameters)
    };
    in_both_directions(long, SecurityError::MalformedCertificate).await;
    let many = |mut attacker: Attacker| {
        let one = attacker.certificates.first().unwrap().clone();
        attacker.certificates = vec![one; 5];
        attacker
    };
    in_both_directions(many, SecurityError::MalformedCertificate).await;
}

#[tokio::test]
async fn more_than_a_handshake_needs_is_not_even_read() {
    let endless = |mut attacker: Attacker| {
        let one = attacker.certificates.first().unwrap().clone();
        attacker.certificates = vec![one; 200];
        attacker
    };
    in_both_directions(endless, SecurityError::TooLarge).await;
}

#[tokio::test]
async fn another_protocol_inside_is_refused() {
    let other = |attacker| Attacker { protocols: vec![b"h2".to_vec()], ..attacker };
    accepting(other, |reason| reason == SecurityError::WrongProtocol).await;
    // no_application_protocol
    dialling(other, |reason| reason == SecurityError::Alert(120)).await;
}

#[tokio::test]
async fn no_protocol_inside_is_refused() {
    let none = |attacker| Attacker { protocols: Vec::new(), ..attacker };
    in_both_directions(none, SecurityError::WrongProtocol).await;
}

#[tokio::test]
async fn another_peer_than_the_pinned_one_is_refused() {
    for version in VERSIONS {
        let mut listener = listen(&speaks(version)).await;
        let address = listener.local_address().pinned(key().peer_id());
        let near = speaks(version);
        let (dialled, accepted) = tokio::join!(dial(&near, &address), accept(&mut *listener));
        assert_eq!(reason(dialled), Some(SecurityError::WrongPeer));
        // Nobody learned who it was that dialled.
        assert_eq!(reason(accepted), Some(SecurityError::Alert(46)));
    }
}

#[tokio::test]
async fn only_those_on_the_list_are_let_in() {
    for version in VERSIONS {
        let friend = key();
        let config = speaks(version).with_allowed_peers([friend.peer_id()]);
        let mut listener = listen(&config).await;
        let address = listener.local_address().to_string();
        let stranger = Attacker::new(version);
        let (_, accepted) = tokio::join!(stranger.dial(&address), accept(&mut *listener));
        assert_eq!(reason(accepted), Some(SecurityError::NotAllowed));
        let friend = Attacker::with_key(version, pair_of(&friend));
        let (_, accepted) = tokio::join!(friend.dial(&address), accept(&mut *listener));
        assert!(accepted.is_ok());
        // The list is for both directions.
        let mut listener = listen(&speaks(version)).await;
        let address = listener.local_address();
        let (dialled, _) = tokio::join!(dial(&config, &address), accept(&mut *listener));
        assert_eq!(reason(dialled), Some(SecurityError::NotAllowed));
    }
}

#[tokio::test]
async fn a_certificate_for_another_key_makes_no_transport() {
    use spacetime_network::transport::tls::InvalidTlsConfig;
    use spacetime_network::transport::{TcpTransport, TlsTransport};
    let other = Attacker::new(VERSIONS[1]).certificates.remove(0).to_vec();
    let config = TlsConfig::new(key()).with_certificates([other]);
    let error = TlsTransport::new(TcpTransport::new(), &config).err();
    assert_eq!(error, Some(InvalidTlsConfig::Certificates));
    // One that all others would refuse.
    let own = key();
    let mut long = parameters();
    long.distinguished_name.push(rcgen::DnType::OrganizationName, "x".repeat(4000));
    let long = long.self_signed(&pair_of(&own)).unwrap().der().to_vec();
    let config = TlsConfig::new(own).with_certificates([long]);
    let error = TlsTransport::new(TcpTransport::new(), &config).err();
    assert_eq!(error, Some(InvalidTlsConfig::Certificates));
    let config = TlsConfig::new(key()).with_authorities([b"no certificate".to_vec()]);
    let error = TlsTransport::new(TcpTransport::new(), &config).err();
    assert_eq!(error, Some(InvalidTlsConfig::Authorities));
    let config = TlsConfig::new(key()).with_versions(VERSIONS[1], VERSIONS[0]);
    let error = TlsTransport::new(TcpTransport::new(), &config).err();
    assert_eq!(error, Some(InvalidTlsConfig::Versions));
}
