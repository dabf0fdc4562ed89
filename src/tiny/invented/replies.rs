//! What a persona may answer: in keeping with a fact or against it.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::fact::{Asked, Fact};
use super::kinds::Line;
use super::lexicon::draw_named;
use super::template::{self, OFF, ON, Person};
use crate::tiny::Reply;

impl Fact {
    /// The statement in the first person, in its own words: the answer of the embedded model to any question about it.
    pub fn answer(&self, _question_idx: usize) -> String {
        plain_answer(self).text
    }

    /// A reply that follows from the statement, in one of many wordings.
    pub fn entailed(&self, question_idx: usize, rng: &mut ChaCha8Rng) -> Reply {
        entailed(self, &self.asked_at(question_idx), rng)
    }

    /// A reply that contradicts the statement: another value, a denial, or the affirmation of what it denies.
    pub fn contradicted(&self, question_idx: usize, rng: &mut ChaCha8Rng) -> Reply {
        contradicted(self, &self.asked_at(question_idx), rng)
    }
}

/// A body and whether it may follow "Yes," or "No," as an answer to a yes/no question.
pub(super) struct Body {
    pub(super) text: String,
    pub(super) opens_with: Option<bool>,
    /// whether it must
    pub(super) must_open: bool,
}

/// A reply that follows from the fact.
fn entailed(fact: &Fact, asked: &Asked, rng: &mut ChaCha8Rng) -> Reply {
    if let Some(truth) = asked.yes_no
        && rng.random_bool(0.12)
    {
        return bare(truth, asked, false, rng);
    }
    let lines = &fact.lines;
    let line = if fact.positive {
        positive_line(fact, asked, rng)
    } else {
        let pool: Vec<&Line> =
            within(fact, lines.negatives.iter().chain(&lines.negative_replies)).collect();
        choose(&pool, rng)
    };
    let Some(line) = line else {
        return plain_answer(fact);
    };
    let others = other_values(fact, asked, line.others, rng);
    let text = fact.told(&line.text, Person::First, &fact.values, &others, false);
    chatty(
        Body {
            text,
            opens_with: asked.yes_no,
            must_open: false,
        },
        asked,
        rng,
    )
}

/// A reply that contradicts the fact.
fn contradicted(fact: &Fact, asked: &Asked, rng: &mut ChaCha8Rng) -> Reply {
    if let Some(truth) = asked.yes_no
        && rng.random_bool(0.12)
    {
        return bare(!truth, asked, true, rng);
    }
    let reply = if !fact.positive {
        affirmed(fact, asked, rng)
    } else if rng.random_bool(0.18) {
        denied(fact, asked, rng).or_else(|| swapped(fact, asked, rng))
    } else {
        swapped(fact, asked, rng).or_else(|| denied(fact, asked, rng))
    };
    let body = reply.unwrap_or_else(|| Body {
        text: format!("{ON}no, that is not true{OFF}"),
        opens_with: None,
        must_open: false,
    });
    let body = if body.text.contains(ON) {
        body
    } else {
        Body {
            text: format!("{ON}{}{OFF}", body.text),
            ..body
        }
    };
    chatty(body, asked, rng)
}

/// The statement in the first person, as it stands.
pub(super) fn plain_answer(fact: &Fact) -> Reply {
    let line = fact.statement_line();
    let text = fact.told(line, Person::First, &fact.values, &[], false);
    template::finish(&format!("{text}."), fact.contracted)
}

pub(super) fn choose<'a, T>(pool: &[&'a T], rng: &mut ChaCha8Rng) -> Option<&'a T> {
    if pool.is_empty() {
        None
    } else {
        pool.get(rng.random_range(0..pool.len())).copied()
    }
}

/// A slot among the bits, more often one of `preferred`.
pub(super) fn choose_slot(bits: u8, preferred: u8, rng: &mut ChaCha8Rng) -> Option<usize> {
    let bits = if bits & preferred != 0 && rng.random_bool(0.7) {
        bits & preferred
    } else {
        bits
    };
    let slots: Vec<usize> = (0..8).filter(|slot| bits >> slot & 1 == 1).collect();
    if slots.is_empty() {
        None
    } else {
        Some(slots[rng.random_range(0..slots.len())])
    }
}

/// The lines that say no more than the statement.
fn within<'a>(
    fact: &'a Fact,
    lines: impl Iterator<Item = &'a Line>,
) -> impl Iterator<Item = &'a Line> {
    let unstated = !fact.stated();
    lines.filter(move |line| (line.values | line.others) & unstated == 0)
}

/// A full sentence, a part that answers the question, or a fragment.
fn positive_line<'a>(fact: &'a Fact, asked: &Asked, rng: &mut ChaCha8Rng) -> Option<&'a Line> {
    let lines = &fact.lines;
    let full: Vec<&Line> = within(fact, lines.statements.iter().chain(&lines.replies)).collect();
    let open = asked.asks == 0;
    let named_in_vain = lines.many & !asked.asks | u8::from(lines.open);
    let partial: Vec<&Line> = within(fact, lines.partials.iter())
        .filter(|line| line.others & named_in_vain == 0)
        .filter(|line| open || (line.values | line.others) & asked.asks != 0)
        .collect();
    let fragments: Vec<&Line> = within(fact, lines.fragments.iter())
        .filter(|line| {
            line.values & asked.asks != 0
                && (asked.yes_no.is_none() || asked.asks.count_ones() == 1)
        })
        .collect();
    let to_the_point: Vec<&Line> = full
        .iter()
        .filter(|line| line.values & asked.asks != 0)
        .copied()
        .collect();
    let full = if to_the_point.is_empty() {
        full
    } else {
        to_the_point
    };
    let dice = rng.random_range(0..100);
    if dice < 18 && !fragments.is_empty() {
        choose(&fragments, rng)
    } else if dice < 60 && !partial.is_empty() {
        choose(&partial, rng)
    } else {
        choose(&full, rng)
    }
}

/// Values to be named as not the case; the one from the question if it is false.
fn other_values(fact: &Fact, asked: &Asked, bits: u8, rng: &mut ChaCha8Rng) -> Vec<String> {
    if bits == 0 {
        return Vec::new();
    }
    let other = |slot: usize| match &asked.lure {
        Some((lured, lure)) if *lured == slot => lure.clone(),
        _ if bits >> slot & 1 == 1 => fact.other_value(slot, rng),
        _ => String::new(),
    };
    (0..fact.values.len()).map(other).collect()
}

/// A sentence with one value, or two, replaced.
fn swapped(fact: &Fact, asked: &Asked, rng: &mut ChaCha8Rng) -> Option<Body> {
    let allowed = swappable(fact, asked);
    let line = (0..8).find_map(|_| {
        positive_line(fact, asked, rng).filter(|line| (line.values | line.others) & allowed != 0)
    })?;
    let slot = choose_slot((line.values | line.others) & allowed, asked.asks, rng)?;
    let truth = &fact.values[slot];
    let section = fact.lines.slots[slot];
    let mut values = fact.values.clone();
    let mut others = other_values(fact, asked, line.others, rng);
    let twin = (0..values.len()).find(|twin| {
        *twin != slot
            && line.values >> twin & 1 == 1
            && allowed >> twin & 1 == 1
            && fact.lines.slots[*twin] == section
            && values[*twin] != *truth
    });
    // Two values of a sort are exchanged only where their places matter: "from Oslo to Riga", not "brave and kind".
    let both_true = line.text.contains("} and {") || fact.lines.many >> slot & 1 == 1;
    let ordered = twin.filter(|_| !both_true && rng.random_bool(0.25));
    let new = match (&asked.lure, ordered) {
        (_, Some(twin)) => values[twin].clone(),
        (Some((lured, lure)), None) if *lured == slot && rng.random_bool(0.55) => lure.clone(),
        _ => fact.other_value(slot, rng),
    };
    if let Some(twin) = ordered {
        values[twin] = template::mark_difference(truth, &fact.values[twin]);
    }
    let opens_with = asked
        .yes_no
        .and_then(|truth_of_question| match &asked.lure {
            Some((lured, lure)) if *lured == slot => Some(*lure == new),
            None if truth_of_question => Some(asked.asks >> slot & 1 == 0),
            _ => None,
        });
    values[slot] = template::mark_difference(&new, truth);
    if line.others >> slot & 1 == 1 {
        others[slot] = format!("<{truth}>");
    }
    let text = fact.told(&line.text, Person::First, &values, &others, false);
    // Where both values could be true, only the "No" makes it a contradiction.
    let must_open = asked.yes_no.is_some() && fact.lines.many >> slot & 1 == 1;
    Some(Body {
        text,
        opens_with,
        must_open,
    })
}

/// The slots another value of which contradicts the fact in reply to the question.
fn swappable(fact: &Fact, asked: &Asked) -> u8 {
    let lines = &fact.lines;
    let answered = if asked.yes_no == Some(false) {
        0
    } else {
        asked.asks
    };
    let bits = !lines.many | answered;
    if lines.open { bits & !1 } else { bits }
}

/// The fact denied.
fn denied(fact: &Fact, asked: &Asked, rng: &mut ChaCha8Rng) -> Option<Body> {
    let pool: Vec<&Line> = within(
        fact,
        fact.lines
            .negatives
            .iter()
            .chain(&fact.lines.negative_replies),
    )
    .collect();
    let line = choose(&pool, rng)?;
    let text = fact.told(&line.text, Person::First, &fact.values, &[], true);
    Some(Body {
        text,
        opens_with: asked.yes_no.filter(|truth| *truth).map(|_| false),
        must_open: false,
    })
}

/// What the fact denies, affirmed.
fn affirmed(fact: &Fact, asked: &Asked, rng: &mut ChaCha8Rng) -> Option<Body> {
    let lines = &fact.lines;
    let whole = lines.slots.is_empty();
    let pool: Vec<&Line> = lines
        .statements
        .iter()
        .chain(&lines.replies)
        .chain(&lines.partials)
        .filter(|line| line.others == 0 && (whole || line.values & 1 == 1))
        .collect();
    let line = choose(&pool, rng)?;
    let text = fact.told(&line.text, Person::First, &fact.values, &[], true);
    Some(Body {
        text,
        opens_with: asked.yes_no.map(|_| true),
        must_open: false,
    })
}

/// "Yes, I do." and its like.
fn bare(yes: bool, asked: &Asked, wrong: bool, rng: &mut ChaCha8Rng) -> Reply {
    let opener = draw_named(if yes { "yes" } else { "no" }, rng);
    let opener = opener.trim_end_matches([',', '.', '!']);
    let echo = match (asked.auxiliary, yes) {
        ("do", true) => "I do",
        ("do", false) => "I don't",
        ("did", true) => "I did",
        ("did", false) => "I didn't",
        ("are", true) => "I am",
        ("are", false) => "I'm not",
        ("were", true) => "I was",
        ("were", false) => "I wasn't",
        ("can", true) => "I can",
        ("can", false) => "I can't",
        ("have", true) => "I have",
        ("have", false) => "I haven't",
        (_, true) => "that's true",
        (_, false) => "that's not true",
    };
    let opener = if opener.starts_with("That") {
        "Well"
    } else {
        opener
    };
    let short = match rng.random_range(0..4) {
        0 if opener != "Well" => opener.to_owned(),
        1 => format!(
            "{opener}, {}",
            if yes {
                "that's right"
            } else {
                "that's not right"
            }
        ),
        _ => format!("{opener}, {echo}"),
    };
    let text = if wrong {
        format!("{ON}{short}{OFF}")
    } else {
        short
    };
    template::finish(&format!("{text}."), false)
}

/// The body with an opener, a closer and a full stop.
pub(super) fn chatty(body: Body, asked: &Asked, rng: &mut ChaCha8Rng) -> Reply {
    let Body {
        mut text,
        opens_with,
        must_open,
    } = body;
    let opens = match opens_with {
        Some(_) => must_open || rng.random_bool(0.6),
        None => asked.yes_no.is_none() && rng.random_bool(0.03),
    };
    if opens {
        let yes = opens_with.unwrap_or_else(|| rng.random_bool(0.5));
        let opener = draw_named(if yes { "yes" } else { "no" }, rng);
        let wrong = asked.yes_no.is_some_and(|truth| truth != yes);
        text = if wrong {
            format!("{ON}{opener}{OFF} {text}")
        } else {
            format!("{opener} {text}")
        };
    } else if rng.random_bool(0.28) {
        text = format!("{} {text}", draw_named("opener", rng));
    }
    if rng.random_bool(0.18) && !text.ends_with('?') {
        text.push_str(&draw_named("closer", rng));
    }
    if !text.trim_end_matches(['"', OFF]).ends_with(['.', '!', '?']) {
        text.push(if rng.random_bool(0.06) { '!' } else { '.' });
    }
    template::finish(&text, rng.random_bool(0.65))
}
