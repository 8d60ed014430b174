//! GRUB's menus and defaults, read as GRUB and update-grub(8) read them. A variable may hold several things, where branches
//! set it: every command line that can come out must be in order.

use std::collections::BTreeSet;

use super::cmdline::{missing, words};
use super::efi::PARTITIONS;
use super::files::{kind, not_a_directory, text};
use super::line::{Edits, judged};
use super::plan::BootPlan;
use super::script::{self, Language, Values, Word, assign, assignment, expand};
use crate::bake::image::{Change, Image, Kind};
use crate::bake::layout::GRUB_FRAGMENTS;
use crate::bake::{BakeError, shadow};

const DEFAULTS: &str = "etc/default/grub";
const FOLDERS: [&str; 4] = ["boot/grub", "boot/grub2", "grub", "grub2"];
/// The menu, and what it reads beside itself.
const ENDING: &str = ".cfg";
/// Menus that are looked at, and what one variable may hold of another menu's.
const MENUS: usize = 256;
const VALUES: usize = 16;
/// Command lines of one command that are looked at.
const LINES: usize = 256;

/// Whether a path is one of GRUB's menus.
pub(super) fn is_config(path: &str) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else { return false };
    let efi = folder.rsplit_once('/').is_some_and(|(parent, _)| {
        let (partition, last) = parent.rsplit_once('/').unwrap_or(("", parent));
        last.eq_ignore_ascii_case("efi") && PARTITIONS.contains(&partition)
    });
    name.ends_with(ENDING) && (efi || FOLDERS.contains(&folder))
}

/// The menus of an image, those beside GRUB's own program in an EFI partition among them.
fn configs(image: &dyn Image) -> Result<Vec<String>, BakeError> {
    let mut folders: Vec<String> = FOLDERS.iter().map(|f| (*f).to_owned()).collect();
    for partition in PARTITIONS {
        for efi in dirs(image, partition)?.into_iter().filter(|d| name_of(d).eq_ignore_ascii_case("efi")) {
            folders.extend(dirs(image, &efi)?);
        }
    }
    let mut out = Vec::new();
    for folder in folders {
        // A link in a folder's place leads to another of these, or out of what Kiln looks at.
        match shadow::follow(image, &folder)? {
            Some(real) if real == folder => {}
            Some(real) if FOLDERS.contains(&real.as_str()) => continue,
            None if matches!(kind(image, &folder), Ok(None)) => continue,
            _ => return Err(BakeError::Symlink(folder)),
        }
        let names = image.list(&folder).or_else(not_a_directory)?;
        out.extend(names.iter().filter(|n| n.ends_with(ENDING)).map(|n| format!("{folder}/{n}")));
    }
    out.sort();
    Ok(out)
}

/// The file that a menu reads where Kiln does not look for menus.
fn elsewhere(image: &dyn Image, named: &str) -> Result<Option<String>, BakeError> {
    // `($root)/x`, `(hd0,1)/x`, `$prefix/x`, all expanded to the end or to nothing.
    let path = named.rsplit_once(')').map_or(named, |(_, path)| path).trim_start_matches('/');
    let plain = |p: &str| !p.is_empty() && p.split('/').all(|part| !matches!(part, "" | "." | ".."));
    for base in ["", "boot/"] {
        let path = format!("{base}{path}");
        if !plain(&path) {
            continue;
        }
        let Some(real) = shadow::follow(image, &path)? else { continue };
        if kind(image, &real)? == Some(Kind::File) && !is_config(&real) {
            return Ok(Some(real));
        }
    }
    Ok(None)
}

/// What variables may hold that other menus set: each may read the others. What a menu reads elsewhere may set variables,
/// and start no kernel that would have to be mended.
fn shared(image: &dyn Image, default: Option<&[String]>) -> Result<Values, BakeError> {
    let mut all = Values::new();
    let mut todo: Vec<(String, bool)> = configs(image)?.into_iter().map(|file| (file, true)).collect();
    let mut seen = BTreeSet::new();
    while let Some((file, edited)) = todo.pop() {
        if !seen.insert(file.clone()) || seen.len() > MENUS {
            continue;
        }
        let Some(text) = text(image, &file)? else { continue };
        let found = menu(&file, &text, environment(image, &file)?, default)?;
        if !edited && found.edits.is_some_and(|edits| !edits.is_empty()) {
            let what = "a menu reads it, and it starts a kernel without `bpf` among its security modules, where Kiln does \
                        not look for menus: put it beside the menu";
            return Err(BakeError::Content { path: file, what: what.to_owned() });
        }
        for (name, values) in found.sets {
            let held = all.entry(name).or_insert_with(|| [String::new()].into());
            held.extend(values.into_iter().take(VALUES));
        }
        for named in &found.reads {
            todo.extend(elsewhere(image, named)?.map(|file| (file, false)));
        }
    }
    Ok(all)
}

/// Looks at every menu, and counts those that start a kernel.
pub(super) fn menus(image: &dyn Image, default: Option<&[String]>, plan: &mut BootPlan) -> Result<usize, BakeError> {
    let mut places = 0;
    let shared = shared(image, default)?;
    for file in configs(image)? {
        let Some(text) = text(image, &file)? else { continue };
        let mut known = environment(image, &file)?;
        for (name, values) in &shared {
            known.entry(name.clone()).or_default().extend(values.iter().cloned());
        }
        let menu = menu(&file, &text, known, default)?;
        places += usize::from(menu.edits.is_some());
        plan.apply(image, &file, &text, menu.edits.unwrap_or_default())?;
    }
    Ok(places)
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The folders of a folder.
fn dirs(image: &dyn Image, folder: &str) -> Result<Vec<String>, BakeError> {
    let list = match image.list(folder) {
        Err(BakeError::Symlink(_)) => return Ok(Vec::new()),
        other => other.or_else(not_a_directory)?,
    };
    let mut out = Vec::new();
    for name in list {
        let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        if kind(image, &path)? == Some(Kind::Dir) {
            out.push(path);
        }
    }
    Ok(out)
}

/// What GRUB's environment block beside a menu holds, such as `kernelopts`: variables that may be set.
fn environment(image: &dyn Image, menu: &str) -> Result<Values, BakeError> {
    let folder = menu.rsplit_once('/').map_or("", |(f, _)| f);
    let mut known = Values::new();
    let path = format!("{folder}/grubenv");
    // Fedora's is a link to the one of the EFI partition.
    let Some(real) = shadow::follow(image, &path)? else { return Ok(known) };
    if kind(image, &real)? != Some(Kind::File) {
        return Ok(known);
    }
    let bytes = image.read(&real)?;
    // A backslash quotes a line's end (grub-core/lib/envblk.c).
    for line in String::from_utf8_lossy(&bytes).replace("\\\n", " ").lines() {
        if let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            known.insert(name.to_owned(), [String::new(), value.replace("\\\\", "\\")].into());
        }
    }
    Ok(known)
}

/// What a `{` or a keyword opened.
enum Scope {
    /// An entry: what it sets holds within it.
    Entry(Values),
    /// Commands that are run later, or perhaps not.
    Perhaps,
    /// Words in braces.
    Plain,
}

/// What is in a menu.
#[derive(Debug, Default)]
struct Menu {
    /// What to insert; none where nothing starts a kernel.
    edits: Option<Edits>,
    /// Other files that it reads.
    reads: Vec<String>,
    /// What it sets.
    sets: Values,
}

/// The commands of a GRUB script that start a kernel, or read another script.
fn menu(file: &str, text: &str, mut known: Values, default: Option<&[String]>) -> Result<Menu, BakeError> {
    let bad = |what: &str| BakeError::Content { path: file.to_owned(), what: what.to_owned() };
    let commands = script::commands(text, Language::Grub)
        .ok_or_else(|| bad("a quote in it is not closed, so GRUB cannot read it either"))?;
    let mut menu = Menu::default();
    let (mut scopes, mut opener): (Vec<Scope>, &str) = (Vec::new(), "");
    for command in &commands {
        let (command, looped) = keywords(command, &mut scopes);
        let Some(first) = command.first() else { continue };
        if looped {
            for word in command.iter().skip(2) {
                assign(&mut known, &first.text, &word.text, false);
            }
            continue;
        }
        match first.text.as_str() {
            "{" => scopes.push(match opener {
                "function" => Scope::Perhaps,
                "menuentry" | "submenu" => Scope::Entry(known.clone()),
                _ => Scope::Plain,
            }),
            "}" => {
                if let Some(Scope::Entry(before)) = scopes.pop() {
                    known = before;
                }
            }
            "set" => {
                let certain = !scopes.iter().any(|s| matches!(s, Scope::Perhaps));
                for (name, value) in command[1..].iter().filter_map(assignment) {
                    assign(&mut known, name, &value, certain);
                    let held = known.get(name).into_iter().flatten().cloned();
                    menu.sets.entry(name.to_owned()).or_default().extend(held.take(VALUES));
                }
            }
            "source" | "." | "configfile" | "normal" => {
                menu.reads.extend(command[1..].iter().flat_map(|w| expand(&w.text, &known)));
            }
            "eval" => {
                let text = command[1..].iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ");
                for text in expand(&text, &known) {
                    // What stands in a text that is evaluated cannot be edited there.
                    let inner = self::menu(file, &text.replace("eval", " "), known.clone(), default)?;
                    if inner.edits.is_some_and(|edits| !edits.is_empty()) {
                        return Err(bad("an `eval` in it starts a kernel without `bpf` among its security modules"));
                    }
                }
            }
            name => {
                // The name of a command may stand in a variable.
                let own = expand(name, &known).iter().find_map(|name| arguments(name, command));
                if let Some(own) = own {
                    let edits = menu.edits.get_or_insert_default();
                    edits.extend(edit(file, command, own, &known, default)?);
                }
            }
        }
        opener = match first.text.as_str() {
            name @ ("function" | "menuentry" | "submenu") => name,
            _ => "",
        };
    }
    Ok(menu)
}

/// A command without the keywords before it, which open and close branches, and whether it is the head of a `for`.
fn keywords<'c>(mut command: &'c [Word], scopes: &mut Vec<Scope>) -> (&'c [Word], bool) {
    while let Some(first) = command.first() {
        match first.text.as_str() {
            "for" => {
                scopes.push(Scope::Perhaps);
                return (&command[1..], true);
            }
            "if" | "while" | "until" => scopes.push(Scope::Perhaps),
            "fi" | "done" => _ = scopes.pop_if(|s| matches!(s, Scope::Perhaps)),
            "then" | "else" | "elif" | "do" | "!" => {}
            _ => break,
        }
        command = &command[1..];
    }
    (command, false)
}

/// Where in a command the kernel stands whose arguments follow; none where it starts no kernel. Behind Xen's own program
/// the kernel is a module.
fn arguments(name: &str, command: &[Word]) -> Option<usize> {
    match name.split_ascii_whitespace().next()? {
        "linux" | "linuxefi" | "linux16" if command.len() > 1 => Some(1),
        "module" | "module2" => {
            let at = 1 + usize::from(command.get(1).is_some_and(|w| w.text.starts_with("--")));
            command.get(at).filter(|w| name_of(&w.text).starts_with("vmlinu")).map(|_| at)
        }
        _ => None,
    }
}

/// The edit of one command, if any of the command lines that can come out of it needs one.
fn edit(
    file: &str,
    command: &[Word],
    kernel: usize,
    known: &Values,
    default: Option<&[String]>,
) -> Result<Option<(usize, String)>, BakeError> {
    let own = &command[kernel + 1..];
    // What is called decides: the arguments of a function or an entry.
    let called =
        |w: &&Word| w.text.split('$').skip(1).any(|v| v.starts_with(|c: char| c.is_ascii_digit() || "@*".contains(c)));
    if let Some(word) = own.iter().find(called) {
        let what = format!(
            "what it hands to a kernel is known only when it runs (`{}`): write it out",
            word.text.replace('\0', "")
        );
        return Err(BakeError::Content { path: file.to_owned(), what });
    }
    // A variable in the kernel's place may hold arguments, too.
    let held = |text: String| text.split_once(' ').map_or(String::new(), |(_, rest)| format!("{rest} "));
    let first: Vec<String> =
        expand(&command[kernel].text, known).into_iter().map(|t| held(argument(&t, command[kernel].cut))).collect();
    let rest: Vec<Vec<String>> = own
        .iter()
        .map(|w| expand(&w.text, known).iter().map(|text| argument(text, w.cut)).collect::<Vec<_>>())
        .collect();
    let lines = |rest: &[Vec<String>]| {
        rest.iter().fold(first.clone(), |lines, texts| {
            lines.iter().flat_map(|l| texts.iter().map(move |t| format!("{l}{t} "))).take(LINES).collect()
        })
    };
    let mut needed = None;
    for line in &lines(&rest) {
        needed = needed.or(missing(&judged(file, line)?, default));
    }
    let Some(parameter) = needed else { return Ok(None) };
    let ends = |texts: &Vec<String>| texts.iter().any(|t| t.split_ascii_whitespace().any(|part| part == "--"));
    let end = rest.iter().position(ends).unwrap_or(rest.len());
    // Where a variable holds a `--` among other things, no place is right.
    let mut mended = rest.clone();
    mended.insert(end, vec![parameter.clone()]);
    for line in &lines(&mended) {
        if missing(&judged(file, line)?, default).is_some() {
            let what =
                format!("`{parameter}` cannot be added to its command lines: write out what they hold in variables");
            return Err(BakeError::Content { path: file.to_owned(), what });
        }
    }
    Ok(Some((command[kernel + end].end, format!(" {parameter}"))))
}

/// An argument as GRUB hands it to the kernel: quotes and backslashes are quoted, and so is the whole where it has a blank
/// (grub-core/lib/cmdline.c).
fn argument(text: &str, cut: bool) -> String {
    if cut {
        return text.split_ascii_whitespace().map(|part| argument(part, false)).collect::<Vec<_>>().join(" ");
    }
    let mut out = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let hex = |n: usize| text.as_bytes().get(at + n).is_some_and(u8::is_ascii_hexdigit);
        let coded = c == '\\' && text[at + 1..].starts_with('x') && hex(2) && hex(3);
        if matches!(c, '\\' | '\'' | '"') && !coded {
            out.push('\\');
        }
        out.push(c);
    }
    if text.contains(' ') { format!("\"{out}\"") } else { out }
}

/// GRUB's defaults: shell fragments that update-grub(8) reads in the order of their names. GRUB_CMDLINE_LINUX comes before
/// GRUB_CMDLINE_LINUX_DEFAULT in a command line, so each is mended by itself.
pub(super) fn defaults(image: &dyn Image, default: Option<&[String]>, plan: &mut BootPlan) -> Result<usize, BakeError> {
    let mut files = vec![DEFAULTS.to_owned()];
    if kind(image, "etc/default/grub.d")? == Some(Kind::Dir) {
        let names = image.list("etc/default/grub.d")?;
        files.extend(
            names
                .iter()
                .filter(|n| n.ends_with(".cfg") && !n.starts_with('.'))
                .map(|n| format!("etc/default/grub.d/{n}")),
        );
    }
    files.retain(|file| !GRUB_FRAGMENTS.contains(&file.as_str()));
    let mut known = Values::new();
    let (mut places, mut last) = (0, String::new());
    for file in &files {
        let Some(text) = text(image, file)? else { continue };
        places += 1;
        let what = "a quote in it is not closed, so update-grub cannot read it either".to_owned();
        let commands =
            script::commands(&text, Language::Shell).ok_or_else(|| BakeError::Content { path: file.clone(), what })?;
        // A function's body is a branch, too, and so is what stands behind `&&` or `||`.
        let (mut depth, mut behind) = (0_usize, false);
        for command in &commands {
            let mut words = command.as_slice();
            while let Some(first) = words.first() {
                match first.text.as_str() {
                    "if" | "while" | "until" | "for" | "case" | "{" => depth += 1,
                    "fi" | "done" | "esac" | "}" => depth = depth.saturating_sub(1),
                    "then" | "else" | "elif" | "do" | "!" => {}
                    "export" | "readonly" | "declare" | "typeset" | "local" => {}
                    word if word.starts_with('-') || word.ends_with(')') && !word.contains('=') => {}
                    _ => break,
                }
                words = &words[1..];
            }
            // Words before a command are its environment and no more.
            let certain = depth == 0 && !behind && words.iter().all(|w| assignment(w).is_some());
            behind = command.iter().all(|w| matches!(w.text.as_str(), "&" | "|"));
            for (name, value) in words.iter().map_while(assignment) {
                if name.starts_with("GRUB_CMDLINE_LINUX") {
                    last.clone_from(file);
                    for value in expand(&value, &known) {
                        judged(file, &value)?;
                    }
                }
                assign(&mut known, name, &value, certain);
            }
        }
    }
    if places == 0 {
        return Ok(0);
    }
    let mut text = String::from("# Written by kiln bake: makes the BPF security module active.\n");
    let mut first = None;
    known.entry("GRUB_CMDLINE_LINUX".to_owned()).or_insert_with(|| [String::new()].into());
    for (name, values) in known.iter().filter(|(n, _)| n.starts_with("GRUB_CMDLINE_LINUX")) {
        // The others are appended to the first, which has the kernel's own list already.
        let own = if name == "GRUB_CMDLINE_LINUX" { default } else { None };
        let needed = values.iter().find_map(|value| missing(&words(value).unwrap_or_default(), own));
        if let Some(parameter) = needed {
            text.push_str(&format!("{name}=\"${name} {parameter}\"\n"));
            first.get_or_insert(parameter);
        }
    }
    let at = GRUB_FRAGMENTS.iter().find(|f| last.as_str() < **f);
    for fragment in GRUB_FRAGMENTS.iter().filter(|f| first.is_none() || Some(*f) != at) {
        if kind(image, fragment)?.is_some() {
            plan.changes.push(Change { path: (*fragment).to_owned(), node: None });
        }
    }
    match (first, at) {
        (None, _) => {}
        (Some(parameter), Some(fragment)) => plan.write(image, fragment, text, parameter)?,
        (Some(_), None) => {
            let what = format!("it sets the command line after {}, so that Kiln cannot: rename it", GRUB_FRAGMENTS[1]);
            return Err(BakeError::Content { path: last, what });
        }
    }
    Ok(places)
}
