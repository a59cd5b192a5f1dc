//! What a tree costs that has nothing to do.

use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;

use spacetime_core::wire::{Batch, FrameReader, MessageType, ReadStep, TypeRule};
use spacetime_core::{Claims, Context, Input, NetworkBehaviour, Role, Time, Violation};

use crate::probe::Driver;

/// How often a behaviour was called.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Calls {
    inputs: usize,
    deadlines: usize,
}

/// Receives application messages of type `BYTE`, and counts.
struct Counting<const BYTE: u8>(Rc<Cell<Calls>>);

impl<const BYTE: u8> NetworkBehaviour for Counting<BYTE> {
    const CLAIMS: Claims = Claims::NONE.with(
        Role::Message,
        &[TypeRule {
            message_type: MessageType::application(BYTE),
            max_payload: 16,
            ..TypeRule::of::<spacetime_core::wire::Ping>()
        }],
    );
    type Event = Infallible;
    type Command = Infallible;

    fn on_input(&mut self, _: &mut Context<'_, Infallible>, _: &Input<'_>) -> Result<(), Violation> {
        let calls = self.0.get();
        self.0.set(Calls { inputs: calls.inputs + 1, ..calls });
        Ok(())
    }

    fn on_command(&mut self, _: &mut Context<'_, Infallible>, command: Infallible) {
        match command {}
    }

    fn deadline(&self) -> Option<Time> {
        let calls = self.0.get();
        self.0.set(Calls { deadlines: calls.deadlines + 1, ..calls });
        None
    }
}

macro_rules! tree_of {
    ($($field:ident: $byte:literal,)*) => {
        #[derive(NetworkBehaviour)]
        struct Tree {
            $($field: Counting<$byte>,)*
        }

        fn tree(idle: &Rc<Cell<Calls>>, busy: &Rc<Cell<Calls>>) -> Tree {
            let counter = |byte| Rc::clone(if byte == BUSY { busy } else { idle });
            Tree {
                $($field: Counting(counter($byte)),)*
            }
        }
    };
}

/// The type that the one busy behaviour receives; 20 others do not.
const BUSY: u8 = 0x8a;
const IDLE: usize = 20;

tree_of! {
    a: 0x80, b: 0x81, c: 0x82, d: 0x83, e: 0x84, f: 0x85, g: 0x86, h: 0x87, i: 0x88, j: 0x89,
    busy: 0x8a,
    k: 0x8b, l: 0x8c, m: 0x8d, n: 0x8e, o: 0x8f, p: 0x90, q: 0x91, r: 0x92, s: 0x93, t: 0x94,
}

/// So many frames for the busy behaviour.
fn batch(driver: &Driver<Tree>, frames: usize) -> Batch {
    let mut reader = FrameReader::new(Arc::new(driver.swarm.rules().clone()), 1024);
    reader.set_established();
    reader.push(&[3, 0, 0, 0, BUSY, 1, 2].repeat(frames));
    match reader.poll_frames() {
        Ok(ReadStep::Frames(batch)) => batch,
        other => panic!("{other:?}"),
    }
}

#[test]
fn routing_frames_past_idle_behaviours_neither_calls_them_nor_allocates() {
    let (idle, busy) = (Rc::default(), Rc::default());
    let mut driver = Driver::new(tree(&idle, &busy));
    let peer = driver.session();
    for frames in [1, 100, 256] {
        let batch = batch(&driver, frames);
        idle.set(Calls::default());
        busy.set(Calls::default());
        let now = driver.now();
        let allocations = allocation_counter::measure(|| {
            let rest = driver.swarm.handle_frames(now, peer, batch);
            assert!(rest.is_none());
        });
        assert_eq!(allocations.count_total, 0, "of {frames} frames");
        assert_eq!((idle.get().inputs, busy.get().inputs), (0, frames));
        // Each step asks each behaviour for its deadline, and not each frame.
        assert_eq!((idle.get().deadlines, busy.get().deadlines), (IDLE, 1));
    }
}
