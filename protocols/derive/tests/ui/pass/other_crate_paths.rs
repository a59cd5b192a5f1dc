#![deny(warnings)]

// As the facade's users have it: `spacetime_core` is nothing that could help.
pub extern crate spacetime_core as spacetime_network;
extern crate std as spacetime_core;

mod facade {
    pub mod inside {
        pub use spacetime_network as core;
    }
}

mod leaf {
    use spacetime_network::wire::{Frame, Ping, Nothing};
    use spacetime_network::{ConnectionId, Context, Protocol, Violation};

    #[derive(Default)]
    pub struct Pings;

    impl Protocol for Pings {
        type Message<'a> = Ping;
        type Answer<'a> = Nothing;
        type Event = ();
        type Command = ();

        fn on_message(
            &mut self,
            _: &mut Context<'_, ()>,
            _: ConnectionId,
            _: Ping,
            _: &Frame,
        ) -> Result<(), Violation> {
            Ok(())
        }
    }
}

mod by_path {
    use super::leaf::Pings;
    use spacetime_derive::NetworkBehaviour;

    #[derive(NetworkBehaviour, Default)]
    #[behaviour(crate = crate::facade::inside::core)]
    pub struct Tree {
        pings: Pings,
    }

    #[derive(NetworkBehaviour, Default)]
    #[behaviour(crate = ::spacetime_network)]
    pub struct Absolute {
        pings: Pings,
    }
}

mod by_facade {
    use super::leaf::Pings;
    use spacetime_derive::FacadeNetworkBehaviour as NetworkBehaviour;

    #[derive(NetworkBehaviour, Default)]
    pub struct Tree {
        pings: Pings,
    }

    // The option is stronger than the default.
    #[derive(NetworkBehaviour, Default)]
    #[behaviour(crate = super::facade::inside::core)]
    pub struct ByPath {
        pings: Pings,
    }
}

fn check<B: spacetime_network::NetworkBehaviour + Default>() {
    assert_eq!(B::default().deadline(), None);
}

fn main() {
    check::<by_path::Tree>();
    check::<by_path::Absolute>();
    check::<by_facade::Tree>();
    check::<by_facade::ByPath>();
}
