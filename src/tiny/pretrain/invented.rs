//! Words that no dictionary has.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::tiny::english::capitalized;

const ONSETS: [&str; 38] = [
    "b", "br", "c", "ch", "d", "dr", "f", "fl", "g", "gl", "gr", "h", "j", "k", "kr", "l", "m",
    "n", "p", "pl", "pr", "qu", "r", "s", "sh", "sk", "st", "str", "t", "th", "tr", "v", "vl", "w",
    "y", "z", "", "",
];
const VOWELS: [&str; 12] = [
    "a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "ea", "ou",
];

/// A word that no dictionary has, from random syllables.
pub(super) fn invented_word(proper: bool, rng: &mut ChaCha8Rng) -> String {
    const ENDS: [&str; 22] = [
        "", "", "", "", "", "n", "r", "l", "m", "th", "k", "nd", "st", "rn", "x", "t", "sk", "ld",
        "rk", "ss", "mp", "lt",
    ];
    loop {
        let n_syllables = [1, 2, 2, 2, 3, 3][rng.random_range(0..6)];
        let mut word = String::new();
        for _ in 0..n_syllables {
            word.push_str(pick(&ONSETS, rng));
            word.push_str(pick(&VOWELS, rng));
        }
        word.push_str(pick(&ENDS, rng));
        if word.len() < 4 || REAL_WORDS.contains(&word.as_str()) {
            continue;
        }
        return if proper { capitalized(&word) } else { word };
    }
}

/// A word that no dictionary has, as long as learned words are: "preductonation".
pub(super) fn long_invented_word(rng: &mut ChaCha8Rng) -> String {
    const CODAS: [&str; 10] = ["", "", "", "n", "r", "l", "c", "p", "m", "s"];
    const ENDS: [&str; 28] = [
        "ation", "ation", "ition", "ction", "sion", "ity", "ivity", "ical", "ically", "ism",
        "ment", "ence", "ance", "ive", "ate", "ology", "ary", "ant", "ent", "ible", "able", "ial",
        "ional", "ine", "ure", "ude", "ful", "ing",
    ];
    let mut word = String::new();
    for _ in 0..rng.random_range(1..=4) {
        word.push_str(pick(&ONSETS, rng));
        word.push_str(pick(&VOWELS, rng));
        word.push_str(pick(&CODAS, rng));
    }
    word.push_str(pick(&ONSETS[..34], rng));
    word + pick(&ENDS, rng)
}

/// English words that random syllables may hit and that would change the sense.
const REAL_WORDS: [&str; 40] = [
    "none", "never", "here", "more", "have", "were", "your", "also", "same", "some", "nose",
    "hell", "both", "this", "that", "then", "them", "than", "what", "when", "with", "must", "most",
    "just", "very", "last", "next", "does", "done", "only", "like", "hate", "love", "miss",
    "still", "there", "these", "those", "true", "much",
];

/// One of `items`.
pub(super) fn pick<'a, T: ?Sized>(items: &[&'a T], rng: &mut ChaCha8Rng) -> &'a T {
    items[rng.random_range(0..items.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn long_words_are_long_and_hardly_ever_the_same() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let words: Vec<String> = (0..200).map(|_| long_invented_word(&mut rng)).collect();
        let distinct: std::collections::HashSet<&String> = words.iter().collect();
        assert!(distinct.len() > 195);
        for word in &words {
            assert!(word.len() >= 5, "{word}");
            assert!(
                word.bytes().all(|letter| letter.is_ascii_lowercase()),
                "{word}"
            );
        }
    }
}
