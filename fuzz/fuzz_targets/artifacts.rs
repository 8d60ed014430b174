//! No bytes that a machine is sent panic their readers: tables, statements, keys, records of the kernel. Tables that are
//! taken answer every question.
#![no_main]

use std::sync::LazyLock;

use kiln_base::abi::Tables;
use kiln_base::abi::walk::Object;
use kiln_base::bundle::{
    ASSIGNMENT_TYPE, Assignment, Envelope, POLICY_TYPE, PolicyStatement, PublicKey, SigningKey, TrustedKeys,
};
use kiln_base::event::KernelEvent;
use kiln_base::model::Verb;
use libfuzzer_sys::fuzz_target;

static KEYS: LazyLock<([SigningKey; 2], TrustedKeys)> = LazyLock::new(|| {
    let keys = [(); 2].map(|()| SigningKey::generate().expect("a key"));
    let trusted = TrustedKeys::new(vec![keys[0].public()], vec![keys[1].public()]).expect("keys of their own");
    (keys, trusted)
});

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
    if let Ok(envelope) = Envelope::parse(bytes) {
        assert_eq!(Envelope::parse(envelope.to_json().as_bytes()).expect("an envelope of our own"), envelope);
    }
    // What a trusted key has signed may be anything, too.
    let [policy, assignment] = &KEYS.0;
    let _ = PolicyStatement::verify(&Envelope::sign(POLICY_TYPE, bytes, policy), &KEYS.1);
    let _ = Assignment::verify(&Envelope::sign(ASSIGNMENT_TYPE, bytes, assignment), &KEYS.1);
    let _ = KernelEvent::decode(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = (PublicKey::from_pem(text), SigningKey::from_pem(text));
    }
});
