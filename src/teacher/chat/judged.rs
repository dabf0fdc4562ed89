//! Label probabilities from the token probabilities of a chat model's judgement.

use crate::teacher::chat::model::TokenLogprobs;
use crate::teacher::chat::thoughts::answer_in;

/// Returns the label probabilities at the token that begins the label that a reply gives; `None` if it gives none, or several
/// of which none comes first.
pub(super) fn probabilities(tokens: &[TokenLogprobs], labels: &[&[&str]]) -> Option<Vec<f64>> {
    let said: String = tokens.iter().map(|token| token.token.as_str()).collect();
    let place = label_in(&said, labels)?;
    let mut end = 0;
    let at = tokens.iter().find(|token| {
        end += token.token.len();
        end > place
    })?;
    let begins = |token: &str| {
        let token = token
            .trim_matches(|c: char| !c.is_alphanumeric())
            .to_lowercase();
        let of = |spellings: &&[&str]| spellings.iter().any(|label| label.starts_with(&token));
        let mut fitting = (0..labels.len()).filter(|&idx| of(&labels[idx]));
        let first = fitting.next().filter(|_| !token.is_empty());
        first.filter(|_| fitting.next().is_none())
    };
    let mut sums = vec![0.0; labels.len()];
    for (token, logprob) in &at.top {
        if let Some(label_idx) = begins(token) {
            sums[label_idx] += logprob.exp();
        }
    }
    let total: f64 = sums.iter().sum();
    (total > 0.0 && total.is_finite()).then(|| sums.into_iter().map(|sum| sum / total).collect())
}

/// Returns where in a reply its label is, in bytes: the first whole word behind the thoughts that spells one, if the reply
/// begins with it or has no other label. Names of fields, which a colon follows, are no words of the reply.
fn label_in(said: &str, labels: &[&[&str]]) -> Option<usize> {
    let answer = answer_in(said)?;
    let (begin, text) = (answer.start, &said[answer]);
    let is_name = |end: usize| {
        let rest = text[end..].trim_start_matches(['"', '\'', '”', '*', ' ', '_']);
        rest.starts_with(':')
    };
    let mut words: Vec<(usize, Option<usize>)> = Vec::new();
    let mut from = 0;
    while let Some(start) = text[from..].find(char::is_alphanumeric).map(|at| from + at) {
        let word = &text[start..];
        let len = word
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(word.len());
        let lower = word[..len].to_lowercase();
        // Scripts without spaces have no whole words.
        let spells = |label: &&str| lower == *label || !label.is_ascii() && lower.contains(*label);
        let label_idx = (0..labels.len()).find(|&idx| labels[idx].iter().any(spells));
        if !is_name(start + len) && !lower.chars().all(|c| c.is_ascii_digit()) {
            words.push((begin + start, label_idx));
        }
        from = start + len;
    }
    let mut found = words
        .iter()
        .filter_map(|(at, label)| Some((*at, (*label)?)));
    let (place, label) = found.next()?;
    let is_first = words.first().is_some_and(|(at, _)| *at == place);
    (is_first || found.all(|(_, other)| other == label)).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teacher::chat::{NLI, RELEVANCE};

    fn tokens(tokens: &[(&str, &[(&str, f64)])]) -> Vec<TokenLogprobs> {
        let token = |(token, others): &(&str, &[(&str, f64)])| TokenLogprobs {
            token: (*token).to_string(),
            top: others
                .iter()
                .map(|(token, p)| ((*token).to_string(), p.ln()))
                .collect(),
        };
        tokens.iter().map(token).collect()
    }

    #[test]
    fn the_tokens_that_labels_begin_with_share_the_probability() {
        let said = tokens(&[
            ("{\"", &[]),
            ("label", &[]),
            ("\":", &[]),
            (" \"", &[]),
            (
                "ent",
                &[
                    ("ent", 0.6),
                    ("contr", 0.1),
                    (" Entail", 0.1),
                    ("maybe", 0.2),
                ],
            ),
            ("ailed", &[]),
            ("\"}", &[]),
        ]);
        let p = probabilities(&said, &NLI).unwrap();
        assert!(
            (p[0] - 0.125).abs() < 1e-9 && p[1] == 0.0 && (p[2] - 0.875).abs() < 1e-9,
            "{p:?}"
        );
    }

    #[test]
    fn what_is_thought_aloud_is_no_answer() {
        let thought = [
            ("<think>", &[][..]),
            ("There is ", &[]),
            ("no", &[("no", 1.0)]),
        ];
        assert!(probabilities(&tokens(&thought), &RELEVANCE).is_none());
        // A template may have written the opening mark; a mark may be several tokens.
        let closed = [
            ("Is there no", &[("no", 1.0)][..]),
            ("</", &[]),
            ("think", &[]),
            (">", &[]),
            ("no", &[("no", 0.7), ("yes", 0.3)]),
        ];
        assert!((probabilities(&tokens(&closed), &RELEVANCE).unwrap()[0] - 0.7).abs() < 1e-9);
        let answer = [("</think>", &[][..]), ("yes", &[("yes", 0.8), ("no", 0.2)])];
        let said = tokens(&[&thought[..], &answer].concat());
        assert!((probabilities(&said, &RELEVANCE).unwrap()[1] - 0.8).abs() < 1e-9);
    }

    #[test]
    fn a_field_is_not_taken_for_a_label_and_plain_replies_are_read() {
        // "no" would fit the beginning of a field called "note".
        let said = tokens(&[
            ("{\"", &[]),
            ("no", &[("no", 1.0)]),
            ("te\"", &[]),
            (": \"", &[]),
            ("yes", &[("yes", 0.9), ("no", 0.1)]),
        ]);
        assert!((probabilities(&said, &RELEVANCE).unwrap()[1] - 0.9).abs() < 1e-9);
        let plain = tokens(&[("No", &[("No", 0.7), ("Yes", 0.3)]), (".", &[])]);
        assert!((probabilities(&plain, &RELEVANCE).unwrap()[0] - 0.7).abs() < 1e-9);
        assert!(probabilities(&tokens(&[("Perhaps", &[])]), &RELEVANCE).is_none());
        assert!(probabilities(&[], &RELEVANCE).is_none());
        // Parts of words are no labels, and of two labels in a sentence neither is the answer.
        let prose = [
            ("The", &[][..]),
            (" en", &[("en", 1.0)]),
            ("d", &[]),
            (" n", &[("n", 1.0)]),
            ("ears", &[]),
        ];
        assert!(probabilities(&tokens(&prose), &NLI).is_none());
        let both = [
            ("Is", &[][..]),
            (" it", &[]),
            (" entailed", &[("entailed", 1.0)]),
            (" or", &[]),
            (" neutral", &[]),
        ];
        assert!(probabilities(&tokens(&both), &NLI).is_none());
        let numbered = [
            ("1", &[][..]),
            (". ", &[]),
            ("No", &[("No", 0.7), ("Yes", 0.3)]),
            ("\n2. Shall we?", &[]),
        ];
        assert!((probabilities(&tokens(&numbered), &RELEVANCE).unwrap()[0] - 0.7).abs() < 1e-9);
    }
}
