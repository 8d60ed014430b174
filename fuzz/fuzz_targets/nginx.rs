//! No nginx configuration panics its reader, and what it takes is a policy. Between bytes 0xff stand the configuration and the files that
//! it may include.
#![no_main]

#[path = "../service.rs"]
mod service;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use service::Image;

static IMAGE: LazyLock<Image> = LazyLock::new(|| {
    let fixed = [
        ("usr/lib/systemd/system/nginx.service", "[Service]\nExecStart=/usr/sbin/nginx\n"),
        ("usr/sbin/nginx", " --conf-path=/etc/nginx/nginx.conf --prefix=/usr/share/nginx --pid-path=/run/nginx.pid"),
    ];
    Image::new("nginx.service", ["etc/nginx/nginx.conf", "etc/nginx/a", "etc/nginx/modsec.conf"], &fixed)
});

fuzz_target!(|bytes: &[u8]| IMAGE.try_files(bytes));
