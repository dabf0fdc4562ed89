//! The pages that travel inside the program.

const PAGES: [(&str, &str); 3] = [
    ("Alice", include_str!("../../wiki/Alice.txt")),
    ("Ines", include_str!("../../wiki/Ines.txt")),
    ("Tomas", include_str!("../../wiki/Tomas.txt")),
];

/// Returns the names of the characters whose pages are embedded.
pub fn characters() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(name, _)| *name)
}

/// Returns the embedded page about a character, if there is one.
pub fn page(character: &str) -> Option<&'static str> {
    let found = PAGES.iter().find(|(name, _)| *name == character);
    found.map(|(_, page)| *page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_page_is_about_the_character_it_is_named_for() {
        for name in characters() {
            assert!(page(name).unwrap().contains(name), "{name}");
        }
        assert_eq!(page("Nobody"), None);
    }
}
