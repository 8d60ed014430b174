//! Small images for tests, one text file each:
//!
//! ```text
//! -- etc/motd --
//! text up to the next header
//! -- bin -> usr/bin --
//! -- usr/sbin/x elf interp=/lib64/ld.so needed=libc.so.6,libz.so.1 runpath=$ORIGIN/../lib --
//! text that stands in the program as a C string
//! -- etc/odd bytes --
//! text in which `\xNN` is a byte and `\n` a line end; line ends themselves do not count
//! ```
//!
//! Of a program, `names=` are symbols; `soname=`, `rpath=`, `auxiliary=` and `filter=` are entries of its dynamic
//! section, and `sections=bad` makes its section table nonsense.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Makes the image that the text describes below `dir`.
pub fn build(dir: &Path, text: &str) {
    let mut head: Option<&str> = None;
    let mut body = String::new();
    for line in text.lines() {
        match line.strip_prefix("-- ").and_then(|l| l.strip_suffix(" --")) {
            Some(next) => {
                head.replace(next).into_iter().for_each(|h| entry(dir, h, &body));
                body.clear();
            }
            None => {
                body.push_str(line);
                body.push('\n');
            }
        }
    }
    head.into_iter().for_each(|h| entry(dir, h, &body));
}

/// The header of a static program, which is all that a bake looks at.
pub fn static_program() -> Vec<u8> {
    let mut elf = vec![0u8; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[16..20].copy_from_slice(&[2, 0, 62, 0]);
    elf[20] = 1;
    elf[24..32].copy_from_slice(&0x40_1000u64.to_le_bytes());
    elf[52..54].copy_from_slice(&64u16.to_le_bytes());
    elf
}

fn entry(dir: &Path, head: &str, body: &str) {
    let (path, rest) = head.split_once(' ').unwrap_or((head, ""));
    let at = dir.join(path);
    fs::create_dir_all(at.parent().unwrap()).unwrap();
    if at.symlink_metadata().is_ok_and(|m| !m.is_dir()) {
        fs::remove_file(&at).unwrap();
    }
    if let Some(target) = rest.strip_prefix("-> ") {
        symlink(target, at).unwrap();
    } else if rest.starts_with("elf") {
        fs::write(at, elf(rest, body)).unwrap();
    } else if rest == "bytes" {
        fs::write(at, bytes(body)).unwrap();
    } else if path.ends_with('/') {
        fs::create_dir_all(at).unwrap();
    } else {
        fs::write(at, body).unwrap();
    }
}

fn bytes(body: &str) -> Vec<u8> {
    let text = body.replace('\n', "").replace("\\n", "\n").replace("\\r", "\r");
    let mut parts = text.split("\\x");
    let mut out = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        out.push(u8::from_str_radix(&part[..2], 16).unwrap());
        out.extend(&part.as_bytes()[2..]);
    }
    out
}

/// A 64-bit x86 program with nothing but what a loader asks of it.
fn elf(options: &str, body: &str) -> Vec<u8> {
    let value = |key: &str| options.split(' ').find_map(|o| o.strip_prefix(key)?.strip_prefix('='));
    let interp = value("interp").map(|i| format!("{i}\0"));
    let headers = if interp.is_some() { 3 } else { 2 };
    let mut tail = vec![0u8];
    let mut put = |text: &str| {
        let at = tail.len() as u64;
        tail.extend(text.as_bytes());
        tail.push(0);
        at
    };
    let mut dynamic: Vec<(u64, u64)> =
        value("needed").into_iter().flat_map(|n| n.split(',')).map(|n| (1, put(n))).collect();
    dynamic.extend(value("runpath").map(|r| (29, put(r))));
    dynamic.extend(value("rpath").map(|r| (15, put(r))));
    dynamic.extend(value("soname").map(|r| (14, put(r))));
    dynamic.extend(value("auxiliary").map(|r| (0x7fff_fffd, put(r))));
    dynamic.extend(value("filter").map(|r| (0x7fff_ffff, put(r))));
    value("names").into_iter().flat_map(|n| n.split(',')).for_each(|n| _ = put(n));
    put(body.trim_end());
    let strings_at = 64 + 56 * headers as u64;
    let interp_at = strings_at + tail.len() as u64;
    let interp_len = interp.as_ref().map_or(0, |i| i.len() as u64);
    let dynamic_at = (interp_at + interp_len).next_multiple_of(8);
    dynamic.extend([(5, strings_at), (10, tail.len() as u64), (0, 0)]);
    let end = dynamic_at + 16 * dynamic.len() as u64;

    let mut out = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let bad = value("sections").is_some();
    out.extend([3u16, 62].iter().flat_map(|v| v.to_le_bytes()));
    out.extend(1u32.to_le_bytes());
    out.extend([0u64, 64, if bad { u64::MAX } else { 0 }].iter().flat_map(|v| v.to_le_bytes()));
    out.extend(0u32.to_le_bytes());
    let table = if bad { [0xffff, 0xffff, 0xffff] } else { [64, 0, 0] };
    out.extend([64u16, 56, headers].iter().chain(&table).flat_map(|v| v.to_le_bytes()));
    let mut segment = |kind: u32, at: u64, len: u64| {
        out.extend(kind.to_le_bytes());
        out.extend(5u32.to_le_bytes());
        out.extend([at, at, at, len, len, 8].iter().flat_map(|v| v.to_le_bytes()));
    };
    if interp.is_some() {
        segment(3, interp_at, interp_len);
    }
    segment(1, 0, end);
    segment(2, dynamic_at, end - dynamic_at);
    out.extend(tail);
    out.extend(interp.into_iter().flat_map(String::into_bytes));
    out.resize(dynamic_at as usize, 0);
    out.extend(dynamic.iter().flat_map(|(k, v)| [*k, *v]).flat_map(u64::to_le_bytes));
    out
}
