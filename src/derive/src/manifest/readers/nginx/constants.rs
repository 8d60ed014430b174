//! Variables whose values the configuration itself says: `set $x VALUE` and the values of a `map`.

use std::collections::{BTreeMap, BTreeSet};

use super::directive::Directive;

/// Values of one variable, or texts that a word stands for; with more it counts as unknown.
const MAX_VALUES: usize = 64;
/// Variables in the values of variables.
const MAX_DEPTH: usize = 4;

/// The values by name; `None` where one is not known.
#[derive(Debug, Default)]
pub(super) struct Constants(BTreeMap<String, Option<BTreeSet<String>>>);

impl Constants {
    /// Collects those of a context.
    pub fn of(context: &Directive) -> Constants {
        let mut out = Constants::default();
        let mut todo = vec![context];
        while let Some(d) = todo.pop() {
            for inner in &d.block {
                match (inner.name.as_str(), inner.args.as_slice()) {
                    ("set", [name, value]) => out.add(name, std::iter::once(value.as_str())),
                    ("map", [_, name]) if inner.block.iter().all(|e| e.args.len() <= 1) => {
                        let options = ["hostnames", "volatile"];
                        out.add(
                            name,
                            inner.block.iter().filter(|e| !options.contains(&&*e.name)).filter_map(|e| e.arg()),
                        );
                    }
                    // Set by others: by captures, by another program's answer, by a key.
                    ("auth_request_set" | "perl_set" | "js_set" | "geo" | "split_clients" | "set_by_lua", args) => {
                        for name in args {
                            out.0.insert(name.clone(), None);
                        }
                    }
                    _ => {}
                }
                if !inner.block.is_empty() && inner.name != "map" {
                    todo.push(inner);
                }
            }
        }
        out
    }

    fn add<'a>(&mut self, name: &str, values: impl Iterator<Item = &'a str>) {
        let known = self.0.entry(name.to_owned()).or_insert_with(|| Some(BTreeSet::new()));
        if let Some(set) = known {
            set.extend(values.map(str::to_owned));
            if set.len() > MAX_VALUES {
                *known = None;
            }
        }
    }

    /// The texts that a word can become; variables that are not known stay in it.
    pub fn expand(&self, text: &str) -> BTreeSet<String> {
        let mut texts = BTreeSet::from([text.to_owned()]);
        for _ in 0..MAX_DEPTH {
            let next: BTreeSet<String> = texts.iter().flat_map(|t| self.once(t)).take(MAX_VALUES + 1).collect();
            if next.len() > MAX_VALUES {
                return BTreeSet::from([text.to_owned()]);
            }
            if next == texts {
                break;
            }
            texts = next;
        }
        texts
    }

    /// With the first variable that is known replaced.
    fn once(&self, text: &str) -> Vec<String> {
        for (at, _) in text.match_indices('$') {
            let tail = &text[at + 1..];
            let (name, rest) = match tail.strip_prefix('{').and_then(|t| t.split_once('}')) {
                Some(parts) => parts,
                None => {
                    let end = tail.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(tail.len());
                    tail.split_at(end)
                }
            };
            if let Some(Some(values)) = self.0.get(&format!("${name}")) {
                return values.iter().map(|v| format!("{}{v}{rest}", &text[..at])).collect();
            }
        }
        vec![text.to_owned()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Origin;

    #[test]
    fn set_and_map() {
        let d = |name: &str, args: &[&str], block: Vec<Directive>| Directive {
            name: name.into(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            block,
            origin: Origin::line("/n", 1),
        };
        let map = d("map", &["$host", "$pool"], vec![d("default", &["a:1"], vec![]), d("x", &["b:2"], vec![])]);
        let http = d("http", &[], vec![map, d("server", &[], vec![d("set", &["$up", "http://$pool"], vec![])])]);
        let constants = Constants::of(&http);
        let got: Vec<String> = constants.expand("${up}$request_uri").into_iter().collect();
        assert_eq!(got, ["http://a:1$request_uri", "http://b:2$request_uri"]);
        assert_eq!(constants.expand("$other").len(), 1);
        let circle = d("http", &[], vec![d("set", &["$a", "$a$a"], vec![])]);
        assert!(Constants::of(&circle).expand("$a").len() == 1);
    }
}
