//! Prose as sentences: the segmenter, and what it gets wrong.

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
pub(crate) fn without_dashes(sentence: &str) -> String {
    match sentence.matches(" – ").count() {
        2 => sentence.replace(" – ", ", "),
        _ => sentence.to_owned(),
    }
}

/// Whether the segmenter has cut inside a sentence.
fn goes_on(last: &str, piece: &str, quotes: usize) -> bool {
    pattern!(
        ABBREVIATED,
        r"(?:\b(?:Op|op|No|no|Nos|St|Mr|Mrs|Ms|Dr|Prof|Vol|vol|ca|cf|vs|Jr|Sr|etc|approx|est|incl|max|min|Mt|Ft|Lt|Col|Gen|Sgt|Capt|Cpt|Rev|Hon|Gov|b|d|c|p|pp)|(?:^|[\s.])[A-Z])\.$"
    );
    let lower_case = piece
        .chars()
        .find(|c| c.is_alphanumeric())
        .is_some_and(|c| c.is_lowercase());
    let open_quote = quotes % 2 == 1 && last.chars().count() < 600;
    lower_case || open_quote || (ABBREVIATED.is_match(last) && !last.ends_with(" I."))
}

/// Splits where a sentence ends inside: `agreed."Next`, `end.Next`.
fn split_missed(sentence: &str) -> Vec<String> {
    pattern!(
        MISSED,
        r#"[a-z0-9)]{2}[.!?]"?(\s+)(?:He|She|They|His|Her|Their|It|The|In|This|I|My|You|Your)\s|[a-z]{3}[.!?]("?)[A-Z][a-z]+\s"#
    );
    if sentence.len() > 4000 {
        return vec![sentence.to_owned()];
    }
    let mut parts = Vec::new();
    let mut start = 0;
    let mut from = 0;
    while let Some(found) = MISSED.captures_at(sentence, from) {
        let Some(gap) = found.get(1).or_else(|| found.get(2)) else {
            break;
        };
        let quoted = sentence[start..gap.start()].matches('"').count() % 2 == 1;
        from = gap.end();
        if !quoted {
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
}
