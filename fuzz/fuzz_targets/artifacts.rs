//! No bytes that a machine is sent panic their readers: tables, statements, keys, records of the kernel. Tables that are
//! taken answer every question.
#![no_main]

use kiln::abi::Tables;
use kiln::abi::walk::Object;
use kiln::bundle::{Envelope, PublicKey, SigningKey};
use kiln::event::KernelEvent;
use kiln::model::Verb;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(tables) = Tables::read(bytes) {
        for subject in 0..4 {
            for verb in Verb::ALL {
                let _ = tables.kernel.verdict(subject, verb, &Object::Path(b"/etc/passwd"));
                let _ = tables.kernel.verdict(subject, verb, &Object::Net { protocol: 6, address: [0; 16], port: 1 });
            }
            let _ = tables.kernel.after_exec(subject, b"/bin/sh");
        }
        assert_eq!(tables.to_bytes().expect("tables have a form"), bytes);
    }
    let _ = Envelope::parse(bytes);
    let _ = KernelEvent::decode(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (PublicKey::from_pem(text), SigningKey::from_pem(text));
    }
});
