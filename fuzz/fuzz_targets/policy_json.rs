//! No JSON document panics, and what is taken comes back as it went out.
#![no_main]

use kiln_lang::policy::{digest, json};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(policy) = json::read(bytes) {
        let again = serde_json_bytes(&policy);
        assert_eq!(digest(&json::read(&again).expect("a document of our own is taken")), digest(&policy));
    }
});

fn serde_json_bytes(policy: &kiln_lang::policy::normal::Policy) -> Vec<u8> {
    serde_json::to_vec(&json::document(policy)).expect("a policy has a JSON form")
}
