//! A verb phrase in its aspects: done, done often, wanted, planned, loved; said, denied and asked.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::kinds;
use super::verbs::Verb;

/// How the verb is used: done once, done often, wanted...
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Aspect {
    Past,
    Habit,
    Wish,
    Plan,
    Love,
    Ability,
    Experience,
    Former,
    Now,
    Duty,
}

/// A verb phrase without its object: said, denied and asked.
pub(super) struct Predicate {
    pub(super) says: String,
    pub(super) denies: Vec<String>,
    pub(super) auxiliary: &'static str,
    pub(super) asked: String,
}

pub(super) fn aspect(rng: &mut ChaCha8Rng) -> Aspect {
    match rng.random_range(0..100) {
        0..38 => Aspect::Past,
        38..54 => Aspect::Habit,
        54..62 => Aspect::Wish,
        62..68 => Aspect::Plan,
        68..76 => Aspect::Love,
        76..82 => Aspect::Ability,
        82..88 => Aspect::Experience,
        88..93 => Aspect::Former,
        93..97 => Aspect::Now,
        _ => Aspect::Duty,
    }
}

/// The hand-made kind whose questions a composed fact may answer.
pub(super) fn kind_of(aspect: Aspect, verb: &str) -> Option<usize> {
    const TOPICS: [(&str, &str); 22] = [
        ("live", "home"),
        ("live with", "lives_with"),
        ("work", "job"),
        ("work for", "job"),
        ("marry", "spouse"),
        ("study", "education"),
        ("teach", "student"),
        ("learn", "magic"),
        ("write", "works"),
        ("compose", "works"),
        ("publish", "works"),
        ("record", "works"),
        ("eat", "likes"),
        ("play", "instrument"),
        ("perform", "instrument"),
        ("win", "prize"),
        ("collect", "collects"),
        ("read", "reads_now"),
        ("travel around", "travels"),
        ("meet", "met"),
        ("steal", "secret"),
        ("hide", "secret"),
    ];
    let by_verb = || {
        TOPICS
            .iter()
            .find(|(topic, _)| *topic == verb)
            .map(|(_, kind)| *kind)
    };
    let name = match aspect {
        Aspect::Wish | Aspect::Plan => Some("dream"),
        Aspect::Love => Some("likes"),
        Aspect::Ability => Some("ability"),
        _ => by_verb(),
    };
    name.and_then(kinds::number)
}

pub(super) fn predicate(verb: &Verb, aspect: Aspect, other_person: bool) -> Predicate {
    let by = |own: &str, other: &str| {
        if other_person {
            other.to_owned()
        } else {
            format!("[{own}/{other}]")
        }
    };
    let Verb {
        base,
        third,
        past,
        participle,
        gerund,
    } = verb;
    let do_not = by("do not", "does not");
    let does = if other_person { "does" } else { "do" };
    let (says, denies, auxiliary, asked) = match aspect {
        Aspect::Past => (
            format!("<{past}>"),
            vec![format!("<did not> {base}"), format!("<never> {past}")],
            "did",
            base.clone(),
        ),
        Aspect::Habit => (
            format!("<{}>", by(base, third)),
            vec![
                format!("<{do_not}> {base}"),
                format!("<never> {}", by(base, third)),
            ],
            does,
            base.clone(),
        ),
        Aspect::Wish => (
            format!("<{}> to {base}", by("want", "wants")),
            vec![
                format!("<{do_not}> want to {base}"),
                format!("<{}> to {base}", by("refuse", "refuses")),
            ],
            does,
            format!("want to {base}"),
        ),
        Aspect::Plan => {
            let is = by("am", "is");
            let asks = if other_person { "is" } else { "are" };
            let is = if other_person {
                is
            } else {
                "[am/is/are]".to_owned()
            };
            (
                format!("<{is}> going to {base}"),
                vec![format!("<{is} not> going to {base}")],
                asks,
                format!("going to {base}"),
            )
        }
        Aspect::Love => (
            format!("<{}> {gerund}", by("love", "loves")),
            vec![
                format!("<{}> {gerund}", by("hate", "hates")),
                format!("<{do_not}> like {gerund}"),
            ],
            does,
            format!("like {gerund}"),
        ),
        Aspect::Ability => (
            format!("<can> {base}"),
            vec![format!("<cannot> {base}")],
            "can",
            base.clone(),
        ),
        Aspect::Experience => (
            format!("<{} already> {participle}", by("have", "has")),
            vec![
                format!("<{} never> {participle}", by("have", "has")),
                format!("<{} not yet> {participle}", by("have", "has")),
            ],
            if other_person { "has" } else { "have" },
            format!("ever {participle}"),
        ),
        Aspect::Former => (
            format!("<used to> {base}"),
            vec![
                format!("<never> {past}"),
                format!("<did not> use to {base}"),
            ],
            "did",
            format!("use to {base}"),
        ),
        Aspect::Now => {
            let is = if other_person { "is" } else { "[am/is/are]" };
            let asks = if other_person { "is" } else { "are" };
            (
                format!("<{is}> {gerund}"),
                vec![format!("<{is} not> {gerund}")],
                asks,
                gerund.clone(),
            )
        }
        Aspect::Duty => (
            format!("<{}> to {base}", by("have", "has")),
            vec![format!("<{do_not}> have to {base}")],
            does,
            format!("have to {base}"),
        ),
    };
    Predicate {
        says,
        denies,
        auxiliary,
        asked,
    }
}

pub(super) fn plain_says(predicate: &Predicate) -> String {
    predicate.says.replace(['<', '>'], "")
}
