//! Names of files that somebody else gives.

/// Whether a name that a file or a server gives stays inside the folder it is joined to, on any system.
pub fn stays_inside(name: &str) -> bool {
    let forbidden = |c: char| c.is_control() || matches!(c, '\\' | ':');
    let plain = |part: &str| !matches!(part, "" | "." | "..");
    !name.contains(forbidden) && name.split('/').all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_out_of_a_folder_is_known() {
        for name in ["a.bin", "weights/a-00001.safetensors", ".a", "a..b"] {
            assert!(stays_inside(name), "{name}");
        }
        for name in [
            "",
            "/a",
            "..",
            "../a",
            "a/../../b",
            "a//b",
            "a/",
            "./a",
            "a\\..\\b",
            "c:a",
            "a\0",
        ] {
            assert!(!stays_inside(name), "{name}");
        }
    }
}
