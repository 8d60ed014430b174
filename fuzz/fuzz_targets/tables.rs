//! Tables with changed words, sealed again: whatever is taken answers every question and comes back as it was. The input is
//! pairs of a place and a byte.
#![no_main]

use std::sync::LazyLock;

use kiln_base::abi::Tables;
use kiln_base::abi::narrow::Narrowing;
use kiln_base::abi::walk::Object;
use kiln_lang::compile::{KernelVersion, Options, compile};
use kiln_base::model::{Digest, Verb, VerbSet};
use kiln_lang::pdl::{NoFiles, Source};
use libfuzzer_sys::fuzz_target;

const POLICY: &str = r#"pdl 1;
profile a { subject unit "a.service"; governs read, modify, exec, connect, bind, capability, kernel;
  allow read "/etc/**" except "/etc/shadow*"; allow exec "/bin/{a,b}" as h; allow connect tcp to 192.0.2.0/24 port 80-90;
  allow capability net_raw; allow kernel bpf; }
profile h { subject exec "/bin/h"; governs read; allow read "/srv/*"; }
guard g { subject host "*"; deny write "/usr/**"; }
"#;

static SEED: LazyLock<(Vec<u8>, Tables)> = LazyLock::new(|| {
    let text = POLICY.replace("192.0.2.0/24", "\"192.0.2.0/24\"");
    let policy = kiln_lang::policy::load(&[Source::new("p.pdl", &text)], &NoFiles).expect("the policy loads");
    let options = Options { policy: kiln_lang::policy::digest(&policy), serial: 1, kernel: KernelVersion::BASELINE };
    let tables = compile(&policy, &options).expect("the policy compiles");
    (tables.to_bytes().expect("tables have a form"), tables)
});

fuzz_target!(|input: &[u8]| {
    let mut bytes = SEED.0.clone();
    let body = bytes.len() - 32;
    for edit in input.chunks_exact(4) {
        // One in two falls among the first bytes, where the header is.
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]]));
        let at = if edit[2] & 1 == 0 { at % 700 } else { at * 8 + usize::from(edit[2] >> 4) };
        bytes[at.min(body - 1)] = edit[3];
    }
    let sum = Digest::of(&bytes[..body]);
    bytes[body..].copy_from_slice(sum.as_bytes());
    let Ok(tables) = Tables::read(&bytes) else { return };
    for subject in 0..tables.kernel.header.n_subjects.min(64) + 1 {
        for verb in Verb::ALL {
            for path in [&b"/etc/passwd"[..], b"/", b"", b"/srv/\xff"] {
                let _ = tables.kernel.verdict(subject, verb, &Object::Path(path));
            }
            let _ = tables.kernel.verdict(subject, verb, &Object::Net { protocol: 6, address: [0xff; 16], port: 80 });
        }
        let _ = tables.kernel.after_exec(subject, b"/bin/h");
        let _ = tables.kernel.after_unit(subject, b"a.service");
        let mut narrowing = Narrowing::new(&SEED.1.kernel, &tables.kernel);
        let _ = narrowing.narrows(subject.min(SEED.1.kernel.header.n_subjects - 1), subject, VerbSet::ALL.bits());
    }
    assert!(Tables::read(&tables.to_bytes().expect("tables have a form")).is_ok());
});
