//! No redis.conf panics its reader, and what it takes is a policy. Between bytes 0xff stand the configuration and the files that
//! it may include.
#![no_main]

#[path = "../service.rs"]
mod service;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use service::Image;

static IMAGE: LazyLock<Image> = LazyLock::new(|| {
    let fixed = [
        ("usr/lib/systemd/system/redis.service", "[Service]\nExecStart=/usr/bin/redis-server /etc/redis/redis.conf\n"),
        ("usr/bin/redis-server", ""),
    ];
    Image::new("redis.service", ["etc/redis/redis.conf", "etc/redis/a.conf", "etc/redis/b.conf"], &fixed)
});

fuzz_target!(|bytes: &[u8]| IMAGE.try_files(bytes));
