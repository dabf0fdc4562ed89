//! Training examples for the Gemma from everyday talk: what retrieval would show of a persona, questions, and replies in the first person.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::forms::{
    Form, inside, joined, kept, plain, with_apposition, with_name, with_other_numbers,
};
use super::invented::invented_word;
use super::rare::RareWords;
use super::speakers::{Asked, Speaker};
use super::words::replaced;
use crate::persona::paper_prompt;

/// Statements in a prompt, at most.
const SHOWN: usize = 3;
/// The share of prompts with the first statement alone.
const ALONE: f64 = 0.3;
/// Of the prompts with several statements, the share with two; the rest have three.
const TWO: f64 = 0.4;
/// How often the statement that answers is moved to a random place. In training the judge puts it first nearly always, as it learnt from
/// these personas; on new pages it does not.
const DEMOTED: f64 = 0.25;
/// How often a further question is about the first statement, which answers most often; else it is about any of those shown.
const ABOUT_FIRST: f64 = 0.6;
/// How often the statement that answers takes the last place where it would not be among those shown.
const TOLD: f64 = 0.75;
/// The share of examples whose first question nothing answers.
const OPEN: f64 = 0.07;
/// The share of examples whose first question is by rules; the others have one of the corpus.
const BY_RULES: f64 = 0.38;
/// The share of further questions that are by rules.
const MORE_BY_RULES: f64 = 0.55;
/// The share of replies with `Yes,` or `No,` in front, where it is sure which of them fits.
const WITH_OPENING: f64 = 0.7;
/// The share of prompts with no statement, as where nothing on the page matters to a question.
const NOTHING: f64 = 0.04;
/// How often a question that nothing answers has a prompt with no statement. The relevance judge drops irrelevant statements already; a
/// small Gemma that learns to decline beside statements declines too often.
const NOTHING_ANSWERS: f64 = 0.7;
/// The share of further questions whose answer the prompt does not tell, where several statements stand in it.
const UNTOLD: f64 = 0.03;
/// Further questions to the same prompt, at most.
const MORE_QUESTIONS: usize = 3;
/// The share of examples whose persona gets another name.
const RENAMED: f64 = 0.85;
/// The share of these names that are invented.
const INVENTED: f64 = 0.65;
/// The share of statements that are a piece of a page, kept as it stands.
const KEPT: f64 = 0.45;
/// The share of statements with something between the name and the verb.
const WITH_APPOSITION: f64 = 0.06;
/// The share of statements about a relative or an animal of the persona that get a name for it.
const NAMED: f64 = 0.3;
/// The share of invented names that are made to begin with `I`, so that the model learns to tell such a name from the pronoun.
const WITH_I: f64 = 0.08;
/// The share of joined statements that say the name again in place of a pronoun.
const UNKNOWN_PRONOUN: f64 = 0.3;
/// The share of statements that are two or three in one sentence, which may be a piece, too.
const JOINED: f64 = 0.17;

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
    rare: RareWords,
    /// All questions by the place of the speaker and of the question: natural ones that a statement answers, those of the rules, and
    /// those that nothing answers.
    natural: Vec<(usize, usize)>,
    by_rules: Vec<(usize, usize)>,
    open: Vec<(usize, usize)>,
}

impl Talk {
    pub(super) fn new(speakers: Vec<Speaker>, rare: RareWords) -> Self {
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
            rare,
            natural,
            by_rules,
            open,
        }
    }

    /// Makes prompts of one persona, which differ in the question alone, with the reply to each.
    ///
    /// The statements are those that retrieval would show for the first question, in its order.
    pub(super) fn example(&self, rng: &mut ChaCha8Rng) -> Vec<Turn> {
        let pool = match rng.random_range(0.0..1.0) {
            share if share < OPEN && !self.open.is_empty() => &self.open,
            share if share < OPEN + BY_RULES && !self.by_rules.is_empty() => &self.by_rules,
            _ => &self.natural,
        };
        let (speaker_idx, place) = pool[rng.random_range(0..pool.len())];
        let speaker = &self.speakers[speaker_idx];
        let first = &speaker.questions[place];
        let shown = shown(first, rng);
        let prompt = Prompt::new(speaker, self.new_name(rng), shown, rng);
        let mut turns = vec![prompt.turn(first, rng)];

        let mut texts = vec![first.text.as_str()];
        let untold = if prompt.shown.len() == 1 { 0.0 } else { UNTOLD };
        for _ in 0..rng.random_range(2..=MORE_QUESTIONS) {
            let idx = match prompt.shown[..] {
                [] => break,
                [top, ..] if rng.random_bool(ABOUT_FIRST) => top,
                _ => prompt.shown[rng.random_range(0..prompt.shown.len())],
            };
            let about = match rng.random_bool(untold) {
                // Something that the prompt does not tell.
                true => rng.random_range(0..speaker.statements.len()),
                false => idx,
            };
            let is_by_rules = rng.random_bool(MORE_BY_RULES);
            let asked = speaker.questions.iter();
            let asked = asked.filter(|asked| {
                asked.about == Some(about) && !texts.contains(&asked.text.as_str())
            });
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
            texts.push(&asked.text);
            turns.push(prompt.turn(asked, rng));
        }
        self.rare.replace(&mut turns, &prompt.name, rng);
        turns
    }

    /// Another name for a persona, now and then of two words, most often one that nobody has; none if it keeps its own.
    fn new_name(&self, rng: &mut ChaCha8Rng) -> Option<String> {
        if !rng.random_bool(RENAMED) {
            return None;
        }
        let mut name = || match rng.random_bool(INVENTED) {
            true if rng.random_bool(WITH_I) => format!("I{}", invented_word(false, rng)),
            true => invented_word(true, rng),
            false => {
                let speaker = rng.random_range(0..self.speakers.len());
                self.speakers[speaker].name.clone()
            }
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
    let nothing = match first.about {
        Some(_) => NOTHING,
        None => NOTHING_ANSWERS,
    };
    if rng.random_bool(nothing) {
        return Vec::new();
    }
    let is_alone = rng.random_bool(ALONE);
    let n_shown = match is_alone {
        true => 1,
        false if rng.random_bool(TWO) => 2,
        false => SHOWN,
    };
    let mut shown = first.ranked.clone();
    if let Some(about) = first.about
        && rng.random_bool(DEMOTED)
    {
        shown.retain(|idx| *idx != about);
        shown.insert(rng.random_range(0..SHOWN.min(shown.len() + 1)), about);
    }
    shown.truncate(n_shown);
    if let Some(about) = first.about
        && !shown.contains(&about)
        && (is_alone || rng.random_bool(TOLD))
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
                        true => with_other_numbers(&statement, rng),
                        false => statement,
                    }
                };
                let statement = own(idx, rng);
                let n_joined = rng.random_range(2..=3);
                let mut idxs: Vec<usize> = (0..n_statements).collect();
                idxs.retain(|idx| !shown.contains(idx));
                idxs.shuffle(rng);
                idxs.truncate(n_joined - 1);
                let said = match rng.random_bool(JOINED) {
                    true => {
                        let mut all: Vec<String> =
                            idxs.into_iter().map(|idx| own(idx, rng)).collect();
                        all.insert(rng.random_range(0..=all.len()), statement);
                        // Pages in the first person do not tell whether the persona is a he or a she.
                        let pronoun = pronoun.filter(|_| !rng.random_bool(UNKNOWN_PRONOUN));
                        joined(&name, pronoun, &all, rng)
                    }
                    false => plain(&name, &statement),
                };
                let said = match rng.random_bool(NAMED) && !said.is_joined {
                    true => with_name(&name, said, rng),
                    false => said,
                };
                match rng.random_range(0.0..1.0) {
                    share if share < KEPT => kept(&name, pronoun, said, rng),
                    share if share < KEPT + WITH_APPOSITION => with_apposition(&name, said, rng),
                    _ => said,
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
        let prompt = paper_prompt(&self.name, &statements, &question);
        let place = self.shown.iter().position(|idx| Some(*idx) == asked.about);
        let Some(place) = place else {
            return (prompt, decline(rng));
        };
        let form = &self.forms[place];
        let reply = match asked.opening {
            Some(opening) if form.is_sentence && rng.random_bool(WITH_OPENING) => {
                format!("{opening} {}", inside(&form.reply))
            }
            _ => form.reply.clone(),
        };
        (prompt, reply)
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
    match old.is_empty() {
        true => text.to_string(),
        false => replaced(text, old, new),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::corpus::Corpus;
    use super::super::corpus::tests::small_corpus;
    use super::super::recipe::example_rng;
    use super::super::speakers::tests::unranked;
    use super::*;
    use crate::persona::declines;

    /// Talk of a small corpus, with statements in the order of their lines.
    pub(in crate::tiny::pretrain) fn small_talk() -> Talk {
        let folder = small_corpus(6);
        let corpus = Corpus::load(folder.path()).unwrap();
        Talk::new(unranked(corpus.learnt()), RareWords::default())
    }

    #[test]
    fn replies_are_what_a_shown_statement_says_in_the_first_person_or_decline() {
        let talk = small_talk();
        let (mut said, mut declined) = (0, 0);
        for number in 0..200 {
            let turns = talk.example(&mut example_rng(3, number));
            let statements = |prompt: &str| prompt.split("Reply as").next().unwrap().to_string();
            for (prompt, reply) in &turns {
                assert_eq!(statements(prompt), statements(&turns[0].0));
                if DECLINES.iter().any(|(text, _)| text == reply) {
                    declined += 1;
                    continue;
                }
                said += 1;
                let last = reply.split(' ').next_back().unwrap().to_lowercase();
                assert!(prompt.to_lowercase().contains(&last), "{prompt} {reply}");
                assert!(
                    !reply.contains("Persona") && !reply.contains('–'),
                    "{reply}"
                );
            }
        }
        assert!(said > 250 && declined > 5, "{said}, {declined}");
    }

    #[test]
    fn a_statement_that_is_not_shown_is_not_known() {
        let asked = |about| Asked {
            text: "What now?".into(),
            about,
            opening: Some("Yes,"),
            is_by_rules: false,
            ranked: Vec::new(),
        };
        let prompt = Prompt {
            name: "Mira".into(),
            old_name: "Ada".into(),
            shown: vec![4, 7],
            forms: ["Mira sings.", "Mira has a boat."]
                .map(|text| plain("Mira", text))
                .to_vec(),
        };
        let mut replies = std::collections::BTreeSet::new();
        for number in 0..20 {
            replies.insert(prompt.turn(&asked(Some(7)), &mut example_rng(1, number)).1);
            let (_, declined) = prompt.turn(&asked(Some(5)), &mut example_rng(1, number));
            assert!(DECLINES.iter().any(|(text, _)| *text == declined));
        }
        let replies: Vec<String> = replies.into_iter().collect();
        assert_eq!(replies, ["I have a boat.", "Yes, I have a boat."]);
    }

    #[test]
    fn what_is_learnt_for_where_nothing_answers_counts_as_declined() {
        for (text, _) in DECLINES {
            assert!(declines(text), "{text}");
        }
    }

    #[test]
    fn another_name_stands_where_the_name_was_a_word() {
        assert_eq!(
            renamed("Nil's boat, Nil? Nile.", "Nil", "Ada"),
            "Ada's boat, Ada? Nile."
        );
        assert_eq!(inside("My boat is red."), "my boat is red.");
        assert_eq!(inside("I have a boat."), "I have a boat.");
        assert_eq!(inside("Anna has it."), "Anna has it.");
    }
}
