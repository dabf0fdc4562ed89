//! What the character may answer: in line with a statement, against it, or beside it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Reply;
use super::clause::{self, Clause};
use super::grammar;
use super::names::Names;
use super::negate;
use super::phrases;
use super::questions::pick;
use super::relevance;
use super::swap::{self, Word};
use super::tokens::{self, Token, content};
use super::verbs;
use super::voice::{self, Person};

pub(super) const OPENERS: &[&str] = &[
    "Well,",
    "Oh,",
    "You know,",
    "To tell the truth,",
    "Of course,",
    "As you may know,",
    "Honestly,",
];

/// The statement in the character's words, with its main clause.
pub(super) struct Said {
    pub tokens: Vec<Token>,
    clause: Option<Clause>,
}

impl Said {
    pub(super) fn of(character: &str, statement: &str) -> Self {
        let tokens = voice::to_person(&Names::new(character).tag(statement), Person::First);
        let clause = clause::parse(&tokens);
        Self { tokens, clause }
    }

    /// The main clause without side clauses, as often as not.
    pub(super) fn shortened(&self, rng: &mut ChaCha8Rng) -> Self {
        let Some(clause) = &self.clause else {
            return Self {
                tokens: self.tokens.clone(),
                clause: None,
            };
        };
        let end = phrases::short_end(&self.tokens, clause, 18);
        let mut tokens = self.tokens.clone();
        if end > clause.main + 1 && end < tokens.len() && rng.random_bool(0.6) {
            tokens.truncate(end);
            tokens.push(Token::new(".", false));
        }
        if clause.start > 3 && rng.random_bool(0.4) {
            tokens.drain(..clause.start);
            if let Some(first) = tokens.first_mut() {
                first.text = tokens::capitalized(&first.text);
            }
        }
        let clause = clause::parse(&tokens);
        Self { tokens, clause }
    }

    /// The main clause without side clauses.
    fn cut(&self) -> Self {
        let mut tokens = self.tokens.clone();
        if let Some(clause) = &self.clause {
            let end = phrases::short_end(&tokens, clause, 24);
            if end > clause.main + 1 && end < tokens.len() {
                tokens.truncate(end);
                tokens.push(Token::new(".", false));
            }
        }
        let clause = clause::parse(&tokens);
        Self { tokens, clause }
    }

    fn is_negated(&self) -> bool {
        self.clause.as_ref().is_some_and(|clause| clause.negated)
    }
}

/// See [`super::entailed`].
pub(super) fn entailed(
    character: &str,
    statement: &str,
    question: &str,
    rng: &mut ChaCha8Rng,
) -> Reply {
    let said = Said::of(character, statement);
    let short = said.shortened(rng);
    let opening = if asks_whether(statement, question) && rng.random_bool(0.7) {
        Opening::Agreeing(if said.is_negated() { "No," } else { "Yes," })
    } else if rng.random_bool(0.25) {
        Opening::Agreeing(pick(OPENERS, rng))
    } else {
        Opening::None
    };
    written(opening, swap::words(&short.tokens))
}

/// See [`super::contradicted`].
pub(super) fn contradicted(
    character: &str,
    statement: &str,
    question: &str,
    others: &[String],
    rng: &mut ChaCha8Rng,
) -> Reply {
    let said = Said::of(character, statement);
    let negate = said
        .clause
        .as_ref()
        .is_some_and(|clause| negate::can_negate(&said.tokens, clause))
        && (said.is_negated() || rng.random_bool(0.35));
    let short = said.shortened(rng);
    let mut swapped = None;
    if !negate {
        swapped = swap::swapped(character, &short.tokens, short.clause.as_ref(), others, rng)
            .or_else(|| swap::swapped(character, &said.tokens, said.clause.as_ref(), others, rng));
    }
    let words = match (swapped, &short.clause) {
        (Some(words), _) => words,
        (None, Some(_)) => {
            let core = said.cut();
            match &core.clause {
                Some(clause) => negate::negated(&core.tokens, clause, rng),
                None => return denied(&said),
            }
        }
        (None, None) => return denied(&said),
    };
    let opening = if asks_whether(statement, question) && rng.random_bool(0.7) {
        let agrees = if said.is_negated() { "Yes," } else { "No," };
        Opening::Disagreeing(agrees)
    } else if rng.random_bool(0.25) {
        Opening::Agreeing(pick(OPENERS, rng))
    } else {
        Opening::None
    };
    written(opening, words)
}

/// A denial of a sentence whose structure is not understood.
fn denied(said: &Said) -> Reply {
    let mut words: Vec<Word> = ["It", "is", "not", "true", "that"]
        .iter()
        .map(|text| Word {
            token: Token::new(text, true),
            changed: *text == "not" || *text == "true",
        })
        .collect();
    let mut rest = swap::words(&said.tokens);
    if let Some(first) = rest.first_mut() {
        first.token.space = true;
    }
    decapitalize(&mut rest);
    words.extend(rest);
    written(Opening::None, words)
}

pub(super) enum Opening {
    None,
    Agreeing(&'static str),
    Disagreeing(&'static str),
}

/// Writes the words as a reply and notes where the changed ones stand.
pub(super) fn written(opening: Opening, mut words: Vec<Word>) -> Reply {
    let (text, changed) = match opening {
        Opening::None => ("", false),
        Opening::Agreeing(text) => (text, false),
        Opening::Disagreeing(text) => (text, true),
    };
    let mut reply = Reply {
        text: text.to_owned(),
        changed: Vec::new(),
    };
    if !text.is_empty() {
        decapitalize(&mut words);
        if changed {
            reply.changed.push(0..text.trim_end_matches(',').len());
        }
    }
    for word in &words {
        if (word.token.space || reply.text.len() == text.len()) && !reply.text.is_empty() {
            reply.text.push(' ');
        }
        let start = reply.text.len();
        let shown = if start == 0 {
            tokens::capitalized(&word.token.text)
        } else {
            word.token.text.clone()
        };
        reply.text.push_str(&shown);
        if word.changed {
            reply.changed.push(start..reply.text.len());
        }
    }
    reply
}

/// Makes the first letter small unless the word is a name or `I`.
fn decapitalize(words: &mut [Word]) {
    let followed = words.get(1).is_some_and(|next| next.token.is_capital());
    if let Some(first) = words.first_mut() {
        let token = &mut first.token;
        let plain = grammar::is_determiner(&token.lower)
            || grammar::is_intro_word(&token.lower)
            || tokens::is_stop(&token.lower)
            || verbs::is_adverb(&token.lower)
            || grammar::is_adjective(&token.lower);
        if plain && !token.is("i") && !(followed && grammar::is_adjective(&token.lower))
            || token.is_any(&["people", "parents", "friends", "children"])
        {
            let lower = token.lower.clone();
            token.text = lower;
        }
    }
}

/// Whether the question asks if the statement holds.
fn asks_whether(statement: &str, question: &str) -> bool {
    relevance::is_yes_no(question) && {
        let own: std::collections::HashSet<String> = content(statement).into_iter().collect();
        let asked = content(question);
        asked.iter().filter(|word| own.contains(*word)).count() * 3 >= asked.len() * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn others() -> Vec<String> {
        [
            "Alice lives in Paris.",
            "Alice's mother is a nurse.",
            "Alice was taught by Maria.",
            "Alice has a dog.",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[test]
    fn contradictions_differ_in_the_marked_words() {
        for statement in [
            "Alice plays the guitar.",
            "Alice was born in Bonn in 1984.",
            "Alice is introverted.",
            "Alice does not like dogs.",
            "Alice collects stamps.",
        ] {
            let first = super::super::first_person("Alice", statement);
            for seed in 0..50 {
                let reply = contradicted(
                    "Alice",
                    statement,
                    "Tell me about it.",
                    &others(),
                    &mut ChaCha8Rng::seed_from_u64(seed),
                );
                assert!(
                    !reply.changed.is_empty() && !reply.text.contains(&first),
                    "{}",
                    reply.text
                );
                for range in &reply.changed {
                    assert!(
                        reply
                            .text
                            .get(range.clone())
                            .is_some_and(|word| !word.is_empty() && !word.contains(' ')),
                        "{}",
                        reply.text
                    );
                }
            }
        }
    }

    #[test]
    fn entailed_replies_keep_the_words_of_the_statement() {
        let own = content("I play the guitar.");
        for seed in 0..20 {
            let reply = entailed(
                "Alice",
                "Alice plays the guitar.",
                "Do you play the guitar?",
                &mut ChaCha8Rng::seed_from_u64(seed),
            );
            assert!(
                reply.changed.is_empty()
                    && own.iter().all(|word| content(&reply.text).contains(word)),
                "{}",
                reply.text
            );
        }
    }
}
