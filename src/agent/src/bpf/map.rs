//! Maps: byte strings to byte strings, of sizes that the kernel tells.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::bpf::{check, obj_get, obj_pin, own, text};

/// An open map.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
    key_size: usize,
    value_size: usize,
    max_entries: u32,
    map_type: u32,
    flags: u32,
    id: u32,
    name: String,
}

/// Update flag: the key must be new.
pub const NOEXIST: u64 = 1;
/// Update flag: any.
pub const ANY: u64 = 0;

impl Map {
    /// From a descriptor of a map.
    ///
    /// # Errors
    /// If it is not one.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Map> {
        let mut info = libbpf_sys::bpf_map_info::default();
        let mut len = size_of_val(&info) as u32;
        // SAFETY: `info` is writable for `len` bytes, and any bytes are a valid value of its integers.
        check(unsafe { libbpf_sys::bpf_map_get_info_by_fd(fd.as_raw_fd(), &mut info, &mut len) })?;
        Ok(Map {
            fd,
            key_size: info.key_size as usize,
            value_size: info.value_size as usize,
            max_entries: info.max_entries,
            map_type: info.type_,
            flags: info.map_flags,
            id: info.id,
            name: text(&info.name),
        })
    }

    /// Opens a pinned map.
    ///
    /// # Errors
    /// If the pin is absent or is not a map.
    pub fn open(path: &Path) -> io::Result<Map> {
        Map::from_fd(obj_get(path)?)
    }

    /// Opens a map by the kernel's id.
    ///
    /// # Errors
    /// If there is none.
    pub fn by_id(id: u32) -> io::Result<Map> {
        // SAFETY: takes an integer only.
        Map::from_fd(own(unsafe { libbpf_sys::bpf_map_get_fd_by_id(id) })?)
    }

    /// Makes a map. `map_type` and `flags` are those of linux/bpf.h.
    ///
    /// # Errors
    /// Where the kernel has no memory or refuses.
    pub fn create(map_type: u32, name: &CStr, key: u32, value: u32, entries: u32, flags: u32) -> io::Result<Map> {
        let opts = libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_sys::bpf_map_create_opts>() as _,
            map_flags: flags,
            ..Default::default()
        };
        // SAFETY: name and options outlive the call.
        let fd = unsafe { libbpf_sys::bpf_map_create(map_type, name.as_ptr(), key, value, entries, &opts) };
        Map::from_fd(own(fd)?)
    }

    fn sized(&self, key: &[u8], value: Option<&[u8]>) -> io::Result<()> {
        if key.len() == self.key_size && value.is_none_or(|v| v.len() == self.value_size) {
            return Ok(());
        }
        let found = value.map_or(0, <[u8]>::len);
        Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "map {} has keys of {} and values of {} bytes, not {} and {found}",
                self.name,
                self.key_size,
                self.value_size,
                key.len()
            ),
        ))
    }

    /// Sets an entry.
    ///
    /// # Errors
    /// Wrong sizes, a full or frozen map, or what the flags ask for.
    pub fn set(&self, key: &[u8], value: &[u8], flags: u64) -> io::Result<()> {
        self.sized(key, Some(value))?;
        // SAFETY: key and value have the sizes that the kernel reads; checked above. (Per-CPU maps are not set.)
        let ret = unsafe {
            libbpf_sys::bpf_map_update_elem(self.fd.as_raw_fd(), key.as_ptr().cast(), value.as_ptr().cast(), flags)
        };
        check(ret).map(drop)
    }

    /// Reads an entry into a buffer.
    ///
    /// # Errors
    /// Wrong sizes, or `NotFound`.
    pub fn get_into(&self, key: &[u8], value: &mut [u8]) -> io::Result<()> {
        self.sized(key, Some(value))?;
        // SAFETY: key and value have the sizes that the kernel reads and writes; checked above.
        let ret = unsafe {
            libbpf_sys::bpf_map_lookup_elem(self.fd.as_raw_fd(), key.as_ptr().cast(), value.as_mut_ptr().cast())
        };
        check(ret).map(drop)
    }

    /// Reads an entry, `None` if it is absent.
    ///
    /// # Errors
    /// Other failures of the kernel.
    pub fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.value_size];
        match self.get_into(key, &mut value) {
            Ok(()) => Ok(Some(value)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Reads an entry as the value that it is, `None` if it is absent.
    ///
    /// # Errors
    /// As [`Map::get`], and where values of the map are of another size.
    pub fn read<V: FromBytes>(&self, key: &(impl IntoBytes + Immutable + ?Sized)) -> io::Result<Option<V>> {
        let Some(bytes) = self.get(key.as_bytes())? else { return Ok(None) };
        V::read_from_bytes(&bytes).map(Some).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    /// Sets an entry to a value, whatever was there.
    ///
    /// # Errors
    /// As [`Map::set`].
    pub fn write(
        &self,
        key: &(impl IntoBytes + Immutable + ?Sized),
        value: &(impl IntoBytes + Immutable + ?Sized),
    ) -> io::Result<()> {
        self.set(key.as_bytes(), value.as_bytes(), ANY)
    }

    /// The values of all CPUs of a per-CPU map's entry.
    ///
    /// # Errors
    /// As [`Map::get`].
    pub fn get_per_cpu(&self, key: &[u8]) -> io::Result<Vec<Vec<u8>>> {
        self.sized(key, None)?;
        // SAFETY: takes nothing.
        let cpus = check(unsafe { libbpf_sys::libbpf_num_possible_cpus() })? as usize;
        // The kernel writes each CPU's value at a multiple of 8 (linux/bpf.h, BPF_MAP_TYPE_PERCPU_*).
        let stride = self.value_size.next_multiple_of(8);
        let mut all = vec![0u8; stride * cpus];
        // SAFETY: `all` holds a value for every possible CPU, which is what the kernel writes.
        let ret = unsafe {
            libbpf_sys::bpf_map_lookup_elem(self.fd.as_raw_fd(), key.as_ptr().cast(), all.as_mut_ptr().cast())
        };
        check(ret)?;
        Ok(all.chunks(stride).map(|c| c[..self.value_size].to_vec()).collect())
    }

    /// Removes an entry; that it is absent already is not an error.
    ///
    /// # Errors
    /// Other failures of the kernel.
    pub fn remove(&self, key: &[u8]) -> io::Result<()> {
        self.sized(key, None)?;
        // SAFETY: the key has the size that the kernel reads; checked above.
        match check(unsafe { libbpf_sys::bpf_map_delete_elem(self.fd.as_raw_fd(), key.as_ptr().cast()) }) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }

    /// All keys, at most `max_entries`; entries that come or go meanwhile may be missed or seen twice.
    ///
    /// # Errors
    /// Failures of the kernel.
    pub fn keys(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        while keys.len() < self.max_entries as usize {
            let mut next = vec![0; self.key_size];
            let last = keys.last().map_or(std::ptr::null(), |k| k.as_ptr());
            // SAFETY: `last` is null (first key) or a key; `next` is writable for a key.
            let ret =
                unsafe { libbpf_sys::bpf_map_get_next_key(self.fd.as_raw_fd(), last.cast(), next.as_mut_ptr().cast()) };
            match check(ret) {
                Ok(_) => keys.push(next),
                Err(e) if e.kind() == io::ErrorKind::NotFound => break,
                Err(e) => return Err(e),
            }
        }
        Ok(keys)
    }

    /// Makes the map immutable for bpf(2) until it is gone.
    ///
    /// # Errors
    /// Failures of the kernel.
    pub fn freeze(&self) -> io::Result<()> {
        // SAFETY: takes a descriptor only.
        check(unsafe { libbpf_sys::bpf_map_freeze(self.fd.as_raw_fd()) }).map(drop)
    }

    /// Pins the map.
    ///
    /// # Errors
    /// Failures of the kernel, an existing pin among them.
    pub fn pin(&self, path: &Path) -> io::Result<()> {
        obj_pin(self.fd.as_raw_fd(), path)
    }

    /// Bytes of a value.
    pub fn value_size(&self) -> usize {
        self.value_size
    }
    /// Most entries; for a ring buffer its bytes.
    pub fn max_entries(&self) -> u32 {
        self.max_entries
    }
    /// BPF_MAP_TYPE_*.
    pub fn map_type(&self) -> u32 {
        self.map_type
    }
    /// BPF_F_*.
    pub fn flags(&self) -> u32 {
        self.flags
    }
    /// The kernel's id.
    pub fn id(&self) -> u32 {
        self.id
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A map's name for [`Map::create`], cut to the kernel's 15 bytes.
pub fn map_name(name: &str) -> CString {
    let bytes: Vec<u8> = name.bytes().filter(|b| *b != 0).take(15).collect();
    CString::new(bytes).unwrap_or_default()
}
