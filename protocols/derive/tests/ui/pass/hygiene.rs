// Around the trees below, the names that the derive's code could use mean something else.

#[path = "../leaf.rs"]
mod leaf;

#[no_implicit_prelude]
#[allow(dead_code, non_camel_case_types, non_snake_case)]
mod hostile {
    use crate::leaf;

    struct Result;
    struct Option;
    struct Debug;
    struct Formatter;
    struct Iterator;
    struct IntoIterator;
    struct Context;
    struct Input;
    struct Claims;
    struct Violation;
    struct Candidate;
    struct Verdict;
    struct Time;
    struct Role;
    struct MessageType;
    struct Event;
    struct Command;
    struct bool;
    struct u8;
    struct str;
    struct usize;

    fn Some() {}
    fn None() {}
    fn Ok() {}
    fn Err() {}
    fn Accept() {}

    mod core {}
    mod std {}
    mod alloc {}
    mod spacetime_core {}
    mod derive_support {}

    /// Methods that are found before those that take `&self`.
    trait Everything: ::core::marker::Sized {
        fn now(self) {}
        fn is_for(self) {}
        fn with_child(self) {}
        fn and(self) {}
        fn and_then(self) {}
        fn check_beside(self) {}
        fn claims(self) {}
        fn takes(self) {}
        fn admit(self) {}
        fn on_input(self) {}
        fn on_command(self) {}
        fn deadline(self) {}
        fn into_iter(self) {}
        fn flatten(self) {}
        fn min(self) {}
        fn fmt(self) {}
        fn debug_tuple(self) {}
        fn field(self) {}
        fn finish(self) {}
    }

    impl<T> Everything for T {}

    #[derive(::spacetime_core::NetworkBehaviour)]
    struct Generic<T> {
        ping: leaf::Leaf<::spacetime_core::wire::Ping>,
        other: T,
    }

    #[derive(::spacetime_core::NetworkBehaviour)]
    struct Concrete {
        pong: leaf::Leaf<::spacetime_core::wire::Pong>,
        asks: leaf::Leaf<::spacetime_core::wire::Nothing, ::spacetime_core::wire::Pong>,
    }

    pub(super) fn check() {
        let node = Generic {
            ping: ::core::default::Default::default(),
            other: Concrete {
                pong: ::core::default::Default::default(),
                asks: ::core::default::Default::default(),
            },
        };
        let local_id = ::spacetime_core::PeerId([0; 32]);
        let swarm = ::spacetime_core::Swarm::new(node, local_id, ::core::default::Default::default());
        ::core::assert!(::core::result::Result::is_ok(&swarm));
        let event = GenericEvent::<Concrete>::Other(ConcreteEvent::Asks("it"));
        ::core::assert_eq!(::std::format!("{event:?}"), "Other(Asks(\"it\"))");
    }
}

fn main() {
    hostile::check();
}
