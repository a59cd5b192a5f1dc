//! One suite that every transport passes. A new transport joins with a [`Fixture`] and a line at the
//! end of this file.

mod suite;

use std::io::ErrorKind;

use spacetime_network::Address;
use spacetime_network::transport::tls::NodeKey;
use spacetime_network::transport::{MemoryNetwork, TcpTransport, TlsConfig, TlsTransport, Transport};

/// Two transports that can reach each other.
struct Fixture {
    dialer: Box<dyn Transport>,
    listener: Box<dyn Transport>,
    /// Where the second one can listen.
    listen: Address,
    /// Where nobody listens.
    nobody: Address,
    /// An address of another kind.
    foreign: Address,
    /// What a reader is told where the other end was dropped, if not that the stream has ended.
    cut_off: ErrorKind,
}

fn memory() -> Fixture {
    let network = MemoryNetwork::new();
    let (dialer, listener) = (network.transport(), network.transport());
    Fixture {
        listen: listener.address(),
        dialer: Box::new(dialer),
        listener: Box::new(listener),
        nobody: Address::memory(1000),
        foreign: "127.0.0.1:1".parse().unwrap(),
        cut_off: ErrorKind::ConnectionReset,
    }
}

fn tcp() -> Fixture {
    // A port that was just given back: nobody else is given it at once.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    Fixture {
        dialer: Box::new(TcpTransport::new()),
        listener: Box::new(TcpTransport::new()),
        listen: "127.0.0.1:0".parse().unwrap(),
        nobody: nobody.into(),
        foreign: Address::memory(1),
        cut_off: ErrorKind::ConnectionReset,
    }
}

/// The same over TLS, where a stream that is cut off does not look as if it had ended.
fn secured(fixture: Fixture) -> Fixture {
    let secure = |transport| {
        let key = NodeKey::generate().unwrap();
        Box::new(TlsTransport::new(transport, &TlsConfig::new(key)).unwrap())
    };
    Fixture {
        dialer: secure(fixture.dialer),
        listener: secure(fixture.listener),
        cut_off: ErrorKind::UnexpectedEof,
        ..fixture
    }
}

fn tls_over_memory() -> Fixture {
    secured(memory())
}

fn tls_over_tcp() -> Fixture {
    secured(tcp())
}

macro_rules! conformance {
    ($transport:ident) => {
        conformance!($transport:
            bytes_arrive_in_order_in_both_directions,
            what_was_written_before_the_end_is_read_before_the_end,
            one_direction_may_end_before_the_other,
            a_dropped_end_ends_the_other,
            dialling_nobody_fails,
            an_address_of_another_kind_is_refused,
            the_listener_says_where_it_listens,
            many_connections_do_not_mix,
            a_reader_that_does_not_read_holds_the_writer_back,
            an_address_is_listened_on_once,
            a_dropped_listener_refuses,
            a_dropped_accept_loses_no_connection,
            many_pieces_are_written_in_order
        );
    };
    ($transport:ident: $($case:ident),*) => {
        mod $transport {
            $(#[tokio::test]
            async fn $case() {
                crate::suite::$case(crate::$transport()).await;
            })*
        }
    };
}

conformance!(memory);
conformance!(tcp);
conformance!(tls_over_memory);
conformance!(tls_over_tcp);
