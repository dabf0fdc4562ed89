//! A sentence with its main verb negated, or no longer negated.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::word::{Word, words};
use crate::tiny::english::clause::Clause;
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::tokens::Token;
use crate::tiny::english::words::verbs::{self, BASE, PAST, THIRD};

/// The sentence with its main verb negated, or no longer negated.
pub(crate) fn negated(tokens: &[Token], clause: &Clause, rng: &mut ChaCha8Rng) -> Vec<Word> {
    if clause.negated
        && let Some(affirmed) = affirmed(tokens, clause)
    {
        return affirmed;
    }
    let verb = &tokens[clause.verb];
    let insert = |before: &[Token], new: &[&str], after: &[Token]| {
        let mut sentence = words(before);
        sentence.extend(new.iter().map(|text| Word {
            token: Token::new(text, true),
            changed: true,
        }));
        sentence.extend(words(after));
        sentence
    };
    let never = rng.random_bool(0.3);
    let (before, after) = (&tokens[..clause.verb], &tokens[clause.verb + 1..]);
    let after = match after.first() {
        Some(next) if next.is_any(&["also", "always", "often", "still", "already", "now"]) => {
            &after[1..]
        }
        _ => after,
    };
    let full = verb.is_any(&["have", "has", "had", "do", "does", "did"]);
    if verbs::is_auxiliary(&verb.lower) && !(full && clause.main == clause.verb) {
        let mut sentence = negated_auxiliary(&tokens[..=clause.verb], never);
        sentence.extend(words(after));
        return sentence;
    }
    let forms = verbs::known(&verb.lower).map_or(0, |(_, forms)| forms);
    let past = forms & PAST != 0 && forms & (BASE | THIRD) == 0
        || (forms == 0 && verbs::can_be(&verb.lower, PAST));
    let third = !past && (forms & THIRD != 0 || (forms == 0 && verb.lower.ends_with('s')));
    let base = if past || third {
        verbs::base(&verb.lower)
    } else {
        verb.lower.clone()
    };
    let (before, adverb) = without_adverb(before);
    if never && adverb.is_none() {
        return insert(before, &["never"], &tokens[clause.verb..]);
    }
    let auxiliary = if past {
        "did"
    } else if third {
        "does"
    } else {
        "do"
    };
    let mut sentence = insert(before, &[auxiliary, "not"], &[]);
    sentence.extend(adverb.map(|adverb| Word {
        token: adverb.clone(),
        changed: false,
    }));
    sentence.push(Word {
        token: Token::new(&base, true),
        changed: false,
    });
    sentence.extend(words(after));
    sentence
}

/// The words up to an auxiliary, which is negated: `cannot`, `is not`, `has never`.
fn negated_auxiliary(tokens: &[Token], never: bool) -> Vec<Word> {
    let mut sentence = words(tokens);
    let Some(verb) = sentence.last_mut() else {
        return sentence;
    };
    if verb.token.is("can") && !never {
        verb.token.set("cannot");
        verb.changed = true;
        return sentence;
    }
    let word = if never && !verbs::is_be(&verb.token.lower) {
        "never"
    } else {
        "not"
    };
    sentence.push(Word {
        token: Token::new(word, true),
        changed: true,
    });
    sentence
}

/// The words before a verb without an adverb right before it; the adverb comes back where it fits a negated verb, too.
fn without_adverb(before: &[Token]) -> (&[Token], Option<&Token>) {
    match before.split_last() {
        Some((last, rest))
            if last.is_any(&[
                "also",
                "always",
                "often",
                "still",
                "already",
                "once",
                "now",
                "constantly",
                "usually",
                "sometimes",
                "later",
                "then",
                "first",
                "soon",
            ]) =>
        {
            (rest, None)
        }
        Some((last, rest)) if last.lower.ends_with("ly") && verbs::is_adverb(&last.lower) => {
            (rest, Some(last))
        }
        _ => (before, None),
    }
}

/// Takes `not` or `never` out; what is left of the verb is what disagrees.
fn affirmed(tokens: &[Token], clause: &Clause) -> Option<Vec<Word>> {
    let not = (clause.verb.saturating_sub(1)..=clause.main.max(clause.verb + 1)).find(|&at| {
        tokens
            .get(at)
            .is_some_and(|token| token.is_any(&["not", "never"]))
    })?;
    let mut sentence = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let dropped =
            at == not || (at == clause.verb && token.is_any(&["do"]) && clause.main > not);
        if !dropped {
            sentence.push(Word {
                token: token.clone(),
                changed: at == clause.main || (at == clause.verb && clause.main == clause.verb),
            });
        }
    }
    Some(sentence)
}

/// Whether a clause can be negated cleanly.
pub(crate) fn can_negate(tokens: &[Token], clause: &Clause) -> bool {
    !tokens[clause.verb].is("cannot") && !grammar::is_subordinator(&tokens[clause.start].lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negation_marks_what_it_changes() {
        use crate::tiny::english::clause::{self, names::Names};
        use rand::SeedableRng;
        let tokens = Names::new("Alice").tag("Alice was born in Bonn.");
        let clause = clause::parse(&tokens).expect("a clause");
        let changed: Vec<String> = negated(&tokens, &clause, &mut ChaCha8Rng::seed_from_u64(1))
            .into_iter()
            .filter(|word| word.changed)
            .map(|word| word.token.text)
            .collect();
        assert_eq!(changed, ["not"]);
    }
}
