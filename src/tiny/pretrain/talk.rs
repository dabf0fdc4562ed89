//! Training examples for the Gemma from everyday talk: what retrieval would show of a persona, questions, and replies in the first person.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::forms::{Form, in_digits, joined, kept, plain};
use super::speakers::{Asked, Speaker};
use crate::persona::persona_prompt;

/// Statements in a prompt, as retrieval shows them.
const SHOWN: usize = 5;
/// The share of prompts with fewer statements.
const FEWER: f64 = 0.25;
/// Questions about other statements of the same prompt, at most.
const MORE_QUESTIONS: usize = 3;
/// The share of examples whose persona gets another name.
const RENAMED: f64 = 0.7;
/// The share of statements that are a piece of a page, kept as it stands.
const KEPT: f64 = 0.12;
/// The share of statements that are two in one sentence.
const JOINED: f64 = 0.12;

/// What is said where no statement in the prompt answers; the first ones more often.
const DECLINES: [(&str, usize); 12] = [
    ("I don't know about that.", 8),
    ("I don't know.", 4),
    ("I can't say.", 3),
    ("I don't know that.", 2),
    ("I couldn't say.", 2),
    ("I can't tell you that.", 1),
    ("I'm not sure about that.", 1),
    ("I have no idea.", 1),
    ("I'd rather not say.", 1),
    ("I don't know anything about that.", 1),
    ("I can't answer that.", 1),
    ("I don't know what to say to that.", 1),
];

/// A prompt and the reply to it.
pub(super) type Turn = (String, String);

/// Everyone who is asked in training.
#[derive(Clone, Debug)]
pub(super) struct Talk {
    speakers: Vec<Speaker>,
    /// All questions by the place of the speaker and of the question: natural ones that a statement answers, those of the rules, and
    /// those that nothing answers.
    natural: Vec<(usize, usize)>,
    by_rules: Vec<(usize, usize)>,
    open: Vec<(usize, usize)>,
}

impl Talk {
    pub(super) fn new(speakers: Vec<Speaker>) -> Self {
        let [mut natural, mut by_rules, mut open] = [const { Vec::new() }; 3];
        for (speaker_idx, speaker) in speakers.iter().enumerate() {
            for (place, asked) in speaker.questions.iter().enumerate() {
                match (asked.about, asked.is_by_rules) {
                    (None, _) => open.push((speaker_idx, place)),
                    (_, true) => by_rules.push((speaker_idx, place)),
                    _ => natural.push((speaker_idx, place)),
                }
            }
        }
        Self {
            speakers,
            natural,
            by_rules,
            open,
        }
    }

    /// Makes prompts of one persona, which differ in the question alone, with the reply to each.
    ///
    /// The statements are those that retrieval would show for the first question, in its order.
    pub(super) fn example(&self, rng: &mut ChaCha8Rng) -> Vec<Turn> {
        let pool = match rng.random_range(0..100) {
            0..9 if !self.open.is_empty() => &self.open,
            0..45 if !self.by_rules.is_empty() => &self.by_rules,
            _ => &self.natural,
        };
        let (speaker_idx, place) = pool[rng.random_range(0..pool.len())];
        let speaker = &self.speakers[speaker_idx];
        let first = &speaker.questions[place];
        let shown = shown(first, rng);
        let prompt = Prompt::new(speaker, self.new_name(rng), shown, rng);
        let mut turns = vec![prompt.turn(first, rng)];

        let mut others: Vec<usize> = prompt.shown.clone();
        others.retain(|idx| first.about != Some(*idx));
        others.shuffle(rng);
        let n_more = rng.random_range(2..=MORE_QUESTIONS);
        for idx in others.into_iter().take(n_more) {
            let about = match rng.random_bool(0.06) {
                // Something that the prompt does not tell.
                true => rng.random_range(0..speaker.statements.len()),
                false => idx,
            };
            let is_by_rules = rng.random_bool(0.55);
            let asked = speaker.questions.iter();
            let asked = asked.filter(|asked| asked.about == Some(about));
            let asked: Vec<&Asked> = asked.collect();
            let fitting = asked
                .iter()
                .filter(|asked| asked.is_by_rules == is_by_rules);
            let fitting: Vec<&&Asked> = fitting.collect();
            let Some(asked) = (match fitting.is_empty() {
                true => asked.first(),
                false => Some(fitting[rng.random_range(0..fitting.len())]),
            }) else {
                continue;
            };
            turns.push(prompt.turn(asked, rng));
        }
        turns
    }

    /// Another name for a persona, now and then of two words; none if it keeps its own.
    fn new_name(&self, rng: &mut ChaCha8Rng) -> Option<String> {
        if !rng.random_bool(RENAMED) {
            return None;
        }
        let mut name = || {
            self.speakers[rng.random_range(0..self.speakers.len())]
                .name
                .clone()
        };
        let (first, last) = (name(), name());
        Some(match rng.random_bool(0.1) && first != last {
            true => format!("{first} {last}"),
            false => first,
        })
    }
}

/// The indices of the statements that a prompt shows, in their order.
fn shown(first: &Asked, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let n_shown = match rng.random_bool(FEWER) {
        true => rng.random_range(1..SHOWN),
        false => SHOWN,
    };
    let mut shown = first.ranked.clone();
    // A judge knows the personas that it learnt from better than others.
    if let Some(about) = first.about
        && rng.random_bool(0.2)
    {
        shown.retain(|idx| *idx != about);
        shown.insert(rng.random_range(0..SHOWN.min(shown.len() + 1)), about);
    }
    shown.truncate(n_shown);
    if let Some(about) = first.about
        && !shown.contains(&about)
        && rng.random_bool(0.6)
        && let Some(last) = shown.last_mut()
    {
        *last = about;
    }
    shown
}

/// The statements of a prompt in the forms that they have in it.
struct Prompt {
    name: String,
    old_name: String,
    shown: Vec<usize>,
    forms: Vec<Form>,
}

impl Prompt {
    fn new(
        speaker: &Speaker,
        name: Option<String>,
        shown: Vec<usize>,
        rng: &mut ChaCha8Rng,
    ) -> Self {
        let old_name = speaker.name.clone();
        let name = name.unwrap_or_else(|| old_name.clone());
        let pronoun = speaker.pronoun;
        let n_statements = speaker.statements.len();
        let forms = shown
            .iter()
            .map(|&idx| {
                let own = |idx: usize, rng: &mut ChaCha8Rng| {
                    let statement = renamed(&speaker.statements[idx], &old_name, &name);
                    match rng.random_bool(0.5) {
                        true => in_digits(&statement, rng),
                        false => statement,
                    }
                };
                let statement = own(idx, rng);
                let other = rng.random_range(0..n_statements);
                if rng.random_bool(KEPT) {
                    kept(&name, pronoun, &statement, rng)
                } else if rng.random_bool(JOINED) && !shown.contains(&other) {
                    let other = own(other, rng);
                    let (first, second) = match rng.random_bool(0.5) {
                        true => (&statement, &other),
                        false => (&other, &statement),
                    };
                    joined(&name, pronoun, first, second, rng)
                } else {
                    plain(&name, &statement)
                }
            })
            .collect();
        Self {
            name,
            old_name,
            shown,
            forms,
        }
    }

    /// A prompt with a question, and the reply to it.
    fn turn(&self, asked: &Asked, rng: &mut ChaCha8Rng) -> Turn {
        let statements: Vec<&str> = self
            .forms
            .iter()
            .map(|form| form.statement.as_str())
            .collect();
        let question = renamed(&asked.text, &self.old_name, &self.name);
        let prompt = persona_prompt(&self.name, &statements, &question);
        let place = self.shown.iter().position(|idx| Some(*idx) == asked.about);
        let Some(place) = place else {
            return (prompt, decline(rng));
        };
        let form = &self.forms[place];
        let reply = match asked.opening {
            Some(opening) if form.is_sentence && rng.random_bool(0.7) => {
                format!("{opening} {}", inside(&form.reply))
            }
            _ => form.reply.clone(),
        };
        (prompt, reply)
    }
}

/// A sentence as it stands behind a "Yes,".
fn inside(sentence: &str) -> String {
    const SMALL: [&str; 12] = [
        "My ", "The ", "A ", "An ", "In ", "On ", "At ", "Our ", "When ", "Every ", "There ", "It ",
    ];
    match SMALL.iter().any(|word| sentence.starts_with(word)) {
        true => sentence[..1].to_lowercase() + &sentence[1..],
        false => sentence.to_string(),
    }
}

fn decline(rng: &mut ChaCha8Rng) -> String {
    let n: usize = DECLINES.iter().map(|(_, times)| times).sum();
    let mut drawn = rng.random_range(0..n);
    for (text, times) in DECLINES {
        if drawn < times {
            return text.to_string();
        }
        drawn -= times;
    }
    DECLINES[0].0.to_string()
}

/// A text with another name in place of the persona's own.
fn renamed(text: &str, old: &str, new: &str) -> String {
    if old.is_empty() || old == new {
        return text.to_string();
    }
    let mut out = String::new();
    let mut rest = text;
    while let Some(place) = rest.find(old) {
        let (before, after) = (&rest[..place], &rest[place + old.len()..]);
        let is_word =
            !before.ends_with(char::is_alphanumeric) && !after.starts_with(char::is_alphanumeric);
        out.push_str(before);
        out.push_str(if is_word { new } else { old });
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::super::corpus::Corpus;
    use super::super::examples::example_rng;
    use super::super::speakers::speakers;
    use super::*;
    use crate::files::Checkpoint;
    use crate::persona::{Judge, JudgeTask};
    use crate::progress::Job;
    use burn::tensor::Device;
    use std::path::Path;

    #[test]
    #[ignore = "prints"]
    fn scratch() {
        let corpus = Corpus::load(Path::new("models/corpus")).unwrap();
        let source = Checkpoint::folder("/tmp/w/jd/out/relevance").into();
        let judge = Judge::load(
            &source,
            JudgeTask::Relevance,
            &Device::flex().into(),
            &Job::default(),
        )
        .unwrap();
        let start = std::time::Instant::now();
        speakers(
            &corpus.learnt()[..3],
            1,
            &judge,
            Path::new("/tmp/w/hg/ranked3.json"),
            &Job::default(),
        )
        .unwrap();
        println!("three: {:?}", start.elapsed());
        let learnt = speakers(
            corpus.learnt(),
            1,
            &judge,
            Path::new("/tmp/w/hg/ranked.json"),
            &Job::default(),
        )
        .unwrap();
        println!(
            "{:?} {}",
            start.elapsed(),
            learnt.iter().map(|s| s.questions.len()).sum::<usize>()
        );
        let held = speakers(
            corpus.held_out(),
            1,
            &judge,
            Path::new("/tmp/w/hg/ranked_held.json"),
            &Job::default(),
        )
        .unwrap();
        for (name, set) in [("learnt", &learnt), ("held", &held)] {
            for rules in [false, true] {
                let mut at = [0; 11];
                let mut n = 0;
                for s in set {
                    for a in &s.questions {
                        if a.is_by_rules == rules
                            && let Some(about) = a.about
                        {
                            n += 1;
                            at[a.ranked.iter().position(|i| *i == about).unwrap_or(10)] += 1;
                        }
                    }
                }
                println!("{name} rules {rules}: {n} {at:?}");
            }
        }
        for s in learnt.iter().take(12) {
            for t in &s.statements {
                let r = crate::tiny::english::first_person(&s.name, t);
                if r.split(' ').any(|w| {
                    ["his", "her", "he", "she", "him", "himself", "herself"]
                        .contains(&w.trim_end_matches('.'))
                }) {
                    println!("FP {t} -> {r}");
                }
            }
        }
        let talk = Talk::new(learnt);
        for number in 0..40 {
            let turns = talk.example(&mut example_rng(5, number));
            println!("=== {}", turns[0].0.split("<end_of_turn>").next().unwrap());
            for (p, r) in turns {
                println!(
                    "  Q {}\n    -> {r}",
                    p.split("<start_of_turn>user\n")
                        .nth(1)
                        .unwrap()
                        .split('<')
                        .next()
                        .unwrap()
                );
            }
        }
    }
}
