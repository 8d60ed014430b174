//! The same cases under other conditions: a profile that governs everything, systemd's usual sandbox, both.
//! `KILN_MATRIX=all` asks for all of them, `KILN_MATRIX=full,sandbox` for two.

use libtest_mimic::{Failed, Trial};

use crate::case::{Case, Kind};
use crate::{guest, policy};

/// The conditions of a boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Variant {
    /// Each profile governs every class, and permits what its case does not govern.
    pub full: bool,
    /// Each attack runs as in a unit with PrivateTmp=, ProtectSystem=strict, PrivateDevices=, ProtectHome= and
    /// NoNewPrivileges=.
    pub sandbox: bool,
}

/// What a profile can govern and the kernel enforce, each with the rules that permit all of it.
const CLASSES: [(&str, &str); 12] = [
    ("read", r#"allow read "/", "/**";"#),
    ("modify", r#"allow modify "/", "/**";"#),
    ("create", r#"allow create "/", "/**";"#),
    ("delete", r#"allow delete "/", "/**";"#),
    ("setattr", r#"allow setattr "/", "/**";"#),
    ("exec", r#"allow exec "/**";"#),
    ("load", r#"allow load "/**";"#),
    ("bind", r#"allow bind tcp; allow bind udp; allow bind unix "/**", "@**";"#),
    ("connect", r#"allow connect tcp; allow connect udp; allow connect unix "/**", "@**";"#),
    ("accept", "allow accept tcp; allow accept udp;"),
    ("capability", "allow capability any;"),
    ("kernel", "allow kernel any;"),
];

/// Where the machine has the /tmp of the sandbox (attack/sandbox.c).
const TMP: &str = "/tmp/systemd-private-kt/tmp/";

impl Variant {
    /// The part of a test's name, empty for what is always run.
    pub const fn name(self) -> &'static str {
        match (self.full, self.sandbox) {
            (false, false) => "",
            (true, false) => "full",
            (false, true) => "sandbox",
            (true, true) => "full_sandbox",
        }
    }

    /// Whether it makes a difference to the case.
    pub fn concerns(self, case: &Case) -> bool {
        (!self.full || case.kind == Kind::Profile) && (!self.sandbox || case.no_sandbox.is_none())
    }

    /// The head line and the rules of the case's blocks.
    pub fn rules(self, case: &Case) -> (String, String) {
        if case.kind == Kind::Guard {
            return (case.governs.clone(), self.guarded(&case.rules));
        }
        if !self.full {
            return (case.governs.clone(), case.rules.clone());
        }
        let governed: Vec<&str> = case.governs.split(',').map(str::trim).collect();
        let governs = |class: &str| {
            governed.contains(&class)
                || (governed.contains(&"write") && ["modify", "create", "delete", "setattr"].contains(&class))
        };
        let classes = CLASSES.iter().filter(|(class, _)| !case.free.iter().any(|free| free == class));
        let rest: Vec<&str> = classes.clone().filter(|(class, _)| !governs(class)).map(|(_, all)| *all).collect();
        let all: Vec<&str> = classes.map(|(class, _)| *class).collect();
        (all.join(", "), format!("{}\n{rest}", case.rules.trim(), rest = rest.join("\n")))
    }
}

impl Variant {
    /// The rules of a guard, which speak of the machine's names: a file of the sandbox's /tmp has another one there.
    fn guarded(self, rules: &str) -> String {
        if !self.sandbox {
            return rules.to_owned();
        }
        let both = |(place, text): (usize, &str)| match text.strip_prefix("/tmp/") {
            Some(rest) if place % 2 == 1 => format!("{text}\", \"{TMP}{rest}"),
            _ => text.to_owned(),
        };
        rules.split('"').enumerate().map(both).collect::<Vec<_>>().join("\"")
    }

    /// The object of a report, by the name that it has to who attacks.
    pub fn object(self, object: &str) -> String {
        if self.sandbox { object.replace(TMP, "/tmp/") } else { object.to_owned() }
    }
}

/// Whether the long run is asked for: everything, whatever it takes.
pub fn is_whole() -> bool {
    std::env::var("KILN_MATRIX").is_ok_and(|asked| asked.split(',').any(|word| word == "all"))
}

/// What this run asks for: the plain one, and what `KILN_MATRIX` says.
///
/// # Errors
/// If it says something else.
pub fn asked() -> Result<Vec<Variant>, String> {
    let mut found = vec![Variant::default()];
    let others = [(true, false), (false, true), (true, true)].map(|(full, sandbox)| Variant { full, sandbox });
    let asked = std::env::var("KILN_MATRIX").unwrap_or_default();
    for word in asked.split(',').filter(|word| !word.is_empty()) {
        if word == "all" {
            found.extend(others);
            continue;
        }
        let known = others.into_iter().find(|variant| variant.name() == word);
        found.push(known.ok_or(format!("KILN_MATRIX={asked}: say all, or some of full, sandbox, full_sandbox"))?);
    }
    Ok(found)
}

/// The policies under which every case would run in other conditions, compiled here: what is wrong with one needs no
/// guest to be found.
pub fn policies(kernel: &'static str, cases: &[Case]) -> Trial {
    let mut waves = Vec::new();
    for variant in [Variant { full: true, sandbox: false }, Variant { full: false, sandbox: true }] {
        let fits = |case: &&Case| variant.concerns(case) && case.kernels.iter().any(|name| name == kernel);
        let chosen: Vec<Case> = cases.iter().filter(fits).cloned().collect();
        waves.extend(guest::waves(&chosen).into_iter().map(|wave| (variant, wave)));
    }
    Trial::test(format!("{kernel}::matrix::policies"), move || {
        for (variant, wave) in &waves {
            let name = wave.first().map_or("none", |case| &case.name);
            policy::compile(name, &policy::text(wave, *variant), kernel, 1).map_err(Failed::from)?;
        }
        Ok(())
    })
}
