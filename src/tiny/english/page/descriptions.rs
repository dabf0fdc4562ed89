//! Takes `X is a …` apart: age, description, and what a relative clause adds are a statement each.

use crate::tiny::english::clause::subject::is_finite_after_me;
use crate::tiny::english::clause::{self, Subject};
use crate::tiny::english::words::grammar::{is_determiner, is_preposition};
use crate::tiny::english::words::tokens::{Token, n_words};
use crate::tiny::english::words::verbs;
use crate::tiny::english::words::wording::article;

const YEARS_OLD: &str = "-year-old";
/// Descriptions that say nothing beside their relative clause.
const ANYBODY: [&str; 5] = ["person", "someone", "somebody", "one", "individual"];

/// `Ann is a 26-year-old nurse who sings.` as `Ann is 26 years old.`, `Ann is a nurse.`, `Ann sings.`; any other sentence
/// as it is.
pub(crate) fn atoms(tokens: Vec<Token>) -> Vec<Vec<Token>> {
    described(&tokens).unwrap_or_else(|| vec![tokens])
}

/// The parts of `Name is a …`.
fn described(tokens: &[Token]) -> Option<Vec<Vec<Token>>> {
    let clause = clause::parse(tokens)?;
    let verb = clause.verb;
    let noun = verb + 2;
    let is_description = clause.kind == Subject::Me
        && clause.start == 0
        && clause.subject_end == verb
        && !clause.negated
        && tokens[verb].is_any(&["is", "was"])
        && tokens.get(verb + 1)?.is_any(&["a", "an"]);
    if !is_description {
        return None;
    }
    let relative = relative_clause(tokens, noun);
    let end = relative.unwrap_or_else(|| {
        let marks = tokens.iter().rev().take_while(|token| !token.is_word());
        tokens.len() - marks.count()
    });
    let mut noun_phrase = tokens[noun..end].to_vec();
    if noun_phrase.last().is_some_and(|token| token.is(",")) {
        noun_phrase.pop();
    }

    let mut parts = Vec::new();
    let subject = &tokens[..verb];
    let part = |rest: &[Token]| [subject, rest].concat();
    let age = noun_phrase
        .first()
        .and_then(|token| token.lower.strip_suffix(YEARS_OLD).map(str::to_owned));
    if let Some(age) = &age {
        let words = [age, "years", "old"].map(|word| Token::new(word, true));
        parts.push(part(&[&tokens[verb..=verb], &words[..]].concat()));
        noun_phrase.remove(0);
        // `a 40-year-old, divorced nurse`
        if noun_phrase.first().is_some_and(|token| token.is(",")) {
            noun_phrase.remove(0);
        }
    } else if relative.is_none() {
        return None;
    }
    let says_nothing = noun_phrase.len() == 1 && noun_phrase[0].is_any(&ANYBODY);
    if let Some(first) = noun_phrase.first().filter(|_| !says_nothing) {
        if !is_preposition(&first.lower) {
            noun_phrase.insert(0, Token::new(article(&first.text), true));
        }
        parts.push(part(&[&tokens[verb..=verb], &noun_phrase[..]].concat()));
    }
    if let Some(who) = relative {
        parts.push(part(&tokens[who + 1..]));
    }
    Some(parts)
}

/// The place of the `who` that goes on about the character, if nobody else comes between.
fn relative_clause(tokens: &[Token], noun: usize) -> Option<usize> {
    let who = (noun + 1..tokens.len()).find(|&at| tokens[at].is("who"))?;
    let names_others = tokens[noun..who].iter().any(|token| {
        is_preposition(&token.lower) || is_determiner(&token.lower) || token.is_genitive()
    });
    let lists = tokens[noun..who - 1].iter().any(|token| token.is(","));
    let verb = (who + 1..tokens.len()).find(|&at| !verbs::is_adverb(&tokens[at].lower))?;
    let goes_on = is_finite_after_me(tokens, verb) && n_words(&tokens[who + 1..]) >= 2;
    (!names_others && !lists && goes_on).then_some(who)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tiny::english::clause::names::Names;
    use crate::tiny::english::words::tokens::join;

    fn parts(text: &str) -> Vec<String> {
        let parts = atoms(Names::new("Ann").tag(text));
        parts.iter().map(|part| join(part)).collect()
    }

    #[test]
    fn age_description_and_relative_clause_become_statements_of_their_own() {
        for (sentence, expected) in [
            (
                "Ann is a 26-year-old nurse who lives in Bonn and often sings.",
                &[
                    "Ann is 26 years old",
                    "Ann is a nurse",
                    "Ann lives in Bonn and often sings.",
                ][..],
            ),
            (
                "Ann was an old sailor, who never learned to swim.",
                &["Ann was an old sailor", "Ann never learned to swim."],
            ),
            (
                "Ann is a nineteen-year-old from Bonn.",
                &["Ann is nineteen years old", "Ann is from Bonn"],
            ),
            ("Ann is a person who hates noise.", &["Ann hates noise."]),
            (
                "Ann is a 40-year-old, divorced nurse.",
                &["Ann is 40 years old", "Ann is a divorced nurse"],
            ),
        ] {
            assert_eq!(parts(sentence), expected, "{sentence}");
        }
    }

    #[test]
    fn what_may_be_about_somebody_else_stays_whole() {
        for sentence in [
            "Ann is a friend of the man who built the ship.",
            "Ann is the first woman who crossed the sea.",
            "Ann is not a nurse who sings.",
            "Ann is a nurse who everybody likes.",
            "Ann is a nurse.",
            "Ann's mother is a nurse who sings.",
        ] {
            assert_eq!(parts(sentence), [sentence]);
        }
    }
}
