//! How much memory there is, and was.

use sysinfo::System;

/// What this process may still take, in bytes: of the machine's memory, of that of the group it is confined to, and of the
/// address space that its limit (`ulimit -v`) allows.
pub fn available() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    // Where nothing tells, as in a root without /proc, nothing is refused.
    let machine = match system.available_memory() {
        0 => u64::MAX,
        bytes => bytes,
    };
    let group = system.cgroup_limits().map_or(u64::MAX, |limits| {
        // Pages of files that a group has read count as taken there, though the system gives them back.
        limits.total_memory.saturating_sub(limits.rss)
    });
    machine.min(group).min(address_space())
}

/// The address space that is left within this process's limit.
#[cfg(unix)]
fn address_space() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::As).current;
    let taken = status("VmSize:").unwrap_or(0);
    limit.map_or(u64::MAX, |limit| limit.saturating_sub(taken))
}

#[cfg(not(unix))]
fn address_space() -> u64 {
    u64::MAX
}

/// The most memory that this process has held, in bytes, if the system tells.
pub fn peak() -> Option<u64> {
    status("VmHWM:")
}

/// The memory that this process holds, in bytes, if the system tells.
pub fn resident() -> Option<u64> {
    status("VmRSS:")
}

/// A size that Linux tells of this process, in bytes.
fn status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_some() {
        let available = available();
        assert!((1 << 20..1 << 50).contains(&available), "{available}");
    }
}
