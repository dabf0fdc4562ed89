//! The personas of the corpus as those who are asked: their questions, what answers each, and what retrieval would show.

use std::collections::BTreeMap;
use std::path::Path;

use rand_chacha::ChaCha8Rng;

use super::corpus::{self, Line};
use super::recipe::example_rng;
use crate::Result;
use crate::files;
use crate::persona::{Judge, Persona};
use crate::progress::Job;
use crate::tiny::english;

/// Statements whose order is kept for each question.
const KEPT: usize = 10;
/// Parts of a persona's statements that are ranked apart.
const HALVES: usize = 2;
/// How often the rules are asked for questions about a statement, which are three or fewer each time.
const ROUNDS: usize = 2;

/// A persona that is asked.
#[derive(Clone, Debug)]
pub(super) struct Speaker {
    pub(super) name: String,
    /// "he", "she" or "they"; none if the statements do not tell.
    pub(super) pronoun: Option<&'static str>,
    pub(super) statements: Vec<String>,
    pub(super) questions: Vec<Asked>,
}

/// A question to a persona.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) text: String,
    /// The index of the statement that answers, if there is one.
    pub(super) about: Option<usize>,
    /// "Yes," or "No,", where it is sure which of them the answer may begin with.
    pub(super) opening: Option<&'static str>,
    /// Whether rules wrote it, as they do in the main job.
    pub(super) is_by_rules: bool,
    /// The indices of the most relevant statements, in the judge's order.
    pub(super) ranked: Vec<usize>,
}

impl Speaker {
    /// Collects the questions about a persona, in the order of its lines.
    fn of(persona: &corpus::Persona, rng: &mut ChaCha8Rng) -> Self {
        let name = persona.name().to_string();
        let mut statements: Vec<String> = Vec::new();
        let mut questions = Vec::new();
        for line in &persona.lines {
            let about = line.is_about_something().then_some(statements.len());
            for (place, text) in line.questions.iter().enumerate() {
                questions.push(Asked {
                    text: text.clone(),
                    about,
                    opening: about.and_then(|_| natural_opening(line, place)),
                    is_by_rules: false,
                    ranked: Vec::new(),
                });
            }
            if about.is_none() {
                continue;
            }
            let statement = &line.statement;
            let mut texts = Vec::new();
            for _ in 0..ROUNDS {
                texts.extend(english::questions(&name, statement, rng));
            }
            texts.sort();
            texts.dedup();
            questions.extend(texts.into_iter().map(|text| Asked {
                opening: english::yes_or_no(&name, statement, &text),
                text,
                about,
                is_by_rules: true,
                ranked: Vec::new(),
            }));
            statements.push(statement.clone());
        }
        Self {
            pronoun: pronoun(&statements),
            name,
            statements,
            questions,
        }
    }

    /// Puts the statements in the judge's order for every question.
    ///
    /// A question is ranked against every other statement alone, as if the page were half as long, which takes half the time. A
    /// question by rules shares its words with its statement, so that judges put this first; the rest is as for the statement's natural
    /// question.
    fn rank(&mut self, judge: &Judge, job: &Job) -> Result<()> {
        for half in 0..HALVES {
            let idxs: Vec<usize> = (half..self.statements.len()).step_by(HALVES).collect();
            let own = idxs.iter().map(|&idx| self.statements[idx].as_str());
            let persona = Persona::new(&self.name, own);
            let of_half = |(place, asked): &(usize, &Asked)| {
                !asked.is_by_rules && asked.about.unwrap_or(*place) % HALVES == half
            };
            let asked = self.questions.iter().enumerate();
            let places: Vec<usize> = asked.filter(of_half).map(|(place, _)| place).collect();
            if idxs.is_empty() || places.is_empty() {
                continue;
            }
            let texts = places
                .iter()
                .map(|&place| self.questions[place].text.clone());
            let table = judge.relevance(&persona, &texts.collect::<Vec<_>>(), job)?;
            for (row, &place) in places.iter().enumerate() {
                let ranked = table.retrieve(row, KEPT);
                self.questions[place].ranked = ranked.into_iter().map(|idx| idxs[idx]).collect();
            }
        }
        Ok(())
    }

    /// Gives questions by rules the order of their statement's natural question, behind the statement.
    fn rank_by_rules(&mut self) {
        let mut natural: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for asked in &mut self.questions {
            let Some(about) = asked.about else {
                continue;
            };
            if !asked.is_by_rules {
                natural.insert(about, asked.ranked.clone());
            } else if let Some(others) = natural.get(&about) {
                asked.ranked = vec![about];
                asked
                    .ranked
                    .extend(others.iter().filter(|idx| **idx != about));
            }
        }
    }
}

/// Returns speakers whose statements a relevance judge has ranked for every question; the orders are kept in a file, so
/// that a run that goes on need not judge again.
pub(super) fn speakers(
    personas: &[corpus::Persona],
    seed: u64,
    judge: &Judge,
    kept: &Path,
    job: &Job,
) -> Result<Vec<Speaker>> {
    let speakers = personas.iter().zip(0..);
    let mut speakers: Vec<Speaker> = speakers
        .map(|(persona, number)| Speaker::of(persona, &mut example_rng(seed, number)))
        .collect();
    if kept.is_file() {
        let orders: Vec<Vec<Vec<usize>>> = files::read_json(kept)?;
        for (speaker, orders) in speakers.iter_mut().zip(orders) {
            for (asked, ranked) in speaker.questions.iter_mut().zip(orders) {
                asked.ranked = ranked;
            }
            speaker.rank_by_rules();
        }
        return Ok(speakers);
    }
    let task = job.progress.task("ranking", speakers.len(), "personas");
    let quiet = job.quiet();
    for speaker in &mut speakers {
        speaker.rank(judge, &quiet)?;
        speaker.rank_by_rules();
        task.advance(1);
    }
    let orders: Vec<Vec<&Vec<usize>>> = speakers
        .iter()
        .map(|speaker| {
            speaker
                .questions
                .iter()
                .map(|asked| &asked.ranked)
                .collect()
        })
        .collect();
    files::write_json(kept, &orders)?;
    Ok(speakers)
}

/// Returns "Yes," or "No," if the corpus' own reply begins with such a word.
fn natural_opening(line: &Line, place: usize) -> Option<&'static str> {
    /// Words that begin questions to which no is an answer.
    const WHETHER: &str = "do does did are is was were am have has had can could will would shall should may might must \
                           isn't aren't don't didn't haven't won't wouldn't ever any got fancy need want";
    let is_in = |word: &str, words: &str| words.split_whitespace().any(|other| other == word);
    let first = |text: &str| -> (String, bool) {
        let word = text.split_whitespace().next().unwrap_or_default();
        let bare = word.trim_end_matches([',', '.', '!', '?', ';']);
        (bare.to_lowercase(), bare.len() < word.len())
    };
    let asks_whether = is_in(&first(line.question(place)).0, WHETHER);
    let (word, is_alone) = first(line.entailed.get(place)?);
    if is_in(&word, "yes yep yeah aye") {
        return Some("Yes,");
    }
    let denies = is_alone && is_in(&word, "no nope nah never") || is_in(&word, "nope nah");
    (denies && asks_whether).then_some("No,")
}

/// Returns the pronoun that most statements use.
fn pronoun(statements: &[String]) -> Option<&'static str> {
    let count = |forms: &[&str]| {
        let words = statements.iter().flat_map(|statement| statement.split(' '));
        let words = words.map(|word| word.trim_matches(|c: char| !c.is_alphabetic()));
        words.filter(|word| forms.contains(word)).count()
    };
    let counts = [
        ("he", count(&["he", "him", "his", "himself"])),
        ("she", count(&["she", "her", "hers", "herself"])),
        ("they", count(&["they", "them", "their", "themself"])),
    ];
    let most = counts.into_iter().max_by_key(|(_, count)| *count)?;
    (most.1 > 0).then_some(most.0)
}

/// Returns the possessive of a pronoun.
pub(super) fn possessive(pronoun: &str) -> &'static str {
    match pronoun {
        "he" => "his",
        "she" => "her",
        _ => "their",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::corpus::Corpus;
    use super::super::corpus::tests::small_corpus;
    use super::*;
    use crate::files::Checkpoint;
    use crate::persona::JudgeTask;
    use burn::tensor::Device;

    /// Speakers whose statements stay in the order of their lines.
    pub(in crate::tiny::pretrain) fn unranked(personas: &[corpus::Persona]) -> Vec<Speaker> {
        let mut speakers: Vec<Speaker> = personas
            .iter()
            .map(|persona| Speaker::of(persona, &mut example_rng(1, 0)))
            .collect();
        for speaker in &mut speakers {
            let n_statements = speaker.statements.len();
            for asked in &mut speaker.questions {
                asked.ranked = (0..n_statements).collect();
            }
        }
        speakers
    }

    #[test]
    fn a_speaker_is_asked_by_the_corpus_and_by_rules_and_all_is_ranked() {
        let folder = small_corpus(4);
        let corpus = Corpus::load(folder.path()).unwrap();
        let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/tiny/relevance");
        let (source, device) = (Checkpoint::folder(tiny).into(), Device::flex());
        let job = Job::default();
        let judge = Judge::load(&source, JudgeTask::Relevance, &device.into(), &job).unwrap();
        let kept = folder.path().join("ranked.json");
        let made = || speakers(corpus.learnt(), 1, &judge, &kept, &job).unwrap();
        let (first, again) = (made(), made());
        assert_eq!(first.len(), 3);
        for (speaker, again) in first.iter().zip(&again) {
            let natural = speaker.questions.iter().filter(|asked| !asked.is_by_rules);
            assert_eq!(natural.count(), 5);
            assert!(speaker.questions.len() > 8);
            for (asked, again) in speaker.questions.iter().zip(&again.questions) {
                assert_eq!(asked.ranked, again.ranked);
                assert!(
                    asked
                        .about
                        .is_none_or(|about| asked.ranked.contains(&about))
                );
                let is_first = asked.ranked.first() == asked.about.as_ref();
                assert!(is_first || !asked.is_by_rules);
            }
        }
    }

    #[test]
    fn the_corpus_own_reply_tells_whether_it_is_yes_or_no() {
        let opening = |question: &str, reply: &str| {
            let json = serde_json::json!({"s": "Ada sings.", "q": [question], "e": [reply]});
            natural_opening(&serde_json::from_value(json).unwrap(), 0)
        };
        assert_eq!(opening("Do you sing?", "Yes, daily."), Some("Yes,"));
        assert_eq!(opening("Do you sing?", "Nope. Never did."), Some("No,"));
        assert_eq!(opening("Do you sing?", "No one asked me to stop."), None);
        assert_eq!(opening("What do you sing?", "No, no arias."), None);
        assert_eq!(opening("Do you sing?", "Arias, mostly."), None);
    }

    #[test]
    fn the_pronoun_is_the_one_that_most_statements_use() {
        let pronoun = |text: &str| pronoun(&[text.to_string()]);
        assert_eq!(
            pronoun("Ada loves her boat, which he hates, and herself."),
            Some("she")
        );
        assert_eq!(pronoun("Ada sings."), None);
    }
}
