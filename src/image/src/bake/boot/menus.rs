//! Menus of boot loaders that Kiln reads and does not edit: SYSLINUX and its kin, which U-Boot reads too, GRUB's first
//! version, rEFInd, Limine.

use super::cmdline::missing;
use super::files::{not_a_directory, text};
use super::line::{judged, lines};
use crate::bake::BakeError;
use crate::bake::image::Image;

/// Folders of SYSLINUX's files; a menu may include any of them.
const SYSLINUX: [&str; 8] = [
    "boot/extlinux",
    "extlinux",
    "boot/syslinux",
    "syslinux",
    "boot/isolinux",
    "isolinux",
    "boot/EFI/syslinux",
    "efi/EFI/syslinux",
];
/// GRUB's menus before its second version.
const LEGACY: [&str; 4] = ["boot/grub/menu.lst", "boot/grub/grub.conf", "grub/menu.lst", "grub/grub.conf"];
/// rEFInd's options for the kernels beside this file.
const REFIND: [&str; 1] = ["boot/refind_linux.conf"];
const LIMINE: [&str; 6] = [
    "boot/limine.conf",
    "boot/limine/limine.conf",
    "limine.conf",
    "boot/limine.cfg",
    "boot/limine/limine.cfg",
    "efi/limine.conf",
];

/// Looks at every command line of such menus, and counts those that start a kernel.
pub(super) fn look(image: &dyn Image, default: Option<&[String]>) -> Result<usize, BakeError> {
    let mut places = 0;
    let mut each = |file: &str, found: Vec<String>| {
        places += found.len();
        found.iter().try_for_each(|line| in_order(file, line, default))
    };
    for folder in SYSLINUX {
        let names = match image.list(folder) {
            Err(BakeError::Symlink(_)) => continue,
            other => other.or_else(not_a_directory)?,
        };
        for name in names.iter().filter(|n| n.ends_with(".cfg") || n.ends_with(".conf")) {
            let file = format!("{folder}/{name}");
            if let Some(text) = text(image, &file)? {
                each(&file, syslinux(&text))?;
            }
        }
    }
    let others = [(&REFIND[..], refind as fn(&str) -> Vec<String>), (&LIMINE[..], limine), (&LEGACY[..], legacy)];
    for (files, read) in others {
        for file in files {
            match text(image, file) {
                Ok(Some(text)) => each(file, read(&text))?,
                Ok(None) | Err(BakeError::Symlink(_)) => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(places)
}

fn in_order(file: &str, line: &str, default: Option<&[String]>) -> Result<(), BakeError> {
    match missing(&judged(file, line)?, default) {
        None => Ok(()),
        Some(parameter) => {
            let what = format!("its command line lacks `{parameter}`; Kiln does not edit this file: add it");
            Err(BakeError::Content { path: file.to_owned(), what })
        }
    }
}

/// What a key of a line is followed by, if it is one of these.
fn value<'l>(line: &'l str, keys: &[&str]) -> Option<&'l str> {
    let line = line.trim_start();
    let (key, rest) = line.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((line, ""));
    keys.iter().any(|k| key.eq_ignore_ascii_case(k)).then(|| rest.trim())
}

/// One label: the program with what stands behind it, and its own APPEND.
#[derive(Default)]
struct Label {
    kernel: Option<String>,
    append: Option<String>,
}

/// The command line of each label, and of what stands before all of them. A label's APPEND takes the place of the common one,
/// and `-` is none.
fn syslinux(text: &str) -> Vec<String> {
    let mut labels = vec![Label::default()];
    for (_, line) in lines(text) {
        if value(line, &["label"]).is_some() {
            labels.push(Label::default());
        }
        let Some(label) = labels.last_mut() else { continue };
        if let Some(append) = value(line, &["append"]) {
            label.append = Some(append.to_owned());
        } else if let Some(kernel) = value(line, &["linux", "kernel"]) {
            label.kernel = Some(kernel.to_owned());
        }
    }
    let common = labels.remove(0);
    let alone = labels.is_empty();
    let whole = |label: &Label| {
        let (program, own) = label.kernel.as_deref().map(|k| k.split_once(' ').unwrap_or((k, ""))).unwrap_or_default();
        // Modules of SYSLINUX, boot sectors: no kernel, unless what they are given says so.
        let append = match label.append.as_deref() {
            Some("-") => "",
            Some(append) => append,
            None => common.append.as_deref().unwrap_or_default(),
        };
        let other = [".c32", ".bin", ".bs", ".bss", ".img", ".0", ".com"].iter().any(|e| program.ends_with(e));
        (!program.is_empty() && !other || label.kernel.is_none() && label.append.is_some())
            .then(|| format!("{own} {append}"))
    };
    let mut out: Vec<String> = labels.iter().filter_map(whole).collect();
    if alone {
        out.extend(common.append.clone());
    }
    out
}

/// `kernel FILE WORDS`; of a hypervisor its first `module` is the kernel (GRUB's manual, 0.97).
fn legacy(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut guest = false;
    for line in text.lines() {
        // A key may end in `=`, too.
        let line = line.trim_start().replacen('=', " ", usize::from(line.trim_start().starts_with("kernel=")));
        let (key, file) = match (value(&line, &["kernel"]), value(&line, &["module"])) {
            (Some(file), _) => ("kernel", file),
            (None, Some(file)) => ("module", file),
            _ => continue,
        };
        // Options such as `--type=linux` stand before the file.
        let file = file
            .split_once(|c: char| c.is_ascii_whitespace())
            .filter(|(f, _)| f.starts_with("--"))
            .map_or(file, |(_, f)| f.trim());
        let (file, words) = file.split_once(|c: char| c.is_ascii_whitespace()).unwrap_or((file, ""));
        let name = file.rsplit(['/', ')']).next().unwrap_or_default();
        match key {
            "kernel" if name.starts_with("xen") || name.starts_with("tboot") => guest = true,
            "kernel" => out.push(words.to_owned()),
            // The hypervisor may itself be started by another.
            _ if guest && !name.starts_with("xen") => {
                out.push(words.to_owned());
                guest = false;
            }
            _ => {}
        }
    }
    out
}

/// Lines of a title and options, both in quotes.
fn refind(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let second = |line: &str| {
        let rest = match line.strip_prefix('"') {
            Some(rest) => rest.split_once('"')?.1,
            None => line.split_once(|c: char| c.is_ascii_whitespace())?.1,
        };
        let rest = rest.trim();
        // A quote within is written twice.
        let bare = rest.strip_prefix('"').map(|r| r.strip_suffix('"').unwrap_or(r));
        Some(bare.map_or(rest.to_owned(), |bare| bare.replace("\"\"", "\"")))
    };
    lines.filter_map(second).collect()
}

/// `cmdline: …`, and in older versions `CMDLINE=…`.
fn limine(text: &str) -> Vec<String> {
    let of = |line: &str| {
        let (key, value) = line.trim().split_once([':', '='])?;
        let key = key.trim().to_ascii_lowercase();
        matches!(key.as_str(), "cmdline" | "kernel_cmdline").then(|| value.trim().to_owned())
    };
    text.lines().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_label_has_the_command_line_that_its_loader_gives_it() {
        let text = "DEFAULT a\nAPPEND common\nLABEL a\n LINUX /v\nLABEL b\n KERNEL /v own\n APPEND x\nLABEL c\n LINUX /v\n \
                    append -\nLABEL d\n KERNEL chain.c32\n APPEND boot\n";
        assert_eq!(syslinux(text), [" common", "own x", " "]);
        assert_eq!(syslinux("default v\nappend ro quiet\n"), ["ro quiet"]);
        assert_eq!(syslinux("label a\n  append ro\n"), [" ro"]);
        assert_eq!(refind("# x\n\"Boot\" \"ro lsm=\"\"a,bpf\"\"\"\nBoot \"ro x\"\n"), ["ro lsm=\"a,bpf\"", "ro x"]);
        assert_eq!(limine("/Linux\n  protocol: linux\n  cmdline: ro\n"), ["ro"]);
        let menu = "title a\n kernel (hd0,0)/vmlinuz ro lsm=a,bpf\n initrd /i\ntitle b\nkernel --type=linux /v quiet\n\
                    title c\nkernel /xen.gz dom0\nmodule /v x=y\nmodule /initrd\n# kernel /w\n";
        assert_eq!(legacy(menu), ["ro lsm=a,bpf", "quiet", "x=y"]);
        assert_eq!(limine(":Linux\nCMDLINE=ro x=y\n"), ["ro x=y"]);
    }
}
