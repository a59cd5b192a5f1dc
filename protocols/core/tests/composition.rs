//! Trees of behaviours: derived, nested, switched off, composed at run time, and by hand.

#[path = "composition/by_hand.rs"]
mod by_hand;
#[path = "composition/cost.rs"]
mod cost;
#[path = "composition/derived.rs"]
mod derived;
#[path = "composition/dynamic.rs"]
mod dynamic;
#[path = "composition/messages.rs"]
mod messages;
#[path = "composition/probe.rs"]
mod probe;
#[path = "composition/toggle.rs"]
mod toggle;
