//! Facts put together from a grammar: somebody, what they did, do, want or cannot do, and where, when, with whom, why.

use std::sync::Arc;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::kinds::Lines;
use super::lexicon::section;
use super::patterns::{self, Details, Words};
use super::predicate::{Aspect, aspect, kind_of, predicate};
use super::verbs::CLASSES;

/// Kinds of composed facts are counted from here, one for each verb.
pub(super) const FIRST_KIND: usize = 1000;

/// The patterns of one composed kind of fact.
pub(super) fn composed(rng: &mut ChaCha8Rng) -> Arc<Lines> {
    let class_idx = rng.random_range(0..CLASSES.len());
    let class = &CLASSES[class_idx];
    let verb_idx = rng.random_range(0..class.verbs.len());
    let verb = &class.verbs[verb_idx];
    let aspect = aspect(rng);
    let intransitive = class.asks == "Where";

    let mut lines = Lines {
        kind: kind_of(aspect, &verb.base).unwrap_or(FIRST_KIND + class_idx * 100 + verb_idx),
        slots: vec![class.object],
        ..Lines::default()
    };
    let mut tail = String::new();
    let details = details(aspect, intransitive, class_idx, &mut lines, &mut tail, rng);
    // Coordinated facts and those with a modal sense keep one polarity, since their parts do not follow one by one.
    lines.both = details.second.is_none();
    lines.open = matches!(aspect, Aspect::Love | Aspect::Ability | Aspect::Experience);
    lines.many = several(&details, lines.slots.len(), !intransitive || lines.open);

    let other_person = details.relation.is_some();
    let phrase = predicate(verb, aspect, other_person);
    let second = details.second.map(|(letter, idx)| {
        let says = predicate(&class.verbs[idx], aspect, other_person).says;
        format!(
            " and {}{says} {{{letter}}}",
            if aspect == Aspect::Past && rng.random_bool(0.5) {
                "later "
            } else {
                ""
            }
        )
    });
    let subject = details
        .relation
        .map_or_else(|| "{I}".to_owned(), |letter| format!("{{My}} {{{letter}}}"));
    let asked_subject = details
        .relation
        .map_or_else(|| "you".to_owned(), |letter| format!("your {{{letter}}}"));
    let words = Words {
        subject,
        asked_subject,
        predicate: phrase,
        tail,
        second: second.unwrap_or_default(),
    };
    patterns::state(&words, &details, &mut lines, rng);
    patterns::deny(&words, &mut lines);
    patterns::shorten(&words, &details, aspect, class.asks, &mut lines);
    patterns::chat(verb, intransitive, &mut lines);
    patterns::ask(&words, &details, class.asks, verb, &mut lines);
    if let Some((letter, idx)) = details.second {
        patterns::second_predicate(
            &words,
            letter,
            &class.verbs[idx],
            aspect,
            other_person,
            &mut lines,
        );
    }
    Arc::new(lines)
}

/// The slots of which other values may be true as well: all but the place and the time.
fn several(details: &Details, n_slots: usize, object: bool) -> u8 {
    let single = [details.place, details.time].into_iter().flatten();
    let single = single.fold(u8::from(!object), |bits, letter| {
        bits | 1 << (letter as u8 - b'a')
    });
    (0..n_slots).fold(0, |bits, slot| bits | 1 << slot) & !single
}

fn details(
    aspect: Aspect,
    intransitive: bool,
    class_idx: usize,
    lines: &mut Lines,
    tail: &mut String,
    rng: &mut ChaCha8Rng,
) -> Details {
    let mut details = Details::default();
    let slot = |lines: &mut Lines, name: &str| {
        let id = section(name)?;
        lines.slots.push(id);
        Some(char::from(b'a' + lines.slots.len() as u8 - 1))
    };
    if rng.random_bool(0.22) {
        details.relation = slot(lines, "relation");
    }
    let long = rng.random_bool(0.36);
    let mut chance = |usual: f64| rng.random_bool(if long { 0.75 } else { usual });
    let time = match aspect {
        Aspect::Past => Some("past"),
        Aspect::Habit | Aspect::Former => Some("often"),
        Aspect::Wish | Aspect::Plan | Aspect::Duty => Some("future"),
        _ => None,
    };
    if matches!(aspect, Aspect::Past | Aspect::Habit) && !intransitive && chance(0.1) {
        details.second = slot(lines, lexicon_name(class_idx)).map(|letter| (letter, 0));
    }
    let mut put = |lines: &mut Lines, name: &str, before: &str| {
        let letter = slot(lines, name)?;
        tail.push_str(&format!(" {before}{{{letter}}}"));
        Some(letter)
    };
    if time.is_some() {
        if !intransitive && chance(0.35) {
            details.place = put(lines, "place", "");
        }
        if chance(0.2) {
            details.companion = put(
                lines,
                "companion",
                if intransitive {
                    "with "
                } else {
                    "together with "
                },
            );
        }
        if chance(0.14) {
            details.purpose = put(lines, "purpose", "");
        }
        if let Some(name) = time.filter(|_| chance(0.5)) {
            details.time = put(lines, name, "");
        }
        if aspect == Aspect::Past && chance(0.06) {
            put(lines, "extra", "");
        }
    }
    if let Some((letter, _)) = details.second {
        details.second = Some((letter, rng.random_range(0..CLASSES[class_idx].verbs.len())));
    }
    details
}

fn lexicon_name(class_idx: usize) -> &'static str {
    [
        "np", "person", "creature", "meal", "writing", "spot", "study", "plant", "event",
    ]
    .get(class_idx)
    .unwrap_or(&"np")
}
