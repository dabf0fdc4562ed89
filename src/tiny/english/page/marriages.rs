//! Spouses with the years in parentheses: `Tom Reed (m. 1990; div. 1999)`.

use crate::pattern::pattern;

pattern!(
    MARRIAGE,
    r"^[,;\s]*(?:and\s+)?([^(),;]+?)\s*\((?:m\.|married)\s*(?:in\s+|on\s+)?([^();]+?)(?:;\s*(divorced|div|died|d|separated|sep|annulled|ann)\.?\s*(?:in\s+|on\s+)?([^();]+))?\)"
);
pattern!(YEARS, r"^(\d{4})\s*[–-]\s*(\d{4})$");
pattern!(DAY, r"^\d{1,2} [A-Z]|[A-Z][a-z]+ \d{1,2}\b");

/// The marriages that a field tells of, a sentence each, if it tells of nothing else.
pub(crate) fn sentences(character: &str, key: &str, text: &str) -> Option<Vec<String>> {
    let is_of_spouses = matches!(
        key,
        "spouse"
            | "spouses"
            | "wife"
            | "wives"
            | "husband"
            | "husbands"
            | "married to"
            | "partner"
            | "partners"
    );
    let mut made = Vec::new();
    let mut rest = text.trim().trim_end_matches('.');
    while is_of_spouses && !rest.is_empty() {
        let found = MARRIAGE.captures(rest)?;
        let (spouse, since) = (found[1].trim(), found[2].trim());
        let end = found.get(3).map(|how| how.as_str());
        let until = found.get(4).map_or("", |until| until.as_str().trim());
        let begins = format!("{character} married {spouse} {}", dated(since));
        made.push(match (YEARS.captures(since), end) {
            (Some(years), None) => format!(
                "{character} was married to {spouse} from {} to {}.",
                &years[1], &years[2]
            ),
            (Some(_), Some(_)) => return None,
            (None, None) => format!("{begins}."),
            (None, Some("d" | "died")) => format!("{begins}, and {spouse} died {}.", dated(until)),
            (None, Some(how)) => {
                let how = match how {
                    "div" | "divorced" => "got divorced",
                    "sep" | "separated" => "separated",
                    _ => "had it annulled",
                };
                format!("{begins} and {how} {}.", dated(until))
            }
        });
        rest = &rest[found.get(0)?.end()..];
    }
    (!made.is_empty()).then_some(made)
}

/// `in 1990`, `on 4 May 1990`.
fn dated(when: &str) -> String {
    match DAY.is_match(when) {
        true => format!("on {when}"),
        false => format!("in {when}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_marriage_is_told_with_its_years() {
        for (text, expected) in [
            (
                "Tom Reed (m. 1990)",
                &["Alice married Tom Reed in 1990."][..],
            ),
            (
                "Tom Reed (m. 1990; div. 1999), Bob Hill (m. 4 May 2003; died 2010)",
                &[
                    "Alice married Tom Reed in 1990 and got divorced in 1999.",
                    "Alice married Bob Hill on 4 May 2003, and Bob Hill died in 2010.",
                ],
            ),
            (
                "Tom Reed (m. 1990–1999)",
                &["Alice was married to Tom Reed from 1990 to 1999."],
            ),
        ] {
            assert_eq!(
                sentences("Alice", "spouse", text).unwrap_or_default(),
                expected
            );
        }
        for text in [
            "Tom Reed",
            "Tom Reed (divorced)",
            "Tom (m. 1990), whom she loves",
        ] {
            assert_eq!(sentences("Alice", "spouse", text), None, "{text}");
        }
    }
}
