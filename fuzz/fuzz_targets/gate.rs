//! No line panics the gate, and what it writes for one is JSON.
#![no_main]

use std::sync::LazyLock;

use kiln_gate::engine::graded::{Graded, Marks, Memory, Options, Shape, Weights};
use kiln_gate::engine::scbe::{self, Scbe};
use kiln_gate::engine::{Arena, Profile};
use libfuzzer_sys::fuzz_target;

fn judge<P: Profile>(profile: &P, mut memory: P::Memory, line: &str) -> Vec<u8> {
    let (mut reader, mut arena, mut out) = (profile.reader(), Arena::default(), Vec::new());
    if let Ok(mut item) = profile.read(&mut reader, line, &mut arena) {
        profile.settle(&mut item, &arena, &mut memory, 1_795_172_400_000_000_000);
        profile.render(&item, &arena, &mut out);
        profile.request(&item, &arena);
    }
    out
}

/// Made once: reading the weights takes longer than judging a thousand lines.
static GATE: LazyLock<Graded> = LazyLock::new(|| {
    let options = Options {
        host_default: "h".to_owned(),
        source: None,
        include_kernel_event: true,
        pretty: false,
        shape: Shape::Gate,
        enforcement: None,
    };
    Graded { options, weights: Weights::built_in().expect("the built-in weights are valid"), marks: Marks::default() }
});

static SCBE: LazyLock<Scbe> = LazyLock::new(|| {
    let options =
        scbe::Options { host_default: "h".to_owned(), include_kernel_event: true, pretty: true, enforcement: None };
    Scbe { options }
});

fuzz_target!(|line: &str| {
    assert!(judge(&*SCBE, Default::default(), line).is_ascii());
    let out = judge(&*GATE, Memory::with_capacity(1000), line);
    assert!(out.is_empty() || serde_json::from_slice::<serde_json::Value>(&out).is_ok());
});
