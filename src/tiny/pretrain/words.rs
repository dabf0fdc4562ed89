//! The words of a text.

/// A text with another word in the place of one, wherever that stands by itself.
pub(super) fn replaced(text: &str, word: &str, other: &str) -> String {
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let (before, behind) = (&rest[..at], &rest[at + word.len()..]);
        let joins = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        let is_part = joins(before.chars().next_back()) || joins(behind.chars().next());
        made += before;
        made += if is_part { word } else { other };
        rest = behind;
    }
    made + rest
}

/// The words of a text; "left-handed" is two.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty())
}

/// The words of a text, "left-handed" as one.
pub(super) fn hyphenated_words(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|letter: char| !letter.is_alphanumeric() && letter != '-');
    words.filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_replaced_wherever_it_stands_by_itself() {
        assert_eq!(
            replaced("Ann's annex, Annex Ann", "Ann", "Bo"),
            "Bo's annex, Annex Bo"
        );
    }

    #[test]
    fn a_hyphen_is_within_a_word_or_parts_it() {
        let text = "She's left-handed.";
        assert_eq!(
            words(text).collect::<Vec<_>>(),
            ["She", "s", "left", "handed"]
        );
        assert_eq!(
            hyphenated_words(text).collect::<Vec<_>>(),
            ["She", "s", "left-handed"]
        );
    }
}
