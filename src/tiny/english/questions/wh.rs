//! Questions that begin with what, who, where, when, how or why.

use std::ops::Range;

use super::form::{Form, lead};
use crate::tiny::english::clause::phrases::{self, Kind};
use crate::tiny::english::clause::possessive::is_possessive;
use crate::tiny::english::clause::voice;
use crate::tiny::english::clause::{Clause, Subject};
use crate::tiny::english::words::grammar;
use crate::tiny::english::words::lexicon;
use crate::tiny::english::words::people;
use crate::tiny::english::words::tokens::{Token, join};
use crate::tiny::english::words::verbs::{self, ING};

pub(crate) fn wh_questions(tokens: &[Token], clause: &Clause, form: &Form) -> Vec<String> {
    let mut asked = Vec::new();
    if tokens[clause.start].is_any(&["this", "these", "it", "there", "those", "that"])
        || clause.negated
    {
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
    let group = tokens[clause.start..clause.subject_end]
        .iter()
        .any(|token| token.is_in("crew family team people band group neighbours fans"));
    let person =
        group || people::person_gender(&tokens[clause.start..clause.subject_end]).is_some();
    let end = phrases::short_end(tokens, clause, 14);
    let mut predicate = tokens[clause.verb..end].to_vec();
    let copula = clause.main == clause.verb && verbs::is_be(&tokens[clause.verb].lower);
    if !predicate.iter().any(|token| token.me) || predicate.len() < 2 || copula && !person {
        return None;
    }
    let first = predicate.first_mut()?;
    let text = if verbs::is_be(&first.lower) && clause.plural || !verbs::is_be(&first.lower) {
        verbs::disagree(&first.lower)
    } else {
        first.lower.clone()
    };
    first.set(&text);
    Some(format!(
        "{} {}?",
        if person { "Who" } else { "What" },
        join(&predicate)
    ))
}

fn copula_questions(tokens: &[Token], clause: &Clause, form: &Form, asked: &mut Vec<String>) {
    let complement = &tokens[clause.main + 1..];
    let be = &form.auxiliary;
    let subject = &form.subject;
    let skip = complement
        .iter()
        .take_while(|token| verbs::is_adverb(&token.lower))
        .count();
    let Some(first) = complement.get(skip) else {
        return;
    };
    let old = first.is_number()
        && complement
            .iter()
            .take(skip + 4)
            .any(|token| token.is("old"));
    if old {
        asked.push(format!("How old {be} {subject}?"));
        return;
    }
    let at = clause.main + 1 + skip;
    let adjective = grammar::is_adjective(&first.lower)
        || (verbs::can_be(&first.lower, verbs::PARTICIPLE) && !first.is_capital());
    let noun = phrases::noun_phrase(tokens, at);
    let job = noun.as_ref().is_some_and(|noun| {
        tokens[noun.clone()]
            .iter()
            .any(|token| people::is_job(&token.lower))
    }) && grammar::is_determiner(&first.lower);
    let past = matches!(be.as_str(), "was" | "were");
    if adjective && noun.is_none() {
        quality_questions(tokens, clause, form, at, asked);
        return;
    }
    let person =
        people::person_gender(&tokens[clause.start + 1..clause.subject_end.max(clause.start + 1)])
            .is_some();
    match clause.kind {
        Subject::Mine if person && job => {
            asked.push(format!(
                "What {} {subject} do?",
                if past { "did" } else { "does" }
            ));
            asked.push(format!("Who {be} {subject}?"));
        }
        Subject::Mine if person => asked.push(format!("Who {be} {subject}?")),
        Subject::Mine => asked.push(format!("What {be} {subject}?")),
        Subject::Me if job => asked.push(format!(
            "What {} you do for a living?",
            if past { "did" } else { "do" }
        )),
        Subject::Me if first.is("from") => asked.push(format!("Where {be} you from?")),
        Subject::Me if grammar::is_determiner(&first.lower) && !past => asked.extend([
            "Who are you?".to_owned(),
            "How would you describe yourself?".to_owned(),
        ]),
        _ => {}
    }
}

/// `What are you afraid of?`, `What are you like?`: the questions for an adjective at `at`.
fn quality_questions(
    tokens: &[Token],
    clause: &Clause,
    form: &Form,
    at: usize,
    asked: &mut Vec<String>,
) {
    let be = &form.auxiliary;
    let subject = &form.subject;
    if let Some(preposition) = tokens.get(at + 1).filter(|next| {
        grammar::is_preposition(&next.lower)
            && !(next.is("to")
                && tokens
                    .get(at + 2)
                    .is_some_and(|after| verbs::is_base(&after.lower)))
            && phrases::noun_phrase(tokens, at + 2).is_some()
    }) {
        let person = phrases::kind_of(tokens, at + 1).is_some_and(|(kind, _)| kind == Kind::Person);
        asked.push(format!(
            "{} {be} {subject} {} {}?",
            if person { "Who" } else { "What" },
            tokens[at].lower,
            preposition.lower
        ));
    }
    if tokens
        .get(at + 1)
        .is_some_and(|next| grammar::is_preposition(&next.lower) || next.is("to"))
    {
        return;
    }
    asked.push(format!("What {be} {subject} like?"));
    if clause.kind == Subject::Me && !matches!(be.as_str(), "was" | "were") {
        asked.push("How would you describe yourself?".to_owned());
    }
}

fn verb_questions(tokens: &[Token], clause: &Clause, form: &Form, asked: &mut Vec<String>) {
    let at = clause.main + 1;
    let Some(next) = tokens.get(at) else { return };
    let passive = clause.main != clause.verb
        && tokens[clause.verb..clause.main]
            .iter()
            .any(|token| verbs::is_be(&token.lower) || token.is("been"))
        && !verbs::can_be(&tokens[clause.main].lower, ING);
    if next.is("to") && tokens.get(at + 1).is_some_and(|after| after.is("be")) {
        asked.push(form.ask("what", "to be"));
    } else if next.is("to")
        && !passive
        && tokens
            .get(at + 1)
            .is_some_and(|after| verbs::is_base(&after.lower))
        && !is_possessive(tokens, at + 1)
    {
        if !matches!(form.verb.as_str(), "go" | "come" | "use") {
            asked.push(form.ask("what", "to do"));
        }
    } else if next.is("that") && voice::says(&tokens[clause.main].lower) {
        asked.push(form.ask("what", ""));
    } else if verbs::can_be(&next.lower, ING)
        && matches!(
            verbs::base(&tokens[clause.main].lower).as_str(),
            "like" | "love" | "enjoy" | "hate" | "prefer" | "dislike" | "start" | "keep" | "stop"
        )
    {
        asked.push(form.ask("what", "doing"));
    } else if next.is_number() || lexicon::is_numeral(&next.lower) {
        if let Some(object) = phrases::noun_phrase(tokens, at).filter(|object| {
            object.len() > 1 && !passive && !tokens[object.clone()].iter().any(phrases::is_time)
        }) {
            let counted = join(&tokens[object.start + 1..object.end]);
            asked.push(form.ask(&format!("how many {counted}"), ""));
        }
    } else if grammar::is_preposition(&next.lower) {
        asked.extend(preposition_question(tokens, at, form));
    } else if !passive && let Some(object) = phrases::noun_phrase(tokens, at) {
        object_questions(tokens, clause, form, object, asked);
    }
}

/// `Who do you live with?`: the question for what stands behind the preposition at `at`.
fn preposition_question(tokens: &[Token], at: usize, form: &Form) -> Option<String> {
    let preposition = &tokens[at];
    let infinitive = preposition.is("to")
        && tokens
            .get(at + 1)
            .is_some_and(|after| verbs::is_base(&after.lower));
    if infinitive {
        return Some(form.ask("what", "to do"));
    }
    let (kind, _) = phrases::kind_of(tokens, at)?;
    let asked = match kind {
        Kind::Person if preposition.is_in("by with to for about from of against like") => "who",
        Kind::Thing
            if !preposition.is_any(&[
                "in",
                "at",
                "on",
                "by",
                "since",
                "during",
                "until",
                "after",
                "before",
                "without",
                "through",
                "per",
                "following",
                "along",
                "despite",
                "like",
                "of",
            ]) =>
        {
            "what"
        }
        _ => return None,
    };
    Some(form.ask(asked, &preposition.lower))
}

/// `What do you play?`: the question for the object.
fn object_questions(
    tokens: &[Token],
    clause: &Clause,
    form: &Form,
    object: Range<usize>,
    asked: &mut Vec<String>,
) {
    let has = matches!(
        form.verb.as_str(),
        "have" | "get" | "take" | "make" | "become" | "remain" | "use"
    );
    let thing = matches!(
        form.verb.as_str(),
        "speak" | "read" | "write" | "play" | "eat" | "drink" | "wear" | "win"
    );
    let person = people::person_gender(&tokens[object.clone()]).is_some() && !has && !thing;
    let tail_end = phrases::short_end(tokens, clause, 12).max(object.end);
    if form.verb == "become" {
        asked.push(form.ask("what", ""));
    }
    let has = has && form.verb != "use";
    let preposition = tokens.get(object.end).is_some_and(|token| {
        grammar::is_preposition(&token.lower) && !token.is_any(&["for", "as", "with"])
    });
    let timed = phrases::kind_of(tokens, object.end.min(tokens.len() - 1))
        .is_some_and(|(kind, tail)| matches!(kind, Kind::Time | Kind::Place) && tail.len() <= 4);
    let tail = if preposition && timed {
        join(&tokens[object.end..tail_end])
    } else {
        String::new()
    };
    if !has && form.verb != "become" && tail.split(' ').count() <= 7 {
        asked.push(form.ask(if person { "who" } else { "what" }, &tail));
    } else if form.verb == "have" && object.len() >= 2 {
        let head = tokens[object.clone()]
            .iter()
            .rev()
            .find(|token| token.is_word());
        let described = tokens[object.clone()]
            .iter()
            .any(|token| grammar::is_adjective(&token.lower))
            && !tokens[object.clone()].iter().any(|token| token.is("of"));
        if let Some(head) = head.filter(|head| described && !grammar::is_adjective(&head.lower)) {
            asked.push(form.ask(&format!("what kind of {}", head.text), ""));
        }
    }
}

/// Where, when, why and by whom.
fn adverbial_questions(tokens: &[Token], clause: &Clause, form: &Form, asked: &mut Vec<String>) {
    let end = phrases::short_end(tokens, clause, 30);
    let Some(first) = (clause.main + 1..end).find(|&at| grammar::is_preposition(&tokens[at].lower))
    else {
        return;
    };
    let object = join(&tokens[clause.main + 1..first]);
    let stated = if form.copula && !object.is_empty() && object.split(' ').count() > 6 {
        return;
    } else {
        object
    };
    let mut at = first;
    let (mut place, mut time) = (false, false);
    while at < end {
        if grammar::is_preposition(&tokens[at].lower)
            && let Some((kind, object)) = phrases::kind_of(tokens, at)
        {
            let adjacent = at == first || tokens[at - 1].is(",") || place || time;
            match kind {
                Kind::Place if !place && adjacent && (!form.copula || stated.is_empty()) => {
                    let from = if tokens[at].is("from") { "from" } else { "" };
                    asked.push(form.ask("where", format!("{stated} {from}").trim()));
                    place = true;
                }
                Kind::Time if !time && !tokens[at].is_any(&["for", "over", "about"]) => {
                    let when = if tokens[object.clone()].iter().any(|token| token.is("age")) {
                        "at what age"
                    } else {
                        "when"
                    };
                    let present = matches!(
                        form.auxiliary.as_str(),
                        "do" | "does" | "is" | "are" | "have" | "has"
                    ) && !tokens[object.clone()].iter().any(phrases::is_time);
                    let before = join(&tokens[clause.main + 1..at]);
                    if !present && before.split(' ').count() <= 8 {
                        asked.push(form.ask(when, before.trim_end_matches(',')));
                    }
                    time = true;
                }
                _ if tokens[at].is("by")
                    && clause.main != clause.verb
                    && people::person_gender(&tokens[object.clone()]).is_some()
                    && at == first
                    && tokens[clause.verb..clause.main]
                        .iter()
                        .any(|token| verbs::is_be(&token.lower)) =>
                {
                    asked.push(form.ask("who", format!("{stated} by").trim()));
                }
                _ => {}
            }
            at = object.end;
        } else {
            at += 1;
        }
    }
    let because = tokens
        .iter()
        .skip(clause.main)
        .any(|token| token.is("because"));
    if because {
        let end = phrases::short_end(tokens, clause, 12);
        asked.insert(0, form.ask("why", &join(&tokens[clause.main + 1..end])));
    }
    if !time
        && let Some(lead) = lead(tokens, clause)
        && tokens[..clause.start].iter().any(phrases::is_time)
        && lead.len() < 40
        && !tokens[..clause.start]
            .iter()
            .any(|token| token.is_any(&["during", "since"]))
    {
        let end = phrases::short_end(tokens, clause, 12);
        asked.push(form.ask("when", &join(&tokens[clause.main + 1..end])));
    }
}
