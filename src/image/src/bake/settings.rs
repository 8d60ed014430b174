//! Lines of systemd's configuration and unit files, as far as bake judges them.

/// Keys and values, lines that go on joined (systemd.syntax(7)).
pub(super) fn settings(text: &str) -> impl Iterator<Item = (String, String)> {
    let mut whole: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.trim_start_matches('\u{feff}').lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        let (line, more) = line.strip_suffix('\\').map_or((line, false), |l| (l, true));
        match whole.last_mut().filter(|_| goes_on) {
            Some(last) => *last = format!("{last} {line}"),
            None => whole.push(line.to_owned()),
        }
        goes_on = more;
    }
    whole.into_iter().filter_map(|l| l.split_once('=').map(|(k, v)| (k.trim().to_owned(), v.trim().to_owned())))
}
