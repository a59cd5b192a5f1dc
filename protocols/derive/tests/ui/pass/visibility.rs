#![deny(warnings)]

#[path = "../leaf.rs"]
mod leaf;

pub mod outer {
    pub mod inner {
        use crate::leaf::Leaf;
        use spacetime_core::NetworkBehaviour;
        use spacetime_core::wire::{Ping, Pong};

        #[derive(NetworkBehaviour, Default)]
        struct Private {
            ping: Leaf<Ping>,
        }

        #[derive(NetworkBehaviour, Default)]
        pub(super) struct Super {
            private: Private,
        }

        #[derive(NetworkBehaviour, Default)]
        pub(in crate::outer) struct In {
            ping: Leaf<Ping>,
        }

        #[derive(NetworkBehaviour, Default)]
        pub(crate) struct Crate {
            pub(super) ping: Leaf<Ping>,
            pub pong: Leaf<Pong>,
        }

        #[derive(NetworkBehaviour, Default)]
        pub struct Public {
            ping: Leaf<Ping>,
            pub(crate) pong: Leaf<Pong>,
        }

        // Which behaviours a public tree has can be its own business.
        #[derive(NetworkBehaviour)]
        pub struct Closed<T> {
            private: Private,
            generic: Wrapped<T>,
        }

        #[derive(NetworkBehaviour)]
        struct Wrapped<T> {
            generic: T,
        }

        pub fn new<T: NetworkBehaviour>(generic: T) -> Closed<T> {
            Closed { private: Private::default(), generic: Wrapped { generic } }
        }
    }

    pub fn names() -> [String; 3] {
        let _ = inner::Super::default();
        [
            format!("{:?}", inner::InEvent::Ping("in")),
            format!("{:?}", inner::CrateEvent::Ping("crate")),
            format!("{:?}", inner::PublicEvent::Ping("public")),
        ]
    }
}

fn main() {
    let _ = (outer::inner::Crate::default().pong, outer::inner::Public::default().pong);
    assert_eq!(outer::names(), ["Ping(\"in\")", "Ping(\"crate\")", "Ping(\"public\")"]);
    let closed = outer::inner::new(leaf::Leaf::<spacetime_core::wire::Pong>::default());
    assert_eq!(spacetime_core::NetworkBehaviour::deadline(&closed), None);
}
