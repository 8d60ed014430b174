//! No text panics the reader of the operators' marks, and one that it takes fits no event that has nothing in it.
#![no_main]

use kiln_gate::engine::graded::{Graded, Marks, Memory, Options, Shape, Weights};
use kiln_gate::engine::{Action, Arena, Profile};
use libfuzzer_sys::fuzz_target;

thread_local! {
    /// Made once: reading the weights takes longer than judging a thousand lines.
    static GATE: std::cell::RefCell<Graded> = std::cell::RefCell::new(Graded {
        options: Options {
            host_default: "h".to_owned(),
            source: None,
            include_kernel_event: false,
            pretty: false,
            shape: Shape::Gate,
            enforcement: None,
        },
        weights: Weights::built_in().expect("the built-in weights are valid"),
        marks: Marks::default(),
    });
}

const LINE: &str = r#"{"rule":"Fileless execution via memfd_create","priority":"Critical","tags":["T1620"],"output_fields":{"evt.type":"execve"}}"#;

fuzz_target!(|text: &str| {
    let Ok(marks) = Marks::from_toml(text) else { return };
    GATE.with_borrow_mut(|gate| {
        gate.marks = marks;
        let (mut reader, mut arena, mut memory) = (gate.reader(), Arena::default(), Memory::with_capacity(1000));
        let mut item = gate.read(&mut reader, LINE, &mut arena).expect("an event");
        gate.settle(&mut item, &arena, &mut memory, 1_795_172_400_000_000_000);
        // It names no process: a mark says who, so none fits.
        assert_ne!(gate.action(&item), Action::Allow);
    });
});
