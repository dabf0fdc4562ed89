//! How much memory there is, and was.

use sysinfo::System;

/// What this process may still take, in bytes: of the machine's memory, or of that of the group it is confined to.
pub fn available() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let machine = system.available_memory();
    system
        .cgroup_limits()
        // What a group has read of files counts as taken, though the system gives it back: only what processes hold does not.
        .map_or(machine, |limits| {
            machine.min(limits.total_memory.saturating_sub(limits.rss))
        })
}

/// The most memory that this process has held, in bytes, if the system tells.
pub fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
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
