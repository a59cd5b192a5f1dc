#![deny(warnings)]

#[path = "../leaf.rs"]
mod leaf;

use leaf::Leaf;
use spacetime_core::NetworkBehaviour;
use spacetime_core::wire::{Ping, Pong};

macro_rules! tree {
    ($(#[$meta:meta])* $name:ident $(<$parameter:ident>)? { $($field:ident: $ty:ty,)* }) => {
        $(#[$meta])*
        #[derive(NetworkBehaviour, Default)]
        struct $name $(<$parameter>)? {
            fixed: leaf::Leaf<spacetime_core::wire::GetBlock>,
            $($field: $ty,)*
        }
    };
}

tree!(
    /// Made by a macro.
    ByMacro { ping: Leaf<Ping>, pong: leaf::Leaf<Pong>, }
);
tree!(Generic<T> { ping: Leaf<Ping>, any: T, });

fn in_a_function() -> u8 {
    #[derive(NetworkBehaviour, Default)]
    struct ByMacro {
        inner: super_tree::Tree,
    }
    let _ = ByMacro::default();
    match ByMacroCommand::Inner(super_tree::TreeCommand::Ping(4)) {
        ByMacroCommand::Inner(super_tree::TreeCommand::Ping(number)) => number,
    }
}

mod super_tree {
    use super::*;

    #[derive(NetworkBehaviour, Default)]
    pub(super) struct Tree {
        ping: Leaf<Ping>,
    }
}

fn main() {
    let _ = (ByMacro::default(), Generic::<Leaf<Pong>>::default());
    assert_eq!(format!("{:?}", ByMacroEvent::Fixed("it")), "Fixed(\"it\")");
    assert_eq!(format!("{:?}", GenericCommand::<Leaf<Pong>>::Any(1)), "Any(1)");
    assert_eq!(in_a_function(), 4);
}
