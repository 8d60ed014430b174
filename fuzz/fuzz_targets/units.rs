//! No text of a unit file panics what reads it.
#![no_main]

use kiln_derive::manifest::systemd::exec::commands;
use kiln_derive::manifest::systemd::specifier::{expand, unescape};
use kiln_derive::manifest::systemd::name::{instance_of, is_template, is_unit_name, template_of};
use kiln_derive::manifest::systemd::words::{Escapes, words};
use kiln_derive::manifest::systemd::{Environment, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parsed = parse("a.service", text);
    let mut environment = Environment::default();
    for entry in &parsed.entries {
        if let Some((name, value)) = entry.value.split_once('=') {
            environment.set(name, value, &entry.origin);
        }
    }
    for value in parsed.entries.iter().map(|e| e.value.as_str()).chain([text]) {
        for unit in ["a.service", "a@b-c.service", "a@.service"] {
            let _ = commands(value, unit, &environment);
            let _ = expand(value, unit);
        }
        for escapes in [Escapes::C, Escapes::Plain] {
            let _ = words(value, escapes);
        }
        let _ = (unescape(value), environment.replace(value));
        if is_unit_name(value)
            && let Some((_, instance)) = instance_of(value)
        {
            assert!(!is_template(value) || instance.is_empty());
            let _ = template_of(value);
        }
    }
});
