//! Label probabilities from the token probabilities of a chat model's judgement.

use crate::teacher::chat::model::TokenLogprobs;
use crate::teacher::chat::thoughts::answer_in;

/// Returns the label probabilities at the first token that begins one of the labels as a value; `None` if there is no
/// such token.
pub(super) fn probabilities(tokens: &[TokenLogprobs], labels: &[&[&str]]) -> Option<Vec<f64>> {
    let begins = |token: &str| {
        let token = token
            .trim_matches(|c: char| !c.is_alphanumeric())
            .to_lowercase();
        let of = |spellings: &&[&str]| spellings.iter().any(|label| label.starts_with(&token));
        let mut fitting = (0..labels.len()).filter(|&idx| of(&labels[idx]));
        let first = fitting.next().filter(|_| !token.is_empty());
        first.filter(|_| fitting.next().is_none())
    };
    // A label is what follows the last opening quote or bracket, or the whole of a plain reply; names of fields are
    // followed by a colon.
    let is_name = |at: usize| {
        let behind: String = tokens[at..]
            .iter()
            .map(|token| token.token.as_str())
            .collect();
        let word = behind.trim_start_matches(|c: char| !c.is_alphanumeric());
        let rest = word.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_');
        rest.trim_start_matches(['"', '\'', '”', '*', ' '])
            .starts_with(':')
    };
    let at = (behind_thoughts(tokens)?..tokens.len())
        .find(|&at| begins(&tokens[at].token).is_some() && !is_name(at))?;
    let mut sums = vec![0.0; labels.len()];
    for (token, logprob) in &tokens[at].top {
        if let Some(label_idx) = begins(token) {
            sums[label_idx] += logprob.exp();
        }
    }
    let total: f64 = sums.iter().sum();
    (total > 0.0 && total.is_finite()).then(|| sums.into_iter().map(|sum| sum / total).collect())
}

/// Returns the index of the first token of the answer, behind the model's thinking; `None` if that does not end.
fn behind_thoughts(tokens: &[TokenLogprobs]) -> Option<usize> {
    let said: String = tokens.iter().map(|token| token.token.as_str()).collect();
    let begin = answer_in(&said)?.start;
    let mut end = 0;
    let is_before = |token: &&TokenLogprobs| {
        end += token.token.len();
        end <= begin
    };
    Some(tokens.iter().take_while(is_before).count())
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
    }
}
