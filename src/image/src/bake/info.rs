//! What an image says of itself, as far as selectors ask: its name, and the labels of its services.

use std::collections::{BTreeMap, BTreeSet};

use kiln_base::abi::metadata::ImageInfo;

use super::BakeError;
use super::image::{Image, Kind};
use super::own::{drop_ins, text};
use super::settings::settings;
use super::shadow::{LOAD_PATH, follow};
use super::units::{is_template, template, unit_files};

/// The setting by which a unit has labels, in any of its sections.
const LABELS: &str = "X-Kiln-Labels";

/// Reads what the image says of itself.
///
/// # Errors
/// Where a file cannot be read, a label cannot be one, or an instance lacks a label of its template.
pub fn info(image: &dyn Image) -> Result<ImageInfo, BakeError> {
    Ok(ImageInfo { name: name(image)?, labels: labels(image)? })
}

/// `IMAGE_ID` and `IMAGE_VERSION` of os-release(5).
fn name(image: &dyn Image) -> Result<Option<String>, BakeError> {
    for path in ["etc/os-release", "usr/lib/os-release"] {
        let Some(text) = text(image, path)? else { continue };
        let of = |key: &str| {
            let all = settings(&text).filter(|(k, _)| k == key);
            all.last().map(|(_, v)| v.trim_matches(['"', '\'']).to_owned()).filter(|v| !v.is_empty())
        };
        let version = of("IMAGE_VERSION").map(|v| format!(":{v}")).unwrap_or_default();
        return Ok(of("IMAGE_ID").map(|id| id + &version));
    }
    Ok(None)
}

fn labels(image: &dyn Image) -> Result<BTreeMap<String, BTreeSet<String>>, BakeError> {
    let files = unit_files(image)?;
    // A link to a file that is not among the units is a unit of the link's name.
    let own = |stands_for: &Option<String>| stands_for.as_ref().is_none_or(|unit| !files.contains_key(unit));
    let main = files.iter().filter(|(_, stands_for)| own(stands_for)).map(|(name, _)| name.clone());
    let mut names: BTreeSet<String> = main.collect();
    let mut more = instances(image)?;
    more.retain(|i| template(i).is_some_and(|t| names.contains(&t)));
    names.extend(more);
    // Templates come first, for their instances are held to them.
    let (first, then): (Vec<String>, Vec<String>) = names.into_iter().partition(|n| is_template(n));
    let mut out = BTreeMap::<String, BTreeSet<String>>::new();
    for name in first.into_iter().chain(then) {
        let aliases = files.iter().filter(|(_, stands_for)| stands_for.as_deref() == Some(&name));
        let aliases: Vec<&str> = aliases.map(|(alias, _)| alias.as_str()).collect();
        let own = of_unit(image, &name, &aliases)?;
        let all = template(&name).and_then(|t| out.get(&t));
        if let Some(lacking) = all.and_then(|all| all.difference(&own).next()) {
            let what = format!(
                "{name} has not the label `{lacking}` of its template; give the label to instances one by one, not to the \
                 template"
            );
            return Err(BakeError::Content { path: name, what });
        }
        if !own.is_empty() {
            out.insert(name, own);
        }
    }
    Ok(out)
}

/// Instances that have a folder of drop-ins of their own.
fn instances(image: &dyn Image) -> Result<BTreeSet<String>, BakeError> {
    let mut out = BTreeSet::new();
    for dir in LOAD_PATH {
        let Some(real) = follow(image, dir)? else { continue };
        let names = image.list(&real)?.into_iter();
        let own = names.filter_map(|n| n.strip_suffix(".d").map(str::to_owned));
        out.extend(own.filter(|n| n.ends_with(".service") && n.contains('@') && !is_template(n)));
    }
    Ok(out)
}

/// The labels of a unit: of its file, or its template's, and of the drop-ins.
fn of_unit(image: &dyn Image, unit: &str, aliases: &[&str]) -> Result<BTreeSet<String>, BakeError> {
    let mut out = BTreeSet::new();
    let template = template(unit).filter(|t| t != unit);
    let names: Vec<&str> = [unit].into_iter().chain(template.as_deref()).collect();
    for path in names.iter().flat_map(|n| LOAD_PATH.iter().map(move |d| format!("{d}/{n}"))) {
        if masked(image, &path)? {
            return Ok(out);
        }
        if let Some(text) = text(image, &path)? {
            take(&path, &text, &mut out)?;
            break;
        }
    }
    let names: Vec<&str> = names.into_iter().chain(aliases.iter().copied()).collect();
    for path in drop_ins(image, &names)?.into_values() {
        if let Some(text) = text(image, &path)? {
            take(&path, &text, &mut out)?;
        }
    }
    Ok(out)
}

/// Whether a link to /dev/null stands there: such a unit never runs.
fn masked(image: &dyn Image, path: &str) -> Result<bool, BakeError> {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    let Some(real) = follow(image, dir)? else { return Ok(false) };
    let path = format!("{real}/{name}");
    let link = image.find(&path)?.is_some_and(|f| f.kind == Kind::Link);
    Ok(link && image.link_target(&path)? == "/dev/null")
}

/// Adds what a file says; an empty value takes back what was said before it, as with systemd's own lists.
fn take(path: &str, text: &str, out: &mut BTreeSet<String>) -> Result<(), BakeError> {
    for (_, value) in settings(text).filter(|(key, _)| key == LABELS) {
        if value.is_empty() {
            out.clear();
        }
        for label in value.split_whitespace() {
            if label.len() > 255 || label.chars().any(|c| c.is_control() || "\"'\\%".contains(c)) {
                let what =
                    format!("`{label}` of {LABELS}= cannot be a label: write words without quotes, `\\` and `%`");
                return Err(BakeError::Content { path: path.to_owned(), what });
            }
            out.insert(label.to_owned());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::RootDir;
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<ImageInfo, BakeError> {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match text.strip_prefix("-> ") {
                Some(target) => symlink(target, path).unwrap(),
                None => fs::write(path, text).unwrap(),
            }
        }
        info(&RootDir::open(dir.path()).unwrap())
    }

    fn labels_of(info: &ImageInfo, unit: &str) -> Vec<String> {
        info.labels.get(unit).into_iter().flatten().cloned().collect()
    }

    #[test]
    fn a_unit_has_the_labels_of_its_file_and_drop_ins() {
        let found = read(&[
            (
                "usr/lib/systemd/system/web.service",
                "[Unit]\nX-Kiln-Labels=web tier=front\n[Service]\nX-Kiln-Labels=x\n",
            ),
            ("etc/systemd/system/web.service.d/10-more.conf", "[Unit]\nX-Kiln-Labels=more\n"),
            ("usr/lib/systemd/system/db.service", "[Unit]\nX-Kiln-Labels=web\n"),
            ("usr/lib/systemd/system/db.service.d/20-none.conf", "[Unit]\nX-Kiln-Labels=\nX-Kiln-Labels=db\n"),
            // The administrator's file stands in place of the package's.
            ("usr/lib/systemd/system/own.service", "[Unit]\nX-Kiln-Labels=package\n"),
            ("etc/systemd/system/own.service", "[Unit]\nX-Kiln-Labels=admin\n"),
            ("usr/lib/systemd/system/gone.service", "[Unit]\nX-Kiln-Labels=web\n"),
            ("etc/systemd/system/gone.service", "-> /dev/null"),
            // An alias is the same unit.
            ("etc/systemd/system/www.service", "-> /usr/lib/systemd/system/web.service"),
            ("etc/systemd/system/www.service.d/30-alias.conf", "[Unit]\nX-Kiln-Labels=alias\n"),
            // A unit that lies elsewhere has the name of its link.
            ("opt/app/app.service", "[Unit]\nX-Kiln-Labels=linked\n"),
            ("etc/systemd/system/linked.service", "-> /opt/app/app.service"),
            ("usr/lib/systemd/system/plain.service", "[Unit]\n# X-Kiln-Labels=no\n"),
            ("usr/lib/systemd/system/a.socket", "[Unit]\nX-Kiln-Labels=no\n"),
        ])
        .unwrap();
        assert_eq!(labels_of(&found, "web.service"), ["alias", "more", "tier=front", "web", "x"]);
        assert_eq!(labels_of(&found, "db.service"), ["db"]);
        assert_eq!(labels_of(&found, "own.service"), ["admin"]);
        assert_eq!(labels_of(&found, "linked.service"), ["linked"]);
        assert_eq!(found.labels.len(), 4, "{found:?}");
    }

    #[test]
    fn instances_have_the_labels_of_their_template() {
        let template = ("usr/lib/systemd/system/app@.service", "[Unit]\nX-Kiln-Labels=app\n");
        let more = ("etc/systemd/system/app@1.service.d/a.conf", "[Unit]\nX-Kiln-Labels=one\n");
        let found = read(&[template, more]).unwrap();
        assert_eq!(labels_of(&found, "app@.service"), ["app"]);
        assert_eq!(labels_of(&found, "app@1.service"), ["app", "one"]);
        let less = ("etc/systemd/system/app@1.service.d/a.conf", "[Unit]\nX-Kiln-Labels=\n");
        assert!(read(&[template, less]).unwrap_err().to_string().contains("app@1.service has not the label `app`"));
        let another = ("etc/systemd/system/app@1.service", "[Unit]\n");
        assert!(read(&[template, another]).is_err());
        assert!(read(&[("usr/lib/systemd/system/q.service", "[Unit]\nX-Kiln-Labels=\"a b\"\n")]).is_err());
    }

    #[test]
    fn an_image_has_the_name_that_its_os_release_says() {
        let name = |files: &[(&str, &str)]| read(files).unwrap().name;
        let whole = ("usr/lib/os-release", "ID=debian\nIMAGE_ID=\"acme-web\"\nIMAGE_VERSION=3\n");
        assert_eq!(name(&[whole]).as_deref(), Some("acme-web:3"));
        assert_eq!(name(&[whole, ("etc/os-release", "-> ../usr/lib/os-release")]).as_deref(), Some("acme-web:3"));
        assert_eq!(name(&[whole, ("etc/os-release", "IMAGE_ID=mine\n")]).as_deref(), Some("mine"));
        assert_eq!(name(&[("etc/os-release", "ID=debian\nVERSION_ID=12\n")]), None);
        assert_eq!(name(&[]), None);
    }
}
