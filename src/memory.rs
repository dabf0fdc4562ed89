//! How much memory there is.

use sysinfo::System;

/// What this process may still take, in bytes: of the machine's memory, or of that of the group it is confined to.
pub(crate) fn available() -> u64 {
    let mut system = System::new();
    system.refresh_memory();
    let machine = system.available_memory();
    system
        .cgroup_limits()
        .map_or(machine, |limits| machine.min(limits.free_memory))
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
