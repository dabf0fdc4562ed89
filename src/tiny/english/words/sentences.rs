//! Prose as sentences: the segmenter, and what it gets wrong.

use super::lexicon::has_word;
use super::people;
use crate::pattern::pattern;

/// Splits prose into sentences.
pub(crate) fn sentences(text: &str) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    let mut quotes = 0;
    for piece in sentencex::segment("en", text) {
        let piece = piece.trim();
        if piece.is_empty() {
            continue;
        }
        match sentences.last_mut() {
            Some(last) if last.len() < 2000 && goes_on(last, piece, quotes) => {
                last.push(' ');
                last.push_str(piece);
            }
            _ => {
                quotes = 0;
                sentences.push(piece.to_owned());
            }
        }
        quotes += piece.matches('"').count();
    }
    sentences
        .iter()
        .flat_map(|sentence| split_missed(sentence))
        .collect()
}

/// Spaced dashes: a pair are commas, a single one stays.
pub(crate) fn pair_of_dashes_as_commas(sentence: &str) -> String {
    match sentence.matches(" – ").count() {
        2 => sentence.replace(" – ", ", "),
        _ => sentence.to_owned(),
    }
}

/// Whether the segmenter has cut inside a sentence.
fn goes_on(last: &str, piece: &str, quotes: usize) -> bool {
    pattern!(
        ABBREVIATED,
        r"(?:\b(?:St|Mr|Mrs|Ms|Dr|Prof|ca|cf|vs|Jr|Sr|etc|approx|est|incl|Mt|Ft|Lt|Col|Gen|Sgt|Capt|Cpt|Rev|Hon|Gov)|(?:^|[\s.])[A-Z])\.$"
    );
    // `Op. 5`, but not `She said no. Nobody came.`
    pattern!(
        NUMBERED,
        r"\b(?:Op|op|No|no|Nos|nos|Vol|vol|max|min|est|b|d|c|p|pp)\.$"
    );
    let first = piece.chars().find(|c| c.is_alphanumeric());
    let lower_case = first.is_some_and(char::is_lowercase);
    let open_quote = quotes % 2 == 1 && last.chars().count() < 600;
    let is_number = first.is_some_and(|first| first.is_ascii_digit());
    // `"Never play cards with her." – Nils`
    let names_speaker = piece.starts_with(['–', '—']) && last.ends_with('"');
    lower_case
        || names_speaker
        || open_quote
        || ABBREVIATED.is_match(last) && !last.ends_with(" I.")
        || is_number && NUMBERED.is_match(last)
}

/// Whether a sentence ends at a word that the segmenter takes for an abbreviation: `ill`, `art` and `me`, or the name `Ken`.
fn ends_sentence(word: &str) -> bool {
    const ABBREVIATIONS: &str = "vs cf ca viz approx incl esp est eg ie op vol nos pp al ed eds";
    const TITLES: &str = "mr mrs ms miss sir madam frau count baron";
    let is_lower = word.chars().all(|c| c.is_ascii_lowercase());
    match is_lower {
        true => word.len() > 1 && !has_word(ABBREVIATIONS, word),
        false => {
            let word = word.to_lowercase();
            people::is_name(&word) && !has_word(TITLES, &word)
        }
    }
}

/// Splits where a sentence ends inside: `agreed."Next`, `end.Next`, `was ill. Nobody`.
fn split_missed(sentence: &str) -> Vec<String> {
    pattern!(
        MISSED,
        r#"(?:[a-z0-9)]{2}|\s[A-Z])[.!?]"?(\s+)(?:He|She|They|His|Her|Their|It|The|In|This|I|My|You|Your)\s|[a-z]{3}[.!?]("?)[A-Z][a-z]+\s|\b([A-Za-z]+)\.(\s+)"?[A-Z]"#
    );
    pattern!(
        STARTER,
        r"^(?:He|She|They|His|Her|Their|It|The|In|This|I|My|You|Your)\s"
    );
    if sentence.len() > 4000 {
        return vec![sentence.to_owned()];
    }
    let mut parts = Vec::new();
    let mut start = 0;
    let mut from = 0;
    while let Some(found) = MISSED.captures_at(sentence, from) {
        let Some(gap) = [1, 2, 4].iter().find_map(|&group| found.get(group)) else {
            break;
        };
        let quoted = sentence[start..gap.start()].matches('"').count() % 2 == 1;
        from = gap.end();
        let is_opened = STARTER.is_match(&sentence[gap.end()..]);
        let ends = found.get(3).is_none_or(|word| {
            let word = word.as_str();
            let is_short = word.chars().rev().take(2).all(|c| c.is_ascii_lowercase());
            ends_sentence(word) || is_opened && is_short && word.len() > 2
        });
        if !quoted && ends {
            parts.push(sentence[start..gap.start()].trim().to_owned());
            start = gap.end();
        }
        if from >= sentence.len() {
            break;
        }
    }
    parts.push(sentence[start..].trim().to_owned());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abbreviations_do_not_end_sentences() {
        let text = "She wrote Op. 5 with A. B. Marlow in St. Louis. Then she left.";
        assert_eq!(
            sentences(text),
            [
                "She wrote Op. 5 with A. B. Marlow in St. Louis.",
                "Then she left."
            ]
        );
    }

    #[test]
    fn a_word_that_looks_like_an_abbreviation_ends_a_sentence() {
        for text in [
            "He was ill.|Nobody came.",
            "She loves art.|Most of it is blue.",
            "She said no.|Tom left.",
            "He wrote to me.|Ruth read it.",
            "It was ok.|Alice sang.",
            "She takes vitamin C.|Her doctor is old.",
            "She met Ken.|Nobody knew.",
            "She moved to Wash.|She likes it.",
        ] {
            let parts: Vec<&str> = text.split('|').collect();
            assert_eq!(sentences(&parts.join(" ")), parts);
        }
        for text in [
            "It is no. 5 of the Op. 12 set.",
            "She beat him, i.e. Tom, twice.",
            "They met in St. Ives vs. Bonn.",
            "She works for Mr. Brown and Mrs. Ives.",
        ] {
            assert_eq!(sentences(text), [text]);
        }
    }
}
