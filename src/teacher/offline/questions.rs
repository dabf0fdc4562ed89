//! Questions to the character whose answer is in a statement.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::clause::{self, Clause, Subject};
use super::names::{self, Names};
use super::phrases::{self, Kind};
use super::tokens::{Token, capitalized, join};
use super::verbs::{self, BASE, ING, PAST, THIRD};
use super::voice::{self, Person};

const OPEN: &[&str] = &["What can you tell me about {}?", "Tell me about {}.", "Can you tell me more about {}?", "Could you say something about {}?", "I would like to hear about {}."];
const GENERAL: &[&str] = &["What can you tell me about yourself?", "Tell me something about yourself.", "What should I know about you?", "Can you tell me more about your life?"];

/// See [`super::questions`].
pub(super) fn questions(character: &str, statement: &str, rng: &mut ChaCha8Rng) -> Vec<String> {
    let tokens = voice::to_person(&Names::new(character).tag(statement), Person::Second);
    let clause = clause::parse(&tokens);
    let mut asked = Vec::new();
    let mut open: Vec<String> = phrases::topics(&tokens, clause.as_ref());
    let mut direct = Vec::new();
    if let Some(clause) = &clause {
        let form = Form::of(&tokens, clause);
        direct = wh_questions(&tokens, clause, &form);
        asked.extend(yes_no(&tokens, clause, &form));
    }
    direct.dedup();
    if direct.len() > 1 && rng.random_bool(0.4) {
        let kept = rng.random_range(0..direct.len().min(3));
        direct.swap(0, kept);
    }
    if let Some(first) = direct.first_mut()
        && rng.random_bool(0.15)
        && !first.contains(character)
    {
        *first = format!("{}, {}?", first.trim_end_matches('?'), character.trim());
    }
    let mut chosen: Vec<String> = direct.iter().take(1).cloned().chain(asked).collect();
    if open.len() > 1 {
        let picked = rng.random_range(0..2);
        open.swap(0, picked);
    }
    let mut patterns = OPEN.to_vec();
    patterns.shuffle(rng);
    let again = open.iter().zip(&patterns[1..]);
    let open: Vec<String> = open.iter().zip(&patterns).chain(again).map(|(topic, pattern)| pattern.replace("{}", topic)).collect();
    let mut general = GENERAL.to_vec();
    general.shuffle(rng);
    let rest = open.into_iter().chain(direct.into_iter().skip(1)).chain(general.into_iter().map(str::to_owned));
    for question in rest {
        if chosen.len() == 3 {
            break;
        }
        if !chosen.contains(&question) {
            chosen.push(question);
        }
    }
    chosen
}

/// The clause taken apart for a question: auxiliary, subject, and what follows it.
struct Form {
    auxiliary: String,
    subject: String,
    adverbs: String,
    /// The verb as it stands after the subject: a base form or a participle.
    verb: String,
    copula: bool,
}

impl Form {
    fn of(tokens: &[Token], clause: &Clause) -> Self {
        let verb = &tokens[clause.verb];
        let subject = match clause.kind {
            Subject::Me => "you".to_owned(),
            _ => phrases::inner_text(tokens, clause.start..clause.subject_end),
        };
        let words = |range: std::ops::Range<usize>| -> Vec<&Token> { tokens[range].iter().filter(|token| !token.is_any(&["not", "never"])).collect() };
        let text = |words: Vec<&Token>| join(&words.into_iter().cloned().collect::<Vec<_>>());
        let before = if clause.subject_end <= clause.verb && tokens[clause.subject_end..clause.verb].iter().all(|token| verbs::is_adverb(&token.lower)) { text(words(clause.subject_end..clause.verb)) } else { String::new() };
        let copula = clause.main == clause.verb && verbs::is_be(&verb.lower);
        if copula {
            return Self { auxiliary: verb.lower.clone(), subject, adverbs: before, verb: String::new(), copula };
        }
        if clause.main != clause.verb {
            let middle = text(words(clause.verb + 1..clause.main + 1));
            return Self { auxiliary: verb.lower.replace("cannot", "can"), subject, adverbs: before, verb: middle, copula };
        }
        let forms = verbs::known(&verb.lower).map_or(0, |(_, forms)| forms);
        let past = forms & PAST != 0 && forms & (BASE | THIRD) == 0 || (forms == 0 && verbs::can_be(&verb.lower, PAST));
        let third = forms & THIRD != 0 || (forms == 0 && verb.lower.ends_with('s') && !past);
        let plural_you = clause.kind == Subject::Me;
        let auxiliary = match () {
            () if past => "did",
            () if third && !plural_you => "does",
            () => "do",
        };
        let base = if past || third { verbs::base(&verb.lower) } else { verb.lower.clone() };
        Self { auxiliary: auxiliary.to_owned(), subject, adverbs: before, verb: base, copula }
    }

    /// `<word> <auxiliary> <subject> <adverbs> <verb> <rest>?`
    fn ask(&self, word: &str, rest: &str) -> String {
        let parts = [word, &self.auxiliary, &self.subject, &self.adverbs, &self.verb, rest];
        let text = parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ");
        format!("{}?", capitalized(text.trim()))
    }
}

fn yes_no(tokens: &[Token], clause: &Clause, form: &Form) -> Option<String> {
    if tokens[clause.start].is_any(&["this", "these", "it", "there"]) {
        return None;
    }
    let end = phrases::short_end(tokens, clause, 14);
    let words: Vec<Token> = tokens[clause.main + 1..end.max(clause.main + 1)].iter().filter(|token| !(clause.negated && token.is_any(&["not", "never"]))).cloned().collect();
    let mut rest = join(&words);
    if let Some(lead) = lead(tokens, clause) {
        rest = format!("{rest} {lead}");
    }
    (!((form.copula || form.verb == "have") && rest.trim().is_empty())).then(|| form.ask("", rest.trim()))
}

/// A short phrase of time or place before the subject, to be put at the end.
fn lead(tokens: &[Token], clause: &Clause) -> Option<String> {
    let end = tokens[..clause.start].iter().rposition(Token::is_word)? + 1;
    let phrase = &tokens[..end];
    let fits = phrase.len() <= 5 && clause::is_preposition(&phrase[0].lower) && phrase[0].is_any(&["in", "on", "at", "from", "during", "after", "before", "since", "until"]) && !phrase.iter().any(|token| token.is(",") || (verbs::is_auxiliary(&token.lower) && !token.is_capital()) || token.is_any(&["that", "which", "this"]));
    fits.then(|| phrases::inner_text(tokens, 0..end))
}

fn wh_questions(tokens: &[Token], clause: &Clause, form: &Form) -> Vec<String> {
    let mut asked = Vec::new();
    if tokens[clause.start].is_any(&["this", "these", "it", "there", "those", "that"]) || clause.negated {
        return asked;
    }
    if clause.kind == Subject::Other {
        asked.extend(subject_question(tokens, clause));
        return asked;
    }
    if form.copula {
        copula_questions(tokens, clause, form, &mut asked);
    } else {
        verb_questions(tokens, clause, form, &mut asked);
    }
    adverbial_questions(tokens, clause, form, &mut asked);
    asked
}

/// `Who taught you composition?`
fn subject_question(tokens: &[Token], clause: &Clause) -> Option<String> {
    let person = names::person_gender(&tokens[clause.start..clause.subject_end]).is_some();
    let end = phrases::short_end(tokens, clause, 14);
    let mut predicate = tokens[clause.verb..end].to_vec();
    let copula = clause.main == clause.verb && verbs::is_be(&tokens[clause.verb].lower);
    if !predicate.iter().any(|token| token.me) || predicate.len() < 2 || copula && !person {
        return None;
    }
    let first = predicate.first_mut()?;
    let text = if verbs::is_be(&first.lower) && clause.plural || !verbs::is_be(&first.lower) { verbs::disagree(&first.lower) } else { first.lower.clone() };
    first.set(&text);
    Some(format!("{} {}?", if person { "Who" } else { "What" }, join(&predicate)))
}

fn copula_questions(tokens: &[Token], clause: &Clause, form: &Form, asked: &mut Vec<String>) {
    let complement = &tokens[clause.main + 1..];
    let be = &form.auxiliary;
    let subject = &form.subject;
    let skip = complement.iter().take_while(|token| verbs::is_adverb(&token.lower)).count();
    let Some(first) = complement.get(skip) else { return };
    let old = first.is_number() && complement.iter().take(skip + 4).any(|token| token.is("old"));
    if old {
        asked.push(format!("How old {be} {subject}?"));
        return;
    }
    let at = clause.main + 1 + skip;
    let adjective = clause::is_adjective(&first.lower) || (verbs::can_be(&first.lower, verbs::PARTICIPLE) && !first.is_capital());
    let noun = phrases::noun_phrase(tokens, at);
    let job = noun.as_ref().is_some_and(|noun| tokens[noun.clone()].iter().any(|token| names::is_job(&token.lower))) && clause::is_determiner(&first.lower);
    let past = matches!(be.as_str(), "was" | "were");
    if adjective && noun.is_none() {
        if let Some(preposition) = tokens.get(at + 1).filter(|next| clause::is_preposition(&next.lower) && !(next.is("to") && tokens.get(at + 2).is_some_and(|after| verbs::is_base(&after.lower))) && phrases::noun_phrase(tokens, at + 2).is_some()) {
            let person = phrases::kind_of(tokens, at + 1).is_some_and(|(kind, _)| kind == Kind::Person);
            asked.push(format!("{} {be} {subject} {} {}?", if person { "Who" } else { "What" }, first.lower, preposition.lower));
        }
        if complement.get(skip + 1).is_some_and(|next| clause::is_preposition(&next.lower) || next.is("to")) {
            return;
        }
        asked.push(format!("What {be} {subject} like?"));
        if clause.kind == Subject::Me && !past {
            asked.push("How would you describe yourself?".to_owned());
        }
        return;
    }
    let person = names::person_gender(&tokens[clause.start + 1..clause.subject_end.max(clause.start + 1)]).is_some();
    match clause.kind {
        Subject::Mine if person && job => {
            asked.push(format!("What {} {subject} do?", if past { "did" } else { "does" }));
            asked.push(format!("Who {be} {subject}?"));
        }
        Subject::Mine if person => asked.push(format!("Who {be} {subject}?")),
        Subject::Mine => asked.push(format!("What {be} {subject}?")),
        Subject::Me if job => asked.push(format!("What {} you do for a living?", if past { "did" } else { "do" })),
        Subject::Me if first.is("from") => asked.push(format!("Where {be} you from?")),
        Subject::Me if clause::is_determiner(&first.lower) && !past => asked.extend(["Who are you?".to_owned(), "How would you describe yourself?".to_owned()]),
        _ => {}
    }
}

fn verb_questions(tokens: &[Token], clause: &Clause, form: &Form, asked: &mut Vec<String>) {
    let at = clause.main + 1;
    let Some(next) = tokens.get(at) else { return };
    let passive = clause.main != clause.verb && tokens[clause.verb..clause.main].iter().any(|token| verbs::is_be(&token.lower) || token.is("been")) && !verbs::can_be(&tokens[clause.main].lower, ING);
    if next.is("to") && tokens.get(at + 1).is_some_and(|after| after.is("be")) {
        asked.push(form.ask("what", "to be"));
    } else if next.is("to") && !passive && tokens.get(at + 1).is_some_and(|after| verbs::is_base(&after.lower)) && !names::is_possessive(tokens, at + 1) {
        if !matches!(form.verb.as_str(), "go" | "come" | "use") {
            asked.push(form.ask("what", "to do"));
        }
    } else if next.is("that") && voice::says(&tokens[clause.main].lower) {
        asked.push(form.ask("what", ""));
    } else if verbs::can_be(&next.lower, ING) && matches!(verbs::base(&tokens[clause.main].lower).as_str(), "like" | "love" | "enjoy" | "hate" | "prefer" | "dislike" | "start" | "keep" | "stop") {
        asked.push(form.ask("what", "doing"));
    } else if next.is_number() || super::lexicon::is_numeral(&next.lower) {
        if let Some(object) = phrases::noun_phrase(tokens, at).filter(|object| object.len() > 1 && !passive && !tokens[object.clone()].iter().any(phrases::is_time)) {
            let counted = join(&tokens[object.start + 1..object.end]);
            asked.push(form.ask(&format!("how many {counted}"), ""));
        }
    } else if clause::is_preposition(&next.lower) {
        let infinitive = next.is("to") && tokens.get(at + 1).is_some_and(|after| verbs::is_base(&after.lower));
        if infinitive {
            asked.push(form.ask("what", "to do"));
        } else if let Some((kind, _)) = phrases::kind_of(tokens, at) {
            match kind {
                Kind::Person if next.is_any(&["by", "with", "to", "for", "about", "from", "of", "against", "like"]) => asked.push(form.ask("who", &next.lower)),
                Kind::Thing if !next.is_any(&["in", "at", "on", "by", "since", "during", "until", "after", "before", "without", "through", "per", "following", "along", "despite", "like", "of"]) => asked.push(form.ask("what", &next.lower)),
                _ => {}
            }
        }
    } else if !passive && let Some(object) = phrases::noun_phrase(tokens, at) {
        let has = matches!(form.verb.as_str(), "have" | "get" | "take" | "make" | "become" | "remain" | "use");
        let person = names::person_gender(&tokens[object.clone()]).is_some() && !has;
        let tail_end = phrases::short_end(tokens, clause, 12).max(object.end);
        if form.verb == "become" {
            asked.push(form.ask("what", ""));
        }
        let has = has && form.verb != "use";
        let preposition = tokens.get(object.end).is_some_and(|token| clause::is_preposition(&token.lower) && !token.is_any(&["for", "as", "with"]));
        let timed = phrases::kind_of(tokens, object.end.min(tokens.len() - 1)).is_some_and(|(kind, tail)| matches!(kind, Kind::Time | Kind::Place) && tail.len() <= 4);
        let tail = if preposition && timed { join(&tokens[object.end..tail_end]) } else { String::new() };
        if !has && form.verb != "become" && tail.split(' ').count() <= 7 {
            asked.push(form.ask(if person { "who" } else { "what" }, &tail));
        } else if form.verb == "have" && object.len() >= 2 {
            let head = tokens[object.clone()].iter().rev().find(|token| token.is_word());
            let described = tokens[object.clone()].iter().any(|token| clause::is_adjective(&token.lower)) && !tokens[object.clone()].iter().any(|token| token.is("of"));
            if let Some(head) = head.filter(|head| described && !clause::is_adjective(&head.lower)) {
                asked.push(form.ask(&format!("what kind of {}", head.text), ""));
            }
        }
    }
}

/// Where, when, why and by whom.
fn adverbial_questions(tokens: &[Token], clause: &Clause, form: &Form, asked: &mut Vec<String>) {
    let end = phrases::short_end(tokens, clause, 30);
    let Some(first) = (clause.main + 1..end).find(|&at| clause::is_preposition(&tokens[at].lower)) else { return };
    let object = join(&tokens[clause.main + 1..first]);
    let stated = if form.copula && !object.is_empty() && object.split(' ').count() > 6 { return } else { object };
    let mut at = first;
    let (mut place, mut time) = (false, false);
    while at < end {
        if clause::is_preposition(&tokens[at].lower)
            && let Some((kind, object)) = phrases::kind_of(tokens, at)
        {
            let adjacent = at == first || tokens[at - 1].is(",") || place || time;
            match kind {
                Kind::Place if !place && adjacent && !(form.copula && !stated.is_empty()) => {
                    let from = if tokens[at].is("from") { "from" } else { "" };
                    asked.push(form.ask("where", format!("{stated} {from}").trim()));
                    place = true;
                }
                Kind::Time if !time && !tokens[at].is_any(&["for", "over", "about"]) => {
                    let when = if tokens[object.clone()].iter().any(|token| token.is("age")) { "at what age" } else { "when" };
                    let present = matches!(form.auxiliary.as_str(), "do" | "does" | "is" | "are" | "have" | "has") && !tokens[object.clone()].iter().any(phrases::is_time);
                    let before = join(&tokens[clause.main + 1..at]);
                    if !present && before.split(' ').count() <= 8 {
                        asked.push(form.ask(when, before.trim_end_matches(',')));
                    }
                    time = true;
                }
                _ if tokens[at].is("by") && clause.main != clause.verb && names::person_gender(&tokens[object.clone()]).is_some() && at == first && tokens[clause.verb..clause.main].iter().any(|token| verbs::is_be(&token.lower)) => {
                    asked.push(form.ask("who", format!("{stated} by").trim()));
                }
                _ => {}
            }
            at = object.end;
        } else {
            at += 1;
        }
    }
    let because = tokens.iter().skip(clause.main).any(|token| token.is("because"));
    if because {
        let end = phrases::short_end(tokens, clause, 12);
        asked.insert(0, form.ask("why", &join(&tokens[clause.main + 1..end])));
    }
    if !time && let Some(lead) = lead(tokens, clause) && tokens[..clause.start].iter().any(phrases::is_time) && lead.len() < 40 && !tokens[..clause.start].iter().any(|token| token.is_any(&["during", "since"])) {
        let end = phrases::short_end(tokens, clause, 12);
        asked.push(form.ask("when", &join(&tokens[clause.main + 1..end])));
    }
}

/// A phrase chosen at random.
pub(super) fn pick<'a>(options: &[&'a str], rng: &mut ChaCha8Rng) -> &'a str {
    options.choose(rng).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn all(statement: &str) -> Vec<String> {
        let mut asked: Vec<String> = (0..40).flat_map(|seed| questions("Alice", statement, &mut ChaCha8Rng::seed_from_u64(seed))).map(|question| question.replace(", Alice?", "?")).collect();
        asked.sort();
        asked.dedup();
        asked
    }

    fn check(statement: &str, expected: &[&str]) {
        let asked = all(statement);
        for question in expected {
            assert!(asked.iter().any(|other| other == question), "{question} is not in {asked:#?}");
        }
    }

    #[test]
    fn questions_fit_the_statement() {
        check("Alice plays the guitar.", &["What do you play?", "Do you play the guitar?", "Tell me about the guitar."]);
        check("Alice was born in Bonn.", &["Where were you born?", "Were you born in Bonn?"]);
        check("Alice lives in Paris with her sister.", &["Where do you live?", "Do you live in Paris with your sister?"]);
        check("Alice is 26 years old.", &["How old are you?", "Are you 26 years old?"]);
        check("Alice's mother is a nurse.", &["Who is your mother?", "Is your mother a nurse?", "What can you tell me about your mother?"]);
        check("Alice has three cats.", &["How many cats do you have?", "Do you have three cats?"]);
        check("Bob taught Alice composition.", &["Who taught you composition?", "Did Bob teach you composition?"]);
        check("Alice wrote a novel in 1999.", &["When did you write a novel?", "Did you write a novel in 1999?"]);
        check("Alice wanted to be an astronaut.", &["What did you want to be?"]);
        check("Alice's favourite food is pizza.", &["What is your favourite food?", "Is your favourite food pizza?"]);
    }

    #[test]
    fn there_are_always_three_different_questions() {
        for statement in ["", "Alice.", "???", "Alice runs.", "What a day it was for Alice and everyone", "爱丽丝"] {
            for seed in 0..5 {
                let mut asked = questions("Alice", statement, &mut ChaCha8Rng::seed_from_u64(seed));
                asked.sort();
                asked.dedup();
                assert_eq!(asked.len(), 3, "{statement}");
            }
        }
    }
}
