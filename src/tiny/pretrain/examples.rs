//! Training examples from invented personas.

use std::ops::Range;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::garbled::{derailed, nonsense};
use super::unusual::unusual_statements;
use crate::Result;
use crate::persona::{JudgeInput, JudgeTemplate, Nli, Relevance};
use crate::text::Tokenizer;
use crate::tiny::Reply;
use crate::tiny::english;
use crate::tiny::invented::{self, Persona};
use crate::train::ClassifierExample;

/// A text to be judged, with the bytes that can agree or disagree.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeExample {
    /// The rendered text.
    pub text: String,
    /// The class.
    pub label: usize,
    /// The part of the text whose tokens agree or disagree with the statement, if they do either.
    pub compared: Option<Range<usize>>,
    /// The parts of it that disagree.
    pub changed: Vec<Range<usize>>,
}

/// The random numbers of one example, which depend on the seed and the example's number alone.
pub(super) fn example_rng(seed: u64, number: u64) -> ChaCha8Rng {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(number);
    rng
}

/// A question about a fact and the answer in the fact's own words.
fn question_and_answer(
    persona: &Persona,
    fact_idx: usize,
    rng: &mut ChaCha8Rng,
) -> (String, String) {
    let fact = &persona.facts[fact_idx];
    if rng.random_bool(0.35) {
        let name = persona.first_name();
        let questions = english::questions(name, &fact.statement, rng);
        if let Some(turn) = offline_turn(name, &fact.statement, &questions, rng) {
            return turn;
        }
    }
    persona_question(persona, fact_idx, rng)
}

/// One of the persona's own questions about a fact, with its answer.
fn persona_question(persona: &Persona, fact_idx: usize, rng: &mut ChaCha8Rng) -> (String, String) {
    let fact = &persona.facts[fact_idx];
    let question_idx = rng.random_range(0..fact.questions.len());
    (
        fact.questions[question_idx].clone(),
        fact.answer(question_idx),
    )
}

/// One of the offline teacher's questions about a statement, with its answer.
fn offline_turn(
    name: &str,
    statement: &str,
    questions: &[String],
    rng: &mut ChaCha8Rng,
) -> Option<(String, String)> {
    pick(questions, rng).map(|question| (question.clone(), english::first_person(name, statement)))
}

fn pick<'a, T>(items: &'a [T], rng: &mut ChaCha8Rng) -> Option<&'a T> {
    if items.is_empty() {
        None
    } else {
        Some(&items[rng.random_range(0..items.len())])
    }
}

/// A statement and a question that is about it or about another; half the time both in unusual words.
pub fn relevance_example(rng: &mut ChaCha8Rng) -> JudgeExample {
    const N_FACTS: usize = 8;
    let persona = invented::persona(N_FACTS, rng);
    let name = persona.first_name();
    let mut statements: Vec<String> = persona
        .facts
        .iter()
        .map(|fact| fact.statement.clone())
        .collect();
    let mut question = question_and_answer(&persona, 0, rng).0;
    if rng.random_bool(0.5) {
        let unusual = unusual_statements(&persona, N_FACTS, rng);
        if let Some(about) = pick(&english::questions(name, &unusual[0], rng), rng) {
            question.clone_from(about);
            statements = unusual;
        }
    }
    let mut others: Vec<&String> = persona.facts[1..]
        .iter()
        .zip(&statements[1..])
        .filter(|(fact, _)| fact.kind != persona.facts[0].kind)
        .map(|(_, statement)| statement)
        .collect();
    let (statement, label) = if rng.random_bool(0.5) || others.is_empty() {
        (&statements[0], Relevance::Yes)
    } else {
        if rng.random_bool(0.5) {
            // The hard ones: another statement that shares most words with the question.
            others.sort_by_key(|statement| std::cmp::Reverse(shared_words(statement, &question)));
            others.truncate(1);
        }
        (others[rng.random_range(0..others.len())], Relevance::No)
    };
    JudgeExample {
        text: JudgeTemplate::relevance().render(&JudgeInput {
            character: name,
            statement,
            query: &question,
            response: "",
        }),
        label: label as usize,
        compared: None,
        changed: Vec::new(),
    }
}

/// How many words of `question` are in `statement`.
fn shared_words(statement: &str, question: &str) -> usize {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| word.len() > 2)
            .map(str::to_lowercase)
            .collect()
    };
    let statement = words(statement);
    words(question)
        .iter()
        .filter(|word| statement.contains(word))
        .count()
}

/// The shares of contradicted, neutral and entailed replies in [`nli_example`].
pub(super) const NLI_SHARES: [f64; 3] = {
    let of_each_kind = 0.5 * 0.85 / 3.0;
    [of_each_kind, 0.5 + 0.5 * 0.15 + of_each_kind, of_each_kind]
};

/// A statement, a question about it or about something else, and a reply of one of the three kinds.
pub fn nli_example(rng: &mut ChaCha8Rng) -> JudgeExample {
    let persona = invented::persona(5, rng);
    let name = persona.first_name();
    let statement = &persona.facts[0].statement;
    let any = |rng: &mut ChaCha8Rng| {
        [Nli::Contradicted, Nli::Neutral, Nli::Entailed][rng.random_range(0..3)]
    };
    let others: Vec<usize> = (1..persona.facts.len())
        .filter(|&other| persona.facts[other].kind != persona.facts[0].kind)
        .collect();
    let (mut question, mut reply, label);
    let replies_to = |facts: &[usize], rng: &mut ChaCha8Rng| -> Vec<String> {
        facts
            .iter()
            .map(|&fact| question_and_reply(&persona, fact, any(rng), rng).1.text)
            .collect()
    };
    // In scoring nearly all replies answer a question about another statement.
    if rng.random_bool(0.5)
        && let Some(&other) = pick(&others, rng)
    {
        label = Nli::Neutral;
        let about_other = any(rng);
        (question, reply) = question_and_reply(&persona, other, about_other, rng);
        if rng.random_bool(0.35) {
            reply.text = derailed(&reply.text, &replies_to(&others, rng), rng);
        }
    } else if rng.random_bool(0.15) {
        label = Nli::Neutral;
        (question, reply) = question_and_reply(&persona, 0, Nli::Entailed, rng);
        reply.text = nonsense(&reply.text, &replies_to(&others, rng), rng);
    } else {
        label = any(rng);
        (question, reply) = question_and_reply(&persona, 0, label, rng);
        if label == Nli::Neutral && rng.random_bool(0.3) {
            question = question_and_answer(&persona, 1, rng).0;
        }
    }
    let text = reply.text.trim();
    let rendered = JudgeTemplate::nli().render(&JudgeInput {
        character: name,
        statement,
        query: &question,
        response: text,
    });
    let start = rendered.len() - text.len();
    let (compared, changed) = if label == Nli::Neutral {
        (None, Vec::new())
    } else {
        let moved = |range: Range<usize>| range.start + start..range.end + start;
        (
            Some(start..rendered.len()),
            reply.changed.into_iter().map(moved).collect(),
        )
    };
    JudgeExample {
        compared,
        changed,
        label: label as usize,
        text: rendered,
    }
}

/// A question about a fact and a reply of the given kind.
fn question_and_reply(
    persona: &Persona,
    fact_idx: usize,
    label: Nli,
    rng: &mut ChaCha8Rng,
) -> (String, Reply) {
    let fact = &persona.facts[fact_idx];
    if rng.random_bool(0.35) {
        let name = persona.first_name();
        let others: Vec<String> = persona
            .facts
            .iter()
            .enumerate()
            .filter(|(idx, _)| *idx != fact_idx)
            .map(|(_, fact)| fact.statement.clone())
            .collect();
        let questions = english::questions(name, &fact.statement, rng);
        let question = pick(&questions, rng).cloned().unwrap_or_default();
        let reply = match label {
            Nli::Contradicted => {
                english::contradicted(name, &fact.statement, &question, &others, rng)
            }
            Nli::Neutral => english::neutral(name, &fact.statement, &question, &others, rng),
            Nli::Entailed => english::entailed(name, &fact.statement, &question, rng),
        };
        (question, reply)
    } else {
        let question_idx = rng.random_range(0..fact.questions.len());
        let reply = match label {
            Nli::Contradicted => fact.contradicted(question_idx, rng),
            Nli::Neutral => invented::neutral(persona, fact_idx, question_idx, rng),
            Nli::Entailed => fact.entailed(question_idx, rng),
        };
        (fact.questions[question_idx].clone(), reply)
    }
}

impl JudgeExample {
    /// Brings the text into tokens.
    pub(super) fn encode(&self, tokenizer: &Tokenizer) -> Result<ClassifierExample> {
        let ids = tokenizer.encode(&self.text)?;
        let mut tokens = Vec::new();
        if let Some(compared) = &self.compared {
            let overlaps = |a: &Range<usize>, b: &Range<usize>| a.start < b.end && b.start < a.end;
            for (token_idx, (_, range)) in tokenizer
                .encode_with_offsets(&self.text)?
                .into_iter()
                .enumerate()
            {
                if overlaps(&range, compared) {
                    let disagrees = self.changed.iter().any(|changed| overlaps(&range, changed));
                    tokens.push((token_idx + 1, disagrees)); // behind [CLS]
                }
            }
        }
        Ok(ClassifierExample {
            text: ids.into(),
            label: self.label,
            tokens,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relevance_examples_are_of_both_labels_and_many_speak_in_words_no_list_has() {
        let (mut yes, mut invented) = (0, 0);
        for number in 0..400 {
            let example = relevance_example(&mut example_rng(6, number));
            yes += usize::from(example.label == Relevance::Yes as usize);
            invented += usize::from(["ation", "ology", "ivity", "ically"].iter().any(|end| {
                example.text.contains(&format!("{end} "))
                    || example.text.contains(&format!("{end}."))
            }));
        }
        assert!((160..240).contains(&yes), "{yes}");
        assert!(invented > 40, "{invented}");
    }

    #[test]
    fn nli_examples_have_the_shares_that_are_told() {
        let mut counts = [0.0; 3];
        for number in 0..2000 {
            counts[nli_example(&mut example_rng(9, number)).label] += 1.0 / 2000.0;
        }
        for (found, told) in counts.into_iter().zip(NLI_SHARES) {
            assert!((found - told).abs() < 0.03, "{counts:?}");
        }
    }
}
