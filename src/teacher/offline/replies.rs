//! What the character may answer: in line with a statement, against it, or beside it.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::clause::{self, Clause};
use super::judge;
use super::names::Names;
use super::phrases;
use super::questions::pick;
use super::swap::{self, Word};
use super::tokens::{Token, content};
use super::voice::{self, Person};
use super::{Label, Reply, verbs};

const OPENERS: &[&str] = &["Well,", "Oh,", "You know,", "To tell the truth,", "Of course,", "As you may know,", "Honestly,"];
const EVASIONS: &[&str] = &[
    "I would rather not talk about that", "that is a story for another day", "I have not thought much about it", "you would have to ask someone else", "let us speak of something else", "I could not say", "that is hard to put into words",
    "I keep such things to myself", "why do you want to know", "that is an interesting question", "I am not sure what to tell you", "there is not much to say about it", "I will leave that to your imagination", "I do not remember it well",
];
const EVASION_OPENERS: &[&str] = &["Hmm,", "Well,", "Ah,", "I am sorry, but", "Forgive me, but", "Oh,", "To be honest,"];
const EVASION_ENDS: &[&str] = &["", "", "", "Perhaps another time.", "What about you?", "Shall we talk about something else?", "Ask me again tomorrow.", "It is good of you to ask, though."];

/// The statement in the character's words, with its main clause.
struct Said {
    tokens: Vec<Token>,
    clause: Option<Clause>,
}

impl Said {
    fn of(character: &str, statement: &str) -> Self {
        let tokens = voice::to_person(&Names::new(character).tag(statement), Person::First);
        let clause = clause::parse(&tokens);
        Self { tokens, clause }
    }

    /// The main clause without side clauses, as often as not.
    fn shortened(&self, rng: &mut ChaCha8Rng) -> Self {
        let Some(clause) = &self.clause else { return Self { tokens: self.tokens.clone(), clause: None } };
        let end = phrases::short_end(&self.tokens, clause, 18);
        let mut tokens = self.tokens.clone();
        if end > clause.main + 1 && end < tokens.len() && rng.random_bool(0.6) {
            tokens.truncate(end);
            tokens.push(Token::new(".", false));
        }
        if clause.start > 3 && rng.random_bool(0.4) {
            tokens.drain(..clause.start);
            if let Some(first) = tokens.first_mut() {
                first.text = super::tokens::capitalized(&first.text);
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
pub(super) fn entailed(character: &str, statement: &str, question: &str, rng: &mut ChaCha8Rng) -> Reply {
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
pub(super) fn contradicted(character: &str, statement: &str, question: &str, others: &[String], rng: &mut ChaCha8Rng) -> Reply {
    let said = Said::of(character, statement);
    let negate = said.clause.as_ref().is_some_and(|clause| swap::can_negate(&said.tokens, clause)) && rng.random_bool(0.35);
    let short = said.shortened(rng);
    let mut swapped = None;
    let mut denies = said.is_negated();
    if !negate {
        swapped = swap::swapped(character, &short.tokens, short.clause.as_ref(), others, rng).or_else(|| swap::swapped(character, &said.tokens, said.clause.as_ref(), others, rng));
    }
    let words = match (swapped, &short.clause) {
        (Some(words), _) => words,
        (None, Some(clause)) => {
            denies = !denies;
            swap::negated(&short.tokens, clause, rng)
        }
        (None, None) => return denied(&short),
    };
    let opening = if asks_whether(statement, question) && rng.random_bool(0.7) {
        let agrees = if said.is_negated() { "Yes," } else { "No," };
        let _ = denies;
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
    let mut words: Vec<Word> = ["It", "is", "not", "true", "that"].iter().map(|text| Word { token: Token::new(text, true), changed: *text == "not" || *text == "true" }).collect();
    let mut rest = swap::words(&said.tokens);
    if let Some(first) = rest.first_mut() {
        first.token.space = true;
    }
    decapitalize(&mut rest);
    words.extend(rest);
    written(Opening::None, words)
}

/// See [`super::neutral`].
pub(super) fn neutral(character: &str, statement: &str, question: &str, others: &[String], rng: &mut ChaCha8Rng) -> Reply {
    let own: std::collections::HashSet<String> = content(statement).into_iter().collect();
    if !others.is_empty() && rng.random_bool(0.6) {
        for _ in 0..8 {
            let Some(other) = others.choose(rng) else { break };
            let words = content(other);
            let shared = words.iter().filter(|word| own.contains(*word)).count();
            if other == statement || words.is_empty() || shared * 4 > words.len() + 3 {
                continue;
            }
            let said = Said::of(character, other).shortened(rng);
            let opening = if rng.random_bool(0.25) { Opening::Agreeing(pick(&OPENERS[..5], rng)) } else { Opening::None };
            let reply = written(opening, swap::words(&said.tokens));
            if judge::label(character, statement, question, &reply.text) == Label::Neutral {
                return reply;
            }
        }
    }
    let mut text = pick(EVASIONS, rng).to_owned();
    if rng.random_bool(0.6) {
        text = format!("{} {text}", pick(EVASION_OPENERS, rng).replace("but", "but"));
    }
    let mark = if text.contains("why do you") { '?' } else { '.' };
    let mut text = format!("{}{mark}", super::tokens::capitalized(&text));
    let end = pick(EVASION_ENDS, rng);
    if !end.is_empty() {
        text = format!("{text} {end}");
    }
    Reply { text, changed: Vec::new() }
}

enum Opening {
    None,
    Agreeing(&'static str),
    Disagreeing(&'static str),
}

/// Writes the words as a reply and notes where the changed ones stand.
fn written(opening: Opening, mut words: Vec<Word>) -> Reply {
    let (text, changed) = match opening {
        Opening::None => ("", false),
        Opening::Agreeing(text) => (text, false),
        Opening::Disagreeing(text) => (text, true),
    };
    let mut reply = Reply { text: text.to_owned(), changed: Vec::new() };
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
        let shown = if start == 0 { super::tokens::capitalized(&word.token.text) } else { word.token.text.clone() };
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
        let plain = clause::is_determiner(&token.lower) || clause::is_intro_word(&token.lower) || super::tokens::is_stop(&token.lower) || verbs::is_adverb(&token.lower) || clause::is_adjective(&token.lower);
        if plain && !token.is("i") && !(followed && clause::is_adjective(&token.lower)) {
            let lower = token.lower.clone();
            token.text = lower;
        }
    }
}

/// Whether the question asks if the statement holds.
fn asks_whether(statement: &str, question: &str) -> bool {
    judge::is_yes_no(question) && {
        let own: std::collections::HashSet<String> = content(statement).into_iter().collect();
        let asked = content(question);
        asked.iter().filter(|word| own.contains(*word)).count() * 3 >= asked.len() * 2
    }
}

/// The statements other than this one, in a random order, a few only.
pub(super) fn some_others(statement: &str, others: &[String], n: usize, rng: &mut ChaCha8Rng) -> Vec<String> {
    let mut picked: Vec<String> = others.iter().filter(|other| *other != statement).cloned().collect();
    picked.shuffle(rng);
    picked.truncate(n);
    picked
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn others() -> Vec<String> {
        ["Alice lives in Paris.", "Alice's mother is a nurse.", "Alice was taught by Maria.", "Alice has a dog."].map(str::to_owned).to_vec()
    }

    #[test]
    fn contradictions_differ_in_the_marked_words() {
        for statement in ["Alice plays the guitar.", "Alice was born in Bonn in 1984.", "Alice is introverted.", "Alice does not like dogs.", "Alice collects stamps."] {
            let first = super::super::first_person("Alice", statement);
            for seed in 0..50 {
                let reply = contradicted("Alice", statement, "Tell me about it.", &others(), &mut ChaCha8Rng::seed_from_u64(seed));
                assert!(!reply.changed.is_empty() && !reply.text.contains(&first), "{}", reply.text);
                for range in &reply.changed {
                    assert!(reply.text.get(range.clone()).is_some_and(|word| !word.is_empty() && !word.contains(' ')), "{}", reply.text);
                }
            }
        }
    }

    #[test]
    fn entailed_replies_keep_the_words_of_the_statement() {
        let own = content("I play the guitar.");
        for seed in 0..20 {
            let reply = entailed("Alice", "Alice plays the guitar.", "Do you play the guitar?", &mut ChaCha8Rng::seed_from_u64(seed));
            assert!(reply.changed.is_empty() && own.iter().all(|word| content(&reply.text).contains(word)), "{}", reply.text);
        }
    }

    #[test]
    fn a_seed_gives_the_same_replies() {
        let reply = |seed| neutral("Alice", "Alice plays the guitar.", "What do you play?", &others(), &mut ChaCha8Rng::seed_from_u64(seed)).text;
        assert_eq!(reply(7), reply(7));
    }
}
