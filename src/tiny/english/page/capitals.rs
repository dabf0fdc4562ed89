//! Pages that are written without capital letters.

use crate::pattern::pattern;

pattern!(
    START,
    r"(?m)(^[ \t]*(?:[-*•#>]+[ \t]+)?|[.!?][ \t]+)(\p{Ll})"
);
pattern!(I, r"\bi(?:\b|['’])");

/// Begins sentences and the character's name with capital letters, and writes `I`, if the page has hardly any capital letter.
pub(crate) fn restored(character: &str, page: &str) -> String {
    /// The share of capital letters is one in twenty elsewhere.
    const FEW: usize = 150;
    let letters = page.chars().filter(|c| c.is_alphabetic()).count();
    let capitals = page.chars().filter(|c| c.is_uppercase()).count();
    if letters < 80 || capitals * FEW > letters {
        return page.to_owned();
    }
    let page = START.replace_all(page, |found: &regex::Captures<'_>| {
        format!("{}{}", &found[1], found[2].to_uppercase())
    });
    let page = I.replace_all(&page, |found: &regex::Captures<'_>| {
        found[0].replace('i', "I")
    });
    let names = character.split_whitespace().filter(|name| name.len() > 2);
    names.fold(page.into_owned(), |page, name| with_name(&page, name))
}

/// The page with each mention of a name as it is written.
fn with_name(page: &str, name: &str) -> String {
    let lower = name.to_lowercase();
    let mut text = String::with_capacity(page.len());
    for word in page.split_inclusive(|c: char| !c.is_alphanumeric()) {
        let end = word.trim_end_matches(|c: char| !c.is_alphanumeric()).len();
        match word[..end] == lower {
            true => text.push_str(name),
            false => text.push_str(&word[..end]),
        }
        text.push_str(&word[end..]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_in_small_letters_gets_its_capitals() {
        let page = "finn is 17. he lives with his mom in a trailer outside tulsa. everyone likes finn's band, and i'm told \
                    that i play well.\n- bites his nails";
        assert_eq!(
            restored("Finn", page),
            "Finn is 17. He lives with his mom in a trailer outside tulsa. Everyone likes Finn's band, and I'm told \
                    that I play well.\n- Bites his nails"
        );
        let page = "- bites his nails\n- hates Tom, Ann and Bob\n- Finn sings and dances with his old friends from school each May";
        assert_eq!(restored("Finn", page), page);
    }
}
