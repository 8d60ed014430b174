//! Raw disks: the same as a directory, in a copy.

use super::*;

#[test]
fn a_disk_gets_the_same_as_a_directory() {
    let dir = root();
    let (_keep, disk) = disk(dir.path());
    let report = bake(&disk, None, &payload(), &options()).unwrap();
    let same = bake(dir.path(), None, &payload(), &options()).unwrap();
    assert_eq!((report.image, &report.written), (same.image, &same.written));
    let image = open(&disk, None).unwrap();
    for path in &report.written {
        let path = &path[1..];
        let found = image.find(path).unwrap().unwrap();
        assert_eq!((found.uid, found.gid, found.mtime), (0, 0, 1_700_000_000), "{path}");
        match found.kind {
            image::Kind::Link => {
                assert_eq!(Path::new(&image.link_target(path).unwrap()), fs::read_link(dir.path().join(path)).unwrap())
            }
            _ => assert_eq!(image.read(path).unwrap(), fs::read(dir.path().join(path)).unwrap()),
        }
    }
    // Nothing beside the root partition is touched, and a second bake does not write.
    let bytes = fs::read(&disk).unwrap();
    let again = bake(&disk, None, &payload(), &options()).unwrap();
    assert!(again.written.is_empty());
    assert_eq!(fs::read(&disk).unwrap(), bytes);
    assert!(bytes[512..].starts_with(b"EFI PART"));
}

#[test]
fn two_bakes_of_the_same_disk_are_the_same_to_the_byte() {
    let dir = root();
    let (keep, disk) = disk(dir.path());
    let before = fs::read(&disk).unwrap();
    let outs = ["one.raw", "two.raw"].map(|n| keep.path().join(n));
    for out in &outs {
        bake(&disk, Some(out), &payload(), &options()).unwrap();
    }
    assert_eq!(fs::read(&disk).unwrap(), before);
    assert!(fs::read(&outs[0]).unwrap() == fs::read(&outs[1]).unwrap());
    assert_eq!(fs::read_dir(keep.path()).unwrap().count(), 3);
}

#[test]
fn a_disk_with_links_in_the_way_is_refused_and_stays() {
    for (place, target) in [
        ("usr/lib/kiln", "/etc"),
        ("usr/lib/kiln/policy.tables", "../../../etc/passwd"),
        ("usr/lib/systemd/system/nginx.service.d", "nowhere"),
        ("etc/default/grub.d", "grub.d"),
    ] {
        let dir = root();
        let at = dir.path().join(place);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(target, &at).unwrap();
        let (keep, disk) = disk(dir.path());
        let before = fs::read(&disk).unwrap();
        let error = bake(&disk, None, &payload(), &options()).unwrap_err().to_string();
        assert!(error.contains("symbolic link"), "{place}: {error}");
        assert!(fs::read(&disk).unwrap() == before, "{place}");
        assert_eq!(fs::read_dir(keep.path()).unwrap().count(), 1);
    }
}

#[test]
fn damaged_and_foreign_disks_are_refused_and_stay() {
    let dir = root();
    let (keep, good) = disk(dir.path());
    let bad = keep.path().join("bad.raw");
    let cases: [(&str, &dyn Fn()); 11] = [
        ("empty", &|| fs::write(&bad, "").unwrap()),
        ("text", &|| fs::write(&bad, "hello ".repeat(1000)).unwrap()),
        ("zeros", &|| fs::File::create(&bad).unwrap().set_len(4 * MIB).unwrap()),
        ("short", &|| OpenOptions::new().write(true).open(&bad).unwrap().set_len(10 * MIB).unwrap()),
        ("shorter", &|| OpenOptions::new().write(true).open(&bad).unwrap().set_len(800).unwrap()),
        ("both headers", &|| {
            let file = OpenOptions::new().write(true).open(&bad).unwrap();
            file.write_all_at(&[0xff; 80], 512 + 8).unwrap();
            file.write_all_at(&[0xff; 80], 40 * MIB - 512 + 8).unwrap();
        }),
        ("entry size", &|| {
            OpenOptions::new().write(true).open(&bad).unwrap().write_all_at(&[0xff; 4], 512 + 84).unwrap();
        }),
        ("backup's entry count", &|| {
            OpenOptions::new().write(true).open(&bad).unwrap().write_all_at(&[0xff; 4], 40 * MIB - 512 + 80).unwrap();
        }),
        ("superblock", &|| {
            let file = OpenOptions::new().write(true).open(&bad).unwrap();
            file.write_all_at(&[0xff; 40], 4 * MIB + 1024).unwrap();
        }),
        ("root inode", &|| {
            // Inode tables follow the bitmaps; a wide stroke hits them.
            let file = OpenOptions::new().write(true).open(&bad).unwrap();
            file.write_all_at(&vec![0xff; 512 << 10], 4 * MIB + 64 * 1024).unwrap();
        }),
        ("qcow2", &|| fs::write(&bad, b"QFI\xfb0000000000000000000000000").unwrap()),
    ];
    for (name, damage) in cases {
        fs::copy(&good, &bad).unwrap();
        damage();
        let before = fs::read(&bad).unwrap();
        let error = bake(&bad, None, &payload(), &options()).unwrap_err().to_string();
        assert!(error.len() > 20, "{name}: {error}");
        assert!(!name.contains("entry") || error.contains("claims"), "{name}: {error}");
        assert!(fs::read(&bad).unwrap() == before, "{name}");
    }
    assert_eq!(fs::read_dir(keep.path()).unwrap().count(), 2);
}

#[test]
fn a_full_disk_is_refused_and_stays() {
    let dir = root();
    let (keep, disk) = disk(dir.path());
    let mut large = payload();
    large.tables = vec![7; 40 << 20];
    let before = fs::read(&disk).unwrap();
    let error = bake(&disk, None, &large, &options()).unwrap_err();
    assert!(matches!(error, BakeError::Tool { .. }), "{error}");
    assert!(fs::read(&disk).unwrap() == before);
    assert_eq!(fs::read_dir(keep.path()).unwrap().count(), 1);
}

#[test]
fn a_bare_file_system_and_a_named_partition_work_too() {
    let dir = root();
    let keep = tempfile::tempdir().unwrap();
    let bare = keep.path().join("bare.ext4");
    tool("mke2fs", &["-q", "-F", "-t", "ext4", "-d", dir.path().to_str().unwrap(), bare.to_str().unwrap(), "32M"], "");
    let report = bake(&bare, None, &payload(), &options()).unwrap();
    assert!(open(&bare, None).unwrap().find(layout::AGENT).unwrap().is_some());
    let (_keep, disk) = disk(dir.path());
    let named = |n| Options { partition: Some(n), ..options() };
    assert_eq!(bake(&disk, None, &payload(), &named(2)).unwrap().image, report.image);
    assert!(bake(&disk, None, &payload(), &named(1)).unwrap_err().to_string().contains("not ext4"));
    assert!(bake(&disk, None, &payload(), &named(9)).unwrap_err().to_string().contains("no partition 9"));
}

/// What Debian, Android and small machines make file systems with; e2fsck judges, for a bake ends with it.
#[test]
fn features_of_ext4_that_images_have_work() {
    let dir = root();
    let keep = tempfile::tempdir().unwrap();
    let mut images = Vec::new();
    for (n, options) in [
        "-O inline_data -I 256",
        "-O meta_bg,^resize_inode,large_dir,ea_inode",
        "-O casefold,mmp -E encoding=utf8",
        "-I 128 -b 2048 -O ^extent,^64bit,^huge_file,^flex_bg,^filetype",
        "-O quota,project -I 256 -E quotatype=usrquota:grpquota:prjquota",
        "-O bigalloc -C 16384",
        "-O orphan_file,fast_commit,metadata_csum_seed",
        "-O sparse_super2,^resize_inode -E num_backup_sb=1",
        "-O verity,stable_inodes,encrypt",
        "-O ^has_journal,^dir_index,^metadata_csum,uninit_bg",
        "-b 1024 -O ^sparse_super,^resize_inode,^ext_attr",
        "-b 4096 -g 8192 -O flex_bg -G 64 -E lazy_itable_init=1",
        "-I 128 -O none,filetype,sparse_super",
        "-E stride=16,stripe_width=64 -m 20 -i 65536 -O ^metadata_csum",
        "-b 4096 -I 1024 -O ea_inode,^dir_nlink,^extra_isize",
        "-O casefold,encrypt,project,quota,verity,large_dir,ea_inode,inline_data -E encoding=utf8-12.1,encoding_flags=strict",
        "-b 1024 -I 128 -O none,ext_attr,resize_inode,dir_index,filetype,sparse_super",
        "-O ^has_journal -I 128 -b 1024 -O ^resize_inode,^64bit",
        "-O inline_data,metadata_csum,64bit -I 512",
        "-b 65536",
        "-N 512 -O 64bit,metadata_csum",
        "-E packed_meta_blocks=1 -O flex_bg",
        "-J size=4 -E discard,lazy_journal_init=1",
        "-e panic -M /mnt -O mmp,metadata_csum,quota,verity",
        "-C 65536 -O bigalloc,inline_data",
        "-E root_owner=0:0,hash_seed=3ba2a1a5-2b65-44b2-8b9d-1b3d3a2b2c1d -O ^64bit",
        "-m 0 -i 1024 -O ^large_file,^huge_file",
        "-O ea_inode,metadata_csum -I 128 -T small",
    ]
    .iter()
    .enumerate()
    {
        let disk = keep.path().join(format!("{n}.ext4"));
        let end = ["-d", dir.path().to_str().unwrap(), disk.to_str().unwrap(), "32M"];
        let args: Vec<&str> = ["-q", "-F", "-t", "ext4"].into_iter().chain(options.split(' ')).chain(end).collect();
        tool("mke2fs", &args, "");
        let report = bake(&disk, None, &payload(), &super::options()).unwrap_or_else(|e| panic!("{options}: {e}"));
        tool("e2fsck", &["-fn", disk.to_str().unwrap()], "");
        let again = bake(&disk, None, &payload(), &super::options()).unwrap();
        assert!(!report.written.is_empty() && again.written.is_empty(), "{options}");
        let (tree, plain) = (open(&disk, None).unwrap(), open(dir.path(), None).unwrap());
        let units = "usr/lib/systemd/system";
        for name in plain.list(units).unwrap() {
            let path = format!("{units}/{name}");
            if plain.find(&path).unwrap().is_some_and(|f| f.kind == image::Kind::File) {
                assert_eq!(tree.read(&path).unwrap(), plain.read(&path).unwrap(), "{options}: {path}");
            }
        }
        images.push(report.image);
    }
    images.dedup();
    assert_eq!(images.len(), 1, "the same files are the same image");
}

#[test]
fn a_folder_whose_names_are_not_as_written_is_refused() {
    let dir = root();
    let keep = tempfile::tempdir().unwrap();
    let disk = keep.path().join("d.ext4");
    let (from, to) = (dir.path().to_str().unwrap(), disk.to_str().unwrap());
    tool("mke2fs", &["-q", "-F", "-t", "ext4", "-O", "casefold", "-E", "encoding=utf8", "-d", from, to, "32M"], "");
    tool("debugfs", &["-w", "-R", "set_inode_field /usr/lib flags 0x40080000", to], "");
    let before = fs::read(&disk).unwrap();
    let error = bake(&disk, None, &payload(), &options()).unwrap_err().to_string();
    assert!(error.contains("/usr/lib does not tell upper from lower case (casefold)"), "{error}");
    assert!(fs::read(&disk).unwrap() == before);
    // A feature that nobody has yet.
    let file = OpenOptions::new().read(true).write(true).open(&disk).unwrap();
    file.write_all_at(&0x0042_82c2_u32.to_le_bytes(), 1024 + 96).unwrap();
    let error = bake(&disk, None, &payload(), &options()).unwrap_err().to_string();
    assert!(error.contains("which has inline_data, casefold, 0x400000"), "{error}");
}

/// Each is told with what helps.
#[test]
fn what_cannot_be_written_is_refused_with_what_helps() {
    let dir = root();
    let keep = tempfile::tempdir().unwrap();
    let disk = keep.path().join("d.ext4");
    let (from, to) = (dir.path().to_str().unwrap(), disk.to_str().unwrap());
    let make = |more: &[&str]| {
        let options = ["-q", "-F", "-t", "ext4", "-O", "encrypt,^extent,^64bit,^metadata_csum"];
        tool("mke2fs", &[&options[..], more, &["-d", from, to, "32M"]].concat(), "");
    };
    let refused = |wanted: &str| {
        let before = fs::read(&disk).unwrap();
        let error = bake(&disk, None, &payload(), &options()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
        assert!(fs::read(&disk).unwrap() == before);
    };
    make(&[]);
    tool("debugfs", &["-w", "-R", "feature shared_blocks", to], "");
    refused("`e2fsck -fy -E unshare_blocks`");
    tool("debugfs", &["-w", "-R", "feature -shared_blocks", to], "");
    bake(&disk, None, &payload(), &options()).unwrap();
    make(&[]);
    tool("debugfs", &["-w", "-R", "set_inode_field /usr/lib/systemd flags 0x800", to], "");
    refused("it is encrypted");
    tool("mke2fs", &["-q", "-F", "-O", "journal_dev", to, "32M"], "");
    refused("the journal of another file system");
}

#[test]
fn a_journal_that_was_not_replayed_is_refused() {
    let dir = root();
    let (_keep, disk) = disk(dir.path());
    let file = OpenOptions::new().read(true).write(true).open(&disk).unwrap();
    let at = 4 * MIB + 1024 + 96;
    let mut flags = [0; 4];
    file.read_exact_at(&mut flags, at).unwrap();
    file.write_all_at(&(u32::from_le_bytes(flags) | 4).to_le_bytes(), at).unwrap();
    let before = fs::read(&disk).unwrap();
    assert!(bake(&disk, None, &payload(), &options()).unwrap_err().to_string().contains("not unmounted cleanly"));
    assert!(fs::read(&disk).unwrap() == before);
}

#[test]
fn random_damage_is_an_error_or_harmless_and_never_half_done() {
    let dir = root();
    let (keep, good) = disk(dir.path());
    let (bad, out) = (keep.path().join("bad.raw"), keep.path().join("out.raw"));
    let good = fs::read(&good).unwrap();
    // A linear congruential generator (Knuth, MMIX): the same damage in each run.
    let mut state = 42u64;
    let mut next = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let (mut refused, mut baked) = (0, 0);
    for round in 0..48 {
        let mut bytes = good.clone();
        // GPT, superblock and group descriptors; then bitmaps, inodes and directories.
        let (from, len) = if round % 2 == 0 { (512, 4 * MIB + 8192) } else { (4 * MIB + 4096, 3 * MIB) };
        for _ in 0..(1 << (round % 8)) {
            bytes[usize::try_from(from + next(len)).unwrap()] = next(256) as u8;
        }
        fs::write(&bad, &bytes).unwrap();
        match bake(&bad, Some(&out), &payload(), &options()) {
            Ok(_) => {
                baked += 1;
                fs::remove_file(&out).unwrap();
            }
            Err(_) => refused += 1,
        }
        assert!(fs::read(&bad).unwrap() == bytes, "round {round}");
        assert!(!out.exists());
    }
    assert!(refused > 5 && baked > 5, "{refused} refused, {baked} baked");
}
