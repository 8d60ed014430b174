//! The units, from the templates in `templates/`.

use minijinja::{Environment, UndefinedBehavior, context};

use super::BakeError;
use super::layout::{AGENT, AGENT_UNIT, LIB, LOAD_UNIT};

const TEMPLATES: [(&str, &str); 3] = [
    ("kiln-load.service", include_str!("../../templates/kiln-load.service")),
    ("kiln-agent.service", include_str!("../../templates/kiln-agent.service")),
    ("50-kiln.conf", include_str!("../../templates/50-kiln.conf")),
];

/// Renders one template. `unit` is the unit that a drop-in is for, and empty in the others, as are the lines on system calls.
fn render(name: &str, unit: &str, calls: &[String]) -> Result<String, BakeError> {
    let fail = |source| BakeError::Template { name: name.to_owned(), source };
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    for (name, text) in TEMPLATES {
        env.add_template(name, text).map_err(fail)?;
    }
    let values = context! { agent => format!("/{AGENT}"), lib => format!("/{LIB}"), load_unit => LOAD_UNIT, agent_unit => AGENT_UNIT, unit, calls => calls.to_vec() };
    let text = env.get_template(name).and_then(|t| t.render(values)).map_err(fail)?;
    // The engine takes the line end off a template's last line.
    Ok(text + "\n")
}

/// The unit that loads the policy.
pub fn load_unit() -> Result<String, BakeError> {
    render("kiln-load.service", "", &[])
}

/// The unit of the running agent.
pub fn agent_unit() -> Result<String, BakeError> {
    render("kiln-agent.service", "", &[])
}

/// The drop-in of a confined unit, with what its policy says of system calls.
pub fn drop_in(unit: &str, calls: &[String]) -> Result<String, BakeError> {
    render("50-kiln.conf", unit, calls)
}

/// The targets that a unit's `[Install]` section names: (`wants` or `requires`, target).
pub fn wanted_by(unit: &str) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    for line in unit.lines() {
        for (key, dir) in [("WantedBy=", "wants"), ("RequiredBy=", "requires")] {
            let targets = line.strip_prefix(key).into_iter().flat_map(str::split_whitespace);
            out.extend(targets.map(|t| (dir, t.to_owned())));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_renders_and_is_enabled() {
        let (load, agent, drop_in) =
            (load_unit().unwrap(), agent_unit().unwrap(), drop_in("nginx.service", &[]).unwrap());
        for text in [&load, &agent, &drop_in] {
            assert!(text.ends_with('\n') && !text.contains("{{"), "{text}");
        }
        assert!(!wanted_by(&load).is_empty() && !wanted_by(&agent).is_empty());
        for key in ["Requires=", "After="] {
            assert!(drop_in.lines().any(|l| l.starts_with(key) && l.contains(LOAD_UNIT)), "{drop_in}");
        }
        assert!(!drop_in.contains("[Service]"));
        let filtered = super::drop_in("nginx.service", &["SystemCallArchitectures=native".to_owned()]).unwrap();
        assert!(filtered.ends_with("\n[Service]\nSystemCallArchitectures=native\n"), "{filtered}");
    }
}
